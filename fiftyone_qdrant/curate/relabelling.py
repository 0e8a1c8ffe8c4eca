"""Changing labels and tags after an audit, so that it can be undone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fiftyone_qdrant.curate.label_field import LabelField, parts
from fiftyone_qdrant.dataset.held import Held
from fiftyone_qdrant.dataset.samples import label_path
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.runs import load_index


@dataclass(frozen=True)
class LabelChanges:
    """Changes of labels, planned or made: what is needed to make and to undo them.

    Keep it before :func:`change_labels`, and no old label is ever lost.

    Attributes:
        brain_key: the index whose ids these are
        field: the label field
        ids: sample ids, or label ids of patches
        before: the label that each had, empty for none
        after: the label that each gets, empty for none
    """

    brain_key: str
    field: str
    ids: list[str]
    before: list[str]
    after: list[str]

    @property
    def reverse(self) -> LabelChanges:
        """What undoes these."""
        return LabelChanges(
            self.brain_key, self.field, self.ids, self.after, self.before
        )


@dataclass(frozen=True)
class TagChanges:
    """A tag that some got, who did not have it.

    Attributes:
        brain_key: the index whose ids these are
        tag: the tag
        ids: the sample ids, or label ids of patches, that had not had it
    """

    brain_key: str
    tag: str
    ids: list[str]


def plan_labels(
    dataset: Any, brain_key: str, field: str, labels: Mapping[str, str]
) -> LabelChanges:
    """Returns what :func:`change_labels` would change; writes nothing.

    Args:
        dataset: the dataset
        brain_key: the index whose ids these are
        field: the label field
        labels: the label that each id is to have; such as the suggestions of an audit

    Raises:
        ConfigError: if the field has no labels of what the index holds, or a label is
            no text
    """
    for i, label in labels.items():
        if not isinstance(label, str) or not label.strip():
            raise ConfigError(f"The new label of '{i}' must be text, not {label!r}")

    now = LabelField(load_index(dataset, brain_key), field).read_of(list(labels))
    ids = [i for i, label in labels.items() if now.get(i) != label]
    before = [now.get(i, "") for i in ids]
    return LabelChanges(brain_key, field, ids, before, [labels[i] for i in ids])


def change_labels(dataset: Any, changes: LabelChanges) -> list[str]:
    """Makes changes; to undo them, give ``changes.reverse``.

    What somebody has changed in between, or deleted, is left alone.

    Args:
        dataset: the dataset
        changes: as :func:`plan_labels` returns them

    Returns:
        the ids whose labels were changed
    """
    label_field = LabelField(load_index(dataset, changes.brain_key), changes.field)
    now = label_field.read_of(changes.ids)
    there = label_field.index.held.still_there(changes.ids)
    new = {
        i: after or None
        for i, before, after in zip(
            changes.ids, changes.before, changes.after, strict=True
        )
        if i in there and now.get(i, "") == before
    }
    label_field.write(new)
    return list(new)


def add_tag(dataset: Any, brain_key: str, ids: Sequence[str], tag: str) -> TagChanges:
    """Tags samples, or labels of patches; returns which of them did not have the tag.

    Raises:
        ConfigError: if the tag is no text
    """
    if not isinstance(tag, str) or not tag.strip():
        raise ConfigError("Give the tag to add, such as 'doubtful'")

    held = load_index(dataset, brain_key).held
    new: list[str] = []
    for view, part in parts(held, ids):
        there = held.still_there(part).difference(_tagged(held, view, tag))
        new.extend(i for i in part if i in there)

    changes = TagChanges(brain_key, tag, new)
    for view, _ in parts(held, new):
        if held.patches_field is None:
            view.tag_samples(tag)
        else:
            view.tag_labels(tag, held.patches_field)

    return changes


def remove_tag(dataset: Any, changes: TagChanges) -> None:
    """Undoes :func:`add_tag`."""
    held = load_index(dataset, changes.brain_key).held
    for view, _ in parts(held, changes.ids):
        if held.patches_field is None:
            view.untag_samples(changes.tag)
        else:
            view.untag_labels(changes.tag, held.patches_field)


def _tagged(held: Held, view: Any, tag: str) -> list[str]:
    if held.patches_field is None:
        return list(view.match_tags(tag).values("id"))

    labels = view.select_labels(tags=tag, fields=held.patches_field)
    return list(labels.values(label_path(view, held.patches_field, "id"), unwind=True))
