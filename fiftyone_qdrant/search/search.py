"""Nearest neighbors within a FiftyOne view, at a cost that does not grow with it.

Qdrant knows points, MongoDB knows which of them a view holds. So the best hits of
the whole index are asked for first, and MongoDB says which of them the view holds;
only when too few remain, or when the view is known to be small, is Qdrant given ids
to search among. Hits of samples that are no longer in the dataset fall out on the way.
"""

from __future__ import annotations

import math
from collections.abc import Collection as Container
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias, cast

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.points import Ids, Matrix
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.search.options import POST_AGGREGATIONS, QueryOptions
from fiftyone_qdrant.search.queries import most_diverse, nearest, nearest_to_point
from fiftyone_qdrant.search.restriction import MAX_ID_FILTER, Restriction

Queries: TypeAlias = Matrix | Ids
"""Vectors, float32, shape ``(num_queries, size)``, or ids of points."""

_FIRST_PROBE = 100  # hits asked for at first, at least,
_PROBES_PER_HIT = 15  # or so many times k
_LARGEST_PROBE = 5_000  # hits that are asked for at once of many queries, at most
_MARGIN = 1.5  # times the hits that it should take
_SCANNED_PER_HIT = 30  # samples MongoDB scans in the time that one more hit costs
_IDS_PER_HIT = 4  # ids that an index finds in that time, until they are searched
_READ_PER_ASKED = 5  # ids MongoDB reads in the time to look one up
_MAX_IDS_PER_CALL = 200_000  # of all queries together: 8 MB to a server
_QUERIES_PER_CALL = 128
_MANY = 1_000_000  # hits, for more of which it is worth to count the points
_FEWEST_CANDIDATES = 100  # that diverse hits are chosen from, or
_CANDIDATES_PER_HIT = 4  # of them, whichever is more


