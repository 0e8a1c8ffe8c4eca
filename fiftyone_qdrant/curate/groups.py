"""Groups of near-duplicates at any threshold, from pairs that were found once.

Nothing here asks an engine or a database: a slider may be moved over millions of pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.index.pieces import drop_near

Rows = npt.NDArray[np.int32]
Ids = npt.NDArray[np.str_]
Distances = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of points that are near each other, nearest first.

    ``n`` points were compared, and ``p`` pairs found. All arrays can be stored.

    Attributes:
        ids: what was compared: ``n`` sample ids, or label ids of an index of patches
        first: int32, shape ``(p,)``: where in ``ids`` one of each pair is
        second: int32, shape ``(p,)``: where the other one is, which goes first if only
            one of the two is kept
        distances: float32, shape ``(p,)``, ascending; smaller is nearer
        same_file: bool, shape ``(p,)``: whether the two have the same file, byte for
            byte; of patches, and the same place in it
        nearest: float32, shape ``(n,)``: the distance to the nearest other, infinite
            if that is farther than ``threshold``
        ranks: int32, shape ``(n,)``: whose is smaller is rather kept
        fixed: bool, shape ``(n,)``: those that others were compared against, which are
            always kept; none unless ``against`` was given
        threshold: the largest distance that was looked for
        metric: whose distances these are
        keep: the rule that made ``ranks``, in words of :func:`near_duplicates`
        bound: how many pairs of each point are known at most
        reached: how many points have more, of which only the nearest are known
        complete_to: all pairs that are nearer than this are known. At a threshold that
            is larger, some may be kept though they are near a kept one; whatever goes
            is near one, always
        missing: how many samples, or labels, of the view the index does not hold
        recall: the part of the pairs that was found; 1 if it is all of them for sure
        brain_key: the index that was asked
    """

    ids: list[str]
    first: Rows
    second: Rows
    distances: Distances
    same_file: Mask
    nearest: Distances
    ranks: Rows
    fixed: Mask
    threshold: float
    metric: str
    keep: str
    bound: int
    reached: int
    complete_to: float
    missing: int
    recall: float
    brain_key: str

    @property
    def pairs(self) -> tuple[Ids, Ids, Distances]:
        """The ids of both of each pair, and their distance, nearest pair first."""
        ids = np.array(self.ids, dtype="<U24")
        return ids[self.first], ids[self.second], self.distances

    def at(self, threshold: float) -> Groups:
        """Returns the groups at a threshold, in milliseconds.

        In the order of their ranks points are kept unless one that is kept is at most
        ``threshold`` away. So chains do not run away: what is removed is near what is
        kept in its place, and no two that are kept are near each other.

        Args:
            threshold: the largest distance, at most that of the search

        Raises:
            ConfigError: if pairs so far apart were not looked for
        """
        if not threshold <= self.threshold:
            raise ConfigError(
                f"Pairs up to a distance of {self.threshold:g} were looked for, so "
                f"groups at {threshold!r} are not known. Search with a larger threshold"
            )

        count = int(np.searchsorted(self.distances, threshold, "right"))
        owner, distance = self._owners(count)
        gone = np.flatnonzero(owner >= 0)
        gone = gone[np.lexsort((distance[gone], owner[gone]))]
        kept, starts = np.unique(owner[gone], return_index=True)
        removed = self._order[gone].astype(np.int32)
        kept = self._order[kept].astype(np.int32)
        return Groups(self.ids, kept, removed, starts, float(threshold))

    @cached_property
    def _by_better(self) -> tuple[Rows, Rows, npt.NDArray[np.int64]]:
        """The better and the worse of each pair, and the pairs in order of the better.

        Points are counted by rank here.
        """
        one, other = self.ranks[self.first], self.ranks[self.second]
        better, worse = np.minimum(one, other), np.maximum(one, other)
        return better, worse, np.argsort(better, kind="stable")

    def _owners(self, count: int) -> tuple[Rows, Distances]:
        """Of each rank that goes, the nearest one that stays, and how far it is.

        The first ``count`` pairs count. Of a rank that stays it is -1.
        """
        better, worse, lines = self._by_better
        chosen = lines[lines < count]
        gone = drop_near(better[chosen], worse[chosen], len(self.ids))
        apart = np.flatnonzero(gone[better[:count]] != gone[worse[:count]])[::-1]
        better, worse = better[apart], worse[apart]
        swapped = gone[better]  # for it, one of a better rank stays as well
        goes = np.where(swapped, better, worse)
        owner = np.full(len(self.ids), -1, np.int32)
        owner[goes] = np.where(swapped, worse, better)  # the nearest comes last
        distance = np.zeros(len(self.ids), np.float32)
        distance[goes] = self.distances[apart]
        return owner, distance

    @cached_property
    def _order(self) -> npt.NDArray[np.int64]:
        return np.argsort(self.ranks)


@dataclass(frozen=True)
class Groups:
    """The groups of near-duplicates at one threshold.

    Attributes:
        ids: all points that were compared
        kept: int32: where in ``ids`` the one that each group keeps is, by rank
        removed: int32: where those that go are, by group, nearest to the kept first
        starts: int64: where the group of each kept one starts in ``removed``
        threshold: the largest distance
    """

    ids: list[str]
    kept: Rows
    removed: Rows
    starts: npt.NDArray[np.int64]
    threshold: float

    @property
    def num_groups(self) -> int:
        """How many groups of at least two there are."""
        return len(self.kept)

    @property
    def num_remove(self) -> int:
        """How many points go."""
        return len(self.removed)

    @cached_property
    def groups(self) -> list[list[str]]:
        """The ids of each group, the kept one first, the others nearest first.

        What goes stands with the nearest of the points that are kept, once.
        """
        gone = self.remove
        ends = np.append(self.starts, len(gone))[1:].tolist()
        pieces = zip(self.keep, self.starts.tolist(), ends, strict=True)
        return [[kept, *gone[start:end]] for kept, start, end in pieces]

    @cached_property
    def keep(self) -> list[str]:
        """The id of the kept one of each group."""
        return [self.ids[i] for i in self.kept.tolist()]

    @cached_property
    def remove(self) -> list[str]:
        """The ids of all that go, none of which is kept in any group."""
        return [self.ids[i] for i in self.removed.tolist()]
