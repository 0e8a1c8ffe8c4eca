"""Every parameter of a Qdrant collection that a user may set, declared once.

A :class:`Parameter` here is the source of the keyword argument, the form field,
the row in ``docs/parameters.md`` and the checks. Names, units and meaning mirror
``qdrant_client.models`` 1.20 (``HnswConfigDiff``, ``OptimizersConfigDiff``,
``WalConfigDiff``, the quantization configs and ``create_collection``). ``None``
means "left to Qdrant's default" and is never sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ConfigError


@dataclass(frozen=True)
class Parameter:
    """One setting of a collection.

    Attributes:
        name: Qdrant's name of the field
        type: ``int``, ``float``, ``bool`` or ``str``
        description: what it is, with its unit
        advice: when to change it, in one line
        default: what Qdrant uses when it is not given, for display only
        minimum: the smallest allowed value
        maximum: the largest allowed value
        choices: the allowed values of a ``str``
        embedded: whether the embedded engine honours it
    """

    name: str
    type: type
    description: str
    advice: str = ""
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    embedded: bool = True

    def check(self, value: Any, where: str) -> Any:
        """Returns ``value`` as this parameter's type.

        Raises:
            ConfigError: if it has another type or is out of range
        """
        if self.type is bool:
            if not isinstance(value, bool):
                raise ConfigError(f"{where} must be true or false, not {value!r}")

            return value

        if self.type is str:
            if value not in self.choices:
                allowed = ", ".join(self.choices)
                raise ConfigError(f"{where} must be one of {allowed}, not {value!r}")

            return value

        whole = self.type is int
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or (whole and int(value) != value)
        ):
            kind = "a whole number" if whole else "a number"
            raise ConfigError(f"{where} must be {kind}, not {value!r}")

        low, high = self.minimum, self.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            limits = f"at least {low}" if high is None else f"between {low} and {high}"
            raise ConfigError(f"{where} must be {limits}, not {value!r}")

        return self.type(value)


@dataclass(frozen=True)
class Group:
    """Parameters that are given together, as one dict keyword.

    Attributes:
        name: the keyword argument
        label: its title in forms and docs
        parameters: the keys the dict may have
        key: for quantization, the key of Qdrant's one-of that holds them
    """

    name: str
    label: str
    parameters: tuple[Parameter, ...]
    key: str | None = None

    def check(self, values: Any) -> dict[str, Any]:
        """Returns the given values without those that are ``None``.

        Raises:
            ConfigError: if ``values`` is no dict, has an unknown key or a wrong value
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"{self.name} must be a dict, not {values!r}")

        known = {p.name: p for p in self.parameters}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(
                f"{self.name} has no parameter {', '.join(map(repr, unknown))}. "
                f"It has {', '.join(known)}"
            )

        return {
            name: known[name].check(value, f"{self.name}.{name}")
            for name, value in values.items()
            if value is not None
        }


COLLECTION = (
    Parameter(
        "on_disk",
        bool,
        "Serve vectors from disk instead of memory",
        "Turn on when the vectors do not fit in memory; queries get slower",
        default=False,
    ),
    Parameter(
        "shard_number",
        int,
        "Number of shards of the collection",
        "A multiple of the number of nodes; cannot be changed later",
        default=1,
        minimum=1,
        embedded=False,
    ),
    Parameter(
        "replication_factor",
        int,
        "Number of copies of each shard",
        "2 or more keeps the index available when a node fails",
        default=1,
        minimum=1,
        embedded=False,
    ),
    Parameter(
        "write_consistency_factor",
        int,
        "Number of copies that must confirm a write",
        "At most the replication factor; higher is safer, and fails sooner",
        default=1,
        minimum=1,
        embedded=False,
    ),
)

