"""Distances of many points to many others, as products of matrices.

Products in float32 choose, and leave to distances in float64 what they cannot decide.
Where vectors are too long, too short or too unlike in length for that, they are made
in float64 as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.points import (
    Matrix,
    Scores,
    needs_float64,
    norms,
    pairwise_distances,
)

_SLACK = 1e-5  # bounds the rounding of float32 products, relative to the norms
_ALIKE = 1e3  # how much longer some vectors may be where products are in float32
_AT_ONCE = 1024  # pairs whose distances are made at a time
_OFF = 1e-4  # of a sum of float32 squares, at most
_LEAST = 1e-9  # of distances that are told from 0 by their angle

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def rough(a: Matrix, b: Matrix, metric: str) -> tuple[Any, Any]:
    """Distances (squared if Euclidean), and how wrong they may be."""
    if metric == "manhattan":
        from scipy.spatial.distance import cdist

        return cdist(a, b, "cityblock"), 0.0

    if metric == "cosine":
        d = a @ b.T
        np.subtract(1.0, d, out=d)
        return d, _SLACK

    if not alike(a, b):
        a, b = a.astype(np.float64), b.astype(np.float64)
    elif metric == "euclidean":  # products are precise about the origin
        offset = b.mean(axis=0, dtype=np.float64).astype(np.float32)
        a, b = a - offset, b - offset

    d = a @ b.T
    norms_a = np.einsum("ij,ij->i", a, a)[:, np.newaxis]
    norms_b = np.einsum("ij,ij->i", b, b)[np.newaxis]
    if metric == "dotproduct":
        np.negative(d, out=d)
        return d, _SLACK * np.sqrt(norms_a) * np.sqrt(norms_b)

    d *= -2.0
    d += norms_a
    d += norms_b
    return d, _SLACK * (norms_a + norms_b)


def close(a: Matrix, b: Matrix, metric: str, thresh: float) -> Mask:
    """Which pairs are at most ``thresh`` apart, decided exactly."""
    d, slack = rough(a, b, metric)
    limit = thresh * abs(thresh) if metric == "euclidean" else thresh
    largest = float(np.finfo(d.dtype).max)
    limit = max(-largest, min(limit, largest))
    close: Mask = d <= limit - slack
    i, j = np.nonzero((d <= limit + slack) & ~close)
    for start in range(0, len(i), _AT_ONCE):
        unsure = i[start : start + _AT_ONCE], j[start : start + _AT_ONCE]
        exact = pairwise_distances(a[unsure[0]], b[unsure[1]], metric)
        close[unsure] = exact <= thresh

    return close


def alike(a: Matrix, b: Matrix) -> bool:
    """Whether products of vectors in float32 are right relative to all lengths."""
    lengths = np.concatenate([norms(a), norms(b)])
    lengths = lengths[lengths > 0]
    if not lengths.size:
        return True

    metric = "euclidean"  # whose squares are the largest of products
    return bool(
        lengths.max() <= _ALIKE * lengths.min() and not needs_float64(lengths, metric)
    )


def within(
    vectors: Matrix, i: Rows, j: Rows, metric: str, thresh: float, fine: bool
) -> tuple[Rows, Rows, Scores]:
    """Returns those of some pairs that are at most ``thresh`` apart, and how far.

    What is the same has the distance 0, but for dot products.

    Args:
        vectors: float32, shape ``(n, size)``; of cosine indexes at length 1, or 0
        i: int64, shape ``(num_pairs,)``: one of each pair
        j: the other one
        metric: one of :data:`fiftyone_qdrant.points.DISTANCES`
        thresh: the largest distance
        fine: whether float32 cannot tell the distances of such vectors
    """
    fine = fine or metric == "dotproduct"
    exact = pairwise_distances if fine else _differences
    kept, far = [np.empty(0, np.int64)], [np.empty(0)]
    for start in range(0, len(i), _AT_ONCE):
        end = start + _AT_ONCE
        a, b = vectors[i[start:end]], vectors[j[start:end]]
        d = exact(a, b, metric)
        if not fine:
            off = np.abs(d - thresh)
            unsure = np.flatnonzero((off <= _OFF * max(thresh, _LEAST)) & (d > 0))
            d[unsure] = pairwise_distances(a[unsure], b[unsure], metric)

        chosen = np.flatnonzero(d <= thresh)
        kept.append(chosen + start)
        far.append(d[chosen])

    found = np.concatenate(kept)
    return i[found], j[found], np.concatenate(far)


def _differences(a: Matrix, b: Matrix, metric: str) -> Scores:
    """Distances by sums of differences, which are right to :data:`_OFF` of themselves.

    Those of vectors at length 1 say what their angle is, and 0 has none.
    """
    off = a - b
    if metric == "manhattan":
        return np.asarray(np.abs(off, out=off).sum(axis=1), dtype=np.float64)

    squares = np.asarray(np.einsum("ij,ij->i", off, off), dtype=np.float64)
    if metric == "euclidean":
        return np.asarray(np.sqrt(squares))

    none = ~(a.any(axis=1) & b.any(axis=1))
    squares[none] = 2.0
    return np.asarray(squares / 2)
