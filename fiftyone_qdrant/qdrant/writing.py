"""Points into a collection: in bounded batches, acknowledged, and then looked for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import (
    ConnectionFailed,
    EngineError,
    RequestTooLarge,
    sentence,
)
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.qdrant.collection import Collection

# A REST message may have 32 MB; a float takes up to about 22 characters there, and
# what else a point has is small
_MAX_BYTES = 8 * 2**20
_MAX_POINTS = 1000
_BYTES_PER_FLOAT = 22
_WRITES_AT_ONCE = 2  # while one message is waited for, the next is made
_BYTES_PER_POINT = 200
_SEEN_AFTER = (0, 0.2, 1)  # seconds: an acknowledged write may reach a replica later


def write(
    collection: Collection,
    ids: Sequence[str],
    vectors: Matrix,
    payloads: list[dict[str, Any]],
) -> None:
    """Writes points, replacing those with the same ids, and waits for it.

    Of points that are in a collection that others made, other vectors and other payload
    stay as they are.

    Args:
        collection: where to
        ids: sample or label ids, ``num_points`` of them
        vectors: float32, shape ``(num_points, size)``
        payloads: one per point

    Raises:
        ConnectionFailed, EngineError: if it failed; says how many points are known
            to be written
        RequestTooLarge: if even a single point is too large
    """
    if not collection.connection.remote:
        payloads = _with_theirs(collection, ids, payloads)
        _upload(collection, ids, vectors, payloads)
        return

    step = _batch_size(vectors.shape[1])
    written: list[int] = []  # by several threads, in no order

    def upsert(start: int, end: int) -> None:
        try:
            _put(collection, ids[start:end], vectors[start:end], payloads[start:end])
        except RequestTooLarge as e:
            if end - start > 1:
                raise

            raise RequestTooLarge(
                f"{sentence(e)} It held only the point of {ids[start]}"
            ) from e

        written.append(end - start)

    try:
        for _ in collection.bounds.in_parts(
            len(ids), lambda known: known.writes(step), upsert, _WRITES_AT_ONCE
        ):
            pass
    except RequestTooLarge:
        raise
    except (ConnectionFailed, EngineError) as e:
        raise type(e)(
            f"{sentence(e)} {sum(written)} of {len(ids)} points are known to be "
            "written. Do it again to write all: those that are there are "
            "replaced"
        ) from e

    _check_written(collection, ids, vectors, payloads)


def _upload(
    collection: Collection,
    ids: Sequence[str],
    vectors: Matrix,
    payloads: list[dict[str, Any]],
) -> None:
    collection.call(
        "upload_collection",
        vectors=_named(collection, vectors),
        payload=payloads,
        ids=points.to_point_ids(ids),
        batch_size=_batch_size(vectors.shape[1]),
        wait=True,
    )


def _with_theirs(
    collection: Collection, ids: Sequence[str], payloads: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Payloads with what others have put into those of the same points."""
    if collection.schema().ours:
        return payloads

    theirs = {
        i: payload or {}
        for page in collection.retrieve(ids)
        for i, payload in zip(page.ids, page.payloads, strict=True)
    }
    return [
        {**theirs.get(i.lower(), {}), **payload}
        for i, payload in zip(ids, payloads, strict=True)
    ]


def _put(
    collection: Collection,
    ids: Sequence[str],
    vectors: Matrix,
    payloads: list[dict[str, Any]],
) -> None:
    if collection.schema().ours:
        _upsert(collection, ids, vectors, payloads)
        return

    there = collection.existing(ids)
    for write, rows in (
        (_upsert, [row for row, i in enumerate(ids) if i.lower() not in there]),
        (_update, [row for row, i in enumerate(ids) if i.lower() in there]),
    ):
        if rows:
            some = [ids[row] for row in rows]
            write(collection, some, vectors[rows], [payloads[row] for row in rows])


def _update(
    collection: Collection,
    ids: Sequence[str],
    vectors: Matrix,
    payloads: list[dict[str, Any]],
) -> None:
    """Replaces just our vectors and fields of points that are there."""
    from qdrant_client import models

    point_ids = points.to_point_ids(ids)
    changed = [
        models.PointVectors(id=i, vector=_named(collection, v))
        for i, v in zip(point_ids, vectors.tolist(), strict=True)
    ]
    update = models.UpdateVectorsOperation(
        update_vectors=models.UpdateVectors(points=changed)
    )
    fields = [
        models.SetPayloadOperation(
            set_payload=models.SetPayload(payload=payload, points=[i])
        )
        for i, payload in zip(point_ids, payloads, strict=True)
    ]
    operations = [update, *fields]
    collection.call("batch_update_points", update_operations=operations, wait=True)


