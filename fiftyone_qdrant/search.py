"""Nearest neighbors within a FiftyOne view, at a cost that does not grow with it.

Qdrant knows points, MongoDB knows which of them a view holds. So the best hits of
the whole index are asked for first, and MongoDB says which of them the view holds;
only when too few remain, or when the view is known to be small, is Qdrant given ids
to search among. Hits of samples that are no longer in the dataset fall out on the way.
"""

from __future__ import annotations

from collections.abc import Collection as Container
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias, cast

import fiftyone.core.media as fom
import fiftyone.core.patches as fop
import fiftyone.core.stages as fos
import numpy as np

from . import points
from .collection import Collection
from .errors import ConfigError
from .hits import Hits
from .nearest import most_diverse, nearest, nearest_to_point
from .options import POST_AGGREGATIONS, QueryOptions
from .points import Ids, Matrix

Queries: TypeAlias = Matrix | Ids
"""Vectors, float32, shape ``(num_queries, size)``, or ids of points."""

_FIRST_PROBE = 100  # hits asked for at first, at least,
_PROBES_PER_HIT = 15  # or so many times k
_LARGEST_PROBE = 5_000  # hits that MongoDB is asked about at most
_SCANNED_PER_HIT = 30  # samples MongoDB scans in the time that one more hit costs
_FEW_IDS = 2_000  # a view known to be so small is searched by its ids at once
_MAX_ID_FILTER = 20_000  # ids sent to Qdrant at most; more are filtered here
_QUERIES_PER_CALL = 128
_FEWEST_CANDIDATES = 100  # that diverse hits are chosen from, or
_CANDIDATES_PER_HIT = 4  # of them, whichever is more


class Restriction:
    """The samples or labels of a collection of samples, which hits must be in.

    Args:
        samples: a :class:`fiftyone.core.collections.SampleCollection`
        patches_field: the label field, when the hits are labels
        whole: whether ``samples`` is everything that was indexed

    Attributes:
        samples: the flat collection that hits must be in
        whole: as given
    """

    def __init__(self, samples: Any, patches_field: str | None, whole: bool) -> None:
        if samples.media_type == fom.GROUP:
            samples = samples.select_group_slices(_allow_mixed=True)

        self.whole = whole
        self.samples = samples
        self._patches_field = patches_field
        self._ids: list[str] | None = None
        self._asked: set[str] = set()
        self._held: set[str] = set()

    @property
    def few(self) -> bool:
        """Whether it is known, without a look at the database, to be small."""
        if self._ids is not None:
            return len(self._ids) <= _FEW_IDS

        if self._patches_field is not None and not self.samples._is_patches:
            return False  # a sample may have many labels

        stages = getattr(self.samples, "_stages", ())
        selections = [s for s in stages if isinstance(s, fos.Select)]
        return any(len(s.sample_ids) <= _FEW_IDS for s in selections)

    @property
    def num_samples(self) -> int:
        """About how many samples MongoDB looks at to read all ids."""
        return int(self.samples._dataset._sample_collection.estimated_document_count())

    def ids(self) -> list[str]:
        """Returns all its sample ids, or label ids when the hits are labels."""
        if self._ids is None:
            self._ids = read_ids(self.samples, self._patches_field)
            self._held = set(self._ids)

        return self._ids

    def keep(self, hits: Sequence[Hits]) -> list[Hits]:
        """Returns the hits that it holds, with at most one question to MongoDB."""
        unknown = [h.without(self._asked) for h in hits]
        if self._ids is None and any(h.ids for h in unknown):
            self._ask(unknown)

        return [h.among(self._held) for h in hits]

    def _ask(self, hits: Sequence[Hits]) -> None:
        if sum(len(h.ids) for h in hits) > _LARGEST_PROBE:
            self.ids()
            return

        selected = self._select(hits)
        if selected is self.samples:
            self.ids()
            return

        self._held.update(read_ids(selected, self._patches_field))
        self._asked.update(i for h in hits for i in h.ids)

    def _select(self, hits: Sequence[Hits]) -> Any:
        """The part of the samples in which the hits are, or all if it is not known."""
        samples, field = self.samples, self._patches_field
        if samples._is_clips:
            return samples

        if field is None and not samples._is_patches:
            return samples.select(_unique(i for h in hits for i in h.ids))

        if isinstance(samples, fop.PatchesView) and samples.patches_field == field:
            return samples.select(_unique(i for h in hits for i in h.ids))

        if not samples._is_patches:
            return samples.select(_unique(i for h in hits for i in h.sample_ids or ()))

        return samples


