"""The exact answer, and when an index's answer counts as the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fiftyone_qdrant.points import pairwise_distances

TOLERANCE = 1e-4  # of distances: absolute up to 1, relative from there


@dataclass(frozen=True)
class Exact:
    """Points that may be found, with their exact distances to what is asked for.

    Two points tie if their distances differ by no more than the tolerances.
    """

    ids: Sequence[str]
    distances: np.ndarray  # float64, shape (num_points,)
    tolerances: np.ndarray  # likewise
    metric: str

    @classmethod
    def of(cls, ids, vectors, queries, metric, aggregation=None) -> Exact:
        """Rank by the distances to one query, or to several combined."""
        each = [pairwise_distances(q, vectors, metric) for q in queries]
        if aggregation is None:
            assert len(queries) == 1
            distances = each[0]
        else:
            distances = getattr(np, aggregation.removeprefix("post-"))(each, axis=0)

        tolerances = TOLERANCE * np.maximum(1, np.abs(distances))
        if metric == "dotproduct":  # sums of float32, which may cancel out
            longest = max(np.linalg.norm(q) for q in queries)
            tolerances += 1e-6 * longest * np.linalg.norm(vectors, axis=1)

        return cls(list(ids), distances, tolerances, metric)

    def check(
        self,
        found: Sequence[str],
        distances: Sequence[float] | None = None,
        k: int | None = None,
        reverse: bool = False,
    ) -> None:
        """Check that ``found`` are the ``k`` best, best first."""
        rows = self.rows(found)
        assert len(rows) == min(k or len(self.ids), len(self.ids))
        if distances is not None:
            self.check_distances(found, distances)

        sign = -1 if reverse else 1
        order = np.argsort(sign * self.distances, kind="stable")[: len(rows)]
        off = np.abs(self.distances[rows] - self.distances[order])
        wrong = np.flatnonzero(off > self.tolerances[rows] + self.tolerances[order])
        assert not wrong.size, (
            f"at {wrong[0]} is {found[wrong[0]]}, {self.distances[rows[wrong[0]]]} "
            f"away, not {self.ids[order[wrong[0]]]}, "
            f"{self.distances[order[wrong[0]]]} away"
        )

    def check_query(
        self,
        found: Sequence[str],
        distances: Sequence[float] | None = None,
        k: int | None = None,
        reverse: bool = False,
        itself: str | None = None,
    ) -> None:
        """Check the hits of a query; one by a single id finds this id first."""
        first = itself is not None and not reverse and itself in self
        if first and self.metric == "dotproduct":
            # others may be nearer than itself, so it may come first or in its place
            first = bool(found) and found[0] == itself

        if not first:
            self.check(found, distances, k, reverse)
            return

        assert found[0] == itself, f"{itself}, which was asked for, is not first"
        if distances is not None:
            self.check_distances(found, distances)

        if k != 1:
            self.without(itself).check(found[1:], None, k and k - 1)

    def check_distances(self, found: Sequence[str], distances: Sequence[float]) -> None:
        """Check that the distances given for points are right."""
        rows = self.rows(found)
        assert len(distances) == len(rows)
        off = np.abs(np.asarray(distances, dtype=np.float64) - self.distances[rows])
        wrong = np.flatnonzero(~(off <= self.tolerances[rows]))
        assert not wrong.size, (
            f"{found[wrong[0]]} is said to be {distances[wrong[0]]} away, and is "
            f"{self.distances[rows[wrong[0]]]} away"
        )

    def rows(self, found: Sequence[str]) -> list[int]:
        """Where points are in ``ids``, after a check that they are, once each."""
        row = {i: n for n, i in enumerate(self.ids)}
        assert len(set(found)) == len(found), "found twice"
        outside = [i for i in found if i not in row]
        assert not outside, f"{outside[0]} is not in the view, or not in the index"
        return [row[i] for i in found]

    def distance(self, point: str) -> float:
        """The exact distance of one point."""
        return float(self.distances[self.rows([point])[0]])

    def without(self, point: str) -> Exact:
        """Returns the same without one point."""
        keep = np.array([i != point for i in self.ids], dtype=bool)
        ids = [i for i in self.ids if i != point]
        return Exact(ids, self.distances[keep], self.tolerances[keep], self.metric)

    def __contains__(self, point: object) -> bool:
        return point in self.ids
