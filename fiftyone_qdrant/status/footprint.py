"""What a collection takes: memory, as an estimate, and disk where it can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fiftyone_qdrant.parameters import estimates
from fiftyone_qdrant.parameters.estimates import Memory
from fiftyone_qdrant.parameters.in_force import settings_in_force
from fiftyone_qdrant.qdrant.collection import Collection

if TYPE_CHECKING:
    from qdrant_client import models


def vector_bytes(info: models.CollectionInfo) -> int:
    """Returns the size of all dense vectors of a collection, in bytes."""
    numbers = sum(
        v.size * estimates.width_of(v.datatype) for v in _dense(info).values()
    )
    return round((info.points_count or 0) * numbers)


def memory(info: models.CollectionInfo) -> Memory:
    """Estimates what a collection wants in memory, from what Qdrant says of it."""
    named, count = _dense(info), info.points_count or 0
    indexed = (info.indexed_vectors_count or 0) // max(1, len(named))
    each = (
        estimates.memory(
            count,
            params.size,
            {**settings_in_force(info, name), "datatype": params.datatype},
            indexed=indexed,
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
