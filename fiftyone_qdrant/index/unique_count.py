"""The threshold at which as many points are unique as are asked for."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_STEP = 1e-6  # what FiftyOne's search for a threshold tells apart
_FARTHEST = 1e90  # more than any product of float32 vectors
_SAME = 2**22  # floats that are fewer apart are the same but for 1e-9

Mask = npt.NDArray[np.bool_]
Unique = Callable[[float], Mask]

logger = logging.getLogger(__name__)


def unique_of(
    unique: Unique, metric: str, count: int, start: float
) -> tuple[Mask, float]:
    """Looks for a threshold at which ``unique`` keeps ``count`` points.

    The steps are FiftyOne's, and so are the results, where distances are such that
    these find one. Where they are shorter, longer or negative, the number of floats
    in between is halved, which comes to an end for all of them.

    Args:
        unique: returns which points are kept at a threshold
        metric: that of the index
        count: how many to keep, at least one, and not all
        start: the threshold to try first, if it is an ordinary one

    Returns:
        which points are kept, as near to ``count`` as can be, and the threshold
    """
    low, high, kept = 0.0, math.inf, -1
    thresh = start if 0 < start <= 1 / _STEP else 1.0
    while True:
        last, keep = kept, _try(unique, thresh, count)
        kept = int(keep.sum())
        if kept == count:
            return keep, thresh

        if kept == last and high - low < _STEP:
            if metric == "cosine" or low > 1e3 * _STEP:
                return keep, thresh

            break

        low, high = (low, thresh) if kept < count else (thresh, high)
        if low > 1 / _STEP:
            break

        thresh = 2 * low if math.isinf(high) else (low + high) / 2

    if not low and metric == "dotproduct":
        low = -_FARTHEST

    return _halve(unique, count, low, min(high, _FARTHEST), (keep, thresh))


def _halve(
    unique: Unique, count: int, low: float, high: float, best: tuple[Mask, float]
) -> tuple[Mask, float]:
    """Goes on with :func:`unique_of` between two thresholds, from 0 if it can."""
    thresh = 0.0 if low <= 0 else _middle(low, high)
    while best[0].sum() != count:
        keep = _try(unique, thresh, count)
        kept = int(keep.sum())
        if abs(kept - count) < abs(int(best[0].sum()) - count):
            best = keep, thresh

        low, high = (low, thresh) if kept < count else (thresh, high)
        if _rank(high) - _rank(low) < _SAME:
            break

        thresh = _middle(low, high)

    return best


def _try(unique: Unique, thresh: float, count: int) -> Mask:
    keep = unique(thresh)
    logger.info("threshold: %g, kept: %d, target: %d", thresh, keep.sum(), count)
    return keep


def _rank(number: float) -> int:
    """The place of a number among all floats, which 0 has at 0."""
    bits = int(np.float64(abs(number)).view(np.int64))
    return bits if number > 0 else -bits


def _middle(low: float, high: float) -> float:
    """A number with as many floats below it, down to ``low``, as above it."""
    rank = (_rank(low) + _rank(high)) // 2
    return math.copysign(float(np.int64(abs(rank)).view(np.float64)), rank)
