"""What an index takes, before it is made and afterwards: one model of memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_RATIOS = {"scalar": 4}  # a float32 to its quantized form
_BITS = {"bits1": 1, "bits1_5": 1.5, "bits2": 2, "bits4": 4, "bits8": 8}
_ENCODINGS = {"one_bit": 1, "one_and_half_bits": 1.5, "two_bits": 2}
_DEFAULT_BITS = 4  # of TurboQuant
_WIDTHS = {"float16": 2, "turbo16": 2, "uint8": 1, "turbo8": 1, "turbo4": 0.5}
_COMPRESSIONS = {"x4": 4, "x8": 8, "x16": 16, "x32": 32, "x64": 64}
_LINK = 4  # bytes of one link of an HNSW graph
_LINKS = 16  # Qdrant's own ``m``
_BYTES_PER_POINT = 800  # on disk: id, payload and the index of the sample id
_SECONDS_PER_POINT = 1.2e-4
_SECONDS_PER_FLOAT = 1.1e-7


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

    def __add__(self, other: Memory) -> Memory:
        return Memory(
            self.vectors + other.vectors,
            self.graph + other.graph,
            self.quantized + other.quantized,
        )


@dataclass(frozen=True)
class Estimate:
    """About what an index takes.

    Attributes:
        memory: bytes of memory for full speed
        disk: bytes of disk, the write-ahead log included
        seconds: to write it, or ``None`` if that depends on a model or a network
    """

    memory: int
    disk: int
    seconds: float | None


def estimate(
    count: int, size: int, parameters: Mapping[str, Any], timed: bool
) -> Estimate:
    """Estimates what ``count`` vectors of ``size`` float32 take.

    Memory is that of :func:`memory`, with all vectors in a graph. Disk is what 5,000
    to 20,000 vectors of 64 to 1,536 dimensions took in an embedded store, within a
    third: ``count * (2 * size * 4 + 800)``, as the log holds them once more. Time is
    what the same took from an embeddings field on two cores:
    ``count * (0.12 ms + size * 0.11 µs)``.

    Args:
        count: the number of vectors
        size: their dimensions
        parameters: keyword arguments of the collection, checked or not
        timed: whether the time depends on neither a model nor a network
    """
    seconds = count * (_SECONDS_PER_POINT + size * _SECONDS_PER_FLOAT)
    return Estimate(
        memory=memory(count, size, parameters, indexed=count).total,
        disk=2 * count * size * 4 + count * _BYTES_PER_POINT,
        seconds=seconds if timed else None,
    )


def memory(
    count: int, size: int, settings: Mapping[str, Any], *, indexed: int
) -> Memory:
    """Estimates what vectors want in memory.

    Args:
        count: the number of vectors
        size: their dimensions
        settings: ``on_disk``, ``datatype``, ``hnsw_config`` and
            ``quantization_config`` as asked for or as in force, checked or not
        indexed: how many of them are in an HNSW graph
    """
    hnsw = settings.get("hnsw_config")
    hnsw = hnsw if isinstance(hnsw, Mapping) else {}
    m = hnsw.get("m")
    links = 2 * (m if isinstance(m, int) else _LINKS)  # the lowest layer has nearly all
    ratio, width = _ratio(settings), width_of(settings.get("datatype"))
    return Memory(
        vectors=0 if settings.get("on_disk") is True else round(count * size * width),
        graph=0 if hnsw.get("on_disk") is True else indexed * links * _LINK,
        quantized=round(count * size * 4 / ratio) if ratio else 0,
    )


def width_of(datatype: Any) -> float:
    """Returns the bytes of one number of a ``datatype``; 4 if none is given."""
    return _WIDTHS.get(str(getattr(datatype, "value", datatype)), 4)


def _ratio(settings: Mapping[str, Any]) -> float | None:
    quantization = settings.get("quantization_config")
    if not isinstance(quantization, Mapping):
        return None

    for kind, given in quantization.items():
        values = given if isinstance(given, Mapping) else {}
        if kind == "product":
            return _COMPRESSIONS.get(str(values.get("compression")), 16)

        if kind == "turbo":
            return 32 / _BITS.get(str(values.get("bits")), _DEFAULT_BITS)

        if kind == "binary":
            return 32 / _ENCODINGS.get(str(values.get("encoding")), 1)

    return next((r for kind, r in _RATIOS.items() if kind in quantization), None)
