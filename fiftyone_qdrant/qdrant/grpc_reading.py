"""Points read over gRPC with their vectors as arrays, not as lists of Python floats.

What qdrant-client makes of an answer takes ten times as long as to copy its floats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fiftyone_qdrant.points import Matrix, Page


def retrieve(
    client: Any,
    collection: str,
    ids: Sequence[str],
    with_payload: Any,
    with_vectors: Any,
) -> Page:
    """Returns the points with the given ids, as ``QdrantClient.retrieve`` does."""
    from qdrant_client import grpc

    request = grpc.GetPoints(
        collection_name=collection,
        ids=[grpc.PointId(uuid=i) for i in ids],
        with_payload=grpc.WithPayloadSelector(enable=with_payload),
        with_vectors=_selector(with_vectors),
    )
    answer = client.grpc_points.Get(request, timeout=_timeout(client))
    return _points(answer.result)


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
    from qdrant_client import grpc
    from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc

    condition = scroll_filter and RestToGrpc.convert_filter(scroll_filter)
    request = grpc.ScrollPoints(
        collection_name=collection,
        filter=condition,
        limit=limit,
        offset=None if offset is None else RestToGrpc.convert_extended_point_id(offset),
        with_payload=grpc.WithPayloadSelector(enable=with_payload),
        with_vectors=_selector(with_vectors),
    )
    answer = client.grpc_points.Scroll(request, timeout=_timeout(client))
    more = answer.HasField("next_page_offset")
    rest = GrpcToRest.convert_point_id(answer.next_page_offset) if more else None
    return _points(answer.result), rest


def _timeout(client: Any) -> Any:
    """Seconds, as qdrant-client has them for its own calls."""
    return client._client._timeout


def _selector(names: Any) -> Any:
    from qdrant_client.conversions.conversion import RestToGrpc

    return RestToGrpc.convert_with_vectors(names)


def _points(found: Sequence[Any]) -> Page:
    from qdrant_client.conversions.conversion import GrpcToRest

    return Page(
        [str(GrpcToRest.convert_point_id(p.id)) for p in found],
        [GrpcToRest.convert_payload(p.payload) for p in found],
        [_vector(p.vectors) for p in found],
    )


def _vector(vectors: Any) -> Matrix | dict[str, Matrix] | None:
    kind = vectors.WhichOneof("vectors_options")
    if kind == "vector":
        return _dense(vectors.vector)

    if kind == "vectors":
        named = vectors.vectors.vectors
        return {name: _dense(vector) for name, vector in named.items()}

    return None


def _dense(vector: Any) -> Matrix:
    old = not vector.HasField("dense")  # servers before 1.16 had them beside
    return np.array(vector.data if old else vector.dense.data, np.float32)
