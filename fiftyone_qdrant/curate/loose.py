"""A distance to look for near-duplicates with: rather too large than too small."""

from __future__ import annotations

import numpy as np

from fiftyone_qdrant.dataset.samples import dataset_id
from fiftyone_qdrant.matches import find_similar
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

_ASKED = 24
_MOST = 64

_known: dict[tuple[str, str, int], float] = {}


def loose_threshold(index: QdrantSimilarityIndex) -> float:
    """Returns the distance at which about half of the points have another one.

    A few points of the index tell it.

    Raises:
        CollectionNotFound: if its collection is gone
    """
    place = (str(dataset_id(index.samples)), str(index.key), index.total_index_size)
    if place not in _known:
        _known[place] = _loose(index)
        while len(_known) > _MOST:
            _known.pop(next(iter(_known)))

    return _known[place]


def _loose(index: QdrantSimilarityIndex) -> float:
    page = next(iter(index.collection.scroll()), None)
    ids = [] if page is None else page.ids
    asked = ids[:: max(1, len(ids) // _ASKED)][:_ASKED]
    nearest = []
    for i in asked:
        found = find_similar(index, [i], k=2)
        nearest += [
            d for other, d in zip(found.ids, found.distances, strict=True) if other != i
        ]

    if not nearest:
        return 0.1

    return float(f"{max(float(np.median(nearest)), 1e-6):.2g}")
