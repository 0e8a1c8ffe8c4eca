"""FiftyOne's ids and embeddings as Qdrant points, and scores as distances.

Pure functions: no engine, no database. A point's id is the 24 hex digits of the
FiftyOne id followed by eight zeros, read as a UUID, and its payload names the
sample. FiftyOne's built-in backend uses the same scheme, so collections made by
either open in the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.errors import CollectionMismatch, ConfigError, MissingIDs

Matrix = npt.NDArray[np.float32]
Scores = npt.NDArray[np.float64]
Ids = npt.NDArray[np.str_]
FileState = tuple[int, int]

ROUNDING = 1e-6
"""How far scores near 1 may be off: eight units in the last place of a float32."""

SAMPLE_ID = "sample_id"
NORM = "norm"
FILE_SIZE, FILE_TIME = "file_size", "file_mtime"

# FiftyOne's metric -> the value of qdrant_client.models.Distance
DISTANCES = {
    "cosine": "Cosine",
    "dotproduct": "Dot",
    "euclidean": "Euclid",
    "manhattan": "Manhattan",
}
METRICS = {distance: metric for metric, distance in DISTANCES.items()}
DEFAULT_METRIC = "cosine"

_SHORTEST, _LONGEST = 1e-8, 1e15  # norms that float32 arithmetic is right for
_LONGEST_SUM = 1e35  # norm of which differences can be summed in float32
_SUFFIX = "00000000"
NOBODY = "0" * 24
"""What no sample or label has as its id: it stands for the points of other makers."""

_OBJECT_ID = re.compile(r"[0-9a-f]{24}", re.IGNORECASE)
_OBJECT_IDS = re.compile(r"[0-9a-fA-F]*")


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
    hexes = [str(i) for i in fiftyone_ids]
    text = "".join(hexes)
    if set(map(len, hexes)) != {24} or not _OBJECT_IDS.fullmatch(text):
        return [to_point_id(i) for i in hexes]  # says which of them is none

    text = text.lower()
    rows = [text[i : i + 24] for i in range(0, len(text), 24)]
    return [f"{h[:8]}-{h[8:12]}-{h[12:16]}-{h[16:20]}-{h[20:]}{_SUFFIX}" for h in rows]


def is_fiftyones(point_id: object) -> bool:
    """Whether a point was made from a FiftyOne id."""
    h = str(point_id).replace("-", "")
    return len(h) == 32 and h.endswith(_SUFFIX)


def from_point_id(point_id: object) -> str:
    """Returns the sample or label id of a point id.

    Raises:
        CollectionMismatch: if the point was not made from a FiftyOne id
    """
    if not is_fiftyones(point_id):
        raise CollectionMismatch(
            f"Point '{point_id}' was not made from a FiftyOne id, so this "
            "collection cannot serve as a similarity index of a dataset. Index "
            "the dataset into a new collection, or copy the vectors over"
        )

    return str(point_id).replace("-", "")[:24]


@dataclass(frozen=True)
class Page:
    """What is read of points, each in one column.

    Lists of objects with as many attributes take Python's garbage collector as long as
    the reading.

    Attributes:
        point_ids: as Qdrant has them
        payloads: what is stored with each, or ``None``
        vectors: float32, shape ``(num_points, size)``, or of each its vector, or its
            vectors by their names, or ``None``
    """

    point_ids: Sequence[Any]
    payloads: Sequence[dict[str, Any] | None]
    vectors: Any

    @classmethod
    def of(cls, records: Sequence[Any]) -> Page:
        """Returns the page of records or hits of ``qdrant_client.models``."""
        columns = zip(*[(r.id, r.payload, r.vector) for r in records], strict=True)
        return cls(*columns) if records else cls((), (), ())

    def __len__(self) -> int:
        return len(self.point_ids)

    @property
    def ids(self) -> list[str]:
        """The sample or label id of each.

        Raises:
            CollectionMismatch: if one was not made from a FiftyOne id
        """
        hexes = [str(i).replace("-", "") for i in self.point_ids]
        if all(len(h) == 32 and h.endswith(_SUFFIX) for h in hexes):
            return [h[:24] for h in hexes]

        return [from_point_id(i) for i in self.point_ids]  # says which it is

    @property
    def sample_ids(self) -> list[str]:
        """The sample id of each, :data:`NOBODY` where none is stored."""
        return [str((p or {}).get(SAMPLE_ID, NOBODY)) for p in self.payloads]

    def where(self, chosen: Sequence[bool]) -> Page:
        """Returns those of which ``chosen`` is true."""
        if all(chosen):
            return self

        def kept(column: Any) -> Any:
            return None if column is None else list(compress(column, chosen))

        return Page(kept(self.point_ids), kept(self.payloads), kept(self.vectors))


def norms(vectors: Matrix) -> Scores:
    """Returns the Euclidean norms, summed in float64 without a copy of the vectors."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return np.asarray(np.sqrt(squares))