HNSW = Group(
    "hnsw_config",
    "HNSW",
    (
        Parameter(
            "m",
            int,
            "Edges per node of the graph",
            "Higher finds more of the true neighbors and needs more memory",
            default=16,
            minimum=0,
            maximum=1024,
        ),
        Parameter(
            "ef_construct",
            int,
            "Neighbors considered while building the graph",
            "Higher gives a better graph and a slower build",
            default=100,
            minimum=4,
        ),
        Parameter(
            "full_scan_threshold",
            int,
            "Size in kilobytes below which a full scan is used (1 KB = 256 floats)",
            "Raise it to get exact results on larger selections",
            default=10000,
            minimum=10,
        ),
        Parameter(
            "max_indexing_threads",
            int,
            "Threads used to build the graph; 0 chooses automatically",
            default=0,
            minimum=0,
        ),
        Parameter("on_disk", bool, "Keep the graph on disk", default=False),
        Parameter(
            "payload_m",
            int,
            "Extra edges per node between points with the same indexed payload",
            minimum=0,
        ),
        Parameter(
            "inline_storage",
            bool,
            "Store copies of the vectors inside the graph file",
            "Trades disk space for fewer random reads; needs quantization",
            default=False,
        ),
    ),
)

OPTIMIZERS = Group(
    "optimizers_config",
    "Optimizers",
    (
        Parameter(
            "deleted_threshold",
            float,
            "Fraction of deleted vectors at which a segment is rewritten",
            default=0.2,
            minimum=0,
            maximum=1,
        ),
        Parameter(
            "vacuum_min_vector_number",
            int,
            "Vectors a segment must have before it is rewritten",
            default=1000,
            minimum=100,
        ),
        Parameter(
            "default_segment_number",
            int,
            "Number of segments to aim for; 0 chooses from the number of CPUs",
            "More segments index faster, fewer search faster",
            default=0,
            minimum=0,
        ),
        Parameter(
            "max_segment_size",
            int,
            "Largest segment in kilobytes (1 KB = 256 floats)",
            minimum=1,
        ),
        Parameter(
            "memmap_threshold",
            int,
            "Size in kilobytes above which a segment is memory-mapped",
            minimum=0,
            embedded=False,
        ),
        Parameter(
            "indexing_threshold",
            int,
            "Size in kilobytes above which vectors are indexed (1 KB = 256 floats)",
            "0 turns indexing off",
            default=10000,
            minimum=0,
        ),
        Parameter(
            "flush_interval_sec",
            int,
            "Seconds between two flushes to disk",
            default=5,
            minimum=1,
            embedded=False,
        ),
        Parameter(
            "max_optimization_threads",
            int,
            "Optimizations that run at the same time per shard; 0 stops them",
            minimum=0,
            embedded=False,
        ),
        Parameter(
            "prevent_unoptimized",
            bool,
            "Hold new points back from search until they are indexed",
            default=False,
            embedded=False,
        ),
    ),
)

WAL = Group(
    "wal_config",
    "WAL",
    (
        Parameter(
            "wal_capacity_mb",
            int,
            "Size of one write-ahead-log segment in megabytes",
            default=32,
            minimum=1,
            embedded=False,
        ),
        Parameter(
            "wal_segments_ahead",
            int,
            "Write-ahead-log segments created in advance",
            default=0,
            minimum=0,
            embedded=False,
        ),
        Parameter(
            "wal_retain_closed",
            int,
            "Closed write-ahead-log segments to keep",
            minimum=0,
            embedded=False,
        ),
    ),
)

_ALWAYS_RAM = Parameter(
    "always_ram",
    bool,
    "Keep the quantized vectors in memory",
    "Turn on together with on_disk to keep searches fast",
    default=False,
)

