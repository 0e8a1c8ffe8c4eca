"""Hits that are nearly the same: one stands for all of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

_AT_ONCE = 500


def twins(index: QdrantSimilarityIndex, hits: Hits, threshold: float) -> dict[str, str]:
    """Returns which hits are nearly the same as a better one, and as which.

    From the best on, a hit is kept unless one that is kept is within the threshold. So
    no two that are kept are nearer to each other, and each that is not is near to what
    stands for it. Only the embeddings of the hits are read.

    Args:
        index: the index that found them
        hits: the hits, best first
        threshold: a distance in the index's metric, 0 or more; for dot products, which
            are no measure of sameness, a cosine distance

    Returns:
        by the id of each that is not kept, in order, the id of the nearest that is

    Raises:
        ConfigError: if the threshold is no distance
        MissingIDs: if a hit is not in the index any more
    """
    if not threshold >= 0:
        raise ConfigError(f"The threshold is a distance of 0 or more, not {threshold}")

    if not hits.ids:
        return {}

    vectors = index.contents.vectors(hits.ids)
    kept: list[int] = []
    found: dict[str, str] = {}
    for start in range(0, len(vectors), _AT_ONCE):
        block = vectors[start : start + _AT_ONCE]
        known = len(kept)
        candidates = [*kept, *range(start, start + len(block))]
        far = _distances(block, vectors[candidates], index.metric)
        usable = np.zeros(len(candidates), dtype=bool)
        usable[:known] = True
        for row in range(len(block)):
            near = np.where(usable, far[row], np.inf)
            best = int(np.argmin(near)) if len(near) else 0
            if near[best] <= threshold:
                found[hits.ids[start + row]] = hits.ids[candidates[best]]
            else:
                kept.append(start + row)
                usable[known + row] = True

    return found


def _distances(block: Matrix, others: Matrix, metric: str) -> Any:
    """Returns the distances of all to all."""
    if metric in ("euclidean", "manhattan"):
        from scipy.spatial.distance import cdist

        kind = "euclidean" if metric == "euclidean" else "cityblock"
        return cdist(block, others, kind)

    return 1.0 - points.to_unit(block) @ points.to_unit(others).T
