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

import fiftyone.core.media as fom
import fiftyone.core.patches as fop
import fiftyone.core.stages as fos
from bson import ObjectId

from .errors import ConfigError
from .hits import Hits

_FEW_IDS = 2_000  # a view known to be so small is searched by its ids at once
_VIEWS_REMEMBERED = 100


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
        """Whether it is a part known, without a look at the database, to be small."""
        if self.whole:
            return False

        if self._ids is not None:
            return len(self._ids) <= _FEW_IDS

        if self.hits_per_held == math.inf:
            return True

        if self._patches_field is not None and not self.samples._is_patches:
            return False  # a sample may have many labels

        stages = getattr(self.samples, "_stages", ())
        selections = [s for s in stages if isinstance(s, fos.Select)]
        return any(len(s.sample_ids) <= _FEW_IDS for s in selections)

    @property
    def hits_per_held(self) -> float | None:
        """How many hits it took for each that it held, at most, if it was asked before.

        Infinitely many if it is so small that its ids are better read.
        """
        return 1.0 if self.whole else self._experience.hits_per_held

    @property
    def num_samples(self) -> int:
        """About how many samples MongoDB looks at to read all ids."""
        return int(self.samples._dataset._sample_collection.estimated_document_count())

    def ids(self) -> list[str]:
        """Returns all its sample ids, or label ids when the hits are labels."""
        if self._ids is None:
            self._ids = read_ids(self.samples, self._patches_field)
            self._held = set(self._ids)
            if self.few:
                self._experience.hits_per_held = math.inf
            elif self.hits_per_held == math.inf:  # it has grown
                self._experience.hits_per_held = None

        return self._ids

    def keep(self, hits: Sequence[Hits]) -> list[Hits]:
        """Returns the hits that it holds, with at most one question to MongoDB."""
        unknown = [h.without(self._asked) for h in hits]
        if self._ids is None and any(h.ids for h in unknown):
            self._ask(unknown)

        return [h.among(self._held) for h in hits]

    def _ask(self, hits: Sequence[Hits]) -> None:
        documents = self._documents(hits)
        if documents is None:
            self.ids()
            return

        asked = {i for h in hits for i in h.ids}
        among = [{"$match": {"_id": {"$in": [ObjectId(i) for i in documents]}}}]
        self._held.update(read_ids(self.samples.mongo(among), self._patches_field))
        self._asked |= asked
        if not self.whole:
            per_held = len(asked) / max(1, len(asked & self._held))
            self._experience.hits_per_held = max(per_held, self.hits_per_held or 1.0)

    def _documents(self, hits: Sequence[Hits]) -> set[str] | None:
        """The ids of the documents in which the hits are, if that is known."""
        samples, field = self.samples, self._patches_field
        if samples._is_clips:
            return None

        if field is None and not samples._is_patches:
            return {i for h in hits for i in h.ids}

        if isinstance(samples, fop.PatchesView) and samples.patches_field == field:
            return {i for h in hits for i in h.ids}

        if not samples._is_patches:
            return {i for h in hits for i in h.sample_ids or ()}

        return None

    @cached_property
    def _experience(self) -> _Experience:
        stages = str(self.samples._serialize(include_uuids=False))
        dataset = str(self.samples._root_dataset._doc.id)
        return _experience_of(dataset, hash(stages), self._patches_field)


@dataclass
class _Experience:
    """What searches in a view have found out; it never decides what they find."""

    hits_per_held: float | None = None


@lru_cache(_VIEWS_REMEMBERED)
def _experience_of(dataset: str, stages: int, patches_field: str | None) -> _Experience:
    return _Experience()


def read_ids(samples: Any, patches_field: str | None) -> list[str]:
    """Returns the ids of samples, or of their labels; of groups the active slice's.

    Raises:
        ConfigError: if the samples do not have the field
    """
    if patches_field is None:
        if samples._is_patches or samples._is_clips:
            return list(samples.values("sample_id"))

        # as values("id"), whose making of 100,000 ObjectIds takes most of its time
        ids_only = {"$project": {"_id": False, "id": {"$toString": "$_id"}}}
        return [d["id"] for d in samples._aggregate(post_pipeline=[ids_only])]

    if not samples.has_field(patches_field):
        raise ConfigError(
            f"This index holds patches of '{patches_field}', which the view "
            "does not have. Query a view of samples, or of those patches"
        )

    _, path = samples._get_label_field_path(patches_field, "id")
    return [i for i in samples.values(path, unwind=True) if i is not None]
