"""What a collection takes: memory, as an estimate, and disk where it can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fiftyone_qdrant.parameters.in_force import settings_in_force
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.status import estimates
from fiftyone_qdrant.status.estimates import Memory

if TYPE_CHECKING:
    from qdrant_client import models

_WIDTHS = {"float16": 2, "uint8": 1}  # bytes of one number


def vector_bytes(info: models.CollectionInfo) -> int:
    """Returns the size of all dense vectors of a collection, in bytes."""
    numbers = sum(v.size * _width(v) for v in _dense(info).values())
    return (info.points_count or 0) * numbers


def memory(info: models.CollectionInfo) -> Memory:
    """Estimates what a collection wants in memory, from what Qdrant says of it."""
    named, count = _dense(info), info.points_count or 0
    indexed = (info.indexed_vectors_count or 0) // max(1, len(named))
    each = (
        estimates.memory(
            count,
            params.size,
            settings_in_force(info, name),
            indexed=indexed,
            width=_width(params),
        )
        for name, params in named.items()
    )
    return sum(each, Memory(0, 0, 0))


def disk_bytes(collection: Collection) -> int | None:
    """Returns what a collection takes on disk; ``None`` on a server, which tells not.

    Raises:
        CollectionNotFound: if it does not exist
    """
    remote = collection.connection.remote
    return None if remote else int(collection.call("disk_usage"))


def _dense(info: models.CollectionInfo) -> dict[str | None, models.VectorParams]:
    vectors: Any = info.config.params.vectors or {}
    return vectors if isinstance(vectors, dict) else {None: vectors}


def _width(params: models.VectorParams) -> int:
    return _WIDTHS.get(str(params.datatype), 4)
