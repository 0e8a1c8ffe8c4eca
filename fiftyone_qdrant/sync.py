"""An index in step with its dataset: what drifted, and just that mended."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import fiftyone.core.utils as fou
import numpy as np
from fiftyone import ViewField as F

from .ingest import Ingested, Progress, add_ids
from .restriction import Restriction, read_ids
from .similarity import QdrantSimilarityIndex
from .sources import embed, selected_samples

_BATCH = 2048


@dataclass(frozen=True)
class Drift:
    """How an index and its dataset differ, in sample ids, or label ids of patches.

    Attributes:
        missing: in the dataset, not in the index
        orphans: in the index, no longer in the dataset
        changed: in both, with another embedding in the embeddings field; unknown,
            and so empty, when a model makes the embeddings
        compared: whether embeddings were compared; not those that a model makes, as
            nothing tells that a picture has changed
        behind: in both, but missing or different on one of several replicas
        shared: why points of others are left alone, so that there are no orphans, or
            ``None``
    """

    missing: list[str]
    orphans: list[str]
    changed: list[str]
    shared: str | None = None
    compared: bool = True
    behind: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """The same as one sentence."""
        text = "The index is in step with the dataset"
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


def find_drift(index: QdrantSimilarityIndex, samples: Any) -> Drift:
    """Compares an index with its dataset; changes nothing.

    Args:
        index: the index
        samples: the dataset or view that should be indexed; an index of frames is
            compared with the frames it was made for. Orphans are what the whole
            dataset no longer has, whatever the view, if the collection is its alone.
            Of groups, the active slice should be, unless the view has others
    """
    if index.samples._is_frames:
        samples = index.samples

    embedded = index.config.embeddings_field
    shared = index.why_not_delete() if index.collection.exists() else None
    sample_ids, label_ids = index.all_ids()  # first: what is added now is no orphan
    indexed = set((sample_ids if label_ids is None else label_ids).tolist())
    patches = index.config.patches_field
    existing = set(Restriction(index.samples, patches, whole=True).ids())
    indexable = samples if embedded is None else _with_embedding(index, samples)
    wanted = read_ids(indexable, patches)
    behind = _behind(index, wanted, indexed)
    skipped = set(behind)  # they are written again in any case
    return Drift(
        missing=[i for i in wanted if i not in indexed],
        orphans=[] if shared else sorted(indexed - existing),
        changed=[] if embedded is None else _changed(index, wanted, indexed - skipped),
        shared=shared,
        compared=embedded is not None,
        behind=behind,
    )


def sync(
    index: QdrantSimilarityIndex,
    samples: Any,
    drift: Drift | None = None,
    progress: Progress = None,
) -> tuple[Drift, Ingested]:
    """Adds what is missing, removes orphans, and writes changed embeddings again.

    Args:
        index: the index
        samples: the dataset or view that should be indexed
        drift (None): what :func:`find_drift` found; by default it is found now
        progress (None): see :mod:`fiftyone_qdrant.ingest`

    Returns:
        what had drifted, and what was written
    """
    drift = drift or find_drift(index, samples)
    if drift.orphans:
        index.remove_from_index(**_by_kind(index, drift.orphans), reload=False)

    outdated = drift.missing + drift.changed + drift.behind
    ingested = Ingested()
    if outdated:
        ingested = add_ids(index, outdated, progress)

    index.reload()
    return drift, ingested


def _by_kind(index: QdrantSimilarityIndex, ids: list[str]) -> dict[str, Any]:
    kind = "sample_ids" if index.config.patches_field is None else "label_ids"
    return {kind: ids}


def _with_embedding(index: QdrantSimilarityIndex, samples: Any) -> Any:
    """Leaves out what the embeddings field has nothing for."""
    field, patches = index.config.embeddings_field, index.config.patches_field
    if patches is None:
        return samples.exists(field)

    return samples.filter_labels(patches, F(field) != None)  # noqa: E711


def _behind(
    index: QdrantSimilarityIndex, wanted: list[str], indexed: set[str]
) -> list[str]:
    both = [i for i in wanted if i in indexed]
    if not both or index.collection.schema().replicas < 2:
        return []

    whole = index.collection.on_all_replicas(both, alike=True)
    return [] if whole is None else [i for i in both if i not in whole]


def _changed(
    index: QdrantSimilarityIndex, wanted: list[str], indexed: set[str]
) -> list[str]:
    changed: list[str] = []
    both = [i for i in wanted if i in indexed]
    for ids in fou.iter_batches(both, _BATCH):
        view = selected_samples(index, **_by_kind(index, list(ids)))
        now, sample_ids, label_ids = embed(index, view)
        found = [str(i) for i in (sample_ids if label_ids is None else label_ids)]
        then = index.get_embeddings(**_by_kind(index, found))[0]
        now = np.asarray(now, np.float32)
        close = np.isclose(now, then, rtol=1e-5, atol=1e-6)
        same: Any = close.all(axis=1)  # numpy's types make it one bool
        changed.extend(i for i, is_same in zip(found, same, strict=True) if not is_same)

    return changed