QUANTIZATIONS = {
    "scalar": Group(
        "quantization_config.scalar",
        "Scalar (int8, 4 times smaller)",
        (
            Parameter("type", str, "Type of a component", choices=("int8",)),
            Parameter(
                "quantile",
                float,
                "Fraction of the values that keep their range",
                "0.99 cuts off outliers",
                minimum=0.5,
                maximum=1,
            ),
            _ALWAYS_RAM,
        ),
        key="scalar",
    ),
    "product": Group(
        "quantization_config.product",
        "Product (4 to 64 times smaller)",
        (
            Parameter(
                "compression",
                str,
                "How many times smaller",
                "Loses more accuracy than scalar; rescoring is needed",
                default="x16",
                choices=("x4", "x8", "x16", "x32", "x64"),
            ),
            _ALWAYS_RAM,
        ),
        key="product",
    ),
    "binary": Group(
        "quantization_config.binary",
        "Binary (32 times smaller)",
        (_ALWAYS_RAM,),
        key="binary",
    ),
}
_QUANTIZATION_REQUIRED = {
    "scalar": {"type": "int8"},
    "product": {"compression": "x16"},
    "binary": {},
}

GROUPS = (HNSW, OPTIMIZERS, WAL)

PARAMETERS = (
    *(p.name for p in COLLECTION),
    *(g.name for g in GROUPS),
    "quantization_config",
)
"""The keyword arguments in which all of these are given."""

TUNABLE = (HNSW.name, OPTIMIZERS.name, "quantization_config", "on_disk")
"""Those of them that can be changed while an index is in use."""


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
        single = {p.name: p for p in COLLECTION}
        groups = {g.name: g for g in GROUPS}
        values: dict[str, Any] = {}
        for name, value in keywords.items():
            if value is None:
                continue

            if name in single:
                values[name] = single[name].check(value, name)
            elif name == "quantization_config":
                values[name] = _check_quantization(value)
            elif name in groups:
                values[name] = groups[name].check(_to_dict(value))
            else:
                raise ConfigError(f"Unknown parameter '{name}'")

        copies = values.get("replication_factor")
        confirmed = values.get("write_consistency_factor")
        if copies is not None and confirmed is not None and confirmed > copies:
            raise ConfigError(
                f"write_consistency_factor={confirmed} is more than "
                f"replication_factor={copies}, so no write could ever succeed"
            )

        return cls({name: v for name, v in values.items() if v != {}})

    def ignored_by_embedded(self) -> list[str]:
        """Returns the names of given parameters the embedded engine lacks."""
        return [
            name
            for name, parameter, value in self._given()
            if not parameter.embedded and not (parameter in COLLECTION and value == 1)
        ]

    def for_embedded(self) -> CollectionParameters:
        """Returns only the parameters that the embedded engine honours."""
        lacks = {p.name for p in COLLECTION if not p.embedded}
        lacks_in = {
            g.name: {p.name for p in g.parameters if not p.embedded} for g in GROUPS
        }
        values = {
            name: {k: v for k, v in value.items() if k not in lacks_in[name]}
            if name in lacks_in
            else value
            for name, value in self.values.items()
            if name not in lacks
        }
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
        for group in GROUPS:
            given = self.values.get(group.name, {})
            for p in group.parameters:
                if p.name in given:
                    yield f"{group.name}.{p.name}", p, given[p.name]

        for p in COLLECTION:
            if p.name in self.values:
                yield p.name, p, self.values[p.name]


def _to_dict(value: Any) -> Any:
    """Accepts the models of qdrant_client where a dict is expected."""
    dump = getattr(value, "model_dump", None)
    return dump(mode="json", exclude_none=True) if dump else value


def _check_quantization(value: Any) -> dict[str, Any]:
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

    checked = QUANTIZATIONS[kind].check(settings or {})
    return {kind: {**_QUANTIZATION_REQUIRED[kind], **checked}}


def _to_quantization(value: dict[str, Any]) -> Any:
    from qdrant_client import models

    types = {
        "scalar": models.ScalarQuantization,
        "product": models.ProductQuantization,
        "binary": models.BinaryQuantization,
    }
    ((kind, settings),) = value.items()
    return types[kind](**{kind: settings})