class Search:
    """Searches of one collection within one restriction.

    Args:
        collection: where to search
        restriction: what hits must be in
        options: how to search, checked
        with_samples: whether hits need their sample
        without: ids that are no hits
    """

    def __init__(
        self,
        collection: Collection,
        restriction: Restriction,
        options: QueryOptions,
        with_samples: bool = False,
        without: Container[str] = (),
    ) -> None:
        self.k = None if options.k is None else int(options.k)
        if self.k is not None and self.k > _MANY:  # more than an engine can count to
            self.k = min(self.k, max(1, collection.count()))

        self._collection = collection
        self._restriction = restriction
        self._options = options
        self._with_samples = with_samples
        self._without = frozenset(without)

    def nearest(self, queries: Queries) -> list[Hits]:
        """Returns the best hits of each query that the restriction holds.

        Args:
            queries: float32, shape ``(num_queries, size)``, or ids of points, shape
                ``(num_queries,)``: each is the first of its own hits. Ids work
                neither in reverse nor with diversity
        """
        k, diversity = self.k, self._options.diversity
        if k is None:
            return [self._rank_all(q) for q in queries[:, np.newaxis]]

        if diversity is None:
            return self._nearest(queries, k)

        candidates = max(_FEWEST_CANDIDATES, _CANDIDATES_PER_HIT * k)
        found = self._nearest(queries, candidates)
        return [
            self._diverse(q, h, k, diversity)
            for q, h in zip(queries, found, strict=True)
        ]

    def aggregated(self, queries: Matrix) -> Hits:
        """Ranks everything by its distances to several queries, combined.

        Args:
            queries: float32, shape ``(num_queries, size)``
        """
        options = replace(self._options, max_distance=None)
        ranked = [self._rank_all(q, options) for q in queries[:, np.newaxis]]
        # Others may add or remove points between two rankings
        ids = sorted(set(ranked[0].ids).intersection(*(h.ids for h in ranked)))
        ranked = [h.in_order(ids) for h in ranked]
        distances = POST_AGGREGATIONS[str(options.aggregation)](
            [h.distances for h in ranked], axis=0
        )
        order = np.argsort(-distances if options.reverse else distances, kind="stable")
        metric = self._collection.schema().metric
        scores = points.to_scores(distances, metric)
        exact = all(h.exact for h in ranked)
        hits = Hits(ids, ranked[0].sample_ids, scores, distances, exact)
        hits = hits.take(order.tolist())
        return hits.within(self._options.max_distance).first(self.k)

    def _nearest(self, queries: Queries, k: int) -> list[Hits]:
        limit = self._first_limit(k)
        samples_worth = _READ_PER_ASKED * len(queries) * limit
        if len(queries) > 1 and samples_worth > self._restriction.num_samples:
            self._restriction.ids()  # quicker than to ask which hits there are

        if self._restriction.few:
            return self._among_ids(queries, k)

        found: list[Hits] = []
        at_once = max(1, min(_QUERIES_PER_CALL, _LARGEST_PROBE // limit))
        for i in range(0, len(queries), at_once):
            found.extend(self._probe(queries[i : i + at_once], k))

        return found

    def _first_limit(self, k: int) -> int:
        """How many hits to ask for at first."""
        if self._restriction.whole:
            return k

        usual = max(_FIRST_PROBE, min(_PROBES_PER_HIT * k, max(2 * k, _LARGEST_PROBE)))
        per_held = self._restriction.hits_per_held or math.inf
        return int(min(usual, _MARGIN * per_held * k + 1))

    def _diverse(self, query: Matrix, hits: Hits, k: int, diversity: float) -> Hits:
        if len(hits.ids) < 2:
            return hits

        chosen = most_diverse(self._collection, query, hits.ids, k, diversity)
        return hits.in_order(chosen)

    def _probe(self, queries: Queries, k: int) -> list[Hits]:
        found: dict[int, Hits] = {}
        pending = list(range(len(queries)))
        limit = self._first_limit(k)
        while pending:
            hits = self._find(queries[pending], limit, self._options)
            kept = self._keep(hits)
            fewest = limit
            for query, h, held in zip(list(pending), hits, kept, strict=True):
                if len(held.ids) >= k or len(h.ids) < limit:
                    found[query] = held.first(k)
                    pending.remove(query)
                else:
                    fewest = min(fewest, len(held.ids))

            share = max(fewest, 1) / limit
            limit = int(_MARGIN * k / share) + 1
            if pending and self._ids_are_quicker(limit, share):
                rest = self._among_ids(queries[pending], k)
                found.update(zip(pending, rest, strict=True))
                break

        return [found[i] for i in range(len(queries))]

    def _ids_are_quicker(self, limit: int, share: float) -> bool:
        """Whether to read the ids of the view rather than look up so many hits.

        Args:
            limit: the hits
            share: of those before, which the view held
        """
        if self._scan_is_quicker(limit):
            return True

        ids = share * self._restriction.num_samples
        few = ids < min(_IDS_PER_HIT * limit, MAX_ID_FILTER)
        if not (few and self._restriction.by_index):
            return False

        self._restriction.remember_few()
        return True

    def _scan_is_quicker(self, hits: int) -> bool:
        return _SCANNED_PER_HIT * hits > self._restriction.num_samples

    def _among_ids(self, queries: Queries, k: int) -> list[Hits]:
        ids = self._restriction.ids()
        if not ids:
            return [Hits.none(self._with_samples) for _ in queries]

        if len(ids) > MAX_ID_FILTER:
            return [self._rank_all(q).first(k) for q in queries[:, np.newaxis]]

        found: list[Hits] = []
        at_once = max(1, _MAX_IDS_PER_CALL // len(ids))
        for i in range(0, len(queries), at_once):
            found.extend(self._find(queries[i : i + at_once], k, self._options, ids))

        return found

    def _rank_all(self, query: Queries, options: QueryOptions | None = None) -> Hits:
        """Ranks the whole index exactly, and keeps what the restriction holds."""
        total = max(1, self._collection.count())
        exactly = replace(options or self._options, exact=True, hnsw_ef=None)
        hits = self._find(query, total, exactly)
        return self._keep(hits)[0]

    def _keep(self, hits: list[Hits]) -> list[Hits]:
        asked = sum(len(h.ids) for h in hits)
        if asked > _LARGEST_PROBE and self._scan_is_quicker(asked):
            self._restriction.ids()  # rather than ask about so many

        return self._restriction.keep(hits)

    def _find(
        self,
        queries: Queries,
        k: int,
        options: QueryOptions,
        ids: Sequence[str] | None = None,
    ) -> list[Hits]:
        wanted = k + len(self._without)
        if queries.dtype.kind == "U":
            return [
                nearest_to_point(
                    self._collection, i, wanted, options, ids, self._with_samples
                )
                for i in cast(Ids, queries).ravel().tolist()
            ]

        vectors = cast(Matrix, queries)
        found = nearest(
            self._collection, vectors, wanted, options, ids, self._with_samples
        )
        if not self._without:
            return found

        return [h.without(self._without).first(k) for h in found]
