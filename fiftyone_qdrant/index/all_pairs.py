"""Neighbors of every point of an index at once: exact, by blocks of matrices.

A query for each of many points costs a scan each; as matrix products the same
comparisons are many times faster. Three blocks of vectors and one tile of distances
are in memory at a time, however large the index is; of ``b`` blocks more than two, each
is read up to ``b`` times.

Products in float32 choose, and leave to distances in float64 what they cannot decide.
Where vectors are too long, too short or too unlike in length for that, they are made
in float64 as well.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.index.contents import Contents
from fiftyone_qdrant.points import (
    Matrix,
    Scores,
    needs_float64,
    norms,
    pairwise_distances,
    to_unit,
)

_BLOCK_BYTES = 64 * 2**20
_TILE_ROWS = 1024
_TILE_COLUMNS = 8192
_SLACK = 1e-5  # bounds the rounding of float32 products, relative to the norms
_MARGIN = 8  # candidates kept beyond k, as rounding may change their order
_ALIKE = 1e3  # how much longer some vectors may be where products are in float32
_STEP = 1e-6  # what FiftyOne's search for a threshold tells apart
_FARTHEST = 1e90  # more than any product of float32 vectors
_SAME = 2**22  # floats that are fewer apart are the same but for 1e-9

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

logger = logging.getLogger(__name__)


class AllPairs:
    """Compares all points with all points.

    Args:
        contents: where the vectors are
        ids: the points, in the order in which results count them
        size: dimensions of the vectors
        metric: one of :data:`fiftyone_qdrant.points.DISTANCES`
    """

    def __init__(
        self, contents: Contents, ids: Sequence[str], size: int, metric: str
    ) -> None:
        self._contents = contents
        self._ids = list(ids)
        self._metric = metric
        self._block_rows = max(_TILE_ROWS, _BLOCK_BYTES // (4 * size))
        self._latest: dict[int, Matrix] = {}

    def neighbors(self, k: int) -> tuple[list[Rows], list[Scores]]:
        """Returns the ``k`` nearest others of each point, nearest first.

        Returns:
            for each point, int64 positions in ``ids`` and float64 distances
        """
        rows: list[Rows] = []
        dists: list[Scores] = []
        for first, block in self._blocks():
            best_rows: Rows = np.empty((len(block), 0), np.int64)
            best: Scores = np.empty((len(block), 0))
            for column, others in self._blocks():
                parts = [
                    self._nearest(tile, first + start, others, column, k)
                    for start, tile in _tiles(block, _TILE_ROWS)
                ]
                best_rows = np.hstack([best_rows, np.vstack([r for r, _ in parts])])
                best = np.hstack([best, np.vstack([d for _, d in parts])])
                best_rows, best = _smallest(best_rows, best, k)

            order = np.argsort(best, axis=1, kind="stable")
            for row, found, distances in zip(order, best_rows, best, strict=True):
                keep = row[np.isfinite(distances[row])]
                rows.append(found[keep])
                dists.append(distances[keep])

        return rows, dists

    def within(self, thresh: float) -> tuple[list[Rows], list[Scores]]:
        """Returns the others of each point that are at most ``thresh`` away.

        Returns:
            for each point, int64 positions in ``ids`` and float64 distances
        """
        rows: list[list[Rows]] = [[] for _ in self._ids]
        dists: list[list[Scores]] = [[] for _ in self._ids]
        for first, block in self._blocks():
            for column, others in self._blocks():
                for start, tile in _tiles(block, _TILE_ROWS):
                    for i, j in self._close_pairs(
                        tile, first + start, others, column, thresh
                    ):
                        distances = pairwise_distances(tile[i], others[j], self._metric)
                        rows[first + start + i].append(j + column)
                        dists[first + start + i].append(distances)

        return (
            [np.concatenate([np.empty(0, np.int64), *r]) for r in rows],
            [np.concatenate([np.empty(0), *d]) for d in dists],
        )

    def unique(self, thresh: float) -> Mask:
        """Goes through the points in order and drops those near an earlier one.

        Returns:
            for each point, whether it is farther than ``thresh`` from all kept
            points before it
        """
        keep = np.ones(len(self._ids), dtype=bool)
        for first, block in self._blocks():
            mine = keep[first : first + len(block)]
            for start, tile in _tiles(block, _TILE_ROWS):
                end = start + len(tile)
                close = self._close(tile, tile, thresh)
                kept = mine[start:end]
                for i in range(len(tile)):
                    if kept[i]:
                        kept[i + 1 :] &= ~close[i, i + 1 :]

                self._drop_near(tile[kept], block[end:], mine[end:], thresh)

            for column, others in self._blocks(first + len(block)):
                later = keep[column : column + len(others)]
                for start, tile in _tiles(block, _TILE_ROWS):
                    kept = mine[start : start + len(tile)]
                    self._drop_near(tile[kept], others, later, thresh)

        return keep

    def unique_of(self, count: int, start: float) -> tuple[Mask, float]:
        """Looks for a threshold at which :meth:`unique` keeps ``count`` points.

        The steps are FiftyOne's, and so are the results, where distances are such that
        these find one. Where they are shorter, longer or negative, the number of floats
        in between is halved, which comes to an end for all of them.

        Args:
            count: how many to keep, at least one, and not all
            start: the threshold to try first, if it is an ordinary one

        Returns:
            which points are kept, as near to ``count`` as can be, and the threshold
        """
        low, high, kept = 0.0, math.inf, -1
        thresh = start if 0 < start <= 1 / _STEP else 1.0
        while True:
            last, keep = kept, self._try(thresh, count)
            kept = int(keep.sum())
            if kept == count:
                return keep, thresh

            if kept == last and high - low < _STEP:
                if self._metric == "cosine" or low > 1e3 * _STEP:
                    return keep, thresh

                break

            low, high = (low, thresh) if kept < count else (thresh, high)
            if low > 1 / _STEP:
                break

            thresh = 2 * low if math.isinf(high) else (low + high) / 2

        if not low and self._metric == "dotproduct":
            low = -_FARTHEST

        return self._halve(count, low, min(high, _FARTHEST), (keep, thresh))

    def _halve(
        self, count: int, low: float, high: float, best: tuple[Mask, float]
    ) -> tuple[Mask, float]:
        """Goes on with :meth:`unique_of` between two thresholds, from 0 if it can."""
        thresh = 0.0 if low <= 0 else _middle(low, high)
        while best[0].sum() != count:
            keep = self._try(thresh, count)
            kept = int(keep.sum())
            if abs(kept - count) < abs(int(best[0].sum()) - count):
                best = keep, thresh

            low, high = (low, thresh) if kept < count else (thresh, high)
            if _rank(high) - _rank(low) < _SAME:
                break

            thresh = _middle(low, high)

        return best

    def _try(self, thresh: float, count: int) -> Mask:
        keep = self.unique(thresh)
        logger.info("threshold: %g, kept: %d, target: %d", thresh, keep.sum(), count)
        return keep

    def _drop_near(
        self, kept: Matrix, others: Matrix, keep: Mask, thresh: float
    ) -> None:
        """Clears ``keep`` where one of ``others`` is near one of ``kept``."""
        if not len(kept):
            return

        for start, tile in _tiles(others, _TILE_COLUMNS):
            left = np.flatnonzero(keep[start : start + len(tile)])
            if left.size:
                near = self._close(kept, tile[left], thresh).any(axis=0)
                keep[start + left[near]] = False

    def _nearest(
        self, tile: Matrix, row: int, others: Matrix, column: int, k: int
    ) -> tuple[Rows, Scores]:
        """The nearest of ``others`` to each vector of a tile, infinite if too few."""
        rows: Rows = np.empty((len(tile), 0), np.int64)
        rough = np.empty((len(tile), 0), np.float32)
        for start, part in _tiles(others, _TILE_COLUMNS):
            d, _ = self._rough(tile, part)
            _exclude_itself(d, row, column + start)
            columns = np.broadcast_to(np.arange(start, start + len(part)), d.shape)
            rows, rough = _smallest(
                np.hstack([rows, columns]), np.hstack([rough, d]), k + _MARGIN
            )

        exact = np.full(rough.shape, np.inf)  # as is that to the point itself
        at_once = max(1, _TILE_COLUMNS // rows.shape[1])
        for start, part in _tiles(tile, at_once):
            lines = slice(start, start + len(part))
            candidates = others[rows[lines]]
            exact[lines] = pairwise_distances(
                part[:, np.newaxis], candidates, self._metric
            )

        exact[np.isinf(rough)] = np.inf
        return _smallest(rows + column, exact, k)

    def _close_pairs(
        self, tile: Matrix, row: int, others: Matrix, column: int, thresh: float
    ) -> Iterator[tuple[int, Rows]]:
        for start, part in _tiles(others, _TILE_COLUMNS):
            close = self._close(tile, part, thresh)
            _exclude_itself(close, row, column + start)
            for i in np.flatnonzero(close.any(axis=1)):
                yield int(i), np.flatnonzero(close[i]) + start

    def _blocks(self, start: int = 0) -> Iterator[tuple[int, Matrix]]:
        """Yields the vectors from ``start``, the first of a block, block by block."""
        for first in range(start, len(self._ids), self._block_rows):
            yield first, self._block(first)

    def _block(self, first: int) -> Matrix:
        if first not in self._latest:
            if len(self._latest) == 2:  # of the two at hand the older one goes
                del self._latest[next(iter(self._latest))]

            ids = self._ids[first : first + self._block_rows]
            self._latest[first] = self._prepare(self._contents.vectors(ids))

        return self._latest[first]

    def _prepare(self, vectors: Matrix) -> Matrix:
        return to_unit(vectors) if self._metric == "cosine" else vectors

    def _rough(self, a: Matrix, b: Matrix) -> tuple[Any, Any]:
        """Distances (squared if Euclidean), and how wrong they may be."""
        if self._metric == "manhattan":
            from scipy.spatial.distance import cdist

            return cdist(a, b, "cityblock"), 0.0

        if self._metric == "cosine":
            d = a @ b.T
            np.subtract(1.0, d, out=d)
            return d, _SLACK

        if not _alike(a, b):
            a, b = a.astype(np.float64), b.astype(np.float64)
        elif self._metric == "euclidean":  # products are precise about the origin
            offset = b.mean(axis=0, dtype=np.float64).astype(np.float32)
            a, b = a - offset, b - offset

        d = a @ b.T
        norms_a = np.einsum("ij,ij->i", a, a)[:, np.newaxis]
        norms_b = np.einsum("ij,ij->i", b, b)[np.newaxis]
        if self._metric == "dotproduct":
            np.negative(d, out=d)
            return d, _SLACK * np.sqrt(norms_a) * np.sqrt(norms_b)

        d *= -2.0
        d += norms_a
        d += norms_b
        return d, _SLACK * (norms_a + norms_b)

    def _close(self, a: Matrix, b: Matrix, thresh: float) -> Mask:
        """Which pairs are at most ``thresh`` apart, decided exactly."""
        d, slack = self._rough(a, b)
        limit = thresh * abs(thresh) if self._metric == "euclidean" else thresh
        largest = float(np.finfo(d.dtype).max)
        limit = max(-largest, min(limit, largest))
        close: Mask = d <= limit - slack
        i, j = np.nonzero((d <= limit + slack) & ~close)
        for start in range(0, len(i), _TILE_ROWS):
            unsure = i[start : start + _TILE_ROWS], j[start : start + _TILE_ROWS]
            exact = pairwise_distances(a[unsure[0]], b[unsure[1]], self._metric)
            close[unsure] = exact <= thresh

        return close


def _alike(a: Matrix, b: Matrix) -> bool:
    """Whether products of vectors in float32 are right relative to all lengths."""
    lengths = np.concatenate([norms(a), norms(b)])
    lengths = lengths[lengths > 0]
    if not lengths.size:
        return True

    metric = "euclidean"  # whose squares are the largest of products
    return bool(
        lengths.max() <= _ALIKE * lengths.min() and not needs_float64(lengths, metric)
    )


def _rank(number: float) -> int:
    """The place of a number among all floats, which 0 has at 0."""
    bits = int(np.float64(abs(number)).view(np.int64))
    return bits if number > 0 else -bits


def _middle(low: float, high: float) -> float:
    """A number with as many floats below it, down to ``low``, as above it."""
    rank = (_rank(low) + _rank(high)) // 2
    return math.copysign(float(np.int64(abs(rank)).view(np.float64)), rank)


def _tiles(matrix: Matrix, rows: int) -> Iterator[tuple[int, Matrix]]:
    for start in range(0, len(matrix), rows):
        yield start, matrix[start : start + rows]


def _exclude_itself(tile: Any, row: int, column: int) -> None:
    """No point is its own neighbor."""
    first = max(row, column)
    last = min(row + tile.shape[0], column + tile.shape[1])
    if first < last:
        at = np.arange(first, last)
        tile[at - row, at - column] = np.inf if tile.dtype.kind == "f" else False


def _smallest(rows: Rows, values: Any, k: int) -> tuple[Rows, Any]:
    """Returns the ``k`` smallest values of each line, in no order, and their rows."""
    if values.shape[1] <= k:
        return rows, values

    chosen = np.argpartition(values, k - 1, axis=1)[:, :k]
    return (
        np.take_along_axis(rows, chosen, axis=1),
        np.take_along_axis(values, chosen, axis=1),
    )
