"""Pairs as they are found, of each point not more than a number of the nearest."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

_HELD = 4_000_000  # pairs that come in before those that are too many are left out

Pairs = tuple[Any, Any, Any]
_NONE: Pairs = np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.float32)


@dataclass
class Collected:
    """Collects pairs; of each point at least the ``bound`` nearest are kept.

    Attributes:
        count: how many points there are
        bound: see above
        full_at: float32, shape ``(count,)``: the distance of the last of these to each
            point that has more, else infinite: nearer ones of its pairs are all known
    """

    count: int
    bound: int
    full_at: npt.NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        self.full_at = np.full(self.count, np.inf, np.float32)
        self._parts: list[Pairs] = []
        self._coming = 0

    def add(self, i: Any, j: Any, far: Any) -> None:
        """Takes pairs: positions of both, and their distances."""
        if len(i):
            pairs = i.astype(np.int32), j.astype(np.int32), far.astype(np.float32)
            self._parts.append(pairs)
            self._coming += len(i)
            if self._coming > _HELD:
                self._parts, self._coming = [self._nearest()], 0

    def pairs(self) -> Pairs:
        """Returns all that are kept, nearest first; of equals those found first."""
        i, j, far = self._nearest()
        first, second = np.minimum(i, j), np.maximum(i, j)
        order = np.lexsort((second, first, far))
        return first[order], second[order], far[order]

    def with_copies(self, first: Any, second: Any, far: Any, ranks: Any) -> Pairs:
        """Adds pairs of one and all others that are the same, however many these are.

        Distances of 0 need no more comparing: what is the same as one is as the other.

        Args:
            first: pairs, as :meth:`pairs` returns them
            second: see there
            far: see there
            ranks: int, shape ``(count,)``: the one whose is smallest is taken
        """
        many = np.isfinite(self.full_at)
        same = np.flatnonzero((far == 0) & many[first] & many[second])
        if not same.size:
            return first, second, far

        shape, i, j = (self.count, self.count), first[same], second[same]
        graph = coo_matrix((np.ones(len(same), bool), (i, j)), shape)
        label = connected_components(graph, directed=False)[1]
        rows = np.unique(np.append(i, j))
        rows = rows[np.lexsort((ranks[rows], label[rows]))]
        best = np.append(True, label[rows][1:] != label[rows][:-1])
        one = np.repeat(rows[best], np.diff(np.append(np.flatnonzero(best), len(rows))))
        a = np.append(np.minimum(one, rows)[~best], first)
        b = np.append(np.maximum(one, rows)[~best], second)
        pair = a.astype(np.int64) * self.count + b
        _, chosen = np.unique(pair, return_index=True)
        far = np.append(np.zeros(np.count_nonzero(~best), np.float32), far)
        chosen = chosen[np.lexsort((b[chosen], a[chosen], far[chosen]))]
        return a[chosen].astype(np.int32), b[chosen].astype(np.int32), far[chosen]

    def _nearest(self) -> Pairs:
        i, j, far = (np.concatenate(c) for c in zip(_NONE, *self._parts, strict=True))
        numbers = np.bincount(i, minlength=self.count)
        numbers += np.bincount(j, minlength=self.count)
        full = numbers > self.bound
        if not full.any():
            return i, j, far

        keep = ~full[i] | ~full[j]
        ends, others = np.append(i, j), np.append(j, i)
        of = np.flatnonzero(full[ends])
        twice = np.append(far, far)
        of = of[np.lexsort((others[of], twice[of], ends[of]))]
        ends = ends[of]
        starts = np.flatnonzero(np.append(True, ends[1:] != ends[:-1]))
        place = np.arange(len(of)) - np.repeat(starts, numbers[ends[starts]])
        keep[of[place < self.bound] % len(i)] = True
        last = place == self.bound - 1
        self.full_at[ends[last]] = twice[of[last]]
        return i[keep], j[keep], far[keep]
