"""One index looked at closely: its settings as asked for and as they are, its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fiftyone_qdrant.dataset.samples import dataset_id
from fiftyone_qdrant.index import ownership
from fiftyone_qdrant.parameters.estimates import Memory
from fiftyone_qdrant.parameters.in_force import settings_in_force
from fiftyone_qdrant.parameters.table import COLLECTION, GROUPS
from fiftyone_qdrant.qdrant.health import CollectionHealth, collection_health
from fiftyone_qdrant.quality.applying import Measured, last_measured
from fiftyone_qdrant.search.kept import kept
from fiftyone_qdrant.status import coverage
from fiftyone_qdrant.status.catalog import Entry, describe
from fiftyone_qdrant.status.footprint import disk_bytes, memory
from fiftyone_qdrant.status.indexes import load_impatient


@dataclass(frozen=True)
class Setting:
    """One parameter of a collection.

    Attributes:
        name: such as ``"hnsw_config.m"``
        asked: the value that was asked for, or ``None`` if it was left to Qdrant
        actual: the value in force, or ``None`` if Qdrant does not tell
        unit: what it is, with its unit
    """

    name: str
    asked: Any
    actual: Any
    unit: str

    @property
    def differs(self) -> bool:
        """Whether another value is in force than was asked for."""
        return self.asked is not None and self.actual not in (None, self.asked)


@dataclass(frozen=True)
class Details:
    """One index, closely.

    Attributes:
        brain_key: the run's key
        health: how its collection fares inside Qdrant
        settings: the parameters of the collection
        quantization: the kind of quantization in force, or ``None``
        memory: about how much memory it wants, in bytes
        disk: bytes on disk, or ``None`` on a server, which does not tell
        entry: whose the collection is
        sharers: the other runs that use the collection
        measured: what it was last measured to be, or ``None``
        search: how it is searched, if that was chosen, in words
    """

    brain_key: str
    health: CollectionHealth
    settings: tuple[Setting, ...]
    quantization: str | None
    memory: Memory
    disk: int | None
    entry: Entry
    sharers: tuple[ownership.User, ...]
    measured: Measured | None = None
    search: str | None = None


@dataclass(frozen=True)
class Breakdown:
    """How much of an index's dataset is indexed, by a label field or by tags.

    Attributes:
        grouping: the field, or ``"tags"``
        choices: all that it could be
        shares: a share for each value, the most frequent first
    """

    grouping: str
    choices: tuple[str, ...]
    shares: tuple[coverage.Share, ...]


def break_down(dataset: Any, brain_key: str, grouping: str | None = None) -> Breakdown:
    """Returns how much of each label or tag an index holds.

    Args:
        dataset: the dataset
        brain_key: the index
        grouping (None): the label field or ``"tags"``; by default, or if there is no
            such field any more, the first there is
    """
    index = load_impatient(dataset, brain_key)
    choices = coverage.groupings(index)
    chosen = grouping if grouping in choices else choices[0]
    shares = coverage.by_value(index, chosen, coverage.compare(index).missing)
    return Breakdown(chosen, tuple(choices), tuple(shares))


def index_details(dataset: Any, brain_key: str) -> Details:
    """Reads the details of an index.

    Raises:
        IndexNotFound: if there is no such index
        CollectionNotFound: if its collection is gone
        ConnectionFailed: if Qdrant cannot be reached
    """
    index = load_impatient(dataset, brain_key)
    collection = index.collection
    info = collection.info()
    got = settings_in_force(info, collection.schema().vector_name)
    quantization = got["quantization_config"]
    entry = describe(collection.connection, collection.name, dataset)
    itself = (str(dataset_id(dataset)), brain_key)
    return Details(
        brain_key,
        collection_health(collection),
        tuple(_settings(index.config, got)),
        None if quantization is None else next(iter(quantization)),
        memory(info),
        disk_bytes(collection),
        entry,
        tuple(u for u in entry.users if (u.dataset_id, u.brain_key) != itself),
        last_measured(index),
        str(chosen) if (chosen := kept(collection)).options else None,
    )


def _settings(config: Any, got: dict[str, Any]) -> list[Setting]:
    """The parameters that Qdrant tells, and those that were asked for."""
    asked = config.parameters.values
    rows = [
        Setting(p.name, asked.get(p.name), got.get(p.name), p.description)
        for p in COLLECTION
        if p.on(config.engine)
    ]
    for group in GROUPS:
        values, actual = asked.get(group.name, {}), got[group.name]
        rows += [
            Setting(
                f"{group.name}.{p.name}",
                values.get(p.name),
                actual.get(p.name),
                p.description,
            )
            for p in group.parameters
            if p.on(config.engine)
        ]

    return [r for r in rows if (r.asked, r.actual) != (None, None)]
