"""FiftyOne's ids and embeddings as Qdrant points, and scores as distances.

Pure functions: no engine, no database. A point's id is the 24 hex digits of the
FiftyOne id followed by eight zeros, read as a UUID, and its payload names the
sample. FiftyOne's built-in backend uses the same scheme, so collections made by
either open in the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import CollectionMismatch, ConfigError, MissingIDs, VectorError

Matrix = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
Ids = npt.NDArray[np.str_]

ROUNDING = 1e-6
"""How far scores near 1 may be off: eight units in the last place of a float32."""

SAMPLE_ID = "sample_id"
NORM = "norm"

# FiftyOne's metric -> the value of qdrant_client.models.Distance
DISTANCES = {
    "cosine": "Cosine",
    "dotproduct": "Dot",
    "euclidean": "Euclid",
    "manhattan": "Manhattan",
}
METRICS = {distance: metric for metric, distance in DISTANCES.items()}
DEFAULT_METRIC = "cosine"

_SUFFIX = "00000000"
_OBJECT_ID = re.compile(r"[0-9a-f]{24}", re.IGNORECASE)


def check_metric(metric: str) -> str:
    """Returns ``metric``, or raises :class:`ConfigError` if it is unknown."""
    if metric not in DISTANCES:
        raise ConfigError(
            f"Unknown metric '{metric}'. Use one of {', '.join(DISTANCES)}"
        )

    return metric


def to_point_id(fiftyone_id: str) -> str:
    """Returns the point id (a canonical UUID) of a sample or label id.

    Raises:
        MissingIDs: if ``fiftyone_id`` is no 24-digit hex id, so that no index
            can hold it
    """
    h = str(fiftyone_id)
    if not _OBJECT_ID.fullmatch(h):
        raise MissingIDs(
            f"'{h}' is not a FiftyOne id. Give the ids of samples or labels, "
            "24 hex digits each, as in sample.id"
        )

    h = h.lower()
    return f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}{_SUFFIX}"


def to_point_ids(fiftyone_ids: Iterable[str]) -> list[str]:
    """Returns the point ids of sample or label ids, in the same order."""
    return [to_point_id(i) for i in fiftyone_ids]


def from_point_id(point_id: object) -> str:
    """Returns the sample or label id of a point id.

    Raises:
        CollectionMismatch: if the point was not made from a FiftyOne id
    """
    h = str(point_id).replace("-", "")
    if len(h) != 32 or not h.endswith(_SUFFIX):
        raise CollectionMismatch(
            f"Point '{point_id}' was not made from a FiftyOne id, so this "
            "collection cannot serve as a similarity index of a dataset. Index "
            "the dataset into a new collection, or copy the vectors over"
        )

    return h[:24]


def to_matrix(embeddings: Any, size: int | None = None) -> Matrix:
    """Returns embeddings as a matrix that any metric can work with.

    Args:
        embeddings: numbers of any dtype, shape ``(num_points, size)``, or one
            vector of shape ``(size,)``; lists are fine
        size (None): the vector size that is expected, if known

    Returns:
        float32, shape ``(num_points, size)``

    Raises:
        VectorError: if the shape is wrong or a value is NaN or infinite
    """
    try:
        source = np.asarray(embeddings)
        with np.errstate(over="ignore"):  # what overflows float32 is told below
            matrix = source.astype(np.float32, copy=False)
    except (TypeError, ValueError) as e:
        raise VectorError("Embeddings must be numbers, all vectors of one size") from e

    if matrix.ndim == 1:
        matrix = matrix[np.newaxis, :]

    if matrix.ndim != 2 or (matrix.shape[0] and not matrix.shape[1]):
        raise VectorError(
            f"Embeddings must have shape (num_points, size), not {source.shape}"
        )

    if size is not None and len(matrix) and matrix.shape[1] != size:
        raise VectorError(
            f"The vectors have {matrix.shape[1]} dimensions but the index has {size}"
        )

    bad = np.flatnonzero(~np.isfinite(matrix).all(axis=1))
    if bad.size:
        raise VectorError(
            f"{bad.size} of {len(matrix)} vectors have NaN or infinite values "
            f"(first at row {bad[0]}). Nothing was written"
        )

    return np.ascontiguousarray(matrix)


def to_payloads(
    sample_ids: Sequence[str], vectors: Matrix, metric: str
) -> list[dict[str, Any]]:
    """Returns the payload of each point.

    Qdrant stores vectors of cosine collections normalised; their norm goes into
    the payload so that :func:`restore` can give back what was put in.
    """
    if metric != "cosine":
        return [{SAMPLE_ID: str(s)} for s in sample_ids]

    # Summed in float64, without a copy of all vectors in float64
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    norms = np.sqrt(squares).tolist()
    return [
        {SAMPLE_ID: str(s), NORM: n} for s, n in zip(sample_ids, norms, strict=True)
    ]


def restore(
    vectors: Matrix, payloads: Sequence[dict[str, Any] | None], metric: str
) -> Matrix:
    """Undoes the normalisation of cosine collections where the norm is known."""
    if metric != "cosine":
        return vectors

    norms = np.array([(p or {}).get(NORM, 1.0) for p in payloads], dtype=np.float64)
    out = np.empty_like(vectors)
    return np.multiply(vectors, norms[:, np.newaxis], out=out, casting="unsafe")


def to_distances(scores: Any, metric: str) -> Scores:
    """Returns distances (smaller is nearer) for Qdrant's scores.

    Cosine and dot product scores are similarities, larger is nearer; Euclidean
    and Manhattan scores are distances already. Cosine distances that float32 scores
    cannot tell from 0 are 0.
    """
    s = np.asarray(scores, dtype=np.float64)
    if metric == "cosine":
        distances = np.clip(1.0 - s, 0.0, 2.0)  # rounding may pass the ends
        return np.where(distances < ROUNDING, 0.0, distances)

    if metric == "dotproduct":
        return -s

    return s


def from_farthest_scores(scores: Any, metric: str) -> Scores:
    """Returns distances for the scores of a negative-only recommend query.

    With strategy ``sum_scores`` and one negative, Qdrant's score is the negated
    similarity for cosine and dot product, the squared distance for Euclidean and
    the distance for Manhattan; larger is farther.
    """
    s: Scores = np.asarray(scores, dtype=np.float64)
    if metric == "cosine":
        return np.clip(1.0 + s, 0.0, 2.0)

    if metric == "euclidean":
        s = np.sqrt(np.maximum(s, 0.0))

    return s


def to_scores(distances: Any, metric: str) -> Scores:
    """Returns the Qdrant scores that belong to distances."""
    d = np.asarray(distances, dtype=np.float64)
    if metric == "cosine":
        return 1.0 - d

    return -d if metric == "dotproduct" else d


def pairwise_distances(queries: Matrix, vectors: Matrix, metric: str) -> Scores:
    """Returns the distances of queries to vectors, in float64.

    Args:
        queries: float32, shape ``(size,)``, or any that broadcasts with ``vectors``
        vectors: float32, shape ``(num_points, size)``
        metric: one of :data:`DISTANCES`

    Returns:
        float64, the broadcast shape without its last axis
    """
    q, v = queries.astype(np.float64), vectors.astype(np.float64)
    if metric == "euclidean":
        return np.asarray(np.linalg.norm(v - q, axis=-1))

    if metric == "manhattan":
        return np.asarray(np.abs(v - q).sum(axis=-1))

    products = np.einsum("...i,...i->...", q, v)
    if metric == "dotproduct":
        return np.asarray(-products)

    norms = np.linalg.norm(v, axis=-1) * np.linalg.norm(q, axis=-1)
    return np.asarray(1.0 - products / np.where(norms == 0, 1.0, norms))


def steer(positives: Matrix, negatives: Matrix, metric: str) -> Matrix:
    """Returns one query that is like some examples and unlike others.

    It is that of Qdrant's recommendations with the strategy ``average_vector``: twice
    the mean of the positives less the mean of the negatives, where vectors of cosine
    collections have length 1.

    Args:
        positives: float32, shape ``(num_positives, size)``
        negatives: float32, shape ``(num_negatives, size)``
        metric: one of :data:`DISTANCES`

    Returns:
        float32, shape ``(1, size)``
    """
    means = []
    for examples in (positives, negatives):
        vectors = examples.astype(np.float64)
        if metric == "cosine":
            norms = np.linalg.norm(vectors, axis=1, keepdims=True)
            vectors /= np.where(norms == 0, 1.0, norms)

        means.append(vectors.mean(axis=0, keepdims=True))

    return np.asarray(2 * means[0] - means[1], dtype=np.float32)
