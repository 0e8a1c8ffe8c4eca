"""The parameters of one collection: checked, and as each engine takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.parameters.parameter import Parameter, Problems
from fiftyone_qdrant.parameters.table import (
    COLLECTION,
    GROUPS,
    QUANTIZATION_REQUIRED,
    QUANTIZATIONS,
)


@dataclass(frozen=True)
class CollectionParameters:
    """The checked parameters of one collection.

    Attributes:
        values: top-level settings and one dict per group, nothing that is ``None``
    """

    values: dict[str, Any]

    @classmethod
    def parse(cls, **keywords: Any) -> CollectionParameters:
        """Checks keyword arguments as ``compute_similarity()`` takes them.

        Args:
            **keywords: settings of :data:`COLLECTION`, dicts of :data:`GROUPS`
                and ``quantization_config``, which is a dict in Qdrant's form
                (``{"scalar": {"quantile": 0.99}}``) or a quantization model of
                ``qdrant_client``; ``None`` is ignored

        Raises:
            ConfigError: if a name is unknown, a type is wrong or a value out of range
        """
        values, wrong = _check(keywords)
        for problem in wrong.values():
            raise ConfigError(problem)

        return cls(values)

    @staticmethod
    def problems(**keywords: Any) -> dict[str, str]:
        """Returns all that :meth:`parse` would refuse, by the parameter's path.

        A path is ``"shard_number"``, ``"hnsw_config.m"`` or
        ``"quantization_config.scalar.quantile"``.
        """
        return _check(keywords)[1]

    def ignored_by(self, engine: str | None) -> list[str]:
        """Returns the names of given parameters that an engine lacks."""
        return [
            name
            for name, parameter, value in self._given()
            if not parameter.on(engine) and not (parameter in COLLECTION and value == 1)
        ]

    def on(self, engine: str | None) -> CollectionParameters:
        """Returns only the parameters that an engine honours."""
        lacks = {p.name for p in COLLECTION if not p.on(engine)}
        lacks_in = {
            g.name: {p.name for p in g.parameters if not p.on(engine)} for g in GROUPS
        }
        quantization = {
            kind: {
                p.name: given[p.name]
                for p in QUANTIZATIONS[kind].parameters
                if p.name in given and p.on(engine)
            }
            for kind, given in self.values.get("quantization_config", {}).items()
        }
        values = {
            name: {k: v for k, v in value.items() if k not in lacks_in[name]}
            if name in lacks_in
            else value
            for name, value in self.values.items()
            if name not in lacks
        }
        if quantization:
            values["quantization_config"] = quantization

        return CollectionParameters({k: v for k, v in values.items() if v != {}})

    def merged(
        self, changes: CollectionParameters, *, unquantize: bool = False
    ) -> CollectionParameters:
        """Returns these parameters with changes made to them.

        Args:
            changes: replace single settings, and a quantization as a whole
            unquantize: whether the quantization is taken away
        """
        values = dict(self.values)
        for name, value in changes.values.items():
            grouped = isinstance(value, dict) and name != "quantization_config"
            values[name] = {**values.get(name, {}), **value} if grouped else value

        if unquantize:
            values.pop("quantization_config", None)

        return CollectionParameters(values)

    def to_arguments(self) -> dict[str, Any]:
        """Returns keyword arguments of ``QdrantClient.create_collection()``.

        ``on_disk`` belongs to the vectors and is not among them.
        """
        from qdrant_client import models

        types = {
            "hnsw_config": models.HnswConfigDiff,
            "optimizers_config": models.OptimizersConfigDiff,
            "wal_config": models.WalConfigDiff,
            "strict_mode_config": models.StrictModeConfig,
        }
        arguments: dict[str, Any] = {}
        for name, value in self.values.items():
            if name in types:
                arguments[name] = types[name](**value)
            elif name == "quantization_config":
                arguments[name] = _to_quantization(value)
            elif name != "on_disk":
                arguments[name] = value

        return arguments

    def _given(self) -> Iterator[tuple[str, Parameter, Any]]:
        quantization = self.values.get("quantization_config", {})
        chosen = [g for kind, g in QUANTIZATIONS.items() if kind in quantization]
        for group in (*GROUPS, *chosen):
            key = group.key
            given = quantization[key] if key else self.values.get(group.name, {})
            for p in group.parameters:
                if p.name in given:
                    yield f"{group.name}.{p.name}", p, given[p.name]

        for p in COLLECTION:
            if p.name in self.values:
                yield p.name, p, self.values[p.name]


def _check(keywords: Mapping[str, Any]) -> tuple[dict[str, Any], Problems]:
    single = {p.name: p for p in COLLECTION}
    groups = {g.name: g for g in GROUPS}
    values: dict[str, Any] = {}
    wrong = Problems()
    for name, value in keywords.items():
        if value is None:
            continue

        with wrong.noted(name):
            if name in single:
                values[name] = single[name].check(value, name)
            elif name == "quantization_config":
                values[name] = _check_quantization(value, wrong)
            elif name in groups:
                values[name] = groups[name].check(_to_dict(value), wrong)
            else:
                raise ConfigError(f"Unknown parameter '{name}'")

    copies = values.get("replication_factor")
    confirmed = values.get("write_consistency_factor")
    if copies is not None and confirmed is not None and confirmed > copies:
        wrong["write_consistency_factor"] = (
            f"write_consistency_factor={confirmed} is more than "
            f"replication_factor={copies}, so no write could ever succeed"
        )

    return {name: v for name, v in values.items() if v != {}}, wrong


def _to_dict(value: Any) -> Any:
    """Accepts the models of qdrant_client where a dict is expected."""
    dump = getattr(value, "model_dump", None)
    return dump(mode="json", exclude_none=True) if dump else value


def _check_quantization(value: Any, wrong: Problems) -> dict[str, Any]:
    value = _to_dict(value)
    kinds = ", ".join(QUANTIZATIONS)
    if not isinstance(value, Mapping) or len(value) != 1:
        raise ConfigError(
            f"quantization_config must be a dict with one of {kinds}, as in "
            f"{{'scalar': {{'quantile': 0.99}}}}, not {value!r}"
        )

    ((kind, settings),) = value.items()
    if kind not in QUANTIZATIONS:
        raise ConfigError(f"Unknown quantization '{kind}'. Use one of {kinds}")

    checked = QUANTIZATIONS[kind].check(settings or {}, wrong)
    return {kind: {**QUANTIZATION_REQUIRED[kind], **checked}}


def _to_quantization(value: dict[str, Any]) -> Any:
    from qdrant_client import models

    ((kind, settings),) = value.items()
    name = {"turbo": "TurboQuantization"}.get(kind, f"{kind.title()}Quantization")
    made = getattr(models, name, None)
    if made is None:
        raise ConfigError(
            f"The installed qdrant-client has no {kind} quantization: "
            "pip install --upgrade qdrant-client"
        )

    return made(**{kind: settings})
