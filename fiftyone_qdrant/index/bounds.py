"""Which pairs of many points can be near at all, at a part of the work of comparing.

On some principal directions, and by the length of what is left of each vector, two
points are never farther apart than they are (Cauchy-Schwarz). So a product of matrices
of some dozen columns, instead of hundreds, leaves few pairs to be compared. Points that
are near each other stand together, in clusters; a cluster that is too far from a point
for all that is in it need not be multiplied at all (triangle inequality).

Rounding is on the safe side, relative to the lengths of both vectors of a pair.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.index.products import close
from fiftyone_qdrant.index.vector_table import table
from fiftyone_qdrant.points import Matrix

MOST_DIRECTIONS = 128
THINNED = 8
"""Each of so many of a sample is compared with all of it."""

_BLOCK = 8192  # points that are projected at a time
_COLUMNS = 1024  # points that others are compared with at a time, without clusters
_CLUSTER = 256  # points of an average cluster
_MOST_CLUSTERS = 4096
_SLACK = 2e-5  # rounding of float32, relative to the squares of both lengths, and more
_ROUNDING = 1.2e-7  # the same for each column, at worst
_FINE = 0.01  # of a square's length: where less is left, float32 is too rough
_UNIT = 2e-6  # how far the square of a unit vector's length is off, and more
_COUNTS = (8, 16, 32, 64, 128)  # of directions, that are tried
_USEFUL = 0.6  # of the size: with more directions the bound is all the work
_MANY = 0.01  # of all pairs: where more are near, comparing these is all the work
_COMPARING = 140.0  # work of one pair by itself, for each dimension, in products
_DENSE = {"cosine": 2.0, "euclidean": 2.0, "dotproduct": 2.0, "manhattan": 35.0}
_PASSES = 60.0  # the work of looking at one product
_SHARE = 0.6  # of the points: if more are near a cluster, it is not worth choosing

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Directions:
    """The principal directions of vectors, about, as a sample shows them.

    Attributes:
        middle: float32, shape ``(size,)``: what they go through
        basis: float64, shape ``(size, count)``, orthonormal, the longest first
        scale: a power of two about as large as the longest vector
    """

    middle: npt.NDArray[np.float32]
    basis: Any
    scale: float

    @classmethod
    def of(
        cls, sample: Matrix, metric: str, longest: float, rng: np.random.Generator
    ) -> Directions:
        """Returns those of a sample of vectors.

        Args:
            sample: float32, shape ``(num_points, size)``
            metric: that of the index: dot products are about the origin
            longest: the length of the longest of all vectors
            rng: where a search for directions begins
        """
        middle = np.zeros(sample.shape[1], np.float32)
        if metric != "dotproduct":
            middle = sample.mean(axis=0, dtype=np.float64).astype(np.float32)

        scale = float(2.0 ** np.ceil(np.log2(longest))) if longest > 0 else 1.0
        rest = (sample - middle) / np.float32(scale)
        return cls(middle, _basis(rest, MOST_DIRECTIONS, rng), scale)


@dataclass(frozen=True)
class Bounds:
    """Points seen in few dimensions, in which no two are farther apart than they are.

    Attributes:
        left: float32, shape ``(n, columns)``, in order of their clusters: its product
            with :meth:`right` is at most the square of their distance, or of dot
            products at most the distance, on this scale
        order: int64, shape ``(n,)``: which point each row is
        starts: int64: where each cluster starts, and ``n``
        metric: whose distances are meant
        scale: what distances, or of dot products their roots, are divided by
        centers: float32: the middle of each cluster, as ``left``; of dot products none
        radii: float64: how far the farthest of each cluster is from its middle
    """

    left: Matrix
    order: Rows
    starts: Rows
    metric: str
    scale: float
    centers: Matrix
    radii: npt.NDArray[np.float64]

    @classmethod
    def of(
        cls, vectors: Matrix, metric: str, seen_by: Directions, count: int
    ) -> Bounds:
        """Returns the bounds of vectors, not in clusters yet.

        Args:
            vectors: float32, shape ``(n, size)``; of cosine indexes at length 1
            metric: one of :data:`fiftyone_qdrant.points.DISTANCES`
            seen_by: their principal directions
            count: how many of these to take
        """
        dot, basis = metric == "dotproduct", seen_by.basis[:, :count]
        left = table(len(vectors), basis.shape[1] + 3)
        slack = max(_SLACK, _ROUNDING * left.shape[1])
        for start in range(0, len(vectors), _BLOCK):
            rest = vectors[start : start + _BLOCK] - seen_by.middle
            rest /= np.float32(seen_by.scale)
            _project(left[start : start + _BLOCK], rest, basis, slack, dot)

        order = np.arange(len(vectors))
        starts = np.append(order[::_COLUMNS], len(order))
        none = np.empty((0, left.shape[1]), np.float32)
        return cls(left, order, starts, metric, seen_by.scale, none, np.empty(0))

    def some(self, rows: Rows) -> Matrix:
        """Returns ``left`` of some points."""
        return np.asarray(self.left[rows])

    def right(self, left: Matrix) -> Matrix:
        """Returns what rows of ``left`` are multiplied with, shape ``(columns, m)``."""
        if self.metric == "dotproduct":
            return np.asarray(np.negative(left).T)

        right = np.multiply(left, np.float32(-2))
        right[:, -2] = 1
        right[:, -1] = left[:, -2]
        return np.asarray(right.T)

    def limit(self, thresh: Any) -> Any:
        """Returns the largest product of pairs that may be within a threshold."""
        thresh = np.asarray(thresh, dtype=np.float64)
        if self.metric == "dotproduct":
            limit = thresh / self.scale**2
        elif self.metric == "cosine":
            limit = np.where(thresh < 0, 0.0, 2 * thresh) + _UNIT
            limit = limit / self.scale**2
        else:  # a Manhattan distance is at least the Euclidean one
            limit = np.where(thresh < 0, -np.inf, (thresh / self.scale) ** 2)

        limit = limit + 1e-6 * np.abs(limit) + 1e-35
        largest = float(np.finfo(np.float32).max)
        return np.clip(limit, -largest, largest).astype(np.float32)

    def clustered(self, rng: np.random.Generator) -> Bounds:
        """Returns the same with points that are near each other side by side."""
        count = min(_MOST_CLUSTERS, len(self.left) // _CLUSTER)
        if count < 2 or self.metric == "dotproduct":
            return self

        centers = _centers(self, count, rng)
        nearest = np.empty(len(self.left), np.int32)
        for start in range(0, len(nearest), _BLOCK):
            part = self.left[start : start + _BLOCK]
            nearest[start : start + _BLOCK] = (part @ self.right(centers)).argmin(1)

        order = np.argsort(nearest, kind="stable")
        sizes = np.bincount(nearest, minlength=count)
        centers, starts = centers[sizes > 0], np.append(0, np.cumsum(sizes[sizes > 0]))
        left, radii = table(*self.left.shape), np.zeros(len(centers))
        for n, (start, end) in enumerate(pairwise(starts)):
            left[start:end] = self.left[order[start:end]]
            far = _lengths(left[start:end] - centers[n])
            radii[n] = far.max() * (1 + 1e-6)

        return replace(
            self, left=left, order=order, starts=starts, centers=centers, radii=radii
        )

    def near(self, thresh: float, first: int, last: int) -> Iterator[Rows | slice]:
        """Yields, for each of some clusters, the rows that may be near one of it.

        Only rows up to its own end: the others find it themselves.

        Args:
            thresh: the largest distance
            first: the first of the clusters
            last: the one that is not wanted any more
        """
        ends = self.starts[first + 1 : last + 1]
        if not len(self.centers):
            yield from (slice(0, int(end)) for end in ends)
            return

        reach = np.sqrt(max(0.0, float(self.limit(thresh))))
        limits = ((reach + self.radii[first:last]) ** 2).astype(np.float32)
        limits += np.float32(1e-6) * limits
        products = self.left[: ends[-1]] @ self.right(self.centers[first:last])
        close = products <= limits
        for n, end in enumerate(ends.tolist()):
            mine = close[:end, n]
            if np.count_nonzero(mine) > _SHARE * end:
                yield slice(0, end)
            else:
                yield np.flatnonzero(mine)


def _basis(sample: Any, count: int, rng: np.random.Generator) -> Any:
    """About the first principal directions, orthonormal: ``(size, count)``."""
    size = sample.shape[1]
    if count >= size:
        return np.eye(size)

    basis = rng.normal(size=(size, min(size, count + 8)))
    for _ in range(2):
        basis = sample.T @ (sample @ basis.astype(np.float32))
        basis /= np.abs(basis).max() or 1.0

    basis = np.linalg.qr(basis.astype(np.float64))[0]

    seen = (sample @ basis.astype(np.float32)).astype(np.float64)
    _, turn = np.linalg.eigh(seen.T @ seen)
    return (basis @ turn[:, ::-1])[:, :count]


def _project(part: Matrix, rest: Matrix, basis: Any, slack: float, dot: bool) -> None:
    """Writes the rows of ``left`` for vectors less the middle."""
    count = basis.shape[1]
    seen = rest @ basis.astype(np.float32)
    squares = np.einsum("ij,ij->i", rest, rest, dtype=np.float64)
    unseen = squares - np.einsum("ij,ij->i", seen, seen, dtype=np.float64)
    fine = np.flatnonzero(unseen < _FINE * squares)  # where rounding would count
    if fine.size:
        again = rest[fine].astype(np.float64) @ basis
        seen[fine] = again
        unseen[fine] = squares[fine] - np.einsum("ij,ij->i", again, again)

    part[:, :count] = seen
    part[:, count] = np.sqrt(np.maximum(unseen, 0))
    if dot:
        part[:, count + 1] = np.sqrt(slack * squares)
        part[:, count + 2] = 0
        return

    kept = part[:, : count + 1]
    lengths = np.einsum("ij,ij->i", kept, kept, dtype=np.float64)
    part[:, count + 1] = lengths * (1 - slack)
    part[:, count + 2] = 1


def _lengths(rows: Any) -> Any:
    kept = rows[:, :-2].astype(np.float64)
    return np.sqrt(np.einsum("ij,ij->i", kept, kept))


def _centers(bounds: Bounds, count: int, rng: np.random.Generator) -> Matrix:
    """The middles of clusters, by two rounds of k-means on some of the points."""
    rows = np.sort(
        rng.choice(len(bounds.left), min(len(bounds.left), 16 * count), False)
    )
    some = bounds.some(rows)
    centers = some[np.sort(rng.choice(len(some), count, False))]
    for _ in range(2):
        nearest = (some @ bounds.right(centers)).argmin(1)
        sizes = np.bincount(nearest, minlength=count)
        order = np.argsort(nearest, kind="stable")
        starts = np.append(0, np.cumsum(sizes))[:-1][sizes > 0]
        sums = np.add.reduceat(some[order], starts, axis=0, dtype=np.float64)
        centers[sizes > 0] = sums / sizes[sizes > 0, np.newaxis]
        kept = centers[:, :-2].astype(np.float64)
        centers[:, -2] = np.einsum("ij,ij->i", kept, kept) * (1 - _SLACK)

    return centers


def choose(sample: Matrix, metric: str, seen_by: Directions, thresh: Any) -> int | None:
    """Returns how many directions are the least work for a threshold, or ``None``.

    None of them is where all dimensions are less work than the pairs they would leave.

    Args:
        sample: float32, shape ``(num_points, size)``: some of the vectors
        metric: that of the index
        seen_by: their directions
        thresh: the largest distance, or one for each that :data:`THINNED` leaves
    """
    size, some = sample.shape[1], slice(None, None, THINNED)
    pairs, near = len(sample[some]) * len(sample), 0
    if np.ndim(thresh) == 0:
        near = close(sample[some], sample, metric, thresh).sum() - len(sample[some])

    if near > _MANY * pairs:
        return None

    each = _COMPARING * size / pairs
    work: dict[int | None, float] = {
        None: _DENSE[metric] * size + _PASSES + each * near
    }
    for count in _COUNTS:
        if count <= min(_USEFUL * size, seen_by.basis.shape[1]):
            seen = Bounds.of(sample, metric, seen_by, count)
            left = np.count_nonzero(
                seen.left[some] @ seen.right(seen.left)
                <= seen.limit(thresh).reshape(-1, 1)
            )
            work[count] = 2 * count + _PASSES + each * left

    return min(work, key=lambda count: work[count])