def to_unit(vectors: Matrix, lengths: Scores | None = None) -> Matrix:
    """Returns vectors at length 1; zero stays zero.

    Engines do this to vectors of cosine collections in float32, and leave alone, or
    lose, what is shorter than 3e-4 or longer than 1e19.

    Args:
        vectors: float32, shape ``(num_points, size)``
        lengths (None): their norms, if known
    """
    if lengths is None:
        lengths = norms(vectors)

    divisors = np.where(lengths == 0, 1.0, lengths)[:, np.newaxis]
    out = np.empty_like(vectors)
    return np.divide(vectors, divisors, out=out, casting="unsafe")


def needs_float64(lengths: Scores, metric: str) -> bool:
    """Whether the engines, which work in float32, cannot compare such vectors.

    They can if norms are 0 or from 1e-8 to 1e15. Squares and products are 4e30 at most
    then, where float32 ends at 3.4e38. What underflows is off by 2**-150 in each of
    ``n`` dimensions, so a squared distance by ``n * 7e-46``: with 4096 dimensions
    that is less than 1e-6 of all distances from 2e-18, which is 2e-10 of the shortest
    vector and so less than the last bit of its largest component. Products of such
    norms are 1e-16 at least. Cosine vectors are written at length 1. Sums of absolute
    differences do not underflow, and are ``sqrt(n)`` norms at most: 65,536 dimensions
    of norms to 1e35 make 5e37.

    Args:
        lengths: norms of vectors, shape ``(num_points,)``
        metric: one of :data:`DISTANCES`
    """
    if metric == "manhattan":
        return bool((lengths > _LONGEST_SUM).any())

    if metric not in ("euclidean", "dotproduct"):
        return False

    outside = (lengths != 0) & ((lengths < _SHORTEST) | (lengths > _LONGEST))
    return bool(outside.any())


def same(vectors: Matrix, others: Matrix) -> npt.NDArray[np.bool_]:
    """Returns which vectors are others but for the rounding of float32."""
    slack = 1e-6 * norms(others)[:, np.newaxis] + 1e-5 * np.abs(others)
    off = np.abs(vectors.astype(np.float64) - others)
    return np.asarray((off <= slack).all(axis=1))


def norm_key(vector_name: str | None) -> str:
    """Returns the payload field that holds the norms of a collection's vectors."""
    return f"{NORM}_{vector_name}" if vector_name else NORM


def to_payloads(
    sample_ids: Sequence[str],
    lengths: Scores | None,
    key: str = NORM,
    files: Sequence[FileState | None] | None = None,
) -> list[dict[str, Any]]:
    """Returns the payload of each point.

    Args:
        sample_ids: ``num_points`` sample ids
        lengths: in cosine collections, whose vectors are kept at length 1, the norms
            that :func:`restore` gives back
        key: the payload field of the norms
        files (None): the size in bytes, and the time of the last change in nanoseconds
            since the epoch, of the file that each was computed from, where known
    """
    payloads: list[dict[str, Any]] = [{SAMPLE_ID: str(s)} for s in sample_ids]
    if lengths is not None:
        for payload, length in zip(payloads, lengths.tolist(), strict=True):
            payload[key] = length

    for payload, file in zip(payloads, files or (), strict=files is not None):
        if file is not None:
            payload[FILE_SIZE], payload[FILE_TIME] = file

    return payloads


def restore(
    vectors: Matrix,
    payloads: Sequence[dict[str, Any] | None],
    metric: str,
    key: str = NORM,
) -> Matrix:
    """Undoes the normalisation of cosine collections where the norm is known.

    Those of named vectors may be in :data:`NORM`, where earlier versions wrote them.
    """
    if metric != "cosine":
        return vectors

    known = [(p or {}).get(key, (p or {}).get(NORM, 1.0)) for p in payloads]
    lengths = np.array(known, dtype=np.float64)
    out = np.empty_like(vectors)
    return np.multiply(vectors, lengths[:, np.newaxis], out=out, casting="unsafe")


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


def to_farthest_scores(distances: Any, metric: str) -> Scores:
    """Returns the scores that :func:`from_farthest_scores` takes."""
    d: Scores = np.asarray(distances, dtype=np.float64)
    if metric == "cosine":
        return d - 1.0

    return d**2 if metric == "euclidean" else d


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

    lengths = np.linalg.norm(v, axis=-1) * np.linalg.norm(q, axis=-1)
    return np.asarray(1.0 - products / np.where(lengths == 0, 1.0, lengths))


def query_vector(like: Matrix, unlike: Matrix | None, metric: str) -> Matrix:
    """Returns the one query of some examples, and of what hits should be unlike.

    Args:
        like: float32, shape ``(num_examples, size)``
        unlike: the same, or ``None`` for none
        metric: one of :data:`DISTANCES`

    Returns:
        float32, shape ``(size,)``: their mean, or what :func:`steer` makes of both
    """
    if unlike is not None:
        return np.asarray(steer(like, unlike, metric)[0], dtype=np.float32)

    return np.asarray(like.mean(axis=0, dtype=np.float64), dtype=np.float32)


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
        if metric == "cosine":
            examples = to_unit(examples)

        means.append(examples.mean(axis=0, keepdims=True, dtype=np.float64))

    return np.asarray(2 * means[0] - means[1], dtype=np.float32)
