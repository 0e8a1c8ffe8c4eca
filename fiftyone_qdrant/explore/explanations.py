"""Why a sample is, or is not, among the hits of a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.points import Scores
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

FOUND = "found"
NOT_INDEXED = "not indexed"
NOT_IN_SCOPE = "not in scope"
EXAMPLE = "example"
TWIN = "twin"
VARIETY = "variety"
TOO_FAR = "too far"
BEYOND_K = "beyond k"
MISSED = "missed by the graph"

_RANKED = 10_000  # nearest hits that are gone through for a rank
_DEEPEST = 8_192
_ROUNDING = 1e-5


@dataclass(frozen=True)
class Explanation:
    """Why one sample, or label, is or is not among the hits of a query.

    Attributes:
        id: its id
        cause: :data:`FOUND`, or what keeps it out: :data:`NOT_INDEXED`,
            :data:`NOT_IN_SCOPE`, :data:`EXAMPLE`, :data:`TWIN`, :data:`VARIETY`,
            :data:`TOO_FAR`, :data:`BEYOND_K` or :data:`MISSED`
        rank: its place among all of the scope by exact distance, from 1; ``None`` if
            it has none, or one beyond 10,000
        distance: its distance, smaller is nearer; ``None`` if it is not indexed
        words: the same in a sentence, with what would bring it in
        hnsw_ef: of what the graph missed, how deep to search it to find it, or
            ``None`` if it takes ``exact=True``
    """

    id: str
    cause: str
    rank: int | None
    distance: float | None
    words: str
    hnsw_ef: int | None = None


def explain(
    index: QdrantSimilarityIndex,
    query: Any,
    ids: str | Sequence[str],
    *,
    samples: Any = None,
    k: int | None = 25,
    max_distance: float | None = None,
    image: Any = None,
    negatives: Any = None,
    reverse: bool = False,
    diversity: float | None = None,
    exact: bool = False,
    hnsw_ef: int | None = None,
    hidden: Mapping[str, str] | None = None,
) -> list[Explanation]:
    """Says of samples why they are, or are not, among the hits of a query.

    The query is asked again as it was, and once exactly: 10,000 hits at most are read.

    Args:
        index: the index
        query: what was asked for, as :func:`fiftyone_qdrant.find_similar` takes it
        ids: the sample ids, or of an index of patches the label ids, to explain
        samples (None): the dataset or view that was searched, by default the index's
            current view
        k (25): the number of hits that were asked for, or ``None`` for all
        max_distance (None): the largest distance of a hit
        image (None): as ``find_similar()`` takes it, and so the arguments after it
        negatives (None): what hits should be unlike
        reverse (False): whether the farthest were asked for
        diversity (None): from 0 to 1
        exact (False): whether all points were compared
        hnsw_ef (None): how deep the graph was searched
        hidden (None): hits that are not shown, each with the id of the near-identical
            one that stands for it

    Returns:
        one of each id, in the order of ``ids``

    Raises:
        ConfigError, MissingIDs, VectorError, CollectionNotFound: as ``find_similar()``
    """
    if samples is not None:
        index = _restricted(index, samples)

    asked = _Asked(
        index,
        {"query": query, "image": image, "negatives": negatives, "reverse": reverse},
        k,
        max_distance,
        {"diversity": diversity, "exact": exact, "hnsw_ef": hnsw_ef},
        hidden or {},
    )
    return asked.explain([ids] if isinstance(ids, str) else list(ids))


def _restricted(index: QdrantSimilarityIndex, samples: Any) -> QdrantSimilarityIndex:
    again = QdrantSimilarityIndex(index.samples, index.config, index.key)
    again.use_view(samples)
    return again


@dataclass
class _Asked:
    """A query that was asked, with how."""

    index: QdrantSimilarityIndex
    query: dict[str, Any]
    k: int | None
    max_distance: float | None
    how: dict[str, Any]
    hidden: Mapping[str, str]
    ranks: dict[str, int] = field(default_factory=dict)

    def explain(self, ids: list[str]) -> list[Explanation]:
        index, k = self.index, self.k
        (hits,) = index.search(
            **self.query, k=k, max_distance=self.max_distance, **self.how
        )
        present = sorted(index.collection.present(ids))
        far = dict(zip(present, self._distances(present).tolist(), strict=True))
        scope = self._in_scope(present)
        if present:
            (ranked,) = index.search(**self.query, k=_RANKED, exact=True)
            self.ranks = {i: n for n, i in enumerate(ranked.ids, 1)}

        found = {i: n for n, i in enumerate(hits.ids, 1)}
        return [self._one(i, found.get(i), far.get(i), i in scope) for i in ids]

    def _one(
        self, one: str, place: int | None, distance: float | None, in_scope: bool
    ) -> Explanation:
        rank, known = self.ranks.get(one), self.index.key
        if distance is None:
            words = f"Not indexed: '{known}' does not hold it. Add it to the index"
            return Explanation(one, NOT_INDEXED, None, None, words)

        at = f"at {distance:.3g}"
        if place is not None and one not in self.hidden:
            words = f"It is there: hit {place:,}, {at}"
            return Explanation(one, FOUND, rank, distance, words)

        if place is not None:
            words = f"Hidden as a twin of {self.hidden[one]}: rank {rank}, {at}"
            return Explanation(one, TWIN, rank, distance, words)

        if one in self._examples():
            words = "It is an example of the query itself, so it is no hit"
            return Explanation(one, EXAMPLE, None, distance, words)

        if not in_scope:
            words = f"Not in what was searched; its distance is {distance:.3g}"
            return Explanation(one, NOT_IN_SCOPE, None, distance, words)

        return self._left_out(one, rank, distance)

    def _left_out(self, one: str, rank: int | None, distance: float) -> Explanation:
        """Explains what is in the scope, and is no hit."""
        name = f"Rank {rank:,}" if rank is not None else f"Beyond rank {_RANKED:,}"
        words = f"{name} at {distance:.3g}"
        limit = self.max_distance
        if limit is not None and distance > limit + _ROUNDING * max(1, abs(limit)):
            words += f", and hits may be at most at {limit:.3g}"
            return Explanation(one, TOO_FAR, rank, distance, words)

        if rank is None or (self.k is not None and rank > self.k):
            words += f", and {self.k:,} were asked for"
            return Explanation(one, BEYOND_K, rank, distance, words)

        if self.how["diversity"]:
            words += ", but others add more variety. Lower it"
            return Explanation(one, VARIETY, rank, distance, words)

        ef = self._deep_enough(one)
        how = "Search exactly" if ef is None else f"Raise hnsw_ef to {ef:,}"
        words += f", but the graph missed it. {how}"
        return Explanation(one, MISSED, rank, distance, words, ef)

    def _deep_enough(self, one: str) -> int | None:
        """Returns how deep to search the graph for a point to be found."""
        ef = max(64, self.k or 0, 2 * (self.how["hnsw_ef"] or 0))
        while ef <= _DEEPEST:
            (hits,) = self.index.search(**self.query, k=self.k, hnsw_ef=ef)
            if one in hits.ids:
                return ef

            ef *= 2

        return None

    def _examples(self) -> set[str]:
        """Returns the ids that Qdrant leaves out of what it recommends."""
        given = [self.query[name] for name in ("query", "negatives")]
        if self.query["negatives"] is None:
            return set()

        flat = [np.asarray(g).ravel().tolist() for g in given if g is not None]
        return {i for part in flat for i in part if isinstance(i, str)}

    def _distances(self, ids: list[str]) -> Scores:
        """Returns the distances of points to what is asked for."""
        if not ids:
            return np.empty(0)

        index, metric = self.index, self.index.metric
        like = index.answering.vectors(self.query["query"], self.query["image"])
        unlike = self.query["negatives"]
        if unlike is not None:
            unlike = index.answering.vectors(unlike)

        vector = points.query_vector(like, unlike, metric)
        return points.pairwise_distances(vector, index.contents.vectors(ids), metric)

    def _in_scope(self, ids: list[str]) -> set[str]:
        if not ids:
            return set()

        samples = self.index.contents.retrieved(ids)[1].tolist()
        none = np.zeros(len(ids))
        (kept,) = self.index.restriction().keep([Hits(ids, samples, none, none)])
        return set(kept.ids)
