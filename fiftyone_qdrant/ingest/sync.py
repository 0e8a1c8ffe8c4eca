"""An index in step with its dataset: what drifted, and just that mended."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.dataset.held import Held
from fiftyone_qdrant.dataset.samples import dataset_of, is_frames, root_of
from fiftyone_qdrant.errors import CollectionNotFound, ConfigError, IngestInterrupted
from fiftyone_qdrant.ingest.batches import Ingested, Progress
from fiftyone_qdrant.ingest.ingest import INGEST_ENDS, add_ids, note_if_finished
from fiftyone_qdrant.ingest.pictures import (
    are_compared,
    changed_files,
    forget_round,
)
from fiftyone_qdrant.ingest.sources import from_field, why_not_embed
from fiftyone_qdrant.packed import Packed, among, blocks, pack, unpack
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status import background, coverage
from fiftyone_qdrant.status.looks import look_again

_BATCH = 2048
_COMPARED = 100_000  # ids that are strings at a time
_RECENT = 60.0  # seconds


_comparing = threading.Lock()
_recent: tuple[tuple[Any, ...], float, Drift] | None = None


@dataclass(frozen=True)
class Drift:
    """How an index and its dataset differ, in ids of what the index holds.

    Attributes:
        missing: in the dataset, not in the index
        orphans: in the index, no longer in the dataset
        changed: in both, with another embedding in the embeddings field; if a model
            makes the embeddings, with another file than it embedded
        compared: whether the embeddings, or the files, were compared
        behind: in both, but missing or different on one of several replicas
        shared: why points of others are left alone, so that there are no orphans, or
            ``None``
        obstacle: why it cannot be mended, or ``None``
    """

    missing: list[str]
    orphans: list[str]
    changed: list[str]
    shared: str | None = None
    compared: bool = True
    behind: list[str] = field(default_factory=list)
    obstacle: str | None = None

    @property
    def summary(self) -> str:
        """The same as one sentence."""
        text = "Up to date"
        if self.missing or self.orphans or self.changed:
            text = (
                f"{len(self.missing):,} missing, {len(self.orphans):,} orphans (to be "
                f"removed), {len(self.changed):,} changed"
            )

        if self.behind:
            text += f". {len(self.behind):,} are not the same on all replicas"

        if self.shared:
            text += f". Points of others in the collection stay: {self.shared}"

        return text


def find_drift(
    index: QdrantSimilarityIndex, samples: Any, vectors: bool = True
) -> Drift:
    """Compares an index with its dataset; changes nothing.

    Args:
        index: the index
        samples: the dataset or view that should be indexed. For an index of frames or
            clips, their videos mean these as they are now. Orphans are what the whole
            dataset no longer has, whatever the view, if the collection is its alone.
            Of groups, the active slice should be, unless the view has others
        vectors (True): whether to compare the embeddings as well, which reads all; of
            those that a model makes, the size and time of change of their files

    Raises:
        ConfigError: if the view is of something else than the index holds
    """
    shared = index.why_not_delete() if index.collection.exists() else None
    indexed = _indexed(index)
    found = coverage.dataset_ids(index, indexed, samples)
    both = found.wanted[among(found.wanted, indexed)]
    missing, behind = unpack(found.missing(indexed)), _behind(index, both)
    from_files = are_compared(index)
    compared = vectors and (from_files or index.config.embeddings_field is not None)
    changed: list[str] = []
    obstacle = why_not_embed(index)
    if compared and obstacle is None and len(both):
        if behind:  # they are written again in any case
            both = both[~among(both, np.sort(pack(behind)))]

        if from_files:
            changed = changed_files(index, both)
        else:
            changed = changed_among(index, samples, both)

    return Drift(
        missing=missing,
        orphans=[] if shared else unpack(found.orphans(indexed)),
        changed=changed,
        shared=shared,
        compared=compared,
        behind=behind,
        obstacle=obstacle if missing or behind else None,
    )


def recent_drift(
    index: QdrantSimilarityIndex, samples: Any, vectors: bool = True
) -> Drift:
    """Returns the same, compared once for those who ask again within a minute.

    Nothing must have changed meanwhile, as far as samples tell when they were written;
    frames and clips do not.
    """
    global _recent
    with _comparing:
        state = index.held.state(samples)
        points = index.total_index_size
        asked = (state, index.key, index.config.collection_name, points, vectors)
        now = time.monotonic()
        if _recent is not None and _recent[0] == asked and now < _recent[1]:
            return _recent[2]

        drift = find_drift(index, samples, vectors)
        if state is not None:
            _recent = (asked, time.monotonic() + _RECENT, drift)

        return drift


def sync(
    index: QdrantSimilarityIndex,
    samples: Any,
    drift: Drift | None = None,
    progress: Progress = None,
) -> tuple[Drift, Ingested]:
    """Adds what is missing, writes changed embeddings again, then removes orphans.

    Args:
        index: the index
        samples: the dataset or view that should be indexed
        drift (None): what :func:`find_drift` found; by default it is found now
        progress (None): see :mod:`fiftyone_qdrant.ingest.ingest`

    Returns:
        what had drifted, and what was written

    Raises:
        ConfigError: if it cannot be mended; then nothing was changed
        IngestInterrupted: if adding failed on the way; then nothing was removed
    """
    drift = drift or find_drift(index, samples)
    if drift.obstacle is not None:
        raise ConfigError(
            f"Nothing was changed: {len(drift.missing):,} are missing. {drift.obstacle}"
        )

    ingested = Ingested()
    outdated = drift.missing + drift.changed + drift.behind
    if outdated:
        index.use_home(_up_to_date(index, samples).home)
        _write(index, outdated, progress, ingested)

    if drift.orphans:
        index.remove_from_index(**index.held.named(drift.orphans), reload=False)

    index.reload()
    look_again(root_of(samples), str(index.key))
    if drift.changed:
        forget_round(index)

    note_if_finished(index)
    if not index.config.unfinished:
        background.forget(root_of(index.samples), index.key)

    return drift, ingested


def _write(
    index: QdrantSimilarityIndex, ids: list[str], progress: Progress, done: Ingested
) -> None:
    try:
        add_ids(index, ids, progress, done)
    except INGEST_ENDS:
        raise
    except Exception as e:
        if not done.points:
            raise

        raise IngestInterrupted(
            f"{done.points:,} of {len(ids):,} were written to index '{index.key}' and "
            f"nothing was removed, then this happened: {e}. Run it again to resume"
        ) from e


def _up_to_date(index: QdrantSimilarityIndex, samples: Any) -> Held:
    return index.held.following(samples).up_to_date(index.config.embeddings_field)


def _behind(index: QdrantSimilarityIndex, both: Packed) -> list[str]:
    if not len(both) or index.collection.schema().replicas < 2:
        return []

    behind = []
    for ids in blocks(both, _COMPARED):
        whole = index.collection.on_all_replicas(ids, alike=True)
        if whole is None:
            return []

        behind += [i for i in ids if i not in whole]

    return behind


def _indexed(index: QdrantSimilarityIndex) -> Packed:
    try:
        return index.contents.packed_ids()
    except CollectionNotFound:
        return pack([])


def changed_among(
    index: QdrantSimilarityIndex, samples: Any, both: Packed
) -> list[str]:
    """Returns the ids that have another embedding in the embeddings field now.

    Args:
        index: the index
        samples: the dataset or view that should be indexed
        both: ids that are in both
    """
    if not len(both) or index.config.embeddings_field is None:
        return []

    held = _up_to_date(index, samples)
    changed: list[str] = []
    try:
        for ids in blocks(both, _BATCH):
            changed.extend(_changed_of(index, held.select(ids)))
    finally:
        if is_frames(held.home):
            dataset_of(held.home).delete()  # made for this alone

    return changed


def _changed_of(index: QdrantSimilarityIndex, view: Any) -> list[str]:
    now = from_field(index, view)
    if not now.ids:
        return []

    index.collection.forget()
    then = index.contents.vectors(now.ids)
    same = points.same(np.asarray(now.vectors, np.float32), then)
    return [i for i, is_same in zip(now.ids, same, strict=True) if not is_same]
