"""Notices by itself that a dataset has changed, without reading all of it.

Any write to a sample moves its ``last_modified_at``, tags and our own fields as well:
that gives candidates, and these alone are compared. Deletions move a time of the
dataset. Both are asked for in a moment, whatever the size of the dataset.
"""

from __future__ import annotations

from dataclasses import replace

from fiftyone_qdrant.dataset.samples import root_of
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.ingest.pictures import are_compared, compare_some
from fiftyone_qdrant.ingest.sync import changed_among
from fiftyone_qdrant.packed import pack
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status import background, coverage
from fiftyone_qdrant.status.activity import PLUGIN
from fiftyone_qdrant.status.jobs import now_by_mongodb, running_jobs
from fiftyone_qdrant.status.looks import Look, last_look, note_look

OFF, TELL, AUTO = "off", "tell", "auto"
"""What is done about changes: nothing, it is told, or the index is synced."""

QUIET = 30.0
"""Seconds that nothing must have been written before it is compared."""

SYNC = PLUGIN + "sync_index"
_OVERLAP = 300.0  # seconds: samples are dated before the write of many has ended
_SLICE = 0.2  # seconds that files are compared for at each look


def mode_of(index: QdrantSimilarityIndex) -> str:
    """Returns what is done about changes, as it is kept with the run."""
    return index.config.keep_in_step or TELL


def keep(index: QdrantSimilarityIndex, mode: str) -> None:
    """Chooses what is done about changes from now on, in whatever process.

    Raises:
        ConfigError: if there is no such mode
    """
    if mode not in (OFF, TELL, AUTO):
        raise ConfigError(f"Choose '{OFF}', '{TELL}' or '{AUTO}', not '{mode}'")

    index.config.keep_in_step = mode
    index.save_config()


def attend(index: QdrantSimilarityIndex) -> Look | None:
    """Looks at an index and does what its mode says.

    ``"auto"`` starts a sync of the whole dataset in a process of its own, once for
    what was noticed, unless the index was of a part of the dataset: then a person has
    to say which.

    Returns:
        what was noticed, or ``None`` if nothing is to be
    """
    mode = mode_of(index)
    if mode == OFF:
        return None

    found = _with_pictures(index, look(index))
    if mode != AUTO or found.in_step or found.tried:
        return found

    if found.whole:
        dataset, key = root_of(index.samples), str(index.key)
        found = replace(found, tried=True)
        note_look(dataset, key, found)
        params = {"brain_key": key, "view_target": "DATASET"}
        compare = bool(found.changed or found.pictures)
        request = {"params": {**params, "compare": compare}}
        background.start(dataset, "sync", key, SYNC, request)

    return found


def _with_pictures(index: QdrantSimilarityIndex, found: Look) -> Look:
    """Adds what is known of the files of an index, of which a slice is compared."""
    if not are_compared(index):
        return found

    seen = compare_some(index, _SLICE)
    if found.pictures == seen.changed:
        return found

    found = replace(found, pictures=seen.changed, tried=False)
    note_look(root_of(index.samples), str(index.key), found)
    return found


def look(index: QdrantSimilarityIndex) -> Look:
    """Compares what was written since an index was last seen to be in step.

    An index that ours made is known to have been in step when it was made. Of another,
    the first look finds nothing: it notes from when on. Nothing is changed.

    Args:
        index: the index

    Returns:
        the last look, which is this one unless nothing was written since, or something
        is still being written
    """
    dataset, key = root_of(index.samples), str(index.key)
    state, points = index.held.signs(), index.total_index_size
    before = last_look(dataset, key)
    if before is not None and (before.state, before.points) == (state, points):
        return before

    now, (newest, deleted) = now_by_mongodb(), index.held.written_until()
    busy = key in {job.brain_key for job in running_jobs(dataset)}
    quiet = now - max(newest, deleted) >= QUIET
    if before is not None and (busy or not quiet):
        return before

    grown = before is not None and before.whole and points >= before.points
    whole = grown or points >= coverage.count(index)
    found = Look(now, state, points, newest, deleted, whole)
    if before is not None:
        found = replace(found, pictures=before.pictures)
        found = _compared(index, before, found)

    note_look(dataset, key, found)
    return found


def _compared(index: QdrantSimilarityIndex, before: Look, found: Look) -> Look:
    if not index.held.tells_all:
        return _compared_by_ids(index, before, found)

    held, having = index.held, coverage.source_field(index)
    written = held.written_since(before.since - _OVERLAP)
    ids = held.wanted(written, having)
    indexed = index.collection.present(ids)
    missing = set(ids) - indexed
    if missing and not before.whole:  # what was left out on purpose stays out
        made = held.written_since(before.since, made=True)
        missing.intersection_update(held.wanted(made, having))

    both = pack(i for i in ids if i in indexed)
    changed, gone = changed_among(index, written, both), 0
    if found.deleted != before.deleted:
        gone = len(coverage.compare(index).left)

    found = replace(found, missing=len(missing), changed=len(changed), gone=gone)
    return _still_open(before, found)


def _compared_by_ids(index: QdrantSimilarityIndex, before: Look, found: Look) -> Look:
    """The same of frames and clips, which tell too little: all ids are compared."""
    ids = coverage.compare(index)
    missing = len(ids.lacking) if before.whole else 0
    return _still_open(before, replace(found, missing=missing, gone=len(ids.left)))


def _still_open(before: Look, found: Look) -> Look:
    if not (found.missing or found.changed or found.gone):
        return found

    return replace(
        found, since=before.since, deleted=before.deleted, whole=before.whole
    )
