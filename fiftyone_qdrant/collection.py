"""One Qdrant collection: made, checked, read, searched and dropped.

All talk to Qdrant goes through here, in ``qdrant_client``'s own method names and
models, so it works on a server and on the embedded engine alike. Nothing here
knows about datasets, views or brain runs.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import points
from .clients import connect
from .connection import Connection
from .errors import (
    CollectionExists,
    CollectionMismatch,
    CollectionNotFound,
    ConnectionFailed,
    QdrantPluginError,
    sentence,
)
from .faults import translated
from .parameters import CollectionParameters
from .points import Matrix
from .retries import READ_PAUSES, WRITE_PAUSES, persistently

if TYPE_CHECKING:
    from qdrant_client import models

    from .clients import Client

_READ_POINTS = 1000
_READ_BYTES = 8 * 2**20
_IDS_PER_CALL = 10_000
_WRITES = {
    "create_collection",
    "create_payload_index",
    "delete",
    "delete_collection",
    "update_collection",
    "upsert",
}
_CREATION = "creation"  # in a collection's metadata: which call made it


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
    """

    size: int
    metric: str
    metadata: dict[str, Any]
    vector_name: str | None = None
    filterable: bool = True
    num_points: int = 0


class Collection:
    """One collection at one place.

    Args:
        connection: where Qdrant is
        name: the collection's name, which need not exist yet
        vector_name (None): which vectors to use, if it has several per point
    """

    def __init__(
        self, connection: Connection, name: str, vector_name: str | None = None
    ) -> None:
        self.connection = connection
        self.name = name
        self._vector_name = vector_name
        self._schema: Schema | None = None

    @property
    def client(self) -> Client:
        """The ``QdrantClient`` or ``EmbeddedClient`` that serves the collection."""
        return connect(self.connection)

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a method of the client for this collection, again where it helps.

        Raises:
            QdrantPluginError: whatever went wrong, in words
        """
        place = self.connection.location
        client = self.client  # that it cannot be reached is said at once

        def call() -> Any:
            with translated(place, self.name):
                return getattr(client, method)(self.name, *args, **kwargs)

        try:
            pauses = WRITE_PAUSES if method in _WRITES else READ_PAUSES
            return persistently(call, pauses)
        except CollectionNotFound as e:
            raise CollectionNotFound(
                f"There is no collection '{self.name}' at {place}. If it was deleted, "
                "delete the brain run as well and create the index again"
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

    def refresh(self) -> None:
        """Forgets what is known of the collection: others may have changed it."""
        self._schema = None

    def schema(self) -> Schema:
        """Returns size, metric and metadata, read once until :meth:`refresh`.

        Raises:
            CollectionNotFound: if it does not exist
            CollectionMismatch: if it does not have one dense vector to use per point
        """
        schema = self._schema
        if schema is None:
            info = self.info()
            name, vectors = self._choose_vectors(info.config.params.vectors)
            metadata = dict(getattr(info.config, "metadata", None) or {})
            schema = self._schema = Schema(
                vectors.size,
                points.METRICS[vectors.distance.value],
                metadata,
                name,
                points.SAMPLE_ID in info.payload_schema,
                info.points_count or 0,
            )

        return schema

    def _choose_vectors(self, vectors: Any) -> tuple[str | None, models.VectorParams]:
        name = self._vector_name
        if not isinstance(vectors, dict):
            if name is not None:
                raise CollectionMismatch(
                    f"The vectors of collection '{self.name}' have no name: leave out "
                    f"vector_name='{name}'"
                )

            return None, vectors

        if name is None and len(vectors) == 1:
            (name,) = vectors

        if name not in vectors:
            raise CollectionMismatch(
                f"Collection '{self.name}' has several vectors per point. Choose one "
                f"with vector_name: {', '.join(sorted(vectors))}"
            )

        return name, vectors[name]

    def make_filterable(self) -> None:
        """Indexes the sample id: servers in strict mode refuse filters without."""
        from qdrant_client import models

        self.call(
            "create_payload_index",
            points.SAMPLE_ID,
            field_schema=models.PayloadSchemaType.KEYWORD,
            wait=True,
        )

    def check_ids(self) -> None:
        """Looks at one point to see whether ids are FiftyOne's.

        Raises:
            CollectionMismatch: if they are not
        """
        found, _ = self.call("scroll", limit=1, with_payload=False)
        for record in found:
            points.from_point_id(record.id)

    def create(
        self,
        size: int,
        metric: str,
        parameters: CollectionParameters,
        metadata: dict[str, Any],
    ) -> None:
        """Creates the collection; never replaces one.

        Raises:
            CollectionExists: if the name is taken
        """
        from qdrant_client import models

        creation = uuid.uuid4().hex
        try:
            self.call(
                "create_collection",
                vectors_config=models.VectorParams(
                    size=size,
                    distance=models.Distance(points.DISTANCES[metric]),
                    on_disk=parameters.values.get("on_disk"),
                ),
                metadata={**metadata, _CREATION: creation},
                **parameters.to_arguments(),
            )
        except CollectionExists:  # made by us, if only the answer was lost
            if not self._was_made_by(creation):
                raise
        except ConnectionFailed:
            if self._was_made_by(creation):
                self.drop()

            raise

        try:
            self.make_filterable()
        except BaseException:
            self.drop()
            raise

    def _was_made_by(self, creation: str) -> bool:
        try:
            metadata = getattr(self.info().config, "metadata", None) or {}
        except QdrantPluginError:
            return False

        return bool(metadata.get(_CREATION) == creation)

    def update(
        self, parameters: CollectionParameters, *, unquantize: bool = False
    ) -> None:
        """Changes parameters of the collection.

        Args:
            parameters: those to change; the others stay as they are
            unquantize: whether to take the quantization away
        """
        from qdrant_client import models

        arguments = parameters.to_arguments()
        on_disk = parameters.values.get("on_disk")
        if on_disk is not None:
            name = self.schema().vector_name or ""
            diff = models.VectorParamsDiff(on_disk=on_disk)
            arguments["vectors_config"] = {name: diff}

        if unquantize:
            arguments["quantization_config"] = models.Disabled.DISABLED

        self.call("update_collection", **arguments)

    def drop(self) -> None:
        """Deletes the collection; one that is gone already is no error."""
        self.refresh()
        try:
            self.call("delete_collection")
        except CollectionNotFound:
            return
        except ConnectionFailed as e:
            raise type(e)(
                f"{sentence(e)} So collection '{self.name}' could not be deleted: it "
                "may still be there, and incomplete"
            ) from e

    def count(self) -> int:
        """Returns the exact number of points.

        Raises:
            CollectionNotFound: if the collection does not exist
        """
        return int(self.call("count", exact=True).count)

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes points by sample or label id; missing ones are no error."""
        from qdrant_client import models

        point_ids = points.to_point_ids(ids)
        for i in range(0, len(point_ids), _IDS_PER_CALL):
            batch = models.PointIdsList(points=list(point_ids[i : i + _IDS_PER_CALL]))
            self.call("delete", points_selector=batch, wait=True)

    def present(self, ids: Sequence[str]) -> set[str]:
        """Returns those of the given sample or label ids that are in it."""
        found: set[str] = set()
        for i in range(0, len(ids), _IDS_PER_CALL):
            records = self.call(
                "retrieve",
                ids=points.to_point_ids(ids[i : i + _IDS_PER_CALL]),
                with_payload=False,
                with_vectors=False,
            )
            found.update(points.from_point_id(r.id) for r in records)

        return found

    def scroll(
        self,
        sample_ids: Sequence[str] | None = None,
        vectors: bool = False,
        payload: bool = True,
    ) -> Iterator[list[models.Record]]:
        """Yields all points page by page, in the order of their ids.

        Args:
            sample_ids: only points of these samples
            vectors: whether to read the vectors
            payload: whether to read the payload
        """
        from qdrant_client import models

        condition = None
        if sample_ids is not None:
            match = models.MatchAny(any=[str(i) for i in sample_ids])
            condition = models.Filter(
                must=[models.FieldCondition(key=points.SAMPLE_ID, match=match)]
            )

        limit = _IDS_PER_CALL
        if vectors:
            limit = self._page_size()

        offset = None
        while True:
            page, offset = self.call(
                "scroll",
                scroll_filter=condition,
                limit=limit,
                offset=offset,
                with_payload=payload,
                with_vectors=vectors and self.with_vectors(),
            )
            if page:
                yield page

            if offset is None:
                return

    def retrieve(self, ids: Sequence[str]) -> Iterator[list[models.Record]]:
        """Yields the points with the given ids page by page, in the order given."""
        limit = self._page_size()
        for i in range(0, len(ids), limit):
            yield self.call(
                "retrieve",
                ids=points.to_point_ids(ids[i : i + limit]),
                with_payload=True,
                with_vectors=self.with_vectors(),
            )

    def _page_size(self) -> int:
        return max(1, min(_READ_POINTS, _READ_BYTES // (4 * self.schema().size)))

    def with_vectors(self) -> bool | list[str]:
        """Returns what makes Qdrant return the vectors that are used."""
        name = self.schema().vector_name
        return True if name is None else [name]

    def to_vectors(self, records: Sequence[models.Record]) -> Matrix:
        """Returns the vectors of records as they were put in.

        Returns:
            float32, shape ``(num_records, size)``
        """
        schema = self.schema()
        if not records:
            return np.empty((0, schema.size), dtype=np.float32)

        found: list[Any] = [r.vector for r in records]
        if schema.vector_name is not None:
            found = [v[schema.vector_name] for v in found]

        matrix = np.asarray(found, dtype=np.float32)
        return points.restore(matrix, [r.payload for r in records], schema.metric)


def list_collections(connection: Connection) -> list[str]:
    """Returns the names of all collections at a place."""
    listing = _ask(connection, "get_collections")
    return [c.name for c in listing.collections]


def version(connection: Connection) -> str:
    """Returns the version of the engine at a place."""
    return str(_ask(connection, "info").version)


def _ask(connection: Connection, method: str) -> Any:
    client = connect(connection)

    def call() -> Any:
        with translated(connection.location):
            return getattr(client, method)()

    return persistently(call, READ_PAUSES)
