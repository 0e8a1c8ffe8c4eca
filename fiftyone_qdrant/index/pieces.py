"""All pairs in pieces: tiles and clusters of points, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.index.bounds import Bounds
from fiftyone_qdrant.points import Matrix

_CLUSTERS = 16  # whose distances to all points are made at a time
_DISTANCES = 8 * 2**20  # of these at most

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Piece = tuple[int, int, float]
"""Where it starts, or starts and ends, and which part of all pairs it is."""


def tile_pairs(count: int, rows: int, columns: int) -> Iterator[Piece]:
    """Where tiles of all pairs start, each pair once, and which part each one is."""
    for row in range(0, count, rows):
        for column in range(row, count, columns):
            yield row, column, 2 * rows * columns / count**2


def square_tiles(count: int, rows: int) -> Iterator[list[Piece]]:
    """Squares of all pairs: those of points side by side, and then the others."""
    part = 2 * rows**2 / count**2
    starts = range(0, count, rows)
    yield [(start, start, part / 2) for start in starts]
    yield [(row, column, part) for row in starts for column in starts if row < column]


def cluster_pairs(bounds: Bounds) -> Iterator[Piece]:
    """Clusters whose distances to all points are made at a time; the largest first."""
    count, last = len(bounds.left), len(bounds.starts) - 1
    while last > 0:
        end = int(bounds.starts[last])
        first = max(0, last - max(1, min(_CLUSTERS, _DISTANCES // end)))
        yield first, last, 2 * end * (end - int(bounds.starts[first])) / count**2
        last = first


def drop_near(better: Any, worse: Any, count: int) -> Mask:
    """Goes through points in order and drops what is worse than one that stays.

    Args:
        better: the better of each pair, ascending
        worse: the other one, a larger number
        count: how many points there are

    Returns:
        bool, shape ``(count,)``: which are dropped
    """
    gone = bytearray(count)
    points, starts = np.unique(better, return_index=True)
    others = worse.tolist()
    ends = np.append(starts, len(others))[1:].tolist()
    for point, start, end in zip(points.tolist(), starts.tolist(), ends, strict=True):
        if not gone[point]:
            for other in others[start:end]:
                gone[other] = 1

    return np.frombuffer(gone, dtype=bool)


def parts(rows: Rows | slice, size: int) -> Iterator[Rows | slice]:
    """Yields rows, some at a time."""
    if isinstance(rows, slice):
        for start in range(rows.start, rows.stop, size):
            yield slice(start, min(start + size, rows.stop))
    else:
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def tiles(matrix: Matrix, rows: int) -> Iterator[tuple[int, Matrix]]:
    """Yields some rows at a time, each time with the first one's number."""
    for start in range(0, len(matrix), rows):
        yield start, matrix[start : start + rows]
