"""Calls about one Qdrant collection: made again where it helps, their errors in words.

What is known of the collection is read once, and forgotten when asked to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import (
    CollectionMismatch,
    CollectionNotFound,
    StoreUnavailable,
)
from fiftyone_qdrant.qdrant.clients import ask, connect
from fiftyone_qdrant.qdrant.connection import Connection
from fiftyone_qdrant.qdrant.limits import Bounds, Limits
from fiftyone_qdrant.qdrant.retries import READ_PAUSES, WRITE_PAUSES, persistently

if TYPE_CHECKING:
    from qdrant_client import models

    from fiftyone_qdrant.qdrant.clients import Client

OWNER = "fiftyone"
"""In the metadata of collections made here: who made them."""

_WRITES = {
    "batch_update_points",
    "create_collection",
    "create_payload_index",
    "delete",
    "delete_collection",
    "delete_payload",
    "delete_vectors",
    "update_collection",
    "upsert",
}

FLOAT64 = "needs_float64"
"""In a collection's metadata: whether float32 is not enough to compare its vectors."""

KNOWN_SECONDS = 1.0
"""For how long what a server said of a collection is taken to hold."""


@dataclass(frozen=True)
class Schema:
    """What an index needs to know of a collection.

    Attributes:
        size: dimensions of its vectors
        metric: FiftyOne's name of its distance
        metadata: what its maker stored with it
        vector_name: the name of the vectors, or ``None`` if they have none
        filterable: whether filters on the sample id are indexed
        num_points: about how many points it has
        replicas: copies of each point that there should be
        other_vectors: the names of what other vectors points may have
    """

    size: int
    metric: str
    metadata: dict[str, Any]
    vector_name: str | None = None
    filterable: bool = True
    num_points: int = 0
    replicas: int = 1
    other_vectors: tuple[str, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether it was made here: no one else's data are in its points."""
        return self.metadata.get("owner") == OWNER

    @property
    def needs_float64(self) -> bool:
        """Whether it may hold vectors that the engine cannot compare."""
        return bool(self.metadata.get(FLOAT64))


class CollectionCalls:
    """One collection at one place.

    Args:
        connection: where Qdrant is
        name: the collection's name, which need not exist yet
        vector_name (None): which vectors to use, if it has several per point

    Attributes:
        bounds: what one call may ask for
        when_lost: what is called if its embedded store cannot be opened
    """

    def __init__(
        self, connection: Connection, name: str, vector_name: str | None = None
    ) -> None:
        self.connection = connection
        self.name = name
        self._vector_name = vector_name
        self._schema: Schema | None = None
        self._described = 0.0  # when that was asked, by the monotonic clock
        self._float64_since: float | None = None  # when it was first seen to be so
        self.bounds = Bounds()
        self.when_lost: Callable[[], None] | None = None

    @property
    def client(self) -> Client:
        """The ``QdrantClient`` or ``EmbeddedClient`` that serves the collection."""
        return self._reach()

    def _reach(self) -> Client:
        try:
            return connect(self.connection)
        except StoreUnavailable:
            if self.when_lost is not None:
                self.when_lost()

            raise

    def call(self, method: str | Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Calls a method of the client for this collection, again where it helps.

        Args:
            method: its name, or a function that takes the client in its place
            *args: its arguments after the collection's name
            **kwargs: its keyword arguments

        Raises:
            QdrantPluginError: whatever went wrong, in words
        """
        place = self.connection.location
        self._reach()  # that it cannot be is said at once

        def do(client: Client) -> Any:
            if callable(method):
                return method(client, self.name, *args, **kwargs)

            return getattr(client, method)(self.name, *args, **kwargs)

        def call() -> Any:
            return ask(self.connection, do, self.name)

        try:
            pauses = WRITE_PAUSES if method in _WRITES else READ_PAUSES
            return persistently(call, pauses)
        except CollectionNotFound as e:
            moved = "If its store was moved, say once where it is now: "
            moved += "dataset.load_brain_results(brain_key, path='...'). "
            moved = "" if self.connection.remote else moved
            raise CollectionNotFound(
                f"There is no collection '{self.name}' at {place}. {moved}If it was "
                "deleted, delete the brain run as well and create the index again"
            ) from e

    def exists(self) -> bool:
        """Whether the collection exists now."""
        return bool(self.call("collection_exists"))

    def info(self) -> models.CollectionInfo:
        """Returns Qdrant's own description of the collection.

        Raises:
            CollectionNotFound: if it does not exist
        """
        info: models.CollectionInfo = self.call("get_collection")
        return info

    def forget(self) -> None:
        """Forgets what is known of the collection, as it was changed here."""
        self._schema = None

    def remembered(self) -> dict[str, Any]:
        """Returns the metadata as they were last read, without asking."""
        return {} if self._schema is None else self._schema.metadata

    def refresh(self) -> bool:
        """Forgets what is known of the collection, as others may have changed it.

        What a server said less than :data:`KNOWN_SECONDS` ago is taken to hold, which
        saves a round. Whoever marks a collection as one whose vectors float32 cannot
        compare therefore waits that long before writing such vectors: then all know.
        One that is deleted and made anew with another metric within that time may
        still be taken for the old one until it is over.

        Returns:
            whether something is still known
        """
        known = time.monotonic() - self._described < KNOWN_SECONDS
        if not (known and self.connection.remote):
            self.forget()

        return self._schema is not None

    def schema(self) -> Schema:
        """Returns size, metric and metadata, read once until :meth:`refresh`.

        Raises:
            CollectionNotFound: if it does not exist
            CollectionMismatch: if it does not have one dense vector to use per point
        """
        schema = self._schema
        if schema is None:
            asked = time.monotonic()
            info = self.info()
            params = info.config.params
            sparse = sorted(getattr(params, "sparse_vectors", None) or {})
            name, vectors = self._choose_vectors(params.vectors, sparse)
            named = params.vectors if isinstance(params.vectors, dict) else {}
            metadata = dict(getattr(info.config, "metadata", None) or {})
            self.bounds.limits = Limits.of(info.config)
            schema = self._schema = Schema(
                vectors.size,
                points.METRICS[vectors.distance.value],
                metadata,
                name,
                points.SAMPLE_ID in info.payload_schema,
                info.points_count or 0,
                params.replication_factor or 1,
                tuple(n for n in (*named, *sparse) if n != name),
            )
            self._described = asked
            if not schema.needs_float64:
                self._float64_since = None
            elif self._float64_since is None:
                self._float64_since = time.monotonic()

        return schema

    def _choose_vectors(
        self, vectors: Any, sparse: list[str]
    ) -> tuple[str | None, models.VectorParams]:
        name, own = self._vector_name, f"Collection '{self.name}'"
        if vectors and not isinstance(vectors, dict):
            if name is not None:
                raise CollectionMismatch(
                    f"The vectors of collection '{self.name}' have no name: leave out "
                    f"vector_name='{name}'"
                )

            vectors = {None: vectors}

        usable = {
            n: v for n, v in (vectors or {}).items() if v.multivector_config is None
        }
        if not usable:
            kind = "multivectors" if vectors else "sparse vectors"
            raise CollectionMismatch(
                f"{own} has only {kind if vectors or sparse else 'payload'}. An index "
                "needs one dense vector per point: use another collection_name"
            )

        if name is None and len(usable) == 1:
            (name,) = usable

        if name not in usable:
            listed = ", ".join(sorted(map(str, usable)))
            if name in sparse or name in (vectors or {}):
                raise CollectionMismatch(
                    f"'{name}' of {own[0].lower()}{own[1:]} is no dense vector. Choose "
                    f"one with vector_name: {listed}"
                )

            raise CollectionMismatch(
                f"{own} has several vectors per point. Choose one with vector_name: "
                f"{listed}"
            )

        return name, usable[name]
