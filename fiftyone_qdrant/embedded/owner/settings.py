"""A collection's configuration: the wire's dicts, and the engine's objects.

``vectors``, ``hnsw_config``, ``optimizers_config`` and ``quantization_config`` have
the shape of Qdrant's REST API. They are kept as they were asked for in the
collection's sidecar file.
"""

from __future__ import annotations

import math
import os
from typing import Any

import qdrant_edge as qe

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.owner.mapping import member

EXACT_POINTS = 200_000
"""Up to how many points searches are quick enough without an index."""

_ENGINE_THRESHOLD = 10_000  # kilobytes; its own default
_SEGMENTS = 16  # among which the engine may divide a collection
_HNSW_DEFAULTS: dict[str, Any] = {
    "m": 16,
    "ef_construct": 100,
    "full_scan_threshold": 10_000,
}


def edge_config(config: dict[str, Any], *, indexed: bool) -> Any:
    """Returns the engine's configuration of a collection.

    Args:
        config: the collection's configuration, as in its sidecar file
        indexed: whether HNSW, quantization and optimizer settings take part.
            The live shard of a collection that is searched exactly has none
    """
    vectors = config["vectors"]
    datatype = vectors.get("datatype")
    parts: dict[str, Any] = {
        "vectors": qe.EdgeVectorParams(
            size=vectors["size"],
            distance=member("Distance", vectors["distance"]),
            on_disk=vectors.get("on_disk"),
            datatype=datatype and member("VectorStorageDatatype", datatype),
        ),
        "on_disk_payload": config.get("on_disk_payload"),
        "max_search_threads": min(8, os.cpu_count() or 1),
    }
    if indexed:
        parts["hnsw_config"] = qe.HnswIndexConfig(**hnsw(config))
        parts["quantization_config"] = quantization(config.get("quantization_config"))
        parts["optimizers"] = qe.EdgeOptimizersConfig(
            **(config.get("optimizers_config") or {})
        )

    return qe.EdgeConfig(**parts)


def hnsw(config: dict[str, Any]) -> dict[str, Any]:
    """Returns a collection's HNSW settings, the defaults included."""
    return {**_HNSW_DEFAULTS, **(config.get("hnsw_config") or {})}


def indexed(config: dict[str, Any]) -> dict[str, Any]:
    """Returns what the segments of an indexed collection are made with."""
    graph = hnsw(config)
    graph.pop("max_indexing_threads", None)  # how it is built, not what
    return {
        "hnsw_config": graph,
        "quantization_config": config.get("quantization_config"),
        "on_disk": config["vectors"].get("on_disk"),
    }


def plain(config: dict[str, Any]) -> dict[str, Any]:
    """Returns what the segments of a collection without an index are made with."""
    return {
        "hnsw_config": {"m": 0},
        "quantization_config": None,
        "on_disk": config["vectors"].get("on_disk"),
    }


def is_plain(made: dict[str, Any]) -> bool:
    """Returns whether :func:`indexed` settings come to no graph and no quantization."""
    return hnsw(made)["m"] == 0 and made.get("quantization_config") is None


def same(wanted: dict[str, Any], made: dict[str, Any]) -> bool:
    """Returns whether segments made with ``made`` are what is wanted."""
    if bool(wanted["on_disk"]) != bool(made.get("on_disk", wanted["on_disk"])):
        return False

    if is_plain(wanted) or is_plain(made):
        return is_plain(wanted) and is_plain(made)

    return all(
        _given(of(wanted)) == _given(of(made))
        for of in (hnsw, lambda settings: settings["quantization_config"])
    )


def asked(config: dict[str, Any]) -> Any:
    """Returns all that decides what segments are built with, and whether."""
    wanted = {**indexed(config), "indexing_threshold": indexing_threshold(config)}
    return _given(wanted)


def _given(wire: Any) -> Any:
    """Returns settings without those that say what holds without them, too."""
    if not isinstance(wire, dict):
        return wire

    return {k: _given(v) for k, v in wire.items() if v is not None and v is not False}


def to_build(
    config: dict[str, Any], wanted: dict[str, Any], points: int
) -> dict[str, Any]:
    """Returns the configuration to build a collection's segments as wanted.

    Args:
        config: the collection's configuration
        wanted: what :func:`indexed` or :func:`plain` returned
        points: how many points it has: segments of that many are indexed for sure
    """
    threads = (config.get("hnsw_config") or {}).get("max_indexing_threads", 0)
    optimizers = dict(config.get("optimizers_config") or {})
    # given always, since the engine takes "none given" for "as before"
    threshold = optimizers.get("indexing_threshold") or _ENGINE_THRESHOLD
    segment = points * config["vectors"]["size"] * 4 // 1024 // _SEGMENTS
    optimizers["indexing_threshold"] = (
        0 if is_plain(wanted) else max(1, min(threshold, segment))
    )
    return {
        **config,
        "hnsw_config": {**wanted["hnsw_config"], "max_indexing_threads": threads},
        "quantization_config": wanted["quantization_config"],
        "optimizers_config": optimizers,
    }


def threshold(config: dict[str, Any]) -> float:
    """Returns how many points may be without an index: infinity if all may."""
    kilobytes = indexing_threshold(config)
    if kilobytes == 0:
        return math.inf

    return float(kilobytes * 1024 / (4 * config["vectors"]["size"]))


def indexing_threshold(config: dict[str, Any]) -> int:
    """Returns Qdrant's setting of that name, in kilobytes of vectors; 0 is never."""
    given = (config.get("optimizers_config") or {}).get("indexing_threshold")
    if given is not None:
        return int(given)

    return math.ceil(EXACT_POINTS * 4 * int(config["vectors"]["size"]) / 1024)


_QUANTIZATIONS: dict[str, Any] = {
    "scalar": qe.ScalarQuantizationConfig,
    "product": qe.ProductQuantizationConfig,
    "binary": qe.BinaryQuantizationConfig,
    "turbo": qe.TurboQuantQuantizationConfig,
}
_ENUMS = {
    "type": "ScalarType",
    "compression": "CompressionRatio",
    "encoding": "BinaryQuantizationEncoding",
    "query_encoding": "BinaryQuantizationQueryEncoding",
    "bits": "TurboQuantBitSize",
}


def quantization(wire: dict[str, Any] | None) -> Any:
    """Returns the engine's quantization configuration, or None."""
    if wire is None:
        return None

    ((kind, given),) = wire.items()
    if kind not in _QUANTIZATIONS:
        raise errors.UnsupportedByEngine(
            f"the embedded engine has no {kind} quantization"
        )

    parts = {k: v for k, v in given.items() if v is not None}
    for name in _ENUMS.keys() & parts.keys():
        parts[name] = member(_ENUMS[name], parts[name])

    return _QUANTIZATIONS[kind](**parts)
