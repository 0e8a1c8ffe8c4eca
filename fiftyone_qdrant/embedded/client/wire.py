"""From ``qdrant_client.models`` to the wire: filters, queries, points, settings."""

from __future__ import annotations

import datetime
import itertools
import json
import uuid
from collections.abc import Iterable, Sequence, Sized
from typing import Any

import numpy as np
from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import protocol

Matrix = np.ndarray[Any, np.dtype[np.float32]]


class Request:
    """A message under construction: what is put in returns its reference."""

    def __init__(self) -> None:
        self.buffers: list[protocol.Buffer] = []

    def ids(self, ids: Sequence[Any]) -> list[Any]:
        """Adds point ids."""
        try:
            kind, packed = protocol.pack_ids(ids)
        except ValueError as exc:
            raise errors.ConfigError(str(exc)) from exc

        return [kind, self._add(packed)]

    def matrix(self, vectors: Matrix) -> int:
        """Adds vectors, which are not copied."""
        return self._add(np.ascontiguousarray(vectors).data.cast("B"))

    def json(self, data: bytes) -> int:
        """Adds what :func:`packed` returned."""
        return self._add(data)

    def _add(self, buffer: protocol.Buffer) -> int:
        self.buffers.append(buffer)
        return len(self.buffers) - 1

    # -- filters --------------------------------------------------------------

    def filter(self, given: models.Filter | None) -> dict[str, Any] | None:
        """Adds a filter."""
        if given is None:
            return None

        if not isinstance(given, models.Filter):
            raise errors.ConfigError(
                f"a filter is a models.Filter, not {type(given).__name__}"
            )

        wire: dict[str, Any] = {}
        for name in ("must", "should", "must_not"):
            clause = getattr(given, name)
            if clause is not None:
                several = clause if isinstance(clause, list) else [clause]
                wire[name] = [self._condition(c) for c in several]

        if given.min_should is not None:
            wire["min_should"] = {
                "conditions": [self._condition(c) for c in given.min_should.conditions],
                "min_count": given.min_should.min_count,
            }

        return wire

    def _condition(self, given: Any) -> dict[str, Any]:
        if isinstance(given, models.HasIdCondition):
            return {"has_id": self.ids(given.has_id)}

        if isinstance(given, models.Filter):
            return self.filter(given) or {}

        if isinstance(given, models.NestedCondition):
            nested = given.nested
            return {"nested": {"key": nested.key, "filter": self.filter(nested.filter)}}

        return dumped(given)

    # -- queries --------------------------------------------------------------

    def query(self, given: Any) -> dict[str, Any] | None:
        """Adds a query in any of the forms ``query_points`` takes."""
        if given is None:
            return None

        if isinstance(given, models.NearestQuery):
            wire: dict[str, Any] = {"nearest": self._example(given.nearest)}
            if given.mmr is not None:
                wire["mmr"] = dumped(given.mmr)

            return wire

        if isinstance(given, models.RecommendQuery):
            spec = given.recommend
            return {
                "recommend": {
                    "positive": [self._example(e) for e in spec.positive or []],
                    "negative": [self._example(e) for e in spec.negative or []],
                    "strategy": spec.strategy.value if spec.strategy else None,
                }
            }

        if isinstance(given, models.DiscoverQuery):
            return {
                "discover": {
                    "target": self._example(given.discover.target),
                    "context": self._pairs(given.discover.context),
                }
            }

        if isinstance(given, models.ContextQuery):
            return {"context": self._pairs(given.context)}

        if isinstance(given, models.OrderByQuery):
            return {"order_by": order_by(given.order_by)}

        if isinstance(given, models.SampleQuery):
            return {"sample": given.sample.value}

        return {"nearest": self._example(given)}

    def _pairs(self, given: Any) -> list[dict[str, Any]]:
        several = given if isinstance(given, list) else [given]
        return [
            {
                "positive": self._example(pair.positive),
                "negative": self._example(pair.negative),
            }
            for pair in several
        ]

    def _example(self, given: Any) -> dict[str, Any]:
        if isinstance(given, (int, str, uuid.UUID)):
            return {"id": self.ids([given])}

        if isinstance(given, (list, tuple, np.ndarray)):
            return {"v": self.matrix(query_vector(given))}

        raise errors.UnsupportedByEngine(
            f"the embedded engine has no query by {type(given).__name__} here"
        )

    def query_request(self, given: models.QueryRequest) -> dict[str, Any]:
        """Adds a whole query."""
        unsupported = {
            name
            for name in ("prefetch", "lookup_from", "shard_key")
            if getattr(given, name) is not None
        }
        if given.using:
            unsupported.add(f"using={given.using!r}")

        refuse(unsupported, "query_points")
        wire: dict[str, Any] = {
            "query": self.query(given.query),
            "limit": 10 if given.limit is None else given.limit,
            "with_payload": payload_selector(given.with_payload),
            "with_vector": vector_selector(given.with_vector),
        }
        if given.offset:
            wire["offset"] = given.offset

        if given.filter is not None:
            wire["filter"] = self.filter(given.filter)

        if given.params is not None:
            wire["params"] = dumped(given.params)

        if given.score_threshold is not None:
            wire["score_threshold"] = given.score_threshold

        return wire


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


def order_by(given: Any) -> dict[str, Any]:
    """Returns an ``order_by``, which may be the name of the field alone."""
    return {"key": given} if isinstance(given, str) else dumped(given)


def payload_selector(given: Any) -> Any:
    """Returns which payload is asked for."""
    if given is None or isinstance(given, bool):
        return bool(given)

    if isinstance(given, (list, tuple)):
        return {"include": list(given)}

    return dumped(given)


def vector_selector(given: Any) -> bool:
    """Returns whether vectors are asked for. There are no named ones."""
    if isinstance(given, (list, tuple)):
        refuse({f"the vector {name!r}" for name in given if name}, "with_vectors")

    return bool(given)


def query_vector(given: Any) -> Matrix:
    """Returns a query vector, checked."""
    try:
        vector = np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as exc:
        raise errors.VectorError(f"the query is no vector: {exc}") from exc

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
    except (TypeError, ValueError) as exc:
        raise errors.VectorError(
            f"the vectors for collection '{collection}' are not all lists of "
            f"{size} numbers: {exc}"
        ) from exc

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
    except (TypeError, ValueError) as exc:
        raise errors.ConfigError(f"a payload cannot be stored: {exc}") from exc


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
