"""What an index would take, before it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_RATIOS = {"scalar": 4, "binary": 32}  # a float32 to its quantized form
_COMPRESSIONS = {"x4": 4, "x8": 8, "x16": 16, "x32": 32, "x64": 64}
_HEADROOM = 1.5  # Qdrant's rule of thumb: while segments are rewritten
_BYTES_PER_POINT = 800  # on disk: id, payload and the index of the sample id
_SECONDS_PER_POINT = 1.2e-4
_SECONDS_PER_FLOAT = 1.1e-7


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

    Memory is Qdrant's rule of thumb, ``count * size * 4 * 1.5`` bytes, where vectors
    that are kept on disk count nothing and their quantized copies as many times less.
    Disk is what 5,000 to 20,000 vectors of 64 to 1,536 dimensions took in an embedded
    store, within a third: ``count * (2 * size * 4 + 800)``, as the log holds them once
    more. Time is what the same took from an embeddings field on two cores:
    ``count * (0.12 ms + size * 0.11 µs)``.

    Args:
        count: the number of vectors
        size: their dimensions
        parameters: keyword arguments of the collection, checked or not
        timed: whether the time depends on neither a model nor a network
    """
    raw = count * size * 4
    memory = 0.0 if parameters.get("on_disk") is True else raw * _HEADROOM
    memory += raw / ratio if (ratio := _ratio(parameters)) else 0
    seconds = count * (_SECONDS_PER_POINT + size * _SECONDS_PER_FLOAT)
    return Estimate(
        memory=round(memory),
        disk=2 * raw + count * _BYTES_PER_POINT,
        seconds=seconds if timed else None,
    )


def _ratio(parameters: Mapping[str, Any]) -> float | None:
    quantization = parameters.get("quantization_config")
    if not isinstance(quantization, Mapping):
        return None

    if isinstance(product := quantization.get("product"), Mapping):
        return _COMPRESSIONS.get(str(product.get("compression")), 16)

    return next((r for kind, r in _RATIOS.items() if kind in quantization), None)


def in_words(count: int) -> str:
    """Returns a number of bytes for people, such as ``"1.3 GB"``."""
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.3g} {unit}"

        value /= 1000

    return f"{value:,.3g} TB"
