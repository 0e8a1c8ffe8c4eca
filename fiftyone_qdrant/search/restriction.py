"""The samples or labels that hits must be in: those of a FiftyOne view.

MongoDB says which of some hits a view holds, or which ids it has at all. How many hits
it took is remembered, so that the next search in that view asks for no more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import fiftyone.core.patches as fop
from bson import ObjectId

from fiftyone_qdrant.dataset.held import Held
from fiftyone_qdrant.dataset.samples import (
    dataset_id,
    documents_of,
    is_patches,
    selected_ids,
    stages_of,
    uses_index,
)
from fiftyone_qdrant.search.hits import Hits

MAX_ID_FILTER = 20_000
"""How many ids are sent to Qdrant at most; hits of more are filtered here."""

_FEW_IDS = 2_000  # a view known to be so small is searched by its ids at once
_VIEWS_REMEMBERED = 100


class Restriction:
    """The samples or labels of a collection of samples, which hits must be in.

    Args:
        samples: a :class:`fiftyone.core.collections.SampleCollection`
        held: what the index holds
        whole: whether ``samples`` is everything that was indexed

    Attributes:
        samples: the flat collection that hits must be in
        whole: as given

    Raises:
        ConfigError: if ``samples`` does not show what the index holds
    """

    def __init__(self, samples: Any, held: Held, whole: bool) -> None:
        held.check(samples)
        self.whole = whole
        self.samples = held.flat(samples)
        self._kind = held
        self._patches_field = held.patches_field
        self._ids: list[str] | None = None
        self._asked: set[str] = set()
        self._held: set[str] = set()

    @property
    def few(self) -> bool:
        """Whether it is a part known, without a look at the database, to be small."""
        if self.whole:
            return False

        if self._ids is not None:
            return len(self._ids) <= _FEW_IDS

        if self.hits_per_held == math.inf:
            return True

        if self._patches_field is not None and not is_patches(self.samples):
            return False  # a sample may have many labels

        return any(len(ids) <= _FEW_IDS for ids in selected_ids(self.samples))

    @property
    def hits_per_held(self) -> float | None:
        """How many hits it took for each that it held, at most, if it was asked before.

        Infinitely many if it is so small that its ids are better read.
        """
        return 1.0 if self.whole else self._experience.hits_per_held

    @property
    def by_index(self) -> bool:
        """Whether MongoDB finds its samples by an index; it is asked once for a view.

        Then its ids are read without a look at all of the dataset.
        """
        known = self._experience.by_index
        if known is None:
            known = self._experience.by_index = uses_index(self.samples)

        return known

    def remember_few(self) -> None:
        """Has the next search in it read its ids at once."""
        self._experience.hits_per_held = math.inf

    @property
    def num_samples(self) -> int:
        """About how many samples MongoDB looks at to read all ids."""
        return int(documents_of(self.samples).estimated_document_count())

    def ids(self) -> list[str]:
        """Returns all its sample ids, or label ids when the hits are labels."""
        if self._ids is None:
            if self._made_before:
                self._ids = sorted(set(self._kind.existing()))
            else:
                self._ids = self._kind.ids(self.samples)

            self._held = set(self._ids)
            if self.few:
                self._experience.hits_per_held = math.inf
            elif self.hits_per_held == math.inf:
                most = MAX_ID_FILTER if self._experience.by_index else _FEW_IDS
                if len(self._ids) > most:  # it has grown
                    self._experience.hits_per_held = None

        return self._ids

    def keep(self, hits: Sequence[Hits]) -> list[Hits]:
        """Returns the hits that it holds, with at most one question to MongoDB."""
        unknown = [h.without(self._asked) for h in hits]
        if self._ids is None and any(h.ids for h in unknown):
            self._ask(unknown)

        return [h.among(self._held) for h in hits]

    @property
    def _made_before(self) -> bool:
        """Whether ``samples`` are copies, which the dataset may have outgrown."""
        return self.whole and self._kind.remakes

    def _ask(self, hits: Sequence[Hits]) -> None:
        if self._made_before:
            for h in hits:
                self._held |= self._kind.still_there(h.ids, h.sample_ids)
                self._asked.update(h.ids)

            return

        documents = self._documents(hits)
        if documents is None:
            self.ids()
            return

        asked = {i for h in hits for i in h.ids}
        among = [{"$match": {"_id": {"$in": [ObjectId(i) for i in documents]}}}]
        self._held.update(self._kind.ids(self.samples.mongo(among)))
        self._asked |= asked
        if not self.whole:
            per_held = len(asked) / max(1, len(asked & self._held))
            self._experience.hits_per_held = max(per_held, self.hits_per_held or 1.0)

    def _documents(self, hits: Sequence[Hits]) -> set[str] | None:
        """The ids of the documents in which the hits are, if that is known."""
        samples, field = self.samples, self._patches_field
        if isinstance(samples, fop.PatchesView) and samples.patches_field == field:
            return {i for h in hits for i in h.ids}

        if self._kind.in_parts(samples):
            return None

        if field is None:
            return {i for h in hits for i in h.ids}

        return {i for h in hits for i in h.sample_ids or ()}

    @cached_property
    def _experience(self) -> _Experience:
        stages = str(stages_of(self.samples))
        dataset = str(dataset_id(self.samples))
        return _experience_of(dataset, hash(stages), self._patches_field)


@dataclass
class _Experience:
    """What searches in a view have found out; it never decides what they find."""

    hits_per_held: float | None = None
    by_index: bool | None = None


@lru_cache(_VIEWS_REMEMBERED)
def _experience_of(dataset: str, stages: int, patches_field: str | None) -> _Experience:
    return _Experience()
