"""Whether an answer that is kept still is about the index and labels as they are.

Any write to a sample, a tag as well, moves its time in MongoDB. So that tells only
whose labels are to be compared. Of the index its collection, its size and some of its
vectors tell whether it changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fiftyone_qdrant.curate.label_field import LabelField
from fiftyone_qdrant.dataset.samples import root_of
from fiftyone_qdrant.errors import CollectionNotFound, ConfigError, IndexNotFound
from fiftyone_qdrant.runs import load_index

_PROBES = 256
_OVERLAP = 300.0  # seconds: samples are dated before the write of many has ended
_MOST = 100_000  # samples written since whose labels are compared


@dataclass(frozen=True)
class Stamp:
    """The state of what an answer depends on.

    Attributes:
        collection: of its index
        points: how many it held
        probe: what some of its vectors hash to
        written: when a sample was last written, in seconds since the epoch
        deleted: when one was last deleted, likewise
    """

    collection: str
    points: int
    probe: str
    written: float
    deleted: float

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain values."""
        return asdict(self)


def stamp_of(dataset: Any, answer: Any) -> Stamp:
    """Returns the state of what an answer depends on, as it is now."""
    index = load_index(dataset, answer.brain_key)
    return _stamp(index, answer)


def why_outdated(
    dataset: Any, answer: Any, then: Stamp, known: Mapping[str, str] | None = None
) -> str | None:
    """Says what changed since an answer was given, or ``None``.

    Tags, fields and labels other than those that it is about do not count, and neither
    do samples that were deleted.

    Args:
        dataset: the dataset
        answer: the answer
        then: the state then
        known (None): labels that were changed because of the answer, by id
    """
    try:
        index = load_index(dataset, answer.brain_key)
        now = _stamp(index, answer)
    except (IndexNotFound, CollectionNotFound):
        return f"Index '{answer.brain_key}' is gone"

    if now.collection != then.collection:
        return f"Index '{answer.brain_key}' was made anew"

    if now.points != then.points:
        return (
            f"Index '{answer.brain_key}' held {then.points:,} then, and holds "
            f"{now.points:,} now"
        )

    if now.probe != then.probe:
        return f"Embeddings in index '{answer.brain_key}' have changed"

    if getattr(answer, "labels", None) and now.written != then.written:
        return _labels_changed(index, answer, then, known or {})

    return None


def deleted_since(dataset: Any, answer: Any, then: Stamp) -> set[str]:
    """Returns which ids of an answer the dataset has no more."""
    index = load_index(dataset, answer.brain_key)
    dataset.reload()
    written, deleted = index.held.written_until()
    labels = index.config.patches_field is not None  # whose deletion is a write
    if deleted == then.deleted and not (labels and written != then.written):
        return set()

    ids = [*answer.ids, *getattr(answer, "new_ids", ())]
    if getattr(answer, "fixed", None) is not None:  # those may be of another dataset
        ids = [i for i, fixed in zip(ids, answer.fixed, strict=True) if not fixed]

    return set(ids) - index.held.still_there(ids)


def _stamp(index: Any, answer: Any) -> Stamp:
    root_of(index.samples).reload()
    index.collection.forget()
    written, deleted = index.held.written_until()
    return Stamp(
        index.config.collection_name,
        index.total_index_size,
        _probe(index, answer.ids),
        written,
        deleted,
    )


def _probe(index: Any, ids: Sequence[str]) -> str:
    step = max(1, len(ids) // _PROBES)
    asked = list(ids[::step])[:_PROBES]
    if not asked:
        return ""

    vectors = index.contents.retrieved(asked, allow_missing=True)[0]
    return hashlib.sha1(vectors.tobytes(), usedforsecurity=False).hexdigest()


def _labels_changed(
    index: Any, answer: Any, then: Stamp, known: Mapping[str, str]
) -> str | None:
    try:
        field = LabelField(index, answer.field)
    except ConfigError:
        return f"Field '{answer.field}' is gone"

    written = index.held.written_since(then.written - _OVERLAP).limit(_MOST)
    ids = set(index.held.wanted(written))
    then_of = dict(zip(answer.ids, answer.labels, strict=True))
    then_of.update(dict.fromkeys(answer.new_ids, ""))
    compared = [i for i in then_of if i in ids]
    now_of = field.read_of(compared)
    changed = 0
    for i in compared:
        now = now_of.get(i, "")
        changed += now not in (then_of[i], known.get(i, then_of[i]))

    if not changed:
        return None

    return f"{changed:,} labels of '{answer.field}' have changed"
