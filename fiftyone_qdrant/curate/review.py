"""What people decided about near-duplicates and labels, kept with the dataset.

It is kept before anything is written, so that no old label is ever lost.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.curate import stored
from fiftyone_qdrant.curate.audit import LabelAudit
from fiftyone_qdrant.curate.groups import Groups, NearDuplicates
from fiftyone_qdrant.curate.relabelling import (
    LabelChanges,
    TagChanges,
    add_tag,
    change_labels,
    plan_labels,
    remove_tag,
)
from fiftyone_qdrant.dataset.samples import root_of
from fiftyone_qdrant.errors import ConfigError

ACCEPTED, IGNORED, TAGGED = "accepted", "ignored", "tagged"

_REVIEWED, _DECIDED = "reviewed_groups", "label_decisions"

_lock = threading.Lock()  # two clicks may be served at once


@dataclass(frozen=True)
class Reviewed:
    """Groups of near-duplicates that a person wants to keep as they are.

    Attributes:
        brain_key: the index whose ids these are
        ids: the members of all groups, one group after the other
        starts: int64: where each group starts in ``ids``
    """

    brain_key: str
    ids: list[str]
    starts: npt.NDArray[np.int64]

    @cached_property
    def _groups_of(self) -> dict[str, set[int]]:
        found: dict[str, set[int]] = {}
        rows = np.searchsorted(self.starts, np.arange(len(self.ids)), "right")
        for i, group in zip(self.ids, rows.tolist(), strict=True):
            found.setdefault(i, set()).add(group)

        return found

    def has(self, group: Sequence[str]) -> bool:
        """Whether all members of a group were seen together."""
        common = set(self._groups_of.get(group[0], ()))
        for i in group[1:]:
            common &= self._groups_of.get(i, set())

        return bool(common)


@dataclass(frozen=True)
class Decisions:
    """What was done about the labels of one field, in order.

    Attributes:
        brain_key: the index whose ids these are
        field: the label field
        ids: sample ids, or label ids of patches
        actions: what was done about each: accepted, ignored or tagged
        before: the label that each had
        after: the label that each got, or else its tag
        steps: int64: what was done at once has the same number
    """

    brain_key: str
    field: str
    ids: list[str]
    actions: list[str]
    before: list[str]
    after: list[str]
    steps: npt.NDArray[np.int64]

    @property
    def labels(self) -> dict[str, str]:
        """The label that each got which was accepted."""
        rows = zip(self.ids, self.actions, self.after, strict=True)
        return {i: after for i, action, after in rows if action == ACCEPTED}

    @property
    def settled(self) -> set[str]:
        """The ids that need not be looked at any more."""
        rows = zip(self.ids, self.actions, strict=True)
        return {i for i, action in rows if action != TAGGED}

    @property
    def right(self) -> dict[str, str]:
        """The labels that were found right, by id."""
        rows = zip(self.ids, self.actions, self.before, strict=True)
        return {i: label for i, action, label in rows if action == IGNORED}


def without(answer: NearDuplicates, gone: set[str]) -> NearDuplicates:
    """Returns near-duplicates without ids that are gone."""
    if not gone:
        return answer

    there = np.array([i not in gone for i in answer.ids], bool)
    kept = there[answer.first] & there[answer.second]
    place = np.cumsum(there) - 1
    order = np.argsort(np.argsort(answer.ranks[there], kind="stable"), kind="stable")
    return replace(
        answer,
        ids=[i for i in answer.ids if i not in gone],
        first=place[answer.first[kept]].astype(np.int32),
        second=place[answer.second[kept]].astype(np.int32),
        distances=answer.distances[kept],
        same_file=answer.same_file[kept],
        nearest=answer.nearest[there],
        ranks=order.astype(np.int32),
        fixed=answer.fixed[there],
    )


def reviewed(dataset: Any, brain_key: str) -> Reviewed:
    """Returns the groups that were reviewed: kept from one search to the next."""
    one = stored.latest(dataset, _REVIEWED, brain_key)
    if one is None:
        return Reviewed(brain_key, [], np.empty(0, np.int64))

    found: Reviewed = stored.read(dataset, one)
    return found


def review(dataset: Any, brain_key: str, groups: Iterable[Sequence[str]]) -> Reviewed:
    """Notes that groups were looked at, and are to stay."""
    with _lock:
        root_of(dataset).reload()  # others may have noted something
        now = reviewed(dataset, brain_key)
        ids, starts = list(now.ids), now.starts.tolist()
        for group in groups:
            if not now.has(group):
                starts.append(len(ids))
                ids.extend(group)

        changed = replace(now, ids=ids, starts=np.array(starts, np.int64))
        stored.keep(dataset, changed, _REVIEWED)
        return changed


def forget_reviews(dataset: Any, brain_key: str) -> None:
    """Has all groups be looked at again."""
    for one in stored.stored(dataset, _REVIEWED, brain_key):
        stored.forget(dataset, one)


def open_groups(groups: Groups, seen: Reviewed) -> list[list[str]]:
    """Returns those groups that were not reviewed, the kept one of each first."""
    if not seen.ids:
        return groups.groups

    return [group for group in groups.groups if not seen.has(group)]


def decisions(dataset: Any, brain_key: str, field: str) -> Decisions:
    """Returns what was decided about labels: kept from one audit to the next."""
    one = stored.latest(dataset, _DECIDED, brain_key, field)
    if one is None:
        return Decisions(brain_key, field, [], [], [], [], np.empty(0, np.int64))

    found: Decisions = stored.read(dataset, one)
    return found


def accept(dataset: Any, audit: LabelAudit, ids: Sequence[str]) -> int:
    """Gives labels the suggestion of an audit; returns how many changed.

    Raises:
        ConfigError: if there is no suggestion for an id
    """
    rows = zip(audit.ids, audit.suggestions, strict=True)
    new = zip(audit.new_ids, audit.new_suggestions, strict=True)
    said = {i: label for i, label in [*rows, *new] if label}
    missing = [i for i in ids if i not in said]
    if missing:
        raise ConfigError(f"There is no suggestion for '{missing[0]}'")

    key, field = audit.brain_key, audit.field
    changes = plan_labels(dataset, key, field, {i: said[i] for i in ids})
    _note(dataset, audit, ACCEPTED, changes.ids, changes.before, changes.after)
    return len(change_labels(dataset, changes))


def ignore(dataset: Any, audit: LabelAudit, ids: Sequence[str]) -> int:
    """Notes that labels are right; writes nothing to samples."""
    label_of = dict(zip(audit.ids, audit.labels, strict=True))
    before = [label_of.get(i, "") for i in ids]
    _note(dataset, audit, IGNORED, list(ids), before, before)
    return len(ids)


def tag(dataset: Any, audit: LabelAudit, ids: Sequence[str], name: str) -> int:
    """Tags samples, or labels of patches; returns how many had not had the tag."""
    changes = add_tag(dataset, audit.brain_key, ids, name)
    new = changes.ids
    _note(dataset, audit, TAGGED, new, [""] * len(new), [name] * len(new))
    return len(new)


def undo(dataset: Any, brain_key: str, field: str) -> str | None:
    """Undoes what was decided last; returns it in words, or ``None`` if nothing was.

    What somebody else has changed in between stays.
    """
    with _lock:
        root_of(dataset).reload()
        return _undo(dataset, brain_key, field)


def _undo(dataset: Any, brain_key: str, field: str) -> str | None:
    now = decisions(dataset, brain_key, field)
    if not now.ids:
        return None

    last = np.flatnonzero(now.steps == now.steps.max()).tolist()
    ids, before, after = (
        [column[n] for n in last] for column in (now.ids, now.before, now.after)
    )
    action = now.actions[last[0]]
    if action == ACCEPTED:
        changes = LabelChanges(brain_key, field, ids, before, after)
        change_labels(dataset, changes.reverse)
    elif action == TAGGED:
        remove_tag(dataset, TagChanges(brain_key, after[0], ids))

    rest = np.flatnonzero(now.steps != now.steps.max()).tolist()
    stored.keep(dataset, _rows(now, rest), _DECIDED, slot=field)
    return f"{len(ids):,} no longer {action}"


def _rows(now: Decisions, rows: list[int]) -> Decisions:
    return replace(
        now,
        ids=[now.ids[n] for n in rows],
        actions=[now.actions[n] for n in rows],
        before=[now.before[n] for n in rows],
        after=[now.after[n] for n in rows],
        steps=now.steps[rows],
    )


def _note(
    dataset: Any,
    audit: LabelAudit,
    action: str,
    ids: list[str],
    before: list[str],
    after: list[str],
) -> None:
    if not ids:
        return

    with _lock:
        root_of(dataset).reload()  # others may have decided something
        now = decisions(dataset, audit.brain_key, audit.field)
        step = int(now.steps.max(initial=-1)) + 1
        changed = replace(
            now,
            ids=[*now.ids, *ids],
            actions=[*now.actions, *[action] * len(ids)],
            before=[*now.before, *before],
            after=[*now.after, *after],
            steps=np.concatenate([now.steps, np.full(len(ids), step, np.int64)]),
        )
        stored.keep(dataset, changed, _DECIDED, slot=audit.field)
