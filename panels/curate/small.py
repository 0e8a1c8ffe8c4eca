"""Small pictures of what an index holds."""

from collections.abc import Sequence
from typing import Any

from fiftyone_qdrant import load_index
from fiftyone_qdrant.dataset.samples import labels_by_sample
from fiftyone_qdrant.explore import thumbnails


def pictures(dataset: Any, brain_key: str, ids: Sequence[str]) -> dict[str, str]:
    """Returns small pictures by id: of samples, or of labels cut out; as data URIs."""
    index = load_index(dataset, brain_key)
    field = index.config.patches_field
    if field is None:
        return thumbnails.of_samples(index.held.flat(index.held.home), ids)

    found = {}
    for sample_id, labels in labels_by_sample(index.held.some(list(ids)), field):
        for label_id in labels:
            crop = thumbnails.label_crop(index.held.home, sample_id, field, label_id)
            small = None if crop is None else thumbnails.of_bytes(crop)
            if small is not None:
                found[label_id] = small

    return found
