"""Points read over REST with their vectors as arrays, not as lists of Python floats.

With ``simdjson``, where it is installed, in half the time of qdrant-client's parser. A
client that is built otherwise than is known here reads by itself.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from fiftyone_qdrant.points import Matrix, Page
from fiftyone_qdrant.qdrant import reading

T = TypeVar("T")


def available() -> bool:
    """Whether there is a parser for it."""
    return importlib.util.find_spec("simdjson") is not None


def retrieve(
    client: Any,
    collection: str,
    ids: Sequence[str],
    with_payload: Any,
    with_vectors: Any,
) -> Page:
    """Returns the points with the given ids, as ``QdrantClient.retrieve`` does."""
    from qdrant_client import models

    api = _api(client)
    if api is None:
        return reading.retrieve(client, collection, ids, with_payload, with_vectors)

    request = models.PointRequest(
        ids=list(ids), with_payload=with_payload, with_vector=with_vectors
    )
    answer = api._build_for_get_points(collection, point_request=request)
    return _parsed(answer, _points)


def scroll(
    client: Any,
    collection: str,
    scroll_filter: Any,
    limit: int,
    offset: str | None,
    with_payload: bool,
    with_vectors: Any,
) -> tuple[Page, Any]:
    """Returns a page of points and where the next begins, as ``QdrantClient`` does."""
    from qdrant_client import models

    api = _api(client)
    if api is None:
        return reading.scroll(
            client,
            collection,
            scroll_filter=scroll_filter,
            limit=limit,
            offset=offset,
            with_payload=with_payload,
            with_vectors=with_vectors,
        )

    request = models.ScrollRequest(
        filter=scroll_filter,
        limit=limit,
        offset=offset,
        with_payload=with_payload,
        with_vector=with_vectors,
    )
    answer = api._build_for_scroll_points(collection, scroll_request=request)
    return _parsed(answer, lambda r: (_points(r["points"]), r["next_page_offset"]))


def _api(client: Any) -> Any:
    """The client's calls about points, which return the bytes of the answer.

    ``None`` if it is built otherwise.
    """
    from qdrant_client.http.api.points_api import SyncPointsApi
    from qdrant_client.http.api_client import ApiClient

    apis = getattr(client._client, "openapi_client", None)
    known: Any = getattr(apis, "client", None)
    needed = ("_build_for_get_points", "_build_for_scroll_points")
    if known is None or not all(hasattr(SyncPointsApi, name) for name in needed):
        return None

    class Bytes(ApiClient):
        def __init__(self) -> None:
            self.host, self.middleware = known.host, known.middleware
            self._client = known._client

        def send(self, request: Any, type_: Any) -> Any:
            response = self.middleware(request, self.send_inner)
            if response.status_code == 200:
                return response.content

            self.middleware = lambda *_: response  # the client says what it means
            return super().send(request, type_)

    return SyncPointsApi(Bytes())


def _parsed(content: bytes, read: Callable[[Any], T]) -> T:
    import simdjson
    from qdrant_client.http.exceptions import ResponseHandlingException

    try:
        answer: Any = simdjson.Parser().parse(content)
        return read(answer["result"])
    except (KeyError, TypeError, ValueError) as e:
        raise ResponseHandlingException(e) from e


def _points(found: Any) -> Page:
    return Page(
        [str(p["id"]) for p in found],
        [_plain(p, "payload") or {} for p in found],
        [_vector(p) for p in found],
    )


def _plain(point: Any, key: str) -> Any:
    value = point.get(key)
    return value.as_dict() if hasattr(value, "as_dict") else value


def _vector(point: Any) -> Matrix | dict[str, Matrix] | None:
    vector = point.get("vector")
    if vector is None or hasattr(vector, "as_buffer"):
        return None if vector is None else _dense(vector)

    return {name: _dense(vector[name]) for name in vector.keys()}  # noqa: SIM118


def _dense(values: Any) -> Matrix:
    return np.frombuffer(values.as_buffer(of_type="d")).astype(np.float32)
