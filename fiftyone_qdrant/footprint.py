"""What a collection takes: memory, as an estimate, and disk where it can be told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .collection import Collection
from .connection import EMBEDDED

if TYPE_CHECKING:
    from qdrant_client import models

_WIDTHS = {"float16": 2, "uint8": 1}
_LINK = 4  # bytes of one link of an HNSW graph
_RATIOS = {"x4": 4, "x8": 8, "x16": 16, "x32": 32, "x64": 64}


@dataclass(frozen=True)
class Memory:
    """About how much memory a collection wants for full speed, in bytes.

    Attributes:
        vectors: of the vectors, 0 if they are kept on disk
        graph: of the HNSW graph, 0 if it is kept on disk or not built
        quantized: of the quantized vectors
    """

    vectors: int
    graph: int
    quantized: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.vectors + self.graph + self.quantized


def vector_bytes(info: models.CollectionInfo) -> int:
    """Returns the size of all dense vectors of a collection, in bytes."""
    return sum(size for size, _ in _dense(info))


def memory(info: models.CollectionInfo) -> Memory:
    """Estimates what a collection wants in memory, from what Qdrant says of it."""
    hnsw = info.config.hnsw_config
    links = 2 * (hnsw.m or 0) * _LINK  # the lowest layer, which has nearly all
    return Memory(
        vectors=sum(size for size, v in _dense(info) if not v.on_disk),
        graph=0 if hnsw.on_disk else (info.indexed_vectors_count or 0) * links,
        quantized=_quantized_bytes(info),
    )


def disk_bytes(collection: Collection) -> int | None:
    """Returns what a collection takes on disk; ``None`` on a server, which tells not.

    Raises:
        CollectionNotFound: if it does not exist
    """
    if collection.connection.engine != EMBEDDED:
        return None

    return int(collection.call("disk_usage"))


def _dense(info: models.CollectionInfo) -> list[tuple[int, models.VectorParams]]:
    vectors: Any = info.config.params.vectors or {}
    kinds = list(vectors.values()) if isinstance(vectors, dict) else [vectors]
    points = info.points_count or 0
    return [(points * v.size * _WIDTHS.get(str(v.datatype), 4), v) for v in kinds]


def _quantized_bytes(info: models.CollectionInfo) -> int:
    config = info.config.quantization_config
    if config is None:
        return 0

    components = sum(
        (info.points_count or 0) * v.size for _, v in _dense(info)
    )  # one byte each with scalar quantization
    settings = config.model_dump(mode="json")
    if "binary" in settings:
        return components // 8

    if "product" in settings:
        ratio = _RATIOS.get(settings["product"]["compression"], 4)
        return 4 * components // ratio

    return components
