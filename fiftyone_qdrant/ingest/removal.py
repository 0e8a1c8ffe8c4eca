"""Samples and labels out of an index, what became of each, and back in again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone.core.utils as fou

from fiftyone_qdrant import points
from fiftyone_qdrant.dataset.samples import dataset_id
from fiftyone_qdrant.errors import CollectionNotFound, ConfigError
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

_BATCH = 5000
_MOST_KEPT = 100_000  # points of a removal that can be undone
_INDEXES_KEPT = 4

_kept: dict[tuple[str, str], list[tuple[Any, Any, Any]]] = {}


@dataclass
class Removed:
    """What a removal did.

    Attributes:
        removed: points that were taken out
        missing: given samples or labels of which the index had no point
    """

    removed: int = 0
    missing: int = 0


def remove(
    index: QdrantSimilarityIndex,
    sample_ids: Sequence[str] | None = None,
    label_ids: Sequence[str] | None = None,
    force: bool = False,
    keep: bool = False,
) -> Removed:
    """Removes samples or labels from an index; the dataset keeps them.

    Args:
        index: the index
        sample_ids (None): ids of samples; of an index of patches, all their labels
        label_ids (None): ids of labels, for an index of patches
        force (False): remove them also if the collection is another dataset's
        keep (False): keep the vectors in this process, for :func:`undo`; not those of
            more than 100,000 samples or labels

    Raises:
        MissingIDs: if an id is no FiftyOne id; then none was removed
        CollectionShared: if the collection is another dataset's, and not ``force``
    """
    if not force:
        index.check_removable()

    by_sample = label_ids is None and index.config.patches_field is not None
    given = sample_ids if label_ids is None else label_ids
    wanted = list(dict.fromkeys(given or ()))
    points.to_point_ids(wanted)
    result, kept = Removed(), []
    keep = keep and len(wanted) <= _MOST_KEPT
    for batch in fou.iter_batches(wanted, _BATCH):
        ids = list(batch)
        count, found = _held(index, ids, by_sample)
        result.removed += count
        result.missing += len(ids) - found
        kind = "sample_ids" if label_ids is None else "label_ids"
        chosen: dict[str, Any] = {kind: ids}
        if keep and count:
            kept.append(index.get_embeddings(**chosen, warn_missing=False))

        index.remove_from_index(**chosen, reload=False, force=True)

    _kept.pop(_named(index), None)
    if kept:
        _kept[_named(index)] = kept
        for oldest in list(_kept)[:-_INDEXES_KEPT]:
            del _kept[oldest]

    index.reload()
    return result


def can_undo(index: QdrantSimilarityIndex) -> bool:
    """Whether what was last removed from an index can be put back."""
    return _named(index) in _kept


def undo(index: QdrantSimilarityIndex) -> int:
    """Puts back what was last removed from an index in this process.

    What has been added again since stays as it is.

    Returns:
        how many points were put back

    Raises:
        ConfigError: if nothing was removed, or it was too much to be kept
    """
    if not can_undo(index):
        raise ConfigError(
            f"There is nothing to put back into index '{index.key}': the last removal "
            "is kept until FiftyOne's server or this program ends, if it was of "
            f"{_MOST_KEPT:,} at most"
        )

    before = index.total_index_size
    for vectors, sample_ids, label_ids in _kept[_named(index)]:
        index.add_to_index(
            vectors, sample_ids, label_ids, overwrite=False, reload=False
        )

    del _kept[_named(index)]
    index.reload()
    return index.total_index_size - before


def _named(index: QdrantSimilarityIndex) -> tuple[str, str]:
    return str(dataset_id(index.samples)), str(index.key)


def _held(
    index: QdrantSimilarityIndex, ids: list[str], by_sample: bool
) -> tuple[int, int]:
    """Returns how many points there are of ids, and how many ids have one."""
    try:
        if not by_sample:
            present = len(index.collection.present(ids))
            return present, present

        pages = index.collection.scroll(sample_ids=ids)
        samples = [i for page in pages for i in page.sample_ids]
        return len(samples), len(set(samples))
    except CollectionNotFound:
        return 0, 0
