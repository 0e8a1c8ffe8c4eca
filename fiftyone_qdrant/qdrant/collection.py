"""One Qdrant collection: made, checked, read, searched and dropped.

All talk to Qdrant goes through here, in ``qdrant_client``'s own method names and
models, so it works on a server and on the embedded engine alike. Nothing here
knows about datasets, views or brain runs.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import (
    CollectionExists,
    CollectionNotFound,
    ConnectionFailed,
    QdrantPluginError,
    VectorError,
    sentence,
)
from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.qdrant.calls import FLOAT64, KNOWN_SECONDS
from fiftyone_qdrant.qdrant.clients import ask, connect
from fiftyone_qdrant.qdrant.connection import Connection
from fiftyone_qdrant.qdrant.reads import IDS_PER_CALL, CollectionReads
from fiftyone_qdrant.qdrant.retries import READ_PAUSES, persistently, wait

if TYPE_CHECKING:
    from qdrant_client import models

logger = logging.getLogger(__name__)

_IDS_TO_CHECK = 10
_CREATION = "creation"  # in a collection's metadata: which call made it


class Collection(CollectionReads):
    """One collection at one place: made, read, searched and dropped.

    See :class:`fiftyone_qdrant.qdrant.calls.CollectionCalls` for its arguments.
    """

    def note(self, metadata: dict[str, Any]) -> bool:
        """Writes into the metadata; returns whether the server keeps any."""
        self.call("update_collection", metadata=metadata)
        self.forget()
        known = self.schema().metadata
        return all(known.get(name) == value for name, value in metadata.items())

    def mark_float64(self) -> None:
        """Notes, for all who search it, that float32 arithmetic is not enough here.

        Returns when all of them know, see :meth:`refresh`.

        Raises:
            VectorError: if the server keeps no such notes
        """
        if not self.schema().needs_float64:
            self.call("update_collection", metadata={FLOAT64: True})
            self.forget()

        if not self.schema().needs_float64:
            raise VectorError(
                "Some vectors are shorter than 1e-8 or longer than 1e15. Collection "
                f"'{self.name}' must say so in its metadata, to be searched in "
                "float64, and this Qdrant server keeps none. Scale the vectors, use "
                "metric='cosine', or update the server to 1.16 or later"
            )

        since = self._float64_since
        if since is not None and self.connection.remote:
            wait(since + KNOWN_SECONDS - time.monotonic())

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
        """Looks at some points to see whether ids are FiftyOne's.

        Raises:
            CollectionMismatch: if none of them is
        """
        found, _ = self.bounds.within(
            lambda limits: self.call(
                "scroll", limit=limits.points(_IDS_TO_CHECK), with_payload=False
            )
        )
        if found and not any(points.is_fiftyones(r.id) for r in found):
            points.from_point_id(found[0].id)

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
        self.forget()

    def drop(self) -> None:
        """Deletes the collection; one that is gone already is no error."""
        self.forget()
        try:
            self.call("delete_collection")
        except CollectionNotFound:
            return
        except ConnectionFailed as e:
            raise type(e)(
                f"{sentence(e)} So collection '{self.name}' could not be deleted: it "
                "may still be there, and incomplete"
            ) from e

    def flush(self) -> None:
        """Makes what was written survive a power failure; a server sees to it."""
        if not self.connection.remote:
            self.call("flush")

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes points by sample or label id; missing ones are no error."""
        from qdrant_client import models

        point_ids = points.to_point_ids(ids)

        def delete(start: int, end: int) -> None:
            batch = models.PointIdsList(points=list(point_ids[start:end]))
            self.call("delete", points_selector=batch, wait=True)

        for _ in self.bounds.in_parts(len(ids), lambda _: IDS_PER_CALL, delete):
            pass


def list_collections(connection: Connection) -> list[str]:
    """Returns the names of all collections at a place."""
    listing = _ask(connection, "get_collections")
    return [c.name for c in listing.collections]


def version(connection: Connection) -> str:
    """Returns the version of the engine at a place."""
    return str(_ask(connection, "info").version)


def cluster_status(connection: Connection) -> models.ClusterStatus:
    """Returns what the node at a place knows of its cluster."""
    status: models.ClusterStatus = _ask(connection, "cluster_status")
    return status


def _ask(connection: Connection, method: str) -> Any:
    connect(connection)  # that it cannot be reached is said at once

    def call() -> Any:
        return ask(connection, lambda client: getattr(client, method)())

    return persistently(call, READ_PAUSES)
