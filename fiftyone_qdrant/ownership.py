"""Whose a collection is, and who else uses it.

Collections made here carry metadata that name their dataset. Runs are FiftyOne's:
``dataset.clone()`` copies them, so several datasets may share one collection.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import fiftyone.core.odm as foo

from .connection import EMBEDDED, Connection

OWNER = "fiftyone"


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


def to_metadata(samples: Any, config: Any, brain_key: str | None) -> dict[str, Any]:
    """Returns the metadata to store with a collection made for ``samples``."""
    from . import __version__

    dataset = samples._root_dataset
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "owner": OWNER,
        "dataset_id": str(dataset._doc.id),
        "dataset_name": dataset.name,
        "brain_key": brain_key,
        "patches_field": config.patches_field,
        "model": config.model,
        "plugin_version": __version__,
        "created_at": now.isoformat(timespec="seconds"),
    }


def users(connection: Connection, collection_name: str) -> list[User]:
    """Returns the runs of all datasets that use a collection.

    Server URLs are not stored with runs, so a run on any server counts as a user of
    the collection of that name.
    """
    db = foo.get_db_conn()
    found = db.runs.find(
        {"config.method": "qdrant", "config.collection_name": collection_name},
        {"key": 1, "_dataset_id": 1, "config.engine": 1, "config.path": 1},
    )
    names = {d["_id"]: d["name"] for d in db.datasets.find({}, {"name": 1})}
    result = []
    for run in found:
        dataset_id = run.get("_dataset_id")
        config = run.get("config", {})
        embedded = config.get("engine") == EMBEDDED
        if dataset_id not in names or embedded != (connection.engine == EMBEDDED):
            continue

        if embedded and config.get("path") != connection.path:
            continue

        result.append(User(names[dataset_id], str(dataset_id), run["key"]))

    return sorted(result, key=str)


def claimed_names() -> set[str]:
    """Returns the collection names that runs claim, the collections made or not."""
    runs = foo.get_db_conn().runs
    return set(runs.distinct("config.collection_name", {"config.method": "qdrant"}))


def why_not_delete(
    samples: Any,
    brain_key: str | None,
    connection: Connection,
    collection_name: str,
    metadata: dict[str, Any],
) -> str | None:
    """Returns why deleting a collection would harm others, or ``None``.

    Args:
        samples: the collection of samples on whose behalf it would be deleted
        brain_key: the run on whose behalf it would be deleted
        connection: where the collection is
        collection_name: its name
        metadata: its metadata
    """
    dataset_id = str(samples._root_dataset._doc.id)
    others = [
        u
        for u in users(connection, collection_name)
        if (u.dataset_id, u.brain_key) != (dataset_id, brain_key)
    ]
    if others:
        listed = ", ".join(map(str, others))
        return f"it is also used by {listed}"

    if metadata.get("owner") != OWNER:
        return "it was not made by this plugin"

    if metadata.get("dataset_id") != dataset_id:
        # Of this database or of another one that uses the same Qdrant
        return f"it belongs to dataset '{metadata.get('dataset_name')}'"

    return None
