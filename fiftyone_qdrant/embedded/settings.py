"""A collection's configuration: the wire's dicts, and the engine's objects.

``vectors``, ``hnsw_config``, ``optimizers_config`` and ``quantization_config`` have
the shape of Qdrant's REST API. They are kept as they were asked for in the
collection's sidecar file.
"""

from __future__ import annotations

import os
from typing import Any

import qdrant_edge as qe

from fiftyone_qdrant import errors

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
    parts: dict[str, Any] = {
        "vectors": qe.EdgeVectorParams(
            size=vectors["size"],
            distance=getattr(qe.Distance, vectors["distance"]),
            on_disk=vectors.get("on_disk"),
            datatype=_datatype(vectors.get("datatype")),
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


def _datatype(name: str | None) -> Any:
    if name is None:
        return None
    found = getattr(qe.VectorStorageDatatype, name.capitalize(), None)
    if found is None:
        raise errors.UnsupportedByEngine(f"the embedded engine has no datatype {name}")
    return found


def quantization(wire: dict[str, Any] | None) -> Any:
    """Returns the engine's quantization configuration, or None."""
    if wire is None:
        return None
    ((kind, given),) = wire.items()
    parts = {k: v for k, v in given.items() if v is not None}
    if kind == "scalar":
        parts["type"] = qe.ScalarType.Int8
        return qe.ScalarQuantizationConfig(**parts)
    if kind == "product":
        parts["compression"] = getattr(
            qe.CompressionRatio, parts["compression"].upper()
        )
        return qe.ProductQuantizationConfig(**parts)
    if kind == "binary":
        if "encoding" in parts:
            parts["encoding"] = {
                "one_bit": qe.BinaryQuantizationEncoding.OneBit,
                "two_bits": qe.BinaryQuantizationEncoding.TwoBits,
                "one_and_half_bits": qe.BinaryQuantizationEncoding.OneAndHalfBits,
            }[parts["encoding"]]
        if "query_encoding" in parts:
            parts["query_encoding"] = {
                "default": qe.BinaryQuantizationQueryEncoding.Default,
                "binary": qe.BinaryQuantizationQueryEncoding.Binary,
                "scalar4bits": qe.BinaryQuantizationQueryEncoding.Scalar4Bits,
                "scalar8bits": qe.BinaryQuantizationQueryEncoding.Scalar8Bits,
            }[parts["query_encoding"]]
        return qe.BinaryQuantizationConfig(**parts)
    if kind == "turbo":
        if "bits" in parts:
            parts["bits"] = getattr(
                qe.TurboQuantBitSize,
                "Bits" + str(parts["bits"]).removeprefix("bits").replace(".", "_"),
            )
        return qe.TurboQuantQuantizationConfig(**parts)
    raise errors.UnsupportedByEngine(f"the embedded engine has no {kind} quantization")


def payload_index(wire: dict[str, Any]) -> Any:
    """Returns the engine's schema of a payload index.

    Args:
        wire: ``{"type": "keyword", ...parameters}``
    """
    parts = {k: v for k, v in wire.items() if v is not None}
    kind = parts.pop("type")
    if not parts:
        return getattr(qe.PayloadSchemaType, kind.capitalize())
    if "tokenizer" in parts:
        parts["tokenizer"] = getattr(qe.TokenizerType, parts["tokenizer"].capitalize())
    if "memory" in parts:
        parts["memory"] = getattr(qe.Memory, parts["memory"].capitalize())
    unsupported = {"stopwords", "stemmer", "scoring"} & set(parts)
    if unsupported:
        raise errors.UnsupportedByEngine(
            "the embedded engine takes no "
            f"{', '.join(sorted(unsupported))} for a payload index here"
        )
    params = getattr(qe, f"{kind.capitalize()}IndexParams")
    return params(**parts)
