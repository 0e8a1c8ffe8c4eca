"""Changing the settings of an index in place: before, after, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.parameters.in_force import settings_in_force
from fiftyone_qdrant.parameters.parameter import Group, Parameter
from fiftyone_qdrant.parameters.strict_mode import STRICT_MODE
from fiftyone_qdrant.parameters.table import COLLECTION, GROUPS, TUNABLE
from fiftyone_qdrant.words import bytes_in_words, seconds_in_words

if TYPE_CHECKING:
    from qdrant_client import models

    from fiftyone_qdrant.similarity import QdrantSimilarityIndex

OFF = "Disabled"
"""Qdrant's word for no quantization."""

_QUANTIZATION = "quantization_config"
_INT8 = {"scalar": {"type": "int8", "always_ram": True}}
_SWITCHES = {
    f"{g.name}.{p.name}": p.default
    for g in GROUPS
    for p in g.parameters
    if p.type is bool
}
PRESETS: dict[str, dict[str, Any]] = {
    "exact": {
        "hnsw_config": {"m": 32, "ef_construct": 256},
        "quantization_config": OFF,
        "on_disk": False,
    },
    "balanced": {
        "hnsw_config": {"m": 16, "ef_construct": 128},
        "quantization_config": _INT8,
        "on_disk": False,
    },
    "small_memory": {
        "hnsw_config": {"m": 16, "ef_construct": 128},
        "quantization_config": _INT8,
        "on_disk": True,
    },
}
"""Settings of :func:`tune` that go well together, by what they are for."""

_SECONDS_PER_FLOAT = 20 / (100_000 * 512)  # HNSW with m=16, measured on two cores


@dataclass(frozen=True)
class Change:
    """One setting that changes.

    Attributes:
        setting: its name, such as ``"hnsw_config.m"``
        before: the value in force, ``None`` if there was none
        after: the value asked for, or the one in force after the change
    """

    setting: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.setting}: {_words(self.before)} → {_words(self.after)}"


