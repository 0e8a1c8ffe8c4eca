"""Nearest neighbors within a FiftyOne view, at a cost that does not grow with it.

Qdrant knows points, MongoDB knows which of them a view holds. So the best hits of
the whole index are asked for first, and MongoDB says which of them the view holds;
only when too few remain is Qdrant given ids to search among. Hits of samples that
are no longer in the dataset fall out on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import fiftyone.core.media as fom
import fiftyone.core.patches as fop
import numpy as np

from .collection import Collection, Hits
from .points import Matrix

_FIRST_PROBE = 100  # hits asked for at first, at least
_LARGEST_PROBE = 5_000  # hits that MongoDB is asked about at most
_MAX_ID_FILTER = 20_000  # ids sent to Qdrant at most; more are filtered here


class Restriction:
    """The samples or labels of a collection of samples, which hits must be in.

    Args:
        samples: a :class:`fiftyone.core.collections.SampleCollection`
        patches_field: the label field, when the hits are labels
        whole: whether ``samples`` is everything that was indexed
    """

    def __init__(self, samples: Any, patches_field: str | None, whole: bool) -> None:
        if samples.media_type == fom.GROUP:
            samples = samples.select_group_slices(_allow_mixed=True)

        self.whole = whole
        self._samples = samples
        self._patches_field = patches_field
        self._ids: list[str] | None = None

    def ids(self) -> list[str]:
        """Returns all its sample ids, or label ids when the hits are labels."""
        if self._ids is None:
            self._ids = self._read_ids(self._samples)

        return self._ids

    def holds(self, hits: Sequence[Hits]) -> list[list[bool]]:
        """Returns which hits of each query it holds, in one question to MongoDB."""
        few = self._few(hits)
        held = set(self._read_ids(self._select(hits)) if few else self.ids())
        return [[i in held for i in h.ids] for h in hits]

    def _few(self, hits: Sequence[Hits]) -> bool:
        return self._ids is None and sum(len(h.ids) for h in hits) <= _LARGEST_PROBE

    def _select(self, hits: Sequence[Hits]) -> Any:
        """The part of the samples in which the hits are, if they are in them."""
        samples, field = self._samples, self._patches_field
        if field is None and not samples._is_patches:
            return samples.select(_unique(i for h in hits for i in h.ids))

        if isinstance(samples, fop.PatchesView) and samples.patches_field == field:
            return samples.select(_unique(i for h in hits for i in h.ids))

        if not samples._is_patches:
            return samples.select(_unique(i for h in hits for i in h.sample_ids or ()))

        return samples

    def _read_ids(self, samples: Any) -> list[str]:
        if self._patches_field is None:
            return list(samples.values("sample_id" if samples._is_patches else "id"))

        _, path = samples._get_label_field_path(self._patches_field, "id")
        return [i for i in samples.values(path, unwind=True) if i is not None]


def nearest(
    collection: Collection,
    queries: Matrix,
    k: int | None,
    restriction: Restriction,
    reverse: bool = False,
    with_samples: bool = False,
) -> list[Hits]:
    """Returns the best hits of each query that the restriction holds.

    Args:
        collection: where to search
        queries: float32, shape ``(num_queries, size)``
        k: the number of hits per query, or ``None`` for all
        restriction: what the hits must be in
        reverse: return the farthest, farthest first
        with_samples: whether to return the sample of each hit
    """
    if k is None:
        return _rank_all(collection, queries, None, restriction, reverse, with_samples)

    found: dict[int, Hits] = {}
    pending = list(range(len(queries)))
    limit = k if restriction.whole else max(_FIRST_PROBE, 10 * k)
    while pending and 0 < limit <= max(k, _LARGEST_PROBE // len(pending)):
        hits = collection.nearest(
            queries[pending], limit, reverse=reverse, with_samples=with_samples
        )
        fewest = limit
        for query, h, mask in zip(
            list(pending), hits, restriction.holds(hits), strict=True
        ):
            kept = h.keep(mask)
            if len(kept.ids) >= k or len(h.ids) < limit:
                found[query] = kept.first(k)
                pending.remove(query)
            else:
                fewest = min(fewest, len(kept.ids))

        if fewest == 0 and limit > k:
            break  # a view so small that its ids are the quicker way

        limit = int(1.5 * limit * k / max(fewest, 1)) + 1

    if pending:
        rest = _among_ids(
            collection, queries[pending], k, restriction, reverse, with_samples
        )
        found.update(zip(pending, rest, strict=True))

    return [found[i] for i in range(len(queries))]


def _among_ids(
    collection: Collection,
    queries: Matrix,
    k: int,
    restriction: Restriction,
    reverse: bool,
    with_samples: bool,
) -> list[Hits]:
    ids = restriction.ids()
    if not ids:
        return [Hits([], [] if with_samples else None, np.empty(0)) for _ in queries]

    if len(ids) > _MAX_ID_FILTER:
        return _rank_all(collection, queries, k, restriction, reverse, with_samples)

    return collection.nearest(
        queries, k, ids=ids, reverse=reverse, with_samples=with_samples
    )


def _rank_all(
    collection: Collection,
    queries: Matrix,
    k: int | None,
    restriction: Restriction,
    reverse: bool,
    with_samples: bool,
) -> list[Hits]:
    """Ranks the whole index exactly, query by query, and filters it here."""
    held = set(restriction.ids())
    total = max(1, collection.count())
    ranked = []
    for query in queries:
        (hits,) = collection.nearest(
            query[np.newaxis], total, None, True, reverse, with_samples
        )
        kept = hits.keep([i in held for i in hits.ids])
        ranked.append(kept if k is None else kept.first(k))

    return ranked


def move_to_front(hits: Hits, item: str) -> Hits:
    """Returns the hits with ``item`` first, if it is among them.

    Exact duplicates of a query tie with it; FiftyOne wants the query itself first.
    """
    if item not in hits.ids:
        return hits

    row = hits.ids.index(item)
    order = [row, *(i for i in range(len(hits.ids)) if i != row)]
    samples = hits.sample_ids
    return Hits(
        [hits.ids[i] for i in order],
        None if samples is None else [samples[i] for i in order],
        hits.scores[order],
    )


def _unique(ids: Any) -> list[str]:
    return list(dict.fromkeys(ids))
