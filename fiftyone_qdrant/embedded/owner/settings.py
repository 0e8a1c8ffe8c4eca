"""A collection's configuration: the wire's dicts, and the engine's objects.

``vectors``, ``hnsw_config``, ``optimizers_config`` and ``quantization_config`` have
the shape of Qdrant's REST API. They are kept as they were asked for in the
collection's sidecar file.
"""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, fields
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


@dataclass(frozen=True)
class Segments:
    """What the segments of a collection are made with, as its sidecar file notes it.

    Attributes:
        hnsw_config: of their graph
        quantization_config: of their vectors, or None
        on_disk: whether their vectors are on the disk only
        asked: what :func:`asked` said when they were made
        points: how many points the engine left without an index
    """

    hnsw_config: dict[str, Any] | None
    quantization_config: dict[str, Any] | None
    on_disk: bool | None
    asked: Any = None
    points: int | None = None

    @classmethod
    def indexed(cls, config: dict[str, Any]) -> Segments:
        """Returns those of an indexed collection."""
        graph = hnsw(config)
        graph.pop("max_indexing_threads", None)  # how it is built, not what
        quantization = config.get("quantization_config")
        return cls(graph, quantization, config["vectors"].get("on_disk"))

    @classmethod
    def plain(cls, config: dict[str, Any]) -> Segments:
        """Returns those of a collection without an index."""
        return cls({"m": 0}, None, config["vectors"].get("on_disk"))

    @classmethod
    def made(cls, config: dict[str, Any]) -> Segments:
        """Returns those that a collection has."""
        note = config.get("built")
        if not note:
            return cls.plain(config)

        parts = {"on_disk": config["vectors"].get("on_disk"), **note}
        return cls(**{field.name: parts.get(field.name) for field in fields(cls)})

    @property
    def is_plain(self) -> bool:
        """Whether they have no graph and no quantization."""
        return not hnsw(asdict(self))["m"] and self.quantization_config is None

    def same(self, made: Segments) -> bool:
        """Returns whether segments made with ``made`` are what is wanted."""
        if bool(self.on_disk) != bool(made.on_disk):
            return False

        if self.is_plain or made.is_plain:
            return self.is_plain and made.is_plain

        ours, theirs = (
            (_given(hnsw(asdict(s))), _given(s.quantization_config))
            for s in (self, made)
        )
        return ours == theirs


def asked(config: dict[str, Any]) -> Any:
    """Returns all that decides what segments are built with, and whether."""
    wanted = asdict(Segments.indexed(config))
    return _given({**wanted, "indexing_threshold": indexing_threshold(config)})


def _given(wire: Any) -> Any:
    """Returns settings without those that say what holds without them, too."""
    if not isinstance(wire, dict):
        return wire

    return {k: _given(v) for k, v in wire.items() if v is not None and v is not False}


def to_build(config: dict[str, Any], wanted: Segments, points: int) -> dict[str, Any]:
    """Returns the configuration to build a collection's segments as wanted.

    Args:
        config: the collection's configuration
        wanted: how
        points: how many points it has: segments of that many are indexed for sure
    """
    threads = (config.get("hnsw_config") or {}).get("max_indexing_threads", 0)
    optimizers = dict(config.get("optimizers_config") or {})
    # given always, since the engine takes "none given" for "as before"
    threshold = optimizers.get("indexing_threshold") or _ENGINE_THRESHOLD
    segment = points * config["vectors"]["size"] * 4 // 1024 // _SEGMENTS
    optimizers["indexing_threshold"] = (
        0 if wanted.is_plain else max(1, min(threshold, segment))
    )
    return {
        **config,
        "hnsw_config": {**hnsw(asdict(wanted)), "max_indexing_threads": threads},
        "quantization_config": wanted.quantization_config,
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
