"""What was found for one query: ids with their scores and distances, best first."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fiftyone_qdrant.points import Scores


@dataclass(frozen=True)
class Hits:
    """Points found for one query, best first; one entry per hit in each list.

    The point of a single query id comes before all others, even if these have a larger
    dot product.

    Attributes:
        ids: the sample or label ids
        sample_ids: the sample of each hit, or ``None`` if not asked for
        scores: float64, as Qdrant gives them
        distances: float64, true distances: smaller is nearer, for every metric
        exact: False if they were to be exact, and the server does not allow that
    """

    ids: list[str]
    sample_ids: list[str] | None
    scores: Scores
    distances: Scores
    exact: bool = True

    @classmethod
    def none(cls, with_samples: bool) -> Hits:
        """Returns no hits."""
        return cls([], [] if with_samples else None, np.empty(0), np.empty(0))

    def by_id(self) -> dict[str, float]:
        """Returns the distances by the ids."""
        return dict(zip(self.ids, self.distances.tolist(), strict=True))

    def take(self, rows: Sequence[int]) -> Hits:
        """Returns the hits at ``rows``, in that order."""
        samples = self.sample_ids
        order = np.asarray(rows, dtype=np.int64)
        return Hits(
            [self.ids[i] for i in rows],
            None if samples is None else [samples[i] for i in rows],
            self.scores[order],
            self.distances[order],
            self.exact,
        )

    def among(self, ids: set[str]) -> Hits:
        """Returns the hits whose id is one of ``ids``."""
        return self.take([row for row, i in enumerate(self.ids) if i in ids])

    def in_order(self, ids: Sequence[str]) -> Hits:
        """Returns the hits of ``ids``, which are all among them, in that order."""
        row = {i: n for n, i in enumerate(self.ids)}
        return self.take([row[i] for i in ids])

    def without(self, ids: Collection[str]) -> Hits:
        """Returns the hits whose id is none of ``ids``."""
        return self.take([row for row, i in enumerate(self.ids) if i not in ids])

    def within(self, max_distance: float | None) -> Hits:
        """Returns the hits that are at most so far away, or all."""
        if max_distance is None:
            return self

        return self.take(np.flatnonzero(self.distances <= max_distance).tolist())

    def first(self, k: int | None) -> Hits:
        """Returns the best ``k`` hits, or all."""
        if k is None or k >= len(self.ids):
            return self

        return self.take(range(k))

    def after(self, first: Hits) -> Hits:
        """Returns ``first`` followed by the hits that are not in it."""
        rest = self.without(set(first.ids))
        samples = None
        if first.sample_ids is not None and rest.sample_ids is not None:
            samples = first.sample_ids + rest.sample_ids

        return Hits(
            first.ids + rest.ids,
            samples,
            np.concatenate([first.scores, rest.scores]),
            np.concatenate([first.distances, rest.distances]),
            first.exact and rest.exact,
        )


def as_fiftyones(found: list[Hits], patches: bool, single: bool) -> tuple[Any, ...]:
    """Returns hits as FiftyOne's ``_kneighbors()``: sample ids, label ids, distances.

    Args:
        found: the hits of each query
        patches: whether they are of labels
        single: whether there is one query, of which just the hits are returned
    """
    ids: Any = [h.ids for h in found]
    samples: Any = [h.sample_ids for h in found] if patches else ids
    dists: Any = [h.distances.tolist() for h in found]
    if single:
        ids, samples, dists = ids[0], samples[0], dists[0]

    return samples, ids if patches else None, dists
