"""Samples and labels out of an index, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone.core.utils as fou

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import CollectionNotFound
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

_BATCH = 5000


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
) -> Removed:
    """Removes samples or labels from an index; the dataset keeps them.

    Args:
        index: the index
        sample_ids (None): ids of samples; of an index of patches, all their labels
        label_ids (None): ids of labels, for an index of patches
        force (False): remove them also if the collection is another dataset's

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
    result = Removed()
    for batch in fou.iter_batches(wanted, _BATCH):
        ids = list(batch)
        count, found = _held(index, ids, by_sample)
        result.removed += count
        result.missing += len(ids) - found
        kind = "sample_ids" if label_ids is None else "label_ids"
        chosen: dict[str, Any] = {kind: ids}
        index.remove_from_index(**chosen, reload=False, force=True)

    index.reload()
    return result


def _held(
    index: QdrantSimilarityIndex, ids: list[str], by_sample: bool
) -> tuple[int, int]:
    """Returns how many points there are of ids, and how many ids have one."""
    try:
        if not by_sample:
            present = len(index.collection.present(ids))
            return present, present

        pages = index.collection.scroll(sample_ids=ids)
        samples = [(r.payload or {})[points.SAMPLE_ID] for p in pages for r in p]
        return len(samples), len(set(samples))
    except CollectionNotFound:
        return 0, 0
