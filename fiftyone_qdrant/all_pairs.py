"""Neighbors of every point of an index at once: exact, by blocks of matrices.

A query for each of many points costs a scan each; as matrix products the same
comparisons are many times faster. Two blocks of vectors and one tile of distances
are in memory at a time, however large the index is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .contents import Contents
from .points import Matrix, Scores, pairwise_distances

_BLOCK_BYTES = 64 * 2**20
_TILE_ROWS = 1024
_TILE_COLUMNS = 8192
_SLACK = 1e-5  # bounds the rounding of float32 products, relative to the norms

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


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
        self._blocks: dict[int, Matrix] = {}

    def neighbors(self, k: int) -> tuple[list[Rows], list[Scores]]:
        """Returns the ``k`` nearest others of each point, nearest first.

        Returns:
            for each point, int64 positions in ``ids`` and float64 distances
        """
        rows: list[Rows] = []
        dists: list[Scores] = []
        for start, tile in self._tiles(0, _TILE_ROWS):
            best = np.empty((len(tile), 0), np.int64)
            rough = np.empty((len(tile), 0), np.float32)
            for column, others in self._tiles(0, _TILE_COLUMNS):
                d, _ = self._rough(tile, others)
                _exclude_itself(d, start, column)
                best, rough = _keep_smallest(best, rough, d, column, k + 8)

            for point, candidates in zip(tile, best, strict=True):
                exact = self._exact(point, candidates)
                order = np.argsort(exact, kind="stable")[:k]
                order = order[candidates[order] >= 0]
                rows.append(candidates[order])
                dists.append(exact[order])

        return rows, dists

    def within(self, thresh: float) -> tuple[list[Rows], list[Scores]]:
        """Returns the others of each point that are at most ``thresh`` away.

        Returns:
            for each point, int64 positions in ``ids`` and float64 distances
        """
        rows: list[Rows] = []
        dists: list[Scores] = []
        for start, tile in self._tiles(0, _TILE_ROWS):
            near: list[list[Rows]] = [[] for _ in tile]
            for column, others in self._tiles(0, _TILE_COLUMNS):
                close = self._close(tile, others, thresh)
                _exclude_itself(close, start, column)
                for i in np.flatnonzero(close.any(axis=1)):
                    near[i].append(np.flatnonzero(close[i]) + column)

            for point, parts in zip(tile, near, strict=True):
                found = np.concatenate(parts) if parts else np.empty(0, np.int64)
                rows.append(found)
                dists.append(self._exact(point, found))

        return rows, dists

    def unique(self, thresh: float) -> Mask:
        """Goes through the points in order and drops those near an earlier one.

        Returns:
            for each point, whether it is farther than ``thresh`` from all kept
            points before it
        """
        keep = np.ones(len(self._ids), dtype=bool)
        for start, tile in self._tiles(0, _TILE_ROWS):
            end = start + len(tile)
            close = self._close(tile, tile, thresh)
            kept = keep[start:end]
            for i in range(len(tile)):
                if kept[i]:
                    kept[i + 1 :] &= ~close[i, i + 1 :]

            if not kept.any():
                continue

            for column, others in self._tiles(end, _TILE_COLUMNS):
                left = np.flatnonzero(keep[column : column + len(others)])
                if left.size:
                    near = self._close(tile[kept], others[left], thresh).any(axis=0)
                    keep[column + left[near]] = False

        return keep

    def _tiles(self, start: int, rows: int) -> Iterator[tuple[int, Matrix]]:
        """Yields the vectors from ``start`` on, at most ``rows`` at a time."""
        while start < len(self._ids):
            number, offset = divmod(start, self._block_rows)
            tile = self._block(number)[offset : offset + rows]
            yield start, tile
            start += len(tile)

    def _block(self, number: int) -> Matrix:
        if number not in self._blocks:
            if len(self._blocks) == 2:  # of the two at hand the older one goes
                del self._blocks[next(iter(self._blocks))]

            first = number * self._block_rows
            vectors = self._contents.vectors(
                self._ids[first : first + self._block_rows]
            )
            self._blocks[number] = self._prepare(vectors)

        return self._blocks[number]

    def _prepare(self, vectors: Matrix) -> Matrix:
        if self._metric != "cosine":
            return vectors

        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Matrix = vectors / np.where(norms == 0, np.float32(1), norms)
        return unit

    def _rough(self, a: Matrix, b: Matrix) -> tuple[Any, Any]:
        """Distances (squared if Euclidean) in float32, and how wrong they may be."""
        if self._metric == "manhattan":
            from scipy.spatial.distance import cdist

            return cdist(a, b, "cityblock"), 0.0

        d = a @ b.T
        if self._metric == "dotproduct":
            np.negative(d, out=d)
        elif self._metric == "cosine":
            np.subtract(1.0, d, out=d)
            return d, _SLACK

        norms_a = np.einsum("ij,ij->i", a, a)[:, np.newaxis]
        norms_b = np.einsum("ij,ij->i", b, b)[np.newaxis]
        if self._metric == "dotproduct":
            return d, _SLACK * np.sqrt(norms_a * norms_b)

        d *= -2.0
        d += norms_a
        d += norms_b
        return d, _SLACK * (norms_a + norms_b)

    def _close(self, a: Matrix, b: Matrix, thresh: float) -> Mask:
        """Which pairs are at most ``thresh`` apart, decided exactly."""
        d, slack = self._rough(a, b)
        limit = thresh * abs(thresh) if self._metric == "euclidean" else thresh
        close: Mask = d <= limit - slack
        unsure = np.argwhere((d <= limit + slack) & ~close)
        for i in np.unique(unsure[:, 0]):
            columns = unsure[unsure[:, 0] == i, 1]
            close[i, columns] = (
                pairwise_distances(a[i], b[columns], self._metric) <= thresh
            )

        return close

    def _exact(self, point: Matrix, rows: Rows) -> Scores:
        result = np.full(len(rows), np.inf)
        for number in np.unique(rows[rows >= 0] // self._block_rows):
            here = np.flatnonzero(rows // self._block_rows == number)
            others = self._block(int(number))[rows[here] % self._block_rows]
            result[here] = pairwise_distances(point, others, self._metric)

        return result


def _exclude_itself(tile: Any, start: int, column: int) -> None:
    """No point is its own neighbor."""
    size = min(start + tile.shape[0], column + tile.shape[1]) - max(start, column)
    if size > 0:
        at = np.arange(max(start, column), max(start, column) + size)
        tile[at - start, at - column] = np.inf if tile.dtype.kind == "f" else False


def _keep_smallest(
    best: Rows, rough: Any, tile: Any, column: int, k: int
) -> tuple[Rows, Any]:
    """Merges a tile's distances into the ``k`` smallest of each row so far."""
    columns = np.broadcast_to(np.arange(column, column + tile.shape[1]), tile.shape)
    rows = np.concatenate([best, columns], axis=1)
    values = np.concatenate([rough, tile], axis=1)
    if values.shape[1] > k:
        chosen = np.argpartition(values, k - 1, axis=1)[:, :k]
        rows = np.take_along_axis(rows, chosen, axis=1)
        values = np.take_along_axis(values, chosen, axis=1)

    return np.where(np.isinf(values), -1, rows), values
