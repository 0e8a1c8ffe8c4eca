"""Neighbors of every point of an index at once: exact, by products of matrices.

A query for each of many points costs a scan each; as products the same comparisons are
many times faster, and most need not be made at all: see :mod:`.bounds`. The vectors are
read once; many of them lie in a file. What bounds cannot tell, distances decide.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.index import products, vector_table
from fiftyone_qdrant.index.bounds import Bounds, Directions, choose
from fiftyone_qdrant.index.nearest import Nearest
from fiftyone_qdrant.index.pieces import (
    cluster_pairs,
    drop_near,
    parts,
    square_tiles,
    tile_pairs,
    tiles,
)
from fiftyone_qdrant.index.unique_count import unique_of
from fiftyone_qdrant.index.workers import in_threads
from fiftyone_qdrant.points import (
    Matrix,
    Scores,
    needs_float64,
    norms,
    pairwise_distances,
    to_unit,
)

_TILE_ROWS = 1024
_TILE_COLUMNS = 8192
_MARGIN = 8  # candidates kept beyond k, as rounding may change their order
_FEWEST = 1500  # points that are worth a thought about how to compare them
_SAMPLE = 4096  # points from which that is decided
_SEED = 0
_ALIKE = 1e9  # how much longer some vectors may be for float32 to tell them apart
_MOST_PAIRS = 20_000_000  # that are held to tell unique points
_BOUND_ROWS = 2048
_READING = 0.3  # of the work, about, as far as progress tells

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Found = tuple[Rows, Rows, Scores]
_NO_ROWS: Rows = np.empty((1, 0), np.int64)
_NONE: Found = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
Progress = Callable[[int, int], Any] | None
"""Called with how many points are done, about, and how many there are; may raise."""


class Vectors(Protocol):
    """Where the vectors are."""

    def vectors(self, ids: list[Any]) -> Matrix:
        """Returns float32, shape ``(num_ids, size)``, in the order of the ids."""


class AllPairs:
    """Compares all points with all points.

    Args:
        contents: where the vectors are
        ids: the points, in the order in which results count them
        size: dimensions of the vectors
        metric: one of :data:`fiftyone_qdrant.points.DISTANCES`
        progress (None): called as work goes on
    """

    def __init__(
        self,
        contents: Vectors,
        ids: Sequence[Any],
        size: int,
        metric: str,
        progress: Progress = None,
    ) -> None:
        self._contents = contents
        self._ids = list(ids)
        self._size = size
        self._metric = metric
        self._progress = progress
        self._seen: dict[int, Bounds] = {}

    @cached_property
    def _vectors(self) -> Matrix:
        part = _READING / max(1, len(self._ids))
        return vector_table.read(
            self._read, self._ids, self._size, lambda done: self._tell(part * done)
        )

    def _read(self, ids: list[Any]) -> Matrix:
        vectors = self._contents.vectors(ids)
        return to_unit(vectors) if self._metric == "cosine" else vectors

    def _tell(self, part: float) -> None:
        if self._progress is not None:
            self._progress(int(part * len(self._ids)), len(self._ids))

    @cached_property
    def _bad(self) -> bool:
        """Whether float32 cannot tell the distances of such vectors."""
        if self._metric == "cosine":
            return False

        lengths = self._lengths[self._lengths > 0]
        most, least = lengths.max(initial=0), lengths.min(initial=math.inf)
        return most > _ALIKE * least or needs_float64(lengths, self._metric)

    @cached_property
    def _lengths(self) -> Scores:
        return norms(self._vectors)

    def scan(self, thresh: float, take: Callable[[Rows, Rows, Scores], Any]) -> None:
        """Finds all pairs that are at most ``thresh`` apart, each of them once.

        Args:
            thresh: the largest distance
            take: called with some pairs, one call at a time but from several threads:
                int64 positions in ``ids`` of one and of the other, float64 distances
        """
        bounds, lock, count = self._bounds(thresh), threading.Lock(), len(self._ids)
        if bounds is None:
            pieces, work = tile_pairs(count, _TILE_ROWS, _TILE_COLUMNS), self._dense
        else:
            pieces, work = cluster_pairs(bounds), partial(self._bounded, bounds)

        def look(piece: Any) -> float:
            for i, j in work(piece, thresh):
                found = products.within(
                    self._vectors, i, j, self._metric, thresh, self._bad
                )
                with lock:
                    take(*found)

            return float(piece[-1])

        self._go_through(look, pieces)

    def _go_through(
        self, look: Callable[[Any], float], pieces: Any, done: float = 0.0
    ) -> None:
        def tell(part: float) -> None:
            nonlocal done
            done += part
            self._tell(_READING + (1 - _READING) * min(done, 1.0))

        in_threads(look, pieces, tell)

    def _dense(self, piece: Any, thresh: float) -> Iterator[tuple[Rows, Rows]]:
        row, column, _ = piece
        a = self._vectors[row : row + _TILE_ROWS]
        b = self._vectors[column : column + _TILE_COLUMNS]
        close = products.close(a, b, self._metric, thresh)
        i, j = np.nonzero(close)
        once = i + row < j + column
        yield i[once] + row, j[once] + column

    def _bounded(
        self, bounds: Bounds, piece: Any, thresh: float
    ) -> Iterator[tuple[Rows, Rows]]:
        first, last, _ = piece
        limit, order = bounds.limit(thresh), bounds.order
        for n, rows in enumerate(bounds.near(thresh, first, last), first):
            start, end = bounds.starts[n : n + 2].tolist()
            right = np.ascontiguousarray(bounds.right(bounds.left[start:end]))
            for some in parts(rows, _BOUND_ROWS):
                hits = np.flatnonzero(bounds.left[some] @ right <= limit)
                i, j = np.divmod(hits, end - start)
                i, j = (
                    some[i] if isinstance(some, np.ndarray) else i + some.start,
                    j + start,
                )
                once = i < j
                if once.any():
                    yield order[i[once]], order[j[once]]

    def _bounds(self, thresh: float) -> Bounds | None:
        """What tells which pairs may be near, or ``None`` if that is no less work."""
        if len(self._ids) < _FEWEST or self._bad:
            return None

        return self._in_few_dimensions(thresh)

    def _in_few_dimensions(self, thresh: Any) -> Bounds | None:
        count = choose(self._sample[1::2], self._metric, self._directions, thresh)
        if count is not None and count not in self._seen:
            seen = Bounds.of(self._vectors, self._metric, self._directions, count)
            self._seen[count] = seen.clustered(np.random.default_rng(_SEED))

        return None if count is None else self._seen[count]

    @cached_property
    def _sample(self) -> Matrix:
        rng, count = np.random.default_rng(_SEED), len(self._ids)
        return self._vectors[np.sort(rng.choice(count, min(count, _SAMPLE), False))]

    @cached_property
    def _directions(self) -> Directions:
        longest = 1.0 if self._metric == "cosine" else float(self._lengths.max())
        rng = np.random.default_rng(_SEED)
        return Directions.of(self._sample[::2], self._metric, 2 * longest, rng)

    def within(self, thresh: float) -> tuple[list[Rows], list[Scores]]:
        """Returns the others of each point that are at most ``thresh`` away.

        Returns:
            for each point, int64 positions in ``ids`` and float64 distances
        """
        found: list[Found] = []
        self.scan(thresh, lambda *pairs: found.append(pairs))
        i, j, far = (np.concatenate(c) for c in zip(*[_NONE, *found], strict=True))
        rows, others, far = np.append(i, j), np.append(j, i), np.append(far, far)
        order = np.argsort(rows, kind="stable")
        ends = np.cumsum(np.bincount(rows, minlength=len(self._ids)))[:-1]
        return np.split(others[order], ends), np.split(far[order], ends)

    def unique(self, thresh: float) -> Mask:
        """Goes through the points in order and drops those near an earlier one.

        Returns:
            for each point, whether it is farther than ``thresh`` from all kept
            points before it
        """
        if self._bounds(thresh) is None:
            return self._unique_by_tiles(thresh)

        earlier, later, count = [_NONE[0]], [_NONE[0]], 0

        def take(i: Rows, j: Rows, _: Scores) -> None:
            nonlocal count
            count += len(i)
            if count > _MOST_PAIRS:
                raise _TooMany

            earlier.append(np.minimum(i, j).astype(np.int32))
            later.append(np.maximum(i, j).astype(np.int32))

        try:
            self.scan(thresh, take)
        except _TooMany:
            return self._unique_by_tiles(thresh)

        first, second = np.concatenate(earlier), np.concatenate(later)
        order = np.argsort(first, kind="stable")
        return ~drop_near(first[order], second[order], len(self._ids))

    def _unique_by_tiles(self, thresh: float) -> Mask:
        """As :meth:`unique`, without holding pairs, of which there may be too many."""
        keep = np.ones(len(self._ids), dtype=bool)
        for start, tile in tiles(self._vectors, _TILE_ROWS):
            end = start + len(tile)
            kept = keep[start:end]
            close = products.close(tile, tile, self._metric, thresh)
            for i in range(len(tile)):
                if kept[i]:
                    kept[i + 1 :] &= ~close[i, i + 1 :]

            self._drop_near(tile[kept], end, keep, thresh)
            left = (1 - end / len(keep)) ** 2
            self._tell(_READING + (1 - _READING) * (1 - left))

        return keep

    def unique_of(self, count: int, start: float) -> tuple[Mask, float]:
        """See :func:`.unique_count.unique_of`."""
        return unique_of(self.unique, self._metric, count, start)

    def _drop_near(self, kept: Matrix, first: int, keep: Mask, thresh: float) -> None:
        """Clears ``keep``, from ``first``, of what is near one of ``kept``."""
        if not len(kept):
            return

        for start, tile in tiles(self._vectors[first:], _TILE_COLUMNS):
            left = np.flatnonzero(keep[first + start : first + start + len(tile)])
            if left.size:
                near = products.close(kept, tile[left], self._metric, thresh)
                keep[first + start + left[near.any(axis=0)]] = False

    def neighbors(self, k: int) -> tuple[list[Rows], list[Scores]]:
        """Returns the ``k`` nearest others of each point, nearest first.

        Returns:
            for each point, int64 positions in ``ids`` and float64 distances
        """
        count = len(self._ids)
        if count < 2 or k < 1:
            return [_NONE[0]] * count, [_NONE[2]] * count

        nearest = Nearest(count, min(k + _MARGIN, count - 1))
        lock, order = threading.Lock(), np.arange(count)

        def look(piece: tuple[int, int, float]) -> float:
            row, column, part = piece
            i, j = order[row : row + _TILE_ROWS], order[column : column + _TILE_ROWS]
            if row == column:
                found = [self._of_tile(i, nearest.rows.shape[1])]
            else:
                found = self._nearer(i, j, nearest.limits)

            with lock:
                for pairs in found:
                    nearest.add(*pairs)

            return part

        for pieces in square_tiles(count, _TILE_ROWS):
            self._go_through(look, pieces)
            nearest.settle()

        return self._exact(nearest, k)

    def _of_tile(self, i: Rows, k: int) -> Found:
        """The nearest others of some points among these."""
        d, _ = products.rough(self._vectors[i], self._vectors[i], self._metric)
        np.fill_diagonal(d, np.inf)
        k = min(k, len(i) - 1)
        chosen = np.argpartition(d, k - 1, axis=1)[:, :k] if k else _NO_ROWS
        lines = np.repeat(i, k)
        return lines, i[chosen.ravel()], np.take_along_axis(d, chosen, 1).ravel()

    def _nearer(self, i: Rows, j: Rows, limits: Scores) -> list[Found]:
        """What is nearer than the limit of one of two points, for that one."""
        d, _ = products.rough(self._vectors[i], self._vectors[j], self._metric)
        found = []
        a, b = np.nonzero(d <= limits[i, np.newaxis].astype(d.dtype))
        found.append((i[a], j[b], d[a, b]))
        a, b = np.nonzero(d <= limits[np.newaxis, j].astype(d.dtype))
        found.append((j[b], i[a], d[a, b]))
        return found

    def _exact(self, nearest: Nearest, k: int) -> tuple[list[Rows], list[Scores]]:
        """The first ``k`` of what is nearest by rough distances, by exact ones."""
        rows: list[Rows] = []
        dists: list[Scores] = []
        at_once = max(1, _TILE_COLUMNS // nearest.rows.shape[1])
        for start in range(0, len(self._ids), at_once):
            found = nearest.rows[start : start + at_once].astype(np.int64)
            some = self._vectors[start : start + at_once, np.newaxis]
            exact = pairwise_distances(some, self._vectors[found], self._metric)
            exact[found < 0] = np.inf
            chosen = np.argsort(exact, axis=1, kind="stable")[:, :k]
            found = np.take_along_axis(found, chosen, axis=1)
            exact = np.take_along_axis(exact, chosen, axis=1)
            for near, distances in zip(found, exact, strict=True):
                keep = np.isfinite(distances)
                rows.append(near[keep])
                dists.append(distances[keep])

        return rows, dists


class _TooMany(Exception):
    """There are more pairs than shall be held."""
