"""Whose a collection is, and who else uses it.

Collections made here carry metadata that name their dataset and its database. Runs
are FiftyOne's: ``dataset.clone()`` copies them, so several datasets may share one
collection.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone.core.odm as foo

from fiftyone_qdrant.dataset.samples import dataset_id, root_of
from fiftyone_qdrant.errors import CollectionNotFound, CollectionShared
from fiftyone_qdrant.qdrant.calls import OWNER
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.qdrant.connection import SERVER, Connection

FOREIGN = "foreign"
UNKNOWN = "unknown"
ORPHAN = "orphan"
PRESENT = "present"


@dataclass(frozen=True)
class User:
    """A similarity run that uses a collection.

    Attributes:
        dataset: the dataset's name
        dataset_id: its id
        brain_key: the run's key
    """

    dataset: str
    dataset_id: str
    brain_key: str

    def __str__(self) -> str:
        return f"'{self.brain_key}' of dataset '{self.dataset}'"


@dataclass(frozen=True)
class Maker:
    """For whom a collection was made, as its metadata say.

    Attributes:
        kind: :data:`FOREIGN`, :data:`UNKNOWN`, :data:`ORPHAN` if that dataset is gone,
            or :data:`PRESENT`
        dataset: the dataset's name, if known
        dataset_id: its id, if known
    """

    kind: str
    dataset: str | None = None
    dataset_id: str | None = None

    @classmethod
    def of(
        cls, metadata: Mapping[str, Any], datasets: Container[str], database: str | None
    ) -> Maker:
        """Returns the maker of a collection.

        Args:
            metadata: the collection's
            datasets: the ids of this database's datasets
            database: the id of this database, if known
        """
        if metadata.get("owner") != OWNER:
            return cls(FOREIGN)

        made_for, of = metadata.get("dataset_id"), metadata.get("database_id")
        kind = ORPHAN if of is not None and of == database else UNKNOWN
        if made_for in datasets:
            kind = PRESENT

        return cls(kind, metadata.get("dataset_name"), made_for)

    def obstacle(
        self, mine: str | None, users: Sequence[User], others: Sequence[User]
    ) -> str | None:
        """Returns why deleting the collection would harm somebody, or ``None``.

        Args:
            mine: the dataset on whose behalf it would be deleted, if on one's
            users: the runs that use it
            others: those of them that it would be taken from
        """
        if others:
            also = "also " if len(users) > len(others) else ""
            return f"it is {also}used by {', '.join(map(str, others))}"

        if self.kind == FOREIGN:
            return "it was not made by this plugin"

        if self.kind == UNKNOWN:
            return (
                f"it belongs to dataset '{self.dataset}' of another FiftyOne database, "
                "or an old version made it: nobody knows here whether it is used"
            )

        if self.kind == PRESENT and self.dataset_id != mine:
            return f"it belongs to dataset '{self.dataset}'"

        return None


def database_id() -> str | None:
    """Returns what tells this FiftyOne database from others.

    It is the id of FiftyOne's own config document, made with the database and kept.
    """
    document = foo.get_db_conn().config.find_one({}, {"_id": 1})
    return None if document is None else str(document["_id"])


def dataset_names() -> dict[str, str]:
    """Returns the names of this database's datasets by their ids."""
    found = foo.get_db_conn().datasets.find({}, {"name": 1})
    return {str(d["_id"]): d["name"] for d in found}


def _referenced_runs() -> set[Any]:
    """The ids of the runs that a dataset has: what a kill left behind is no user."""
    found = foo.get_db_conn().datasets.find({}, {"brain_methods": 1})
    return {run for d in found for run in (d.get("brain_methods") or {}).values()}


def to_metadata(samples: Any, config: Any, brain_key: str | None) -> dict[str, Any]:
    """Returns the metadata to store with a collection made for ``samples``."""
    from fiftyone_qdrant import __version__

    dataset = root_of(samples)
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "owner": OWNER,
        "database_id": database_id(),
        "dataset_id": str(dataset_id(dataset)),
        "dataset_name": dataset.name,
        "brain_key": brain_key,
        "patches_field": config.patches_field,
        "model": config.model,
        "plugin_version": __version__,
        "created_at": now.isoformat(timespec="seconds"),
    }


