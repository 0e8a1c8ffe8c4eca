"""The nearest points whose word counts, of every point: by blocks of matrices."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.curate.vectors import Progress, Rows, Vectors
from fiftyone_qdrant.points import Matrix

Places = npt.NDArray[np.int32]

_TILE_ROWS = 2_048
_TILE_COLUMNS = 8_192
_FIRST_COLUMNS = 512
_FEW = 64  # candidates of each that are sorted; of more, the nearest are taken first


def nearest_voters(
    vectors: Vectors,
    voters: Rows,
    families: Rows,
    twins: float,
    k: int,
    progress: Progress = None,
) -> tuple[Places, Matrix]:
    """Returns the nearest voters of each vector, nearest first.

    All are compared with all voters, a tile of distances at a time. Neither a vector
    itself nor its family or its twins are among its voters.

    Args:
        vectors: all vectors
        voters: the rows of those that may vote
        families: a number for each vector; those with the same one are a family
        twins: the distance up to which two vectors are twins
        k: how many to find
        progress (None): see :data:`.vectors.Progress`

    Returns:
        int32 places in ``voters`` and float32 distances, both ``(len(vectors), k)``.
        Where there are fewer, the places are -1 and the distances infinite
    """
    count = len(vectors)
    places = np.full((count, k), -1, np.int32)
    distances = np.full((count, k), np.inf, np.float32)
    for start in range(0, count, _TILE_ROWS):
        lines = slice(start, min(count, start + _TILE_ROWS))
        tile, own = np.asarray(vectors.rows[lines]), families[lines, np.newaxis]
        for columns in _tiles(len(voters)):
            part = voters[columns]
            d = vectors.space.distances(tile, vectors.rows[part])
            d[d <= twins] = np.inf
            d[own == families[part]] = np.inf
            _merge(places[lines], distances[lines], d, columns.start)

        if progress is not None:
            progress(lines.stop, count)

    return places, distances


def _tiles(count: int) -> Iterator[slice]:
    """Yields small tiles first, which tell what is near enough to be looked at."""
    start, size = 0, _FIRST_COLUMNS
    while start < count:
        yield slice(start, min(count, start + size))
        start, size = start + size, min(4 * size, _TILE_COLUMNS)


def _merge(places: Places, distances: Matrix, d: Matrix, column: int) -> None:
    """Puts what is nearer than the farthest found so far in its place."""
    count, k = distances.shape
    better = d < distances.max(axis=1)[:, np.newaxis]
    if d.shape[1] > k and np.count_nonzero(better) > count * max(_FEW, k):
        chosen = np.argpartition(d, k - 1, axis=1)[:, :k]
        better[:] = False
        np.put_along_axis(better, chosen, True, axis=1)
        better &= np.isfinite(d)

    rows, columns = np.nonzero(better)
    if not rows.size:
        return

    near = np.concatenate([distances.ravel(), d[rows, columns]])
    at = np.concatenate([places.ravel(), (columns + column).astype(np.int32)])
    lines = np.concatenate([np.repeat(np.arange(count), k), rows])
    order = np.lexsort((near, lines))
    first = np.searchsorted(lines[order], np.arange(count))
    order = order[first[:, np.newaxis] + np.arange(k)]
    places[:], distances[:] = at[order], near[order]