def remove(collection: Collection, ids: Sequence[str]) -> None:
    """Removes points, or of those that have vectors of others only ours.

    Args:
        collection: where from
        ids: sample or label ids; missing ones are no error
    """
    schema = collection.schema()
    if schema.ours or not schema.other_vectors:
        collection.delete(ids)
        return

    from qdrant_client import models

    for start in range(0, len(ids), _MAX_POINTS):
        some = points.to_point_ids(ids[start : start + _MAX_POINTS])
        among: Any = models.HasIdCondition(has_id=list(some))
        others: list[Any] = [
            models.HasVectorCondition(has_vector=name) for name in schema.other_vectors
        ]
        alone = models.Filter(must=[among], must_not=others)
        shared = models.Filter(must=[among])
        collection.call("delete", points_selector=alone, wait=True)
        name = [schema.vector_name or ""]
        collection.call("delete_vectors", vectors=name, points=shared, wait=True)
        if schema.metric == "cosine":
            key = [points.norm_key(schema.vector_name)]
            collection.call("delete_payload", keys=key, points=shared, wait=True)


def _upsert(
    collection: Collection,
    ids: Sequence[str],
    vectors: Matrix,
    payloads: list[dict[str, Any]],
) -> None:
    from qdrant_client import models

    message: Any = None
    if collection.connection.prefer_grpc:
        message = _to_grpc(ids, [_named(collection, v) for v in vectors], payloads)

    if message is None:
        message = models.Batch.model_construct(
            ids=points.to_point_ids(ids),
            vectors=_named(collection, vectors.tolist()),
            payloads=payloads,
        )

    collection.call("upsert", points=message, wait=True)


def _named(collection: Collection, vectors: Any) -> Any:
    name = collection.schema().vector_name
    return vectors if name is None else {name: vectors}


def _check_written(
    collection: Collection,
    ids: Sequence[str],
    vectors: Matrix,
    payloads: list[dict[str, Any]],
) -> None:
    """Checks that acknowledged points are there: on all replicas that answer.

    What a replica missed is written to all once more.

    Raises:
        EngineError: if some are not
    """
    if collection.holds(ids):
        return

    row = {i.lower(): n for n, i in enumerate(ids)}
    missing = set(row)
    for pause in _SEEN_AFTER:
        time.sleep(pause)
        missing -= _present(collection, sorted(missing))
        if not missing:
            return

    if collection.schema().replicas > 1:
        rows = sorted(row[i] for i in missing)
        for start in range(0, len(rows), _MAX_POINTS):
            some = rows[start : start + _MAX_POINTS]
            _put(
                collection,
                [ids[r] for r in some],
                vectors[some],
                [payloads[r] for r in some],
            )

        missing -= collection.present(sorted(missing))
        if not missing:
            return

    raise EngineError(
        f"Qdrant at {collection.connection.location} acknowledged {len(ids)} points, "
        f"but {len(missing)} of them (such as {min(missing)}) are not in "
        f"collection '{collection.name}'. Write them again, and see that nothing else "
        "deletes them"
    )


def _present(collection: Collection, ids: Sequence[str]) -> set[str]:
    found = collection.on_all_replicas(ids)
    return collection.present(ids) if found is None else found


def _to_grpc(
    ids: Sequence[str], vectors: list[Any], payloads: list[dict[str, Any]]
) -> list[Any] | None:
    """Points as messages, their vectors copied as bytes instead of float by float.

    Returns:
        ``None`` with a qdrant-client before 1.20, which cannot do that
    """
    try:
        from qdrant_client.uploader.grpc_uploader import convert_vector_struct
    except ImportError:
        return None

    from qdrant_client import grpc
    from qdrant_client.conversions.conversion import RestToGrpc

    return [
        grpc.PointStruct(
            id=grpc.PointId(uuid=point_id),
            vectors=convert_vector_struct(vector),
            payload=RestToGrpc.convert_payload(payload),
        )
        for point_id, vector, payload in zip(
            points.to_point_ids(ids), vectors, payloads, strict=True
        )
    ]


def _batch_size(size: int) -> int:
    bytes_per_point = size * _BYTES_PER_FLOAT + _BYTES_PER_POINT
    return max(1, min(_MAX_POINTS, _MAX_BYTES // bytes_per_point))
