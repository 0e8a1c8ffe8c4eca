"""From ``qdrant_client.models`` to the wire: filters, queries, points, settings."""

from __future__ import annotations

import datetime
import itertools
import json
import uuid
from collections.abc import Iterable, Sequence, Sized
from enum import Enum
from typing import Any

import numpy as np
from pydantic import BaseModel
from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import protocol
from fiftyone_qdrant.packed import PointIds

Matrix = np.ndarray[Any, np.dtype[np.float32]]


_EXAMPLES = {
    "QueryRequest": ("query",),
    "Prefetch": ("query",),
    "NearestQuery": ("nearest",),
    "RecommendInput": ("positive", "negative"),
    "DiscoverInput": ("target",),
    "ContextPair": ("positive", "negative"),
    "RelevanceFeedbackInput": ("target",),
    "FeedbackItem": ("example",),
}
"""Fields with vectors, or ids that stand for them."""


class Request:
    """A message under construction: what is put in returns its reference.

    Args:
        collection: the collection it is about, if it is about one
        **parts: of the message
    """

    def __init__(self, collection: str | None = None, **parts: Any) -> None:
        about = {} if collection is None else {"collection": collection}
        self.message: dict[str, Any] = {**about, **parts}
        self.buffers: list[protocol.Buffer] = []
        self.points = 0  # that it writes

    def ids(self, ids: Sequence[Any]) -> list[Any]:
        """Adds point ids."""
        if isinstance(ids, PointIds):
            return ["u", self._add(ids.uuids)]

        try:
            kind, packed = protocol.pack_ids(ids)
        except ValueError as e:
            raise errors.ConfigError(str(e)) from e

        return [kind, self._add(packed)]

    def matrix(self, vectors: Matrix) -> int:
        """Adds vectors, which are not copied."""
        return self._add(np.ascontiguousarray(vectors).data.cast("B"))

    def blob(self, data: bytes) -> int:
        """Adds what :func:`packed` returned."""
        return self._add(data)

    def _add(self, buffer: protocol.Buffer) -> int:
        self.buffers.append(buffer)
        return len(self.buffers) - 1

    # -- models ---------------------------------------------------------------

    def put(self, given: Any) -> Any:
        """Adds models, as :mod:`fiftyone_qdrant.embedded.owner.mapping` reads them."""
        if isinstance(given, BaseModel):
            name = type(given).__name__
            fields = {k: v for k, v in vars(given).items() if v is not None}
            return {"": name} | {k: self._field(name, k, v) for k, v in fields.items()}

        if isinstance(given, Enum):
            return {"": [type(given).__name__, given.value]}

        if isinstance(given, (list, tuple)):
            return [self.put(item) for item in given]

        if given is None or isinstance(given, (str, int, float, dict)):
            return given

        return _plain_value(given)

    def _field(self, model: str, name: str, given: Any) -> Any:
        if model == "HasIdCondition":
            return self.ids(given)

        if name == "filter":
            return self.filter(given)

        if name not in _EXAMPLES.get(model, ()):
            return self.put(given)

        if model == "RecommendInput":
            return [self._example(item) for item in given]

        if name != "query":
            return self._example(given)

        if isinstance(given, BaseModel) and type(given).__name__.endswith("Query"):
            return self.put(given)

        return {"": "NearestQuery", "nearest": self._example(given)}

    def _example(self, given: Any) -> dict[str, Any]:
        if isinstance(given, (int, str, uuid.UUID)):
            return {"": "Example", "id": self.ids([given])}

        if isinstance(given, (list, tuple, np.ndarray)):
            return {"": "Example", "vector": self.matrix(query_vector(given))}

        raise errors.UnsupportedByEngine(
            f"the embedded engine has no query by {type(given).__name__} here"
        )

    def filter(self, given: models.Filter | None) -> dict[str, Any] | None:
        """Adds a filter."""
        if given is not None and not isinstance(given, models.Filter):
            raise errors.ConfigError(
                f"a filter is a models.Filter, not {type(given).__name__}"
            )

        wire: dict[str, Any] | None = self.put(given)
        return wire

    def query(self, given: models.QueryRequest) -> dict[str, Any]:
        """Adds a whole query."""
        wire: dict[str, Any] = self.put(given)
        return {**wire, "with_vector": vector_selector(given.with_vector)}