@dataclass(frozen=True)
class Tuning:
    """What a change of settings does, or did.

    Attributes:
        changes: the settings that change, by name
        cost: what it costs, in words
        ignored: settings that were asked for and that the engine does not have
    """

    changes: tuple[Change, ...]
    cost: str
    ignored: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The changes in one line."""
        return "; ".join(map(str, self.changes)) or "Nothing to change"


def tunable(index: QdrantSimilarityIndex) -> tuple[list[Parameter], list[Group]]:
    """Returns the parameters that can be changed on an index's engine.

    Returns:
        the collection's own, and the groups without what the engine lacks
    """
    engine = index.config.engine

    def had(parameters: tuple[Parameter, ...]) -> tuple[Parameter, ...]:
        return tuple(p for p in parameters if p.on(engine))

    own = [p for p in COLLECTION if p.name in TUNABLE]
    groups = [
        Group(g.name, g.label, had(g.parameters), g.key)
        for g in GROUPS
        if g.name in TUNABLE
    ]
    return own, [g for g in groups if g.parameters]


def in_force(index: QdrantSimilarityIndex) -> dict[str, Any]:
    """Returns the settings of an index as Qdrant reports them.

    Returns:
        the values of the keyword arguments that :func:`tune` takes

    Raises:
        CollectionNotFound: if the collection is gone
    """
    return _settings(index, index.collection.info())


def plan_tuning(index: QdrantSimilarityIndex, **settings: Any) -> Tuning:
    """Says what :func:`tune` would do, and changes nothing.

    Args:
        index: the index
        **settings: as for :func:`tune`

    Raises:
        ConfigError: if a setting is unknown or its value wrong
    """
    return _plan(index, settings)[0]


def tune(index: QdrantSimilarityIndex, **settings: Any) -> Tuning:
    """Changes settings of an index's collection in place, and notes them in the run.

    Returns when Qdrant has taken the settings. Where they need another graph or other
    compressed vectors, these are built in the background, while searches and writes
    go on; :func:`fiftyone_qdrant.status.indexes.index_status` says when it is done.

    Args:
        index: the index
        **settings: any of ``hnsw_config``, ``optimizers_config``,
            ``strict_mode_config`` (dicts, which may be partial),
            ``quantization_config`` (a dict, or ``"Disabled"``) and ``on_disk``; what
            is left out or ``None`` stays as it is

    Returns:
        the settings that changed, with the values now in force

    Raises:
        CollectionNotFound: if the collection is gone
        ConfigError: if a setting is unknown or its value wrong
    """
    plan, wanted, unquantize = _plan(index, settings)
    if plan.changes:
        index.collection.update(wanted, unquantize=unquantize)

    index.config.change_parameters(wanted, unquantize=unquantize)
    if index.key is not None and index.samples.has_brain_run(index.key):
        index.save_config()

    now = _flat(in_force(index))
    done = tuple(Change(c.setting, c.before, now.get(c.setting)) for c in plan.changes)
    return Tuning(done, plan.cost, plan.ignored)


def _plan(
    index: QdrantSimilarityIndex, settings: dict[str, Any]
) -> tuple[Tuning, CollectionParameters, bool]:
    unknown = sorted(set(settings) - set(TUNABLE))
    if unknown:
        raise ConfigError(
            f"{', '.join(unknown)} cannot be changed in place. These can: "
            f"{', '.join(TUNABLE)}"
        )

    quantization = getattr(settings.get(_QUANTIZATION), "value", None)
    unquantize = OFF in (quantization, settings.get(_QUANTIZATION))
    if unquantize:
        settings = {**settings, _QUANTIZATION: None}

    given = CollectionParameters.parse(**settings)
    ignored = tuple(given.ignored_by(index.config.engine))
    given = given.on(index.config.engine)

    info = index.collection.info()
    before = _settings(index, info)
    asked = dict(given.values)
    if unquantize:
        asked[_QUANTIZATION] = None

    was, will = _flat(before), _flat(asked)
    changes = tuple(
        Change(name, was.get(name), value)
        for name, value in will.items()
        if _given(name, was.get(name)) != _given(name, value)
    )
    wanted = CollectionParameters.parse(**_only(given.values, changes))
    unquantize = unquantize and before[_QUANTIZATION] is not None
    cost = _cost(index, info, {**was, **will}, changes)
    return Tuning(changes, cost, ignored), wanted, unquantize


def _settings(
    index: QdrantSimilarityIndex, info: models.CollectionInfo
) -> dict[str, Any]:
    got = settings_in_force(info, index.collection.schema().vector_name)
    kept = {name: got[name] for name in TUNABLE}
    return {**kept, "on_disk": bool(got["on_disk"])}


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns one value per setting; a quantization is one setting."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping) and name != _QUANTIZATION:
            flat.update({f"{name}.{k}": v for k, v in value.items()})
        else:
            flat[name] = value

    return flat


def _given(name: str, value: Any) -> Any:
    """Returns what a value stands for; switches stand somewhere without being set."""
    if isinstance(value, Mapping):
        inner = {k: _given(k, v) for k, v in value.items()}
        return {k: v for k, v in inner.items() if v not in (None, False)}

    return _SWITCHES.get(name) if value is None else value


def _only(values: Mapping[str, Any], changes: tuple[Change, ...]) -> dict[str, Any]:
    changed = {c.setting for c in changes}
    kept: dict[str, Any] = {}
    for name, value in values.items():
        if name in changed:
            kept[name] = value
        elif isinstance(value, Mapping):
            kept[name] = {k: v for k, v in value.items() if f"{name}.{k}" in changed}

    return kept


def _cost(
    index: QdrantSimilarityIndex,
    info: models.CollectionInfo,
    after: dict[str, Any],
    changes: tuple[Change, ...],
) -> str:
    if not changes:
        return "Nothing"

    if all(c.setting.startswith(f"{STRICT_MODE.name}.") for c in changes):
        return "Nothing to build: the limits hold for every call from now on, of anyone"

    points = info.points_count or 0
    if index.collection.connection.remote:
        return (
            f"Qdrant rebuilds what differs of {points:,} points in the background: the "
            "status is yellow, segments need their size again on disk, and searches "
            "and writes go on"
        )

    size = index.collection.schema().size
    threshold = after["optimizers_config.indexing_threshold"]
    exact = threshold * 256 // size
    indexed = bool(info.indexed_vectors_count)
    if not indexed and (threshold == 0 or points <= exact):
        limit = "always" if threshold == 0 else f"up to {exact:,} points"
        return (
            f"Little: this collection is searched exactly {limit}, and has {points:,}. "
            "Graph and quantization are built beyond that; to have them now, lower "
            f"indexing_threshold below {max(1, points * size // 256):,} kB"
        )

    if (not indexed and exact < points) or _rebuilds(changes):
        edges = (after.get("hnsw_config.m") or 0) / 16
        seconds = points * size * _SECONDS_PER_FLOAT * max(0.1, edges)
        disk = 2 * index.collection.call("disk_usage")
        return (
            f"{points:,} points are indexed anew beside the work, in about "
            f"{seconds_in_words(seconds)} on two cores, with {bytes_in_words(disk)} of "
            "free disk "
            "meanwhile: searches and writes go on"
        )

    return "Nothing now: it counts from the next time that an index is built"


def _rebuilds(changes: tuple[Change, ...]) -> bool:
    lazily = ("optimizers_config.", "hnsw_config.max_indexing_threads")
    return any(not c.setting.startswith(lazily) for c in changes)


def _words(value: Any) -> str:
    if isinstance(value, Mapping):  # a quantization
        ((kind, settings),) = value.items()
        given = ", ".join(f"{k}={v}" for k, v in settings.items())
        return f"{kind} ({given})" if given else str(kind)

    if isinstance(value, bool):
        return "on" if value else "off"

    return "none" if value is None else str(value)
