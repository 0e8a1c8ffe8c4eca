"""From ``create_collection``'s parameters to a collection's settings, checked."""

from __future__ import annotations

from typing import Any

from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.client import wire

_NAME_LENGTH = 255
_VECTOR_SETTINGS = {"size", "distance", "on_disk", "datatype"}
_OPTIMIZER_SETTINGS = (
    "deleted_threshold",
    "vacuum_min_vector_number",
    "default_segment_number",
    "max_segment_size",
    "indexing_threshold",
)
_ONE_IS_FINE = ("shard_number", "replication_factor", "write_consistency_factor")


def config(name: str, vectors: Any, given: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a new collection.

    Args:
        name: its name
        vectors: its ``VectorParams``
        given: the other parameters of ``create_collection``

    Raises:
        ConfigError: if a parameter is wrong
        UnsupportedByEngine: names all parameters that cannot be honored
    """
    if not isinstance(name, str) or not 0 < len(name) <= _NAME_LENGTH:
        raise errors.ConfigError(
            f"a collection name has 1 to {_NAME_LENGTH} characters, unlike {name!r}"
        )

    where = f"create_collection('{name}')"
    on_disk_payload = given.pop("on_disk_payload", None)
    found, unsupported = _read(given)
    if not isinstance(vectors, models.VectorParams):
        wire.refuse(
            {*unsupported, "vectors_config without exactly one unnamed vector"}, where
        )

    own = wire.dumped(vectors)
    hnsw = {**found.get("hnsw_config", {}), **own.pop("hnsw_config", {})}
    quantization = own.pop("quantization_config", found.get("quantization_config"))
    unsupported |= {f"vectors_config.{k}" for k in own.keys() - _VECTOR_SETTINGS}
    found |= {"hnsw_config": hnsw or None, "quantization_config": quantization}
    wire.refuse(unsupported | _lacking(found), where)
    return {
        "name": name,
        "vectors": own,
        "on_disk_payload": on_disk_payload,
        "optimizers_config": None,
        "metadata": None,
        **found,
    }


def changes(given: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings that parameters of ``update_collection`` change.

    Raises:
        UnsupportedByEngine: names all parameters that cannot be honored
    """
    vectors = given.pop("vectors_config", None) or {}
    found, unsupported = _read(given)
    if vectors:
        found["vectors"] = wire.dumped(vectors.get("", models.VectorParamsDiff()))
        if vectors.keys() - {""} or found["vectors"].keys() - {"on_disk"}:
            unsupported.add("vectors_config with more than on_disk under the name ''")

    wire.refuse(unsupported | _lacking(found), "update_collection")
    return found


def _read(given: dict[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """Returns parameters as they are kept, and the names of those that are not."""
    found: dict[str, Any] = {}
    unsupported = set()
    for name, value in given.items():
        if value is None or (name in _ONE_IS_FINE and value == 1):
            continue

        if name == "metadata":
            found[name] = wire.plain(value)
        elif name in ("hnsw_config", "optimizers_config", "quantization_config"):
            off = isinstance(value, models.Disabled)
            found[name] = None if off else wire.dumped(value)
        else:
            unsupported.add(name)

    return found, unsupported


def _lacking(found: dict[str, Any]) -> set[str]:
    """Returns the names of settings that the engine has not, or not this way."""
    optimizers = found.get("optimizers_config") or {}
    names = optimizers.keys() - set(_OPTIMIZER_SETTINGS)
    if not optimizers.get("prevent_unoptimized"):
        names.discard("prevent_unoptimized")  # searches never wait for an index

    lacking = {f"optimizers_config.{name}" for name in names}
    quantizations = (found.get("quantization_config") or {}).values()
    if any("memory" in quantization for quantization in quantizations):
        lacking.add("quantization_config.memory")

    if "memory" in (found.get("hnsw_config") or {}):
        lacking.add("hnsw_config.memory")

    return lacking


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
