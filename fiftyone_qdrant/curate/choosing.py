"""Choosing points one by one, each far from those before: k-centers, at any size.

Every choice depends on all before it, so that a plain greedy reads all vectors for
each. Here each reading brings the few thousand points into memory that are worth most.
What a point is worth never grows, so that as long as the best of these is worth more
than any other was when they were read, it is the best of all. How often all are read is
bounded, see :data:`_READINGS`: when that is near, a choice is the best of those in
memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fiftyone_qdrant.curate.vectors import Rows, Vectors
from fiftyone_qdrant.points import Matrix, Scores

_POOL = 8_192  # vectors in memory
_READINGS = 100  # of all vectors while choosing, at most
_AT_ONCE = 256  # chosen points that all are compared with in one reading


@dataclass(frozen=True)
class Wanted:
    """What makes a point worth choosing.

    Attributes:
        worth: float32 from 0 to 1 for each point, whatever else is chosen
        spread: the power of its distance ``d`` to the nearest chosen one, which
            multiplies that; if not all are worth the same, of ``d / (d + m)`` for the
            median ``m`` of these at first: being far off does not make up for all else
        groups: int64 number of the group of each point: of all groups as many
        before: int64, how many of each group are chosen already
        twins: the distance to a chosen one up to which a point is none to choose
    """

    worth: Matrix
    spread: float
    groups: Rows
    before: Rows
    twins: float


class Choosing:
    """Chooses points.

    Args:
        vectors: all of them
        wanted: what makes one worth choosing
        beat: is called between blocks with how many are chosen; may raise

    Attributes:
        rows: the rows of those that are chosen, in order
        nearest: float32, the distance of each point to the nearest that is chosen, or
            given; infinite before there is one
        radius: the largest of these after each choice
        mean: the mean of these after each choice
    """

    def __init__(
        self, vectors: Vectors, wanted: Wanted, beat: Callable[[int], None]
    ) -> None:
        self.rows: list[int] = []
        self.nearest: Matrix = np.full(len(vectors), np.inf, np.float32)
        self.radius: list[float] = []
        self.mean: list[float] = []
        self._middle = np.float32(0)
        self._vectors = vectors
        self._wanted = wanted
        self._beat = beat
        self._count = wanted.before.copy()
        self._of_group = _members(wanted.groups, len(wanted.before))

    def give(self, given: Matrix) -> None:
        """Takes vectors, prepared, as chosen before."""
        nearest = distances_to(self._vectors, given, lambda: self._beat(0))
        np.minimum(self.nearest, nearest, out=self.nearest)

    def choose(self, n: int) -> None:
        """Chooses ``n``, or as many as there are that are no twins of each other."""
        if np.isinf(self.nearest).any():
            self._begin()

        self._compare()
        if np.ptp(self._wanted.worth) > 0:
            self._middle = np.float32(np.median(self.nearest) or 1.0)

        least = math.ceil(n / _READINGS)
        while len(self.rows) < n:
            self._compare()
            pool, bounds = self._pool()
            if not self._from_pool(pool, bounds, n, least):
                break

        self._compare()

    def _begin(self) -> None:
        """Chooses the first: if nothing else makes it worth it, the most central."""
        worth = self._wanted.worth
        if self._wanted.spread:
            total = np.zeros(self._vectors.rows.shape[1])
            for _, block in self._vectors.blocks():
                total += block.sum(axis=0, dtype=np.float64)

            middle = (total / len(self._vectors)).astype(np.float32)
            middle = self._vectors.space.prepared(middle[np.newaxis])
            far = distances_to(self._vectors, middle, lambda: self._beat(0))
            worth = worth * (1 - far / np.float32(2 * (far.max() or 1.0)))

        self._take(int(worth.argmax()))

    def _take(self, row: int) -> None:
        self.rows.append(row)
        self._count[self._wanted.groups[row]] += 1

    def _compare(self) -> None:
        """Compares all points with those chosen since the last time."""
        while len(self.radius) < len(self.rows):
            new = self.rows[len(self.radius) :][:_AT_ONCE]
            centers = np.asarray(self._vectors.rows[new])
            largest, total = np.zeros((2, len(new)))
            for first, block in self._vectors.blocks():
                part = slice(first, first + len(block))
                d = self._vectors.space.distances(block, centers)
                np.minimum(d[:, 0], self.nearest[part], out=d[:, 0])
                np.minimum.accumulate(d, axis=1, out=d)
                mine = [n for n, row in enumerate(new) if 0 <= row - first < len(block)]
                for n in mine:  # to themselves they have none, but for rounding
                    d[new[n] - first, n:] = 0.0

                self.nearest[part] = d[:, -1]
                np.maximum(largest, d.max(axis=0), out=largest)
                total += d.sum(axis=0, dtype=np.float64)
                self._beat(len(self.radius))

            self.radius.extend(largest.tolist())
            self.mean.extend((total / len(self._vectors)).tolist())

    def _values(self, worth: Matrix, nearest: Matrix) -> Matrix:
        spread = self._wanted.spread
        if spread and self._middle:
            nearness = nearest / (nearest + self._middle)
            values = worth * nearness**spread
        else:
            values = nearest if spread else worth

        values = np.where(nearest > self._wanted.twins, values, np.float32(-1.0))
        return np.asarray(values, np.float32)

    def _pool(self) -> tuple[Rows, Scores]:
        """Returns the rows worth most, and for each group the most of all others."""
        values = self._values(self._wanted.worth, self.nearest)
        values[self.rows] = -1.0
        each = max(1, _POOL // len(self._of_group))
        pool, bounds = [], np.full(len(self._of_group), -1.0)
        for group, members in enumerate(self._of_group):
            mine = values[members]
            if len(members) > each:
                order = np.argpartition(-mine, each)
                bounds[group] = mine[order[each]]
                members, mine = members[order[:each]], mine[order[:each]]

            pool.append(members[mine >= 0])

        return np.sort(np.concatenate(pool)), bounds

    def _from_pool(self, pool: Rows, bounds: Scores, n: int, least: int) -> bool:
        """Chooses from a pool while its best is best; returns whether any was."""
        vectors = np.asarray(self._vectors.rows[pool])
        nearest, worth = self.nearest[pool], self._wanted.worth[pool]
        groups = self._wanted.groups[pool]
        chosen = np.zeros(len(pool), bool)
        begun = len(self.rows)
        while len(self.rows) < n:
            values = self._values(worth, nearest)
            values[chosen] = -1.0
            group = self._next_group(groups[values >= 0], bounds)
            if group is None:
                break

            values[groups != group] = -1.0
            best = int(values.argmax()) if len(pool) else 0
            if not len(pool) or values[best] < 0:
                break  # it has some, that are not in the pool

            if values[best] < bounds[group] and len(self.rows) - begun >= least:
                break

            chosen[best] = True
            self._take(int(pool[best]))
            d = self._vectors.space.distances(vectors, vectors[best : best + 1])
            np.minimum(nearest, d[:, 0], out=nearest)

        return len(self.rows) > begun

    def _next_group(self, in_pool: Rows, bounds: Scores) -> int | None:
        """Returns the group that has the fewest, of those that have any left."""
        left = bounds >= 0
        left[in_pool] = True
        if not left.any():
            return None

        return int(np.where(left, self._count, np.iinfo(np.int64).max).argmin())


def distances_to(vectors: Vectors, others: Matrix, beat: Callable[[], None]) -> Matrix:
    """Returns the distance of each vector to the nearest of others, prepared."""
    nearest = np.full(len(vectors), np.inf, np.float32)
    for first, block in vectors.blocks():
        part = nearest[first : first + len(block)]
        for start in range(0, len(others), _AT_ONCE):
            d = vectors.space.distances(block, others[start : start + _AT_ONCE])
            np.minimum(part, d.min(axis=1), out=part)

        beat()

    return nearest


def _members(groups: Rows, count: int) -> list[Rows]:
    """Returns the rows of each group."""
    order = np.argsort(groups, kind="stable")
    ends = np.cumsum(np.bincount(groups, minlength=count))[:-1]
    return np.split(order, ends)
