"""Whether a collection became what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import points
from .parameter_table import GROUPS
from .parameters import CollectionParameters

if TYPE_CHECKING:
    from qdrant_client import models

_SECTIONS = {"optimizers_config": "optimizer_config"}  # as Qdrant reports them


@dataclass(frozen=True)
class Difference:
    """One setting that Qdrant reports otherwise than it was asked for.

    Attributes:
        field: the setting, such as ``"hnsw_config.m"``
        asked: the value that was asked for
        got: the value the collection has
    """

    field: str
    asked: Any
    got: Any

    def __str__(self) -> str:
        return f"{self.field}: asked for {self.asked}, got {self.got}"


def compare(
    size: int,
    metric: str,
    parameters: CollectionParameters,
    info: models.CollectionInfo,
) -> list[Difference]:
    """Compares what was asked for with what a collection reports.

    Settings that were left to Qdrant are not compared, nor those that the
    collection does not report.

    Args:
        size: the dimensions asked for
        metric: FiftyOne's name of the distance asked for
        parameters: the parameters asked for
        info: what Qdrant says of the collection, which has one unnamed vector
    """
    config = info.config.model_dump(mode="json")
    asked = {"size": size, "distance": points.DISTANCES[metric]}
    differences = [
        *_differences("", asked, config["params"].get("vectors") or {}),
        *_differences("", _collection_wide(parameters), _reported(config)),
    ]
    for group in GROUPS:
        reported = config.get(_SECTIONS.get(group.name, group.name)) or {}
        wanted = parameters.values.get(group.name, {})
        differences += _differences(f"{group.name}.", wanted, reported)

    for kind, settings in parameters.values.get("quantization_config", {}).items():
        name = f"quantization_config.{kind}"
        reported = (config.get("quantization_config") or {}).get(kind)
        if reported is None:
            differences.append(Difference(name, "on", "off"))
        else:
            differences += _differences(f"{name}.", settings, reported)

    return differences


def _collection_wide(parameters: CollectionParameters) -> dict[str, Any]:
    return {k: v for k, v in parameters.values.items() if not isinstance(v, dict)}


def _reported(config: dict[str, Any]) -> dict[str, Any]:
    params = config["params"]
    return {**params, "on_disk": (params.get("vectors") or {}).get("on_disk")}


def _differences(
    prefix: str, asked: dict[str, Any], reported: dict[str, Any]
) -> Iterator[Difference]:
    for name, value in asked.items():
        got = reported.get(name)
        if got is not None and not _same(value, got):
            yield Difference(f"{prefix}{name}", value, got)


def _same(asked: Any, got: Any) -> bool:
    if isinstance(asked, float) and not isinstance(got, bool):
        return abs(asked - float(got)) < 1e-6  # Qdrant keeps fractions as float32

    return bool(asked == got)
