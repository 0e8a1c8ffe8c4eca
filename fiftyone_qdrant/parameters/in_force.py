"""The settings of a collection in force, and whether they are what was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fiftyone_qdrant import points
from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.parameters.table import COLLECTION, GROUPS

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


def settings_in_force(
    info: models.CollectionInfo, vector_name: str | None = None
) -> dict[str, Any]:
    """Returns what Qdrant says of a collection, named as what is asked for.

    Args:
        info: what Qdrant says
        vector_name (None): which of its vectors, if they have names: their own
            settings come before those of the collection

    Returns:
        each parameter by its name, each group of them as a dict without what Qdrant
        does not tell, ``quantization_config`` as ``{kind: settings}`` or ``None``
    """
    config = info.config.model_dump(mode="json")
    own = _vectors(config, vector_name)
    settings = {p.name: config["params"].get(p.name) for p in COLLECTION}
    settings["on_disk"] = own.get("on_disk")
    for group in GROUPS:
        found = config.get(_SECTIONS.get(group.name, group.name)) or {}
        given = {k: v for k, v in (own.get(group.name) or {}).items() if v is not None}
        known = {p.name for p in group.parameters}
        settings[group.name] = {
            k: v for k, v in {**found, **given}.items() if k in known and v is not None
        }

    quantization = own.get("quantization_config") or config.get("quantization_config")
    settings["quantization_config"] = quantization and {
        kind: {k: v for k, v in values.items() if v is not None}
        for kind, values in quantization.items()
    }
    return settings


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
    got = settings_in_force(info)
    asked = {"size": size, "distance": points.DISTANCES[metric]}
    differences = [
        *_differences("", asked, _vectors(info.config.model_dump(mode="json"), None)),
        *_differences("", _collection_wide(parameters), got),
    ]
    for group in GROUPS:
        wanted = parameters.values.get(group.name, {})
        differences += _differences(f"{group.name}.", wanted, got[group.name])

    for kind, settings in parameters.values.get("quantization_config", {}).items():
        name = f"quantization_config.{kind}"
        reported = (got["quantization_config"] or {}).get(kind)
        if reported is None:
            differences.append(Difference(name, "on", "off"))
        else:
            differences += _differences(f"{name}.", settings, reported)

    return differences


def _collection_wide(parameters: CollectionParameters) -> dict[str, Any]:
    return {k: v for k, v in parameters.values.items() if not isinstance(v, dict)}


def _vectors(config: dict[str, Any], name: str | None) -> dict[str, Any]:
    vectors = config["params"].get("vectors") or {}
    return (vectors if name is None else vectors.get(name)) or {}


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