def read_ids(samples: Any, patches_field: str | None) -> list[str]:
    """Returns the ids of samples, or of their labels; of groups the active slice's.

    Raises:
        ConfigError: if the samples do not have the field
    """
    if patches_field is None:
        inside = samples._is_patches or samples._is_clips
        return list(samples.values("sample_id" if inside else "id"))

    if not samples.has_field(patches_field):
        raise ConfigError(
            f"This index holds patches of '{patches_field}', which the view "
            "does not have. Query a view of samples, or of those patches"
        )

    _, path = samples._get_label_field_path(patches_field, "id")
    return [i for i in samples.values(path, unwind=True) if i is not None]


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
        order = np.argsort(-distances if options.reverse else distances)
        metric = self._collection.schema().metric
        scores = points.to_scores(distances, metric)
        hits = Hits(ids, ranked[0].sample_ids, scores, distances).take(order.tolist())
        return hits.within(self._options.max_distance).first(self.k)

    def _nearest(self, queries: Queries, k: int) -> list[Hits]:
        if len(queries) > 1:
            self._restriction.ids()  # read once, for all queries

        found: list[Hits] = []
        for i in range(0, len(queries), _QUERIES_PER_CALL):
            found.extend(self._probe(queries[i : i + _QUERIES_PER_CALL], k))

        return found

    def _diverse(self, query: Matrix, hits: Hits, k: int, diversity: float) -> Hits:
        if len(hits.ids) < 2:
            return hits

        chosen = most_diverse(self._collection, query, hits.ids, k, diversity)
        return hits.in_order(chosen)

    def _probe(self, queries: Queries, k: int) -> list[Hits]:
        if self._restriction.few:
            return self._among_ids(queries, k)

        found: dict[int, Hits] = {}
        pending = list(range(len(queries)))
        largest = max(2 * k, _LARGEST_PROBE)
        limit = k
        if not self._restriction.whole:
            limit = max(_FIRST_PROBE, min(_PROBES_PER_HIT * k, largest))

        while pending:
            hits = self._find(queries[pending], limit, self._options)
            kept = self._restriction.keep(hits)
            fewest = limit
            for query, h, held in zip(list(pending), hits, kept, strict=True):
                if len(held.ids) >= k or len(h.ids) < limit:
                    found[query] = held.first(k)
                    pending.remove(query)
                else:
                    fewest = min(fewest, len(held.ids))

            limit = int(1.5 * limit * k / max(fewest, 1)) + 1
            if pending and (limit > largest or self._ids_are_quicker(limit)):
                rest = self._among_ids(queries[pending], k)
                found.update(zip(pending, rest, strict=True))
                break

        return [found[i] for i in range(len(queries))]

    def _ids_are_quicker(self, limit: int) -> bool:
        """Whether to read the ids of the view rather than look up so many hits."""
        return _SCANNED_PER_HIT * limit > self._restriction.num_samples

    def _among_ids(self, queries: Queries, k: int) -> list[Hits]:
        ids = self._restriction.ids()
        if not ids:
            return [Hits.none(self._with_samples) for _ in queries]

        if len(ids) > _MAX_ID_FILTER:
            return [self._rank_all(q).first(k) for q in queries[:, np.newaxis]]

        return self._find(queries, k, self._options, ids)

    def _rank_all(self, query: Queries, options: QueryOptions | None = None) -> Hits:
        """Ranks the whole index exactly, and keeps what the restriction holds."""
        total = max(1, self._collection.count())
        exactly = replace(options or self._options, exact=True, hnsw_ef=None)
        hits = self._find(query, total, exactly)
        return self._restriction.keep(hits)[0]

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
                for i in queries.ravel().tolist()
            ]

        vectors = cast(Matrix, queries)
        found = nearest(
            self._collection, vectors, wanted, options, ids, self._with_samples
        )
        if not self._without:
            return found

        return [h.without(self._without).first(k) for h in found]


def _unique(ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ids))