def dumped(model: Any) -> dict[str, Any]:
    """Returns a model as the REST API would get it."""
    if not hasattr(model, "model_dump"):
        raise errors.ConfigError(
            f"{type(model).__name__} is none of qdrant_client's models"
        )

    wire: dict[str, Any] = model.model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    return wire


def refuse(names: Iterable[str], where: str) -> None:
    """Raises ``UnsupportedByEngine`` if there are names, with all of them."""
    found = sorted(names)
    if found:
        raise errors.UnsupportedByEngine(
            f"{where}: the embedded engine does not support {', '.join(found)}. "
            "Leave it out, or use a Qdrant server (url=)"
        )


def vector_selector(given: Any) -> bool:
    """Returns whether vectors are asked for. There are no named ones."""
    if isinstance(given, (list, tuple)):
        refuse({f"the vector {name!r}" for name in given if name}, "with_vectors")

    return bool(given)


def query_vector(given: Any) -> Matrix:
    """Returns a query vector, checked."""
    try:
        vector = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as e:
        raise errors.VectorError(f"the query is no vector: {e}") from e

    if vector.ndim != 1 or vector.size == 0:
        raise errors.VectorError(
            f"a query is one vector, not an array of shape {vector.shape}"
        )

    if not np.isfinite(vector).all():
        raise errors.VectorError("the query vector has NaN or infinite values")

    return vector


def vector_matrix(given: Any, size: int, collection: str) -> Matrix:
    """Returns vectors as one float32 matrix, checked."""
    if not isinstance(given, np.ndarray):
        given = list(given)
        if any(isinstance(v, dict) for v in given):
            refuse({"named vectors"}, f"collection '{collection}'")

    try:
        matrix = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as e:
        raise errors.VectorError(
            f"the vectors for collection '{collection}' are not all lists of "
            f"{size} numbers: {e}"
        ) from e

    if matrix.size == 0 and matrix.ndim < 2:
        matrix = matrix.reshape(0, size)

    if matrix.ndim != 2 or matrix.shape[1] != size:
        raise errors.VectorError(
            f"collection '{collection}' takes vectors of size {size}, "
            f"not an array of shape {matrix.shape}: nothing was written"
        )

    # a sum is NaN or infinite if a value is, and needs no array of its own
    sums = matrix.sum(axis=1, dtype=np.float64)
    if not np.isfinite(sums).all():
        bad = np.flatnonzero(~np.isfinite(sums))
        raise errors.VectorError(
            f"{len(bad)} of {len(matrix)} vectors for collection '{collection}' have "
            f"NaN or infinite values (first: number {bad[0]}): nothing was written"
        )

    return matrix


def as_many(given: Iterable[Any], count: int, what: str) -> list[Any]:
    """Returns as many items as there are vectors; generators may have more."""
    number = len(given) if isinstance(given, Sized) else None
    found = list(itertools.islice(given, count))
    if number not in (None, count) or len(found) != count:
        raise errors.ConfigError(
            f"{count} vectors have {number or len(found)} {what}: nothing was written"
        )

    return found


def packed(value: Any) -> bytes:
    """Returns a payload, or a list of them, as JSON."""
    try:
        return json.dumps(value, default=_plain_value, allow_nan=False).encode()
    except (TypeError, ValueError) as e:
        raise errors.ConfigError(f"a payload cannot be stored: {e}") from e


def plain(value: Any) -> Any:
    """Returns a value with nothing in it but what JSON has, checked."""
    return json.loads(packed(value))


def _plain_value(value: Any) -> Any:
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()

    if isinstance(value, uuid.UUID):
        return str(value)

    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()

    if hasattr(value, "model_dump"):
        return dumped(value)

    raise TypeError(f"{type(value).__name__} is not a JSON value")
