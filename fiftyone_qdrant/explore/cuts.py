"""Where to cut hits: at the jump in their distances, if there is one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

_FEWEST = 3  # hits before a jump, and after it
_SHARE = 0.2  # of the whole range: what a person sees as a jump
_CHANCE = 0.01  # of a jump in data that has none


def proposed_cut(distances: Any) -> float | None:
    """Returns a distance to cut at, in the middle of a jump, or ``None``.

    The rule: sorted from the hit that counts most, gap ``i`` is that after the first
    ``i`` hits. In data without groups the nearest hits lie like the tail of a
    distribution, where ``i`` times gap ``i`` is distributed the same everywhere
    (exponentially). A gap is a jump if that product is larger than in one of 100 such
    searches, if the gap is a fifth of the range of all distances, and if there are at
    least three hits before it and after it. Of several, the largest gap counts.

    Args:
        distances: of the hits, shape ``(n,)``, the best first: ascending, or descending
            for least similar ones
    """
    far = np.asarray(distances, dtype=np.float64)
    if len(far) < 2 * _FEWEST or not np.isfinite(far).all():
        return None

    descending = far[0] > far[-1]
    far = np.sort(far)[::-1] if descending else np.sort(far)
    gaps = np.abs(np.diff(far))
    weighted = gaps * np.arange(1, len(far))
    usual = np.median(weighted) / math.log(2)
    jumps = weighted > usual * math.log(len(gaps) / _CHANCE)
    jumps &= gaps >= _SHARE * gaps.sum()
    jumps[: _FEWEST - 1] = jumps[len(gaps) - _FEWEST + 1 :] = False
    if not jumps.any() or gaps.sum() == 0:
        return None

    after = int(np.argmax(np.where(jumps, gaps, 0)))
    return float((far[after] + far[after + 1]) / 2)
