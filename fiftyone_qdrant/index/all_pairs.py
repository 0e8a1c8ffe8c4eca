"""Neighbors of every point of an index at once: exact, by products of matrices.

A query for each of many points costs a scan each; as products the same comparisons are
many times faster, and most need not be made at all: see :mod:`.bounds`. The vectors are
read once; many of them lie in a file. What bounds cannot tell, distances decide.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.index import products, vector_table
from fiftyone_qdrant.index.bounds import Bounds, Directions, choose
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
_STEP = 1e-6  # what FiftyOne's search for a threshold tells apart
_FARTHEST = 1e90  # more than any product of float32 vectors
_SAME = 2**22  # floats that are fewer apart are the same but for 1e-9
_FEWEST = 1500  # points that are worth a thought about how to compare them
_SAMPLE = 4096  # points from which that is decided
_SEED = 0
_ALIKE = 1e9  # how much longer some vectors may be for float32 to tell them apart
_MOST_PAIRS = 20_000_000  # that are held to tell unique points
_BOUND_ROWS = 2048
_CLUSTERS = 16  # whose distances to all points are made at a time
_DISTANCES = 8 * 2**20  # of these at most
_READING = 0.3  # of the work, about, as far as progress tells

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Found = tuple[Rows, Rows, Scores]
_NONE: Found = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
Progress = Callable[[int, int], Any] | None
"""Called with how many points are done, about, and how many there are; may raise."""

logger = logging.getLogger(__name__)


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
        def done(count: int) -> None:
            self._tell(_READING * count / len(self._ids))

        return vector_table.read(self._read, self._ids, self._size, done)

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
            pieces, work = _tile_pairs(count), self._dense
        else:
            pieces, work = _cluster_pairs(bounds), partial(self._bounded, bounds)

        def look(piece: Any) -> float:
            for i, j in work(piece, thresh):
                found = products.within(
                    self._vectors, i, j, self._metric, thresh, self._bad
                )
                with lock:
                    take(*found)

            return float(piece[-1])

        self._go_through(look, pieces)

    def _go_through(self, look: Callable[[Any], float], pieces: Any) -> None:
        done = 0.0

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
            for some in _parts(rows, _BOUND_ROWS):
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
        for start, tile in _tiles(self._vectors, _TILE_ROWS):
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

    def _drop_near(self, kept: Matrix, first: int, keep: Mask, thresh: float) -> None:
        """Clears ``keep``, from ``first``, of what is near one of ``kept``."""
        if not len(kept):
            return

        for start, tile in _tiles(self._vectors[first:], _TILE_COLUMNS):
            left = np.flatnonzero(keep[first + start : first + start + len(tile)])
            if left.size:
                near = products.close(kept, tile[left], self._metric, thresh)
                keep[first + start + left[near.any(axis=0)]] = False

    def neighbors(self, k: int) -> tuple[list[Rows], list[Scores]]:
        """Returns the ``k`` nearest others of each point, nearest first.

        Returns:
            for each point, int64 positions in ``ids`` and float64 distances
        """
        rows: list[Rows] = []
        dists: list[Scores] = []
        for start, tile in _tiles(self._vectors, _TILE_ROWS):
            found, best = self._nearest(tile, start, k)
            order = np.argsort(best, axis=1, kind="stable")
            for row, near, distances in zip(order, found, best, strict=True):
                keep = row[np.isfinite(distances[row])]
                rows.append(near[keep])
                dists.append(distances[keep])

            part = (start + len(tile)) / len(self._ids)
            self._tell(_READING + (1 - _READING) * part)

        return rows, dists

    def _nearest(self, tile: Matrix, row: int, k: int) -> tuple[Rows, Scores]:
        """The nearest others of each vector of a tile, infinite if too few."""
        rows: Rows = np.empty((len(tile), 0), np.int64)
        rough = np.empty((len(tile), 0), np.float32)
        for start, part in _tiles(self._vectors, _TILE_COLUMNS):
            d, _ = products.rough(tile, part, self._metric)
            _exclude_itself(d, row, start)
            columns = np.broadcast_to(np.arange(start, start + len(part)), d.shape)
            rows, rough = _smallest(
                np.hstack([rows, columns]), np.hstack([rough, d]), k + _MARGIN
            )

        exact = np.full(rough.shape, np.inf)  # as is that to the point itself
        at_once = max(1, _TILE_COLUMNS // rows.shape[1])
        for start, part in _tiles(tile, at_once):
            lines = slice(start, start + len(part))
            candidates = self._vectors[rows[lines]]
            exact[lines] = pairwise_distances(
                part[:, np.newaxis], candidates, self._metric
            )

        exact[np.isinf(rough)] = np.inf
        return _smallest(rows, exact, k)


class _TooMany(Exception):
    """There are more pairs than shall be held."""


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


def _tile_pairs(count: int) -> Iterator[tuple[int, int, float]]:
    """Where tiles of all pairs start, each pair once, and which part each one is."""
    for row in range(0, count, _TILE_ROWS):
        for column in range(row, count, _TILE_COLUMNS):
            yield row, column, 2 * _TILE_ROWS * _TILE_COLUMNS / count**2


def _cluster_pairs(bounds: Bounds) -> Iterator[tuple[int, int, float]]:
    """Clusters whose distances to all points are made at a time; the largest first."""
    count, last = len(bounds.left), len(bounds.starts) - 1
    while last > 0:
        end = int(bounds.starts[last])
        first = max(0, last - max(1, min(_CLUSTERS, _DISTANCES // end)))
        yield first, last, 2 * end * (end - int(bounds.starts[first])) / count**2
        last = first


def _rank(number: float) -> int:
    """The place of a number among all floats, which 0 has at 0."""
    bits = int(np.float64(abs(number)).view(np.int64))
    return bits if number > 0 else -bits


def _middle(low: float, high: float) -> float:
    """A number with as many floats below it, down to ``low``, as above it."""
    rank = (_rank(low) + _rank(high)) // 2
    return math.copysign(float(np.int64(abs(rank)).view(np.float64)), rank)


def _parts(rows: Rows | slice, size: int) -> Iterator[Rows | slice]:
    """Yields rows, some at a time."""
    if isinstance(rows, slice):
        for start in range(rows.start, rows.stop, size):
            yield slice(start, min(start + size, rows.stop))
    else:
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


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
