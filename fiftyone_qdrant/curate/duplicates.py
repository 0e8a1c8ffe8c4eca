"""Near-duplicates that were found and kept: shown, tagged and deleted."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

import fiftyone as fo
import numpy as np

from fiftyone_qdrant.curate import stored
from fiftyone_qdrant.curate.freshness import deleted_since
from fiftyone_qdrant.curate.groups import Groups, NearDuplicates
from fiftyone_qdrant.curate.keeping import check_keep, ranks
from fiftyone_qdrant.curate.relabelling import add_tag
from fiftyone_qdrant.curate.review import open_groups, reviewed, without
from fiftyone_qdrant.dataset.samples import is_clips, is_frames, root_of
from fiftyone_qdrant.errors import CollectionError, ConfigError
from fiftyone_qdrant.runs import load_index

KIND = "find_near_duplicates"
GROUP, RANK, KEPT_TAG = "duplicate_group", "duplicate_rank", "kept"
"""Fields of a group's number, and of the place in it; and the tag of the kept one."""

_lock = threading.Lock()
_last: dict[str, tuple[Any, NearDuplicates]] = {}


def kept_duplicates(dataset: Any, brain_key: str) -> NearDuplicates:
    """Returns the near-duplicates of an index that were found last.

    Samples that were deleted since are left out. From the second time on it comes from
    this process's memory.

    Raises:
        ConfigError: if none were looked for
    """
    one = stored.latest(dataset, KIND, brain_key)
    if one is None:
        raise ConfigError(f"Find near-duplicates of index '{brain_key}' first")

    place, state = one.key, dataset.last_deletion_at
    with _lock:
        seen, found = _last.get(place, (None, None))

    if found is None or seen != state:
        found = stored.read(dataset, one)
        found = without(found, deleted_since(dataset, found, one.stamp))
        with _lock:
            _last.clear()
            _last[place] = (dataset.last_deletion_at, found)

    return found


def groups_at(
    dataset: Any, brain_key: str, threshold: float
) -> tuple[Groups, list[list[str]]]:
    """Returns the groups at a threshold, and those of them that are to be looked at.

    Raises:
        ConfigError: if none were looked for, or only at a smaller threshold
    """
    groups = kept_duplicates(dataset, brain_key).at(threshold)
    return groups, open_groups(groups, reviewed(dataset, brain_key))


def counts_at(dataset: Any, brain_key: str, threshold: float) -> tuple[int, int, int]:
    """Returns how many groups there are, how many go, and how many groups may stay.

    In milliseconds, so that a slider can be moved.

    Raises:
        ConfigError: if none were looked for, or only at a smaller threshold
    """
    groups = kept_duplicates(dataset, brain_key).at(threshold)
    seen = reviewed(dataset, brain_key)
    if not seen.ids:
        return groups.num_groups, groups.num_remove, 0

    left = open_groups(groups, seen)
    stay = groups.num_groups - len(left)
    return len(left), sum(map(len, left)) - len(left), stay


def duplicates_to_delete(dataset: Any, brain_key: str, threshold: float) -> list[str]:
    """Returns the ids that go at a threshold: no kept one, and of no reviewed group.

    What is kept is there: it is looked at anew what was deleted meanwhile.

    Raises:
        ConfigError: if none were looked for, or only at a smaller threshold; or if
            FiftyOne cannot delete them
    """
    home = load_index(dataset, brain_key).held.home
    if is_frames(home) or is_clips(home):
        raise ConfigError(
            "FiftyOne cannot delete frames or clips of a video. Tag them instead"
        )

    root_of(dataset).reload()
    with _lock:
        _last.clear()

    _, left = groups_at(dataset, brain_key, threshold)
    return [i for group in left for i in group[1:]]


