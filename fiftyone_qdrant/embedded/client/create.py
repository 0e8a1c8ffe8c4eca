"""From ``create_collection``'s parameters to a collection's settings, checked."""

from __future__ import annotations

from typing import Any

from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.client import wire

_NAME_LENGTH = 255
_VECTOR_SETTINGS = ("size", "distance", "on_disk", "datatype")
_OPTIMIZER_SETTINGS = (
    "deleted_threshold",
    "vacuum_min_vector_number",
    "default_segment_number",
    "max_segment_size",
    "indexing_threshold",
)
_ONE_IS_FINE = ("shard_number", "replication_factor", "write_consistency_factor")


def config(
    name: str,
    vectors: Any,
    *,
    on_disk_payload: bool | None,
    hnsw_config: Any,
    optimizers_config: Any,
    quantization_config: Any,
    metadata: dict[str, Any] | None,
    others: dict[str, Any],
) -> dict[str, Any]:
    """Returns the settings of a new collection.

    Raises:
        ConfigError: if a parameter is wrong
        UnsupportedByEngine: names all parameters that cannot be honored
    """
    if not isinstance(name, str) or not 0 < len(name) <= _NAME_LENGTH:
        raise errors.ConfigError(
            f"a collection name has 1 to {_NAME_LENGTH} characters, unlike {name!r}"
        )

    unsupported = _unsupported(others)
    if not isinstance(vectors, models.VectorParams):
        wire.refuse(
            {*unsupported, "vectors_config without exactly one unnamed vector"},
            f"create_collection('{name}')",
        )

    own = wire.dumped(vectors)
    optimizers = wire.dumped(optimizers_config) if optimizers_config else {}
    hnsw = wire.dumped(hnsw_config) if hnsw_config else {}
    quantization = wire.dumped(quantization_config) if quantization_config else None
    hnsw.update(own.pop("hnsw_config", {}))
    quantization = own.pop("quantization_config", quantization)
    unsupported |= {f"vectors_config.{k}" for k in own if k not in _VECTOR_SETTINGS}
    unsupported |= _unsupported_optimizers(optimizers)
    if "memory" in hnsw:
        unsupported.add("hnsw_config.memory")

    if quantization and "memory" in next(iter(quantization.values())):
        unsupported.add("quantization_config.memory")

    wire.refuse(unsupported, f"create_collection('{name}')")
    return {
        "name": name,
        "vectors": own,
        "on_disk_payload": on_disk_payload,
        "hnsw_config": hnsw or None,
        "optimizers_config": optimizers or None,
        "quantization_config": quantization,
        "metadata": wire.plain(metadata) if metadata is not None else None,
    }


def changes(
    *,
    vectors_config: Any,
    hnsw_config: Any,
    optimizers_config: Any,
    quantization_config: Any,
    metadata: dict[str, Any] | None,
    others: dict[str, Any],
) -> dict[str, Any]:
    """Returns the settings that ``update_collection`` changes."""
    unsupported = _unsupported(others)
    found: dict[str, Any] = {}
    if metadata is not None:
        found["metadata"] = wire.plain(metadata)

    for name, diff in (vectors_config or {}).items():
        of_vectors = wire.dumped(diff)
        if name or set(of_vectors) - {"on_disk"}:
            unsupported.add("vectors_config with more than on_disk under the name ''")
        else:
            found["vectors"] = of_vectors

    if hnsw_config is not None:
        found["hnsw_config"] = wire.dumped(hnsw_config)
        if "memory" in found["hnsw_config"]:
            unsupported.add("hnsw_config.memory")

    if quantization_config is not None:
        if isinstance(quantization_config, models.Disabled):
            found["quantization_config"] = None
        else:
            found["quantization_config"] = wire.dumped(quantization_config)

    if optimizers_config is not None:
        optimizers = wire.dumped(optimizers_config)
        unsupported |= _unsupported_optimizers(optimizers)
        found["optimizers_config"] = optimizers

    wire.refuse(unsupported, "update_collection")
    return found


def _unsupported_optimizers(given: dict[str, Any]) -> set[str]:
    names = {k for k in given if k not in _OPTIMIZER_SETTINGS}
    if not given.get("prevent_unoptimized"):
        names.discard("prevent_unoptimized")  # searches never wait for an index

    return {f"optimizers_config.{name}" for name in names}


def _unsupported(others: dict[str, Any]) -> set[str]:
    return {
        name
        for name, value in others.items()
        if value is not None and not (name in _ONE_IS_FINE and value == 1)
    }


def index_schema(given: Any) -> Any:
    """Returns the schema of a payload index as a model.

    Args:
        given: a ``PayloadSchemaType``, its name, or one of the ``*IndexParams``
    """
    if given is None:
        raise errors.ConfigError("a payload index needs a field_schema")

    try:
        return models.PayloadSchemaType(given) if isinstance(given, str) else given
    except ValueError as e:
        raise errors.ConfigError(f"there is no payload index {given!r}") from e
