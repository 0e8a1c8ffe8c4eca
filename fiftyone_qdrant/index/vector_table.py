"""All vectors of some points, read once; many of them lie in a temporary file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.points import Matrix

_READ_BYTES = 16 * 2**20  # while these are worked on, as many more are read
_IN_MEMORY = 256 * 2**20

Read = Callable[[list[Any]], Matrix]


def table(rows: int, columns: int) -> Matrix:
    """Returns room for float32 numbers: in memory, or for many of them in a file.

    The file has no name, and is gone with the array.

    Raises:
        ConfigError: if there is no room for it
    """
    size = 4 * rows * columns
    if size <= _IN_MEMORY:
        return np.empty((rows, columns), np.float32)

    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if free < size:
        raise ConfigError(
            f"Comparing {rows:,} points takes {size / 2**30:.1f} GB of {folder}, which "
            f"has {free / 2**30:.1f} GB left. Make room, or set TMPDIR to another place"
        )

    with tempfile.TemporaryFile(prefix="fiftyone-qdrant-") as file:
        return np.memmap(file, np.float32, "w+", shape=(rows, columns))


def read(
    read: Read, ids: Sequence[Any], size: int, done: Callable[[int], Any]
) -> Matrix:
    """Reads the vectors of points.

    Args:
        read: returns those of some ids, shape ``(num_ids, size)``
        ids: ``n`` ids
        size: dimensions of the vectors
        done: called with how many are read

    Returns:
        float32, shape ``(n, size)``
    """
    vectors, step = table(len(ids), size), max(1, _READ_BYTES // (4 * size))
    pieces = [list(ids[n : n + step]) for n in range(0, len(ids), step)]
    with ThreadPoolExecutor(1) as pool:
        try:
            for n, found in enumerate(_ahead(pool, read, pieces)):
                vectors[n * step : n * step + len(found)] = found
                done(min((n + 1) * step, len(ids)))
        finally:
            pool.shutdown(cancel_futures=True)

    return vectors


def _ahead(
    pool: ThreadPoolExecutor, read: Read, pieces: list[list[Any]]
) -> Iterator[Matrix]:
    """Yields what is read of each piece while the next one is being read."""
    under_way = pool.submit(read, pieces[0]) if pieces else None
    for piece in [*pieces[1:], None]:
        if under_way is None:
            return

        found = under_way.result()
        under_way = pool.submit(read, piece) if piece else None
        yield found
