"""The hits of several indexes of the same things, as one ranking."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from fiftyone_qdrant.search.hits import Hits

_RRF = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009)."""


def fuse(answers: Sequence[Hits], weights: Sequence[float], k: int | None) -> Hits:
    """Fuses rankings by reciprocal ranks: the score of a hit is a sum over rankings.

    Each ranking that has a hit at place ``n``, from 1, adds ``weight / (60 + n)``. What
    is not in a ranking gets nothing from it. Equal scores are ordered by id.

    Args:
        answers: the rankings, best first
        weights: the weight of each, positive
        k: how many to return, or ``None`` for all

    Returns:
        the fused hits: their scores, larger is better, and as distances what they lack
        to the best score there can be, from 0 to 1: smaller is nearer
    """
    scores: dict[str, float] = defaultdict(float)
    samples: dict[str, str] = {}
    for hits, weight in zip(answers, weights, strict=True):
        for place, i in enumerate(hits.ids, 1):
            scores[i] += weight / (_RRF + place)

        if hits.sample_ids is not None:
            samples.update(zip(hits.ids, hits.sample_ids, strict=True))

    order = sorted(scores, key=lambda i: (-scores[i], i))[:k]
    found = np.array([scores[i] for i in order], dtype=np.float64)
    best = sum(weights) / (_RRF + 1)
    return Hits(
        order,
        [samples[i] for i in order] if samples else None,
        found,
        np.maximum(0.0, 1.0 - found / best),
        all(hits.exact for hits in answers),
    )
