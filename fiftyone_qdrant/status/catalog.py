"""All collections at a place: whose each is, how large, and whether anyone needs it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fiftyone_qdrant.dataset.samples import dataset_id
from fiftyone_qdrant.errors import CollectionNotFound, QdrantPluginError
from fiftyone_qdrant.index import ownership
from fiftyone_qdrant.index.ownership import (
    FOREIGN,
    ORPHAN,
    PRESENT,
    UNKNOWN,
    Maker,
    User,
)
from fiftyone_qdrant.qdrant.collection import Collection, list_collections
from fiftyone_qdrant.qdrant.connection import Connection
from fiftyone_qdrant.status.footprint import disk_bytes, vector_bytes

MINE = "this dataset"
OTHERS = "other dataset"
UNUSED = "unused"

MEANINGS = {
    MINE: "an index of this dataset uses it",
    OTHERS: "an index of another dataset uses it",
    UNUSED: "its dataset exists, but no index uses it any more",
    ORPHAN: (
        "a leftover: this FiftyOne database, or the one it is a copy of, made it for a "
        "dataset that no longer exists"
    ),
    UNKNOWN: "made by another FiftyOne database, or an old version of this plugin",
    FOREIGN: "not made by this plugin",
}
"""What each kind of :class:`Entry` means."""


@dataclass(frozen=True)
class Entry:
    """One collection.

    Attributes:
        name: the collection's name
        location: where it is
        maker: for whom it was made
        users: the runs of this database that use it
        mine: whether one of them is of the dataset that asks
        created_at: when it was made, ISO 8601, if known
        points: the number of its points, or ``None`` if it could not be read
        bytes: its size on disk, or on a server that of its vectors
        problem: why it could not be read, or ``None``
    """

    name: str
    location: str
    maker: Maker
    users: tuple[User, ...] = ()
    mine: bool = False
    created_at: str | None = None
    points: int | None = None
    bytes: int | None = None
    problem: str | None = None

    @property
    def kind(self) -> str:
        """One of :data:`MEANINGS`."""
        if self.users:
            return MINE if self.mine else OTHERS

        return UNUSED if self.maker.kind == PRESENT else self.maker.kind

    @property
    def made_for(self) -> str | None:
        """The name of the dataset it was made for, if known."""
        return self.maker.dataset

    def obstacle(self, dataset: Any = None) -> str | None:
        """Returns why deleting it would harm somebody, or ``None``.

        Args:
            dataset (None): the dataset on whose behalf it would be deleted
        """
        mine = None if dataset is None else str(dataset_id(dataset))
        others = [u for u in self.users if u.dataset_id != mine]
        return self.maker.obstacle(mine, self.users, others)


def catalog(connection: Connection, dataset: Any = None) -> list[Entry]:
    """Returns all collections at a place, by name; each that cannot be read says why.

    Args:
        connection: the place
        dataset (None): whose collections count as this dataset's

    Raises:
        ConnectionFailed: if Qdrant cannot be reached
    """
    names = sorted(list_collections(connection))
    reader = _Reader(connection, dataset)
    return [e for e in map(reader.read, names) if e is not None]


def describe(connection: Connection, name: str, dataset: Any = None) -> Entry:
    """Returns one collection, as in :func:`catalog`.

    Raises:
        CollectionNotFound: if there is none of that name
        ConnectionFailed: if Qdrant cannot be reached
    """
    return _Reader(connection, dataset).describe(name)


def orphans(connection: Connection) -> list[Entry]:
    """Returns the collections whose dataset is gone from the database they are of.

    Collections of other FiftyOne databases on the same server are not among them.
    """
    return [entry for entry in catalog(connection) if entry.kind == ORPHAN]


class _Reader:
    """Describes collections; what MongoDB knows of them is asked for once.

    That is after Qdrant was asked: a dataset and its index made meanwhile would look
    like an orphan otherwise.
    """

    def __init__(self, connection: Connection, dataset: Any) -> None:
        self._connection = connection
        self._mine = None if dataset is None else str(dataset_id(dataset))

    @cached_property
    def _users(self) -> dict[str, list[User]]:
        return ownership.all_users(self._connection)

    @cached_property
    def _datasets(self) -> dict[str, str]:
        return ownership.dataset_names()

    @cached_property
    def _database(self) -> str | None:
        return ownership.database_id()

    def read(self, name: str) -> Entry | None:
        """Returns a collection, or ``None`` if it was deleted meanwhile."""
        try:
            return self.describe(name)
        except CollectionNotFound:
            return None
        except QdrantPluginError as e:  # such as a key that may not read this one
            return self._entry(name, {}, problem=str(e))

    def describe(self, name: str) -> Entry:
        collection = Collection(self._connection, name)
        info = collection.info()
        metadata = dict(getattr(info.config, "metadata", None) or {})
        disk = disk_bytes(collection)
        return self._entry(
            name,
            metadata,
            points=info.points_count or 0,
            bytes=vector_bytes(info) if disk is None else disk,
        )

    def _entry(self, name: str, metadata: dict[str, Any], **read: Any) -> Entry:
        users = tuple(self._users.get(name, ()))
        maker = Maker.of(metadata, self._datasets, self._database)
        return Entry(
            name,
            self._connection.location,
            maker,
            users,
            mine=any(u.dataset_id == self._mine for u in users),
            created_at=None if maker.kind == FOREIGN else metadata.get("created_at"),
            **read,
        )
