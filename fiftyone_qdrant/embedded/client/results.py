"""From the wire to ``qdrant_client.models``: points and collection settings."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from qdrant_client.http import models

from fiftyone_qdrant.embedded import protocol
from fiftyone_qdrant.points import Page


def _maker(model: Any) -> Callable[..., Any]:
    """Returns a quick ``model_construct`` for when all fields are given.

    It does what ``model_construct`` does in Pydantic 2, minus looking at each field,
    which takes longer than reading the point from the store. Where it turns out not to
    do the same, ``model_construct`` itself is returned.
    """
    fields = set(model.model_fields)
    new, put = model.__new__, object.__setattr__

    def make(**values: Any) -> Any:
        made = new(model)
        put(made, "__dict__", values)
        put(made, "__pydantic_fields_set__", fields)
        put(made, "__pydantic_extra__", None)
        put(made, "__pydantic_private__", None)
        return made

    example = dict.fromkeys(fields)
    try:
        same = make(**example) == model.model_construct(**example)
    except (AttributeError, TypeError):
        same = False

    return make if same else cast("Callable[..., Any]", model.model_construct)


_RECORD = _maker(models.Record)
_SCORED_POINT = _maker(models.ScoredPoint)


def records(page: Page, order_values: Any = None) -> list[models.Record]:
    """Returns points as records."""
    nothing = [None] * len(page)
    values = order_values or nothing
    vectors = nothing if page.vectors is None else page.vectors
    rows = zip(page.point_ids, page.payloads, vectors, values, strict=True)
    return [
        _RECORD(id=i, payload=p, vector=v, shard_key=None, order_value=o)
        for i, p, v, o in rows
    ]


def scored_points(
    reply: protocol.Message, buffers: Sequence[memoryview]
) -> list[models.ScoredPoint]:
    """Returns the points of one query's result."""
    found = page(reply, buffers)
    scores = struct.unpack(f"<{len(found)}d", buffers[reply["scores"]])
    vectors = [None] * len(found) if found.vectors is None else found.vectors
    rows = zip(found.point_ids, scores, found.payloads, vectors, strict=True)
    rest = {"version": 0, "shard_key": None, "order_value": None}
    return [
        _SCORED_POINT(id=i, score=s, payload=p, vector=v, **rest) for i, s, p, v in rows
    ]


def page(reply: protocol.Message, buffers: Sequence[memoryview]) -> Page:
    """Returns the points of a reply as columns."""
    kind, number = reply["ids"]
    ids = protocol.unpack_ids(kind, buffers[number])
    vectors = None
    if "vectors" in reply:
        flat = np.frombuffer(buffers[reply["vectors"]], dtype="<f4")
        vectors = flat.reshape(len(ids), reply["dim"])

    return Page(ids, reply.get("payloads") or [None] * len(ids), vectors)


def joined(pages: Sequence[Page]) -> Page:
    """Returns the points of pages as one."""
    if len(pages) == 1:
        return pages[0]

    several = pages[0].vectors is not None
    return Page(
        [i for page in pages for i in page.point_ids],
        [p for page in pages for p in page.payloads],
        np.concatenate([page.vectors for page in pages]) if several else None,
    )


def collection_info(info: dict[str, Any]) -> models.CollectionInfo:
    """Returns settings and counts of a collection."""
    config = info["config"]
    error = info.get("build_error")
    shape = {
        **info,
        "optimizer_status": {"error": error} if error else "ok",
        "config": {
            "params": {
                "vectors": config["vectors"],
                "on_disk_payload": config.get("on_disk_payload"),
            },
            "hnsw_config": info["hnsw_config"],
            "optimizer_config": {
                "deleted_threshold": 0.2,
                "vacuum_min_vector_number": 1000,
                "default_segment_number": 0,
                "flush_interval_sec": 5,
                **(config.get("optimizers_config") or {}),
                "indexing_threshold": info["indexing_threshold"],
            },
            "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
            "quantization_config": config.get("quantization_config"),
            "metadata": config.get("metadata"),
        },
    }
    return models.CollectionInfo.model_validate(shape)
