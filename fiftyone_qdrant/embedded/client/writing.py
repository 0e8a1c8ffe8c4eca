"""Writing points to an embedded store, in ``QdrantClient``'s words."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.client import wire
from fiftyone_qdrant.embedded.client.session import Caller, refuse_unknown

DONE = models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)

_BYTES_PER_MESSAGE = 8 << 20
_POINTS_PER_MESSAGE = 8192
_PAYLOAD_BYTES_PER_MESSAGE = 32 << 20


class PointWriter(Caller):
    """The methods of the client that write points."""

    def upsert(
        self,
        collection_name: str,
        points: models.Batch | Iterable[models.PointStruct],
        wait: bool = True,
        timeout: int | None = None,
        **kwargs: Any,
    ) -> models.UpdateResult:
        """Writes points; those with the same id are replaced.

        All vectors are checked before the first is sent.
        """
        refuse_unknown(kwargs, "ordering")
        if isinstance(points, models.Batch):
            ids: list[Any] = list(points.ids)
            vectors: Any = points.vectors
            payload: Any = points.payloads
        else:
            listed = list(points)
            ids = [point.id for point in listed]
            vectors = [point.vector for point in listed]
            payload = [point.payload for point in listed]

        if isinstance(vectors, dict):
            wire.refuse({"named vectors"}, "upsert")

        self._upload(collection_name, vectors, payload, ids, timeout)
        return DONE

    def upload_collection(
        self,
        collection_name: str,
        vectors: Any,
        payload: Iterable[Any] | None = None,
        ids: Iterable[Any] | None = None,
        batch_size: int | None = None,
        parallel: int = 1,
        wait: bool = True,
        **kwargs: Any,
    ) -> None:
        """Writes points; the quick way for vectors in a float32 array.

        All vectors are checked before the first is sent. ``batch_size`` and
        ``parallel`` change nothing: the size of the messages is chosen for the engine.
        """
        refuse_unknown(kwargs, "method", "max_retries")
        self._upload(collection_name, vectors, payload, ids, None)

    def _upload(
        self,
        collection_name: str,
        vectors: Any,
        payload: Iterable[Any] | None,
        ids: Iterable[Any] | None,
        timeout: float | None,
    ) -> None:
        reply, _ = self._call("describe", wire.Request(collection_name))
        size = reply["vectors"]["size"]
        matrix = wire.vector_matrix(vectors, size, collection_name)
        count = len(matrix)
        if ids is None:
            ids = (str(uuid.uuid4()) for _ in range(count))

        keys = wire.as_many(ids, count, "ids")
        payloads = None if payload is None else wire.as_many(payload, count, "payloads")
        step = min(_POINTS_PER_MESSAGE, max(1, _BYTES_PER_MESSAGE // (4 * size)))
        requests: list[wire.Request] = []
        for start in range(0, count, step):  # everything is checked before it is sent
            rows = matrix[start : start + step]
            some = payloads and payloads[start : start + step]
            some_keys = keys[start : start + step]
            requests += _requests(collection_name, some_keys, rows, some)

        written = 0
        for request in requests:
            try:
                self._write("upsert", request, timeout)
            except errors.QdrantPluginError as e:
                known = _known(e, written, request.points, count)
                if not known:
                    raise

                raise type(e)(f"{errors.sentence(e)} {known}") from e

            written += request.points

    def delete(
        self,
        collection_name: str,
        points_selector: Any,
        wait: bool = True,
        timeout: int | None = None,
        **kwargs: Any,
    ) -> models.UpdateResult:
        """Deletes points, given by ids or by a filter."""
        refuse_unknown(kwargs, "ordering")
        request = wire.Request(collection_name)
        return self._on_points("delete", request, points_selector, timeout)

    def set_payload(
        self,
        collection_name: str,
        payload: dict[str, Any],
        points: Any,
        key: str | None = None,
        wait: bool = True,
        timeout: int | None = None,
        **kwargs: Any,
    ) -> models.UpdateResult:
        """Sets payload fields of points, and keeps their others."""
        refuse_unknown(kwargs, "ordering")
        fields = wire.plain(payload)
        request = wire.Request(collection_name, payload=fields, key=key)
        return self._on_points("payload", request, points, timeout)

    def _on_points(
        self, op: str, request: wire.Request, selector: Any, timeout: float | None
    ) -> models.UpdateResult:
        if isinstance(selector, models.FilterSelector):
            selector = selector.filter

        if isinstance(selector, models.Filter):
            request.message["filter"] = request.filter(selector)
        else:
            if isinstance(selector, models.PointIdsList):
                selector = selector.points

            if isinstance(selector, (int, str, uuid.UUID)):
                selector = [selector]

            request.message["ids"] = request.ids(list(selector))

        self._write(op, request, timeout)
        return DONE


def _requests(
    collection: str, keys: Any, rows: Any, payloads: Any
) -> list[wire.Request]:
    """Returns the requests that write points: several for large payloads."""
    packed = None if payloads is None else wire.packed(payloads)
    count = len(keys)
    if packed is not None and count > 1 and len(packed) > _PAYLOAD_BYTES_PER_MESSAGE:
        half = count // 2
        return [
            *_requests(collection, keys[:half], rows[:half], payloads[:half]),
            *_requests(collection, keys[half:], rows[half:], payloads[half:]),
        ]

    request = wire.Request(collection, dim=rows.shape[1])
    request.points = count
    request.message["ids"] = request.ids(keys)
    request.message["vectors"] = request.matrix(rows)
    if packed is not None:
        request.message["payloads"] = request.blob(packed)

    return [request]


def _known(e: errors.QdrantPluginError, done: int, step: int, count: int) -> str:
    """Returns what is known to be written when a message of points failed."""
    said = []
    if done:
        said.append(f"The first {done:,} of {count:,} points are written.")

    refused = isinstance(e, errors.StoreUnavailable)  # before it was touched
    if isinstance(e, errors.ConnectionFailed) and not refused:
        tried = min(step, count - done)
        said.append(f"Of {tried:,} points it is not known whether they are written")

    return " ".join(said)