def users(connection: Connection, collection_name: str) -> list[User]:
    """Returns the runs of all datasets that use a collection."""
    return all_users(connection, collection_name).get(collection_name, [])


def all_users(
    connection: Connection, collection_name: str | None = None
) -> dict[str, list[User]]:
    """Returns the runs of all datasets by the collection at a place that they use.

    Server URLs are not stored with runs, so a run on any server counts as a user of
    the collection of that name.

    Args:
        connection: the place
        collection_name (None): only the runs of this collection
    """
    query = {"config.method": "qdrant"}
    if collection_name is not None:
        query["config.collection_name"] = collection_name

    wanted = {"key": 1, "_dataset_id": 1}
    wanted |= {f"config.{k}": 1 for k in ("engine", "path", "collection_name")}
    runs = list(foo.get_db_conn().runs.find(query, wanted))
    names, referenced = dataset_names(), _referenced_runs()
    result = defaultdict(list)
    for run in runs:
        dataset_id = str(run.get("_dataset_id"))
        config = run.get("config", {})
        known = run["_id"] in referenced and dataset_id in names
        if known and _is_at(config, connection):
            user = User(names[dataset_id], dataset_id, run["key"])
            result[config.get("collection_name")].append(user)

    return {name: sorted(found, key=str) for name, found in result.items()}


def _is_at(config: dict[str, Any], connection: Connection) -> bool:
    there = (config.get("engine") or SERVER, config.get("path"))
    return there == (connection.engine, connection.path)


def claimed_names() -> set[str]:
    """Returns the collection names that runs claim, the collections made or not."""
    runs = foo.get_db_conn().runs
    return set(runs.distinct("config.collection_name", {"config.method": "qdrant"}))


def check_deletable(
    dataset_id: str, brain_key: str | None, collection: Collection
) -> None:
    """Checks that deleting a collection harms nobody; see :func:`why_not_delete`.

    Raises:
        CollectionShared: if it would
    """
    reason = why_not_delete(dataset_id, brain_key, collection)
    if reason is not None:
        raise CollectionShared(
            f"Collection '{collection.name}' was not deleted: {reason}. "
            "Use cleanup(force=True) to delete it all the same, or, while there is "
            "the dataset, delete_brain_run() to remove only its run"
        )


def why_not_delete(
    mine: str, brain_key: str | None, collection: Collection
) -> str | None:
    """Returns why deleting a collection would harm others, or ``None``.

    Args:
        mine: the dataset on whose behalf it would be deleted
        brain_key: the run on whose behalf it would be deleted
        collection: the collection

    Raises:
        CollectionNotFound: if it does not exist
    """
    metadata, names = collection.schema().metadata, dataset_names()
    found = users(collection.connection, collection.name)
    others = [u for u in found if (u.dataset_id, u.brain_key) != (mine, brain_key)]
    reason = Maker.of(metadata, names, database_id()).obstacle(mine, found, others)
    if reason is None and mine not in names:
        return f"dataset '{metadata.get('dataset_name')}', which it is of, was deleted"

    return reason


def check_removable(dataset_id: str, collection: Collection) -> None:
    """Checks that removing points takes them from no other dataset.

    From a collection that was made for a dataset, that one may always remove.

    Args:
        dataset_id: the dataset on whose behalf they would be removed
        collection: where they are; one that is gone has none

    Raises:
        CollectionShared: if it would
    """
    try:
        metadata = collection.schema().metadata
    except CollectionNotFound:
        return

    reason = _why_not_remove(dataset_id, collection, metadata)
    if reason is not None:
        raise CollectionShared(
            f"Nothing was removed: collection '{collection.name}' is not this "
            f"dataset's alone, {reason}. Give force=True to take the vectors from both"
        )


def _why_not_remove(
    mine: str, collection: Collection, metadata: dict[str, Any]
) -> str | None:
    maker = Maker.of(metadata, dataset_names(), database_id())
    if maker.dataset_id == mine:
        return None

    found = users(collection.connection, collection.name)
    others = [u for u in found if u.dataset_id != mine]
    if maker.kind == FOREIGN and not others:
        return None

    return maker.obstacle(mine, found, others)