def delete_duplicates(
    dataset: Any, brain_key: str, threshold: float, *, confirm: int | None = None
) -> int:
    """Deletes near-duplicates from the dataset and the index; files stay.

    Args:
        dataset: the dataset
        brain_key: the index
        threshold: the largest distance to the one that is kept in its place
        confirm (None): how many that are, counted by who wants it

    Returns:
        how many were deleted

    Raises:
        ConfigError: if ``confirm`` is another number; then none is deleted. And as
            :func:`duplicates_to_delete`
    """
    ids = duplicates_to_delete(dataset, brain_key, threshold)
    if confirm != len(ids):
        raise ConfigError(
            f"{len(ids):,} would be deleted. To delete them, give confirm={len(ids)}, "
            f"not {confirm!r}"
        )

    found, index = kept_duplicates(dataset, brain_key), load_index(dataset, brain_key)
    field = index.config.patches_field
    with suppress(CollectionError):  # others' collection: their sync removes them
        index.remove_from_index(
            sample_ids=ids if field is None else None,
            label_ids=None if field is None else ids,
        )

    if field is None:
        dataset.delete_samples(ids)
    else:
        dataset.delete_labels(ids=ids, fields=field)

    asked = {"threshold": found.threshold, "keep": found.keep}
    stored.keep(dataset, without(found, set(ids)), KIND, about=asked)
    return len(ids)


def show_groups(
    dataset: Any, brain_key: str, threshold: float, *, flat: bool = False
) -> Any:
    """Returns a view of the groups, one tile each: the kept one.

    The number of its group, and the place in it, are written to each sample.

    Args:
        dataset: the dataset
        brain_key: the index
        threshold: the largest distance
        flat (False): rather show all samples, group by group, the kept ones tagged.
            Labels of patches are always shown like this

    Raises:
        ConfigError: if there are no groups to look at at that threshold
    """
    _, left = groups_at(dataset, brain_key, threshold)
    if not left:
        raise ConfigError("There are no groups at this distance")

    held = load_index(dataset, brain_key).held
    there = held.still_there([i for group in left for i in group])
    kept = [group[0] for group in left if group[0] in there]  # or in another dataset
    left = [[i for i in group if i in there] for group in left]
    members = [i for group in left for i in group]
    home = held.flat(held.home)
    if held.patches_field is not None or is_frames(home) or is_clips(home):
        return ordered_view(dataset, brain_key, members)

    root = root_of(dataset)
    for name in (GROUP, RANK):
        if root.has_sample_field(name):
            root.clear_sample_field(name)
        else:
            root.add_sample_field(name, fo.IntField)

    numbers = [n for n, group in enumerate(left, start=1) for _ in group]
    ranks = [rank for group in left for rank in range(len(group))]
    for name, values in ((GROUP, numbers), (RANK, ranks)):
        given = dict(zip(members, values, strict=True))
        home.set_values(name, given, key_field="id")

    view = home.exists(GROUP)
    if flat:
        add_tag(dataset, brain_key, kept, KEPT_TAG)
        return view.sort_by([(GROUP, 1), (RANK, 1)])

    return view.group_by(GROUP, order_by=RANK)


def ordered_view(dataset: Any, brain_key: str, ids: list[str]) -> Any:
    """Returns a view of what an index holds, in the order of ids; patches as such."""
    held = load_index(dataset, brain_key).held
    if held.patches_field is None:
        return held.flat(held.home).select(ids, ordered=True)

    patches = held.some(ids).to_patches(held.patches_field)
    return patches.select(ids, ordered=True)


def keep_by(dataset: Any, brain_key: str, keep: str) -> NearDuplicates:
    """Changes which of near-duplicates is kept; nothing is searched again.

    Args:
        dataset: the dataset
        brain_key: the index
        keep: as for :func:`.pairs.near_duplicates`

    Raises:
        ConfigError: if there is no such rule or field, or none were looked for
    """
    found, index = kept_duplicates(dataset, brain_key), load_index(dataset, brain_key)
    check_keep(index, keep)
    closeness = np.zeros(len(found.ids))
    for end in (found.first, found.second):
        np.add.at(closeness, end.astype(np.int64), found.threshold - found.distances)

    paired = np.isfinite(found.nearest)
    fixed = int(found.fixed.sum())  # the first ones, which are kept by any rule
    mine = ranks(index, found.ids[fixed:], keep, paired[fixed:], closeness[fixed:])
    places = np.append(np.arange(fixed, dtype=np.int32), mine + np.int32(fixed))
    ranked = replace(found, keep=keep, ranks=places)
    asked = {"threshold": found.threshold, "keep": keep}
    stored.keep(dataset, ranked, KIND, about=asked)
    return ranked
