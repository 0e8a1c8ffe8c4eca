"""One Qdrant collection: made, checked, read, searched and dropped.

All talk to Qdrant goes through here, in ``qdrant_client``'s own method names and
models, so it works on a server and on the embedded engine alike. Nothing here
knows about datasets, views or brain runs.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from . import points
from .calls import FLOAT64, CollectionCalls
from .clients import connect
from .connection import EMBEDDED, Connection
from .errors import (
    CollectionExists,
    CollectionNotFound,
    ConnectionFailed,
    LimitExceeded,
    QdrantPluginError,
    ReplicasMissing,
    VectorError,
    sentence,
)
from .faults import translated
from .limits import Limits
from .parameters import CollectionParameters
from .points import Matrix
from .retries import READ_PAUSES, patient, persistently

if TYPE_CHECKING:
    from qdrant_client import models

logger = logging.getLogger(__name__)

_READ_POINTS = 1000
_READ_BYTES = 8 * 2**20
_IDS_PER_CALL = 10_000
_CREATION = "creation"  # in a collection's metadata: which call made it


class Collection(CollectionCalls):
    """One collection at one place: made, read, searched and dropped.

    See :class:`fiftyone_qdrant.calls.CollectionCalls` for its arguments.
    """

    def mark_float64(self) -> None:
        """Notes, for all who search it, that float32 arithmetic is not enough here.

        Raises:
            VectorError: if the server keeps no such notes
        """
        if self.schema().needs_float64:
            return

        self.call("update_collection", metadata={FLOAT64: True})
        self.refresh()
        if not self.schema().needs_float64:
            raise VectorError(
                "Some vectors are shorter than 1e-8 or longer than 1e15. Collection "
                f"'{self.name}' must say so in its metadata, to be searched in "
                "float64, and this Qdrant server keeps none. Scale the vectors, use "
                "metric='cosine', or update the server to 1.16 or later"
            )

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

    def flush(self) -> None:
        """Makes what was written survive a power failure; a server sees to it."""
        if self.connection.engine == EMBEDDED:
            self.call("flush")

    def count(self) -> int:
        """Returns the exact number of points; where no count is, ids are counted.

        Raises:
            CollectionNotFound: if the collection does not exist
        """

        def count(limits: Limits) -> int:
            if limits.search_allow_exact:
                return int(self.call("count", exact=True).count)

            return sum(len(page) for page in self.scroll(payload=False))

        return self.bounds.within(count)

    def delete(self, ids: Sequence[str]) -> None:
        """Deletes points by sample or label id; missing ones are no error."""
        from qdrant_client import models

        point_ids = points.to_point_ids(ids)

        def delete(start: int, end: int) -> None:
            batch = models.PointIdsList(points=list(point_ids[start:end]))
            self.call("delete", points_selector=batch, wait=True)

        for _ in self.bounds.in_parts(len(ids), lambda _: _IDS_PER_CALL, delete):
            pass

    def present(self, ids: Sequence[str]) -> set[str]:
        """Returns those of the given sample or label ids that are in it."""
        pages = self._retrieved(ids, _IDS_PER_CALL, payload=False, vectors=False)
        return {points.from_point_id(r.id) for page in pages for r in page}

    def on_all_replicas(
        self, ids: Sequence[str], alike: bool = False
    ) -> set[str] | None:
        """Returns those of the given ids that every replica holds.

        A write that failed may have reached one of several replicas, and not be
        brought to the others by itself.

        Args:
            ids: sample or label ids
            alike (False): only those whose vectors are the same on all replicas

        Returns:
            the ids, or ``None`` while a replica does not answer
        """
        from qdrant_client import models

        if self.schema().replicas < 2:
            return self.present(ids)

        most = self._page_size() if alike else _IDS_PER_CALL
        pages = self._retrieved(
            ids,
            most,
            models.ReadConsistencyType.ALL,
            payload=alike,
            vectors=alike and self.with_vectors(),
        )
        try:
            with patient(None):  # a node that is down is not waited for
                return {points.from_point_id(r.id) for page in pages for r in page}
        except ReplicasMissing as e:
            logger.info("The replicas cannot be compared: %s", e)
            return None

    def scroll(
        self,
        sample_ids: Sequence[str] | None = None,
        vectors: bool = False,
        payload: bool = True,
    ) -> Iterator[list[models.Record]]:
        """Yields all points page by page, in the order of their ids.

        Args:
            sample_ids: only points of these samples; of many, in several turns
            vectors: whether to read the vectors
            payload: whether to read the payload
        """
        from qdrant_client import models

        if sample_ids is None:
            yield from self._scroll(None, vectors, payload)
            return

        wanted = [str(i) for i in sample_ids]
        start = 0
        while start < len(wanted):
            step = self.bounds.limits.ids(_IDS_PER_CALL)
            match = models.MatchAny(any=wanted[start : start + step])
            condition = models.Filter(
                must=[models.FieldCondition(key=points.SAMPLE_ID, match=match)]
            )
            try:
                yield from self._scroll(condition, vectors, payload)
            except LimitExceeded as e:  # before the first page
                self.bounds.learn(e)
                if not self.bounds.limits.unindexed_filtering_retrieve:
                    yield from self._picked(set(wanted[start:]), vectors)
                    return

                if self.bounds.limits.ids(step) == step:
                    raise
            else:
                start += step

    def _scroll(
        self, condition: models.Filter | None, vectors: bool, payload: bool
    ) -> Iterator[list[models.Record]]:
        most = self._page_size() if vectors else _IDS_PER_CALL
        chosen = vectors and self.with_vectors()
        offset: Any = None

        def read(limits: Limits) -> Any:
            return self.call(
                "scroll",
                scroll_filter=condition,
                limit=limits.points(most),
                offset=offset,
                with_payload=payload,
                with_vectors=chosen,
            )

        while True:
            page, offset = self.bounds.within(read)
            if page:
                yield page

            if offset is None:
                return

    def _picked(
        self, sample_ids: set[str], vectors: bool
    ) -> Iterator[list[models.Record]]:
        """Reads everything, for a filter that the server does not allow."""
        for page in self._scroll(None, vectors, payload=True):
            kept = [
                r for r in page if (r.payload or {}).get(points.SAMPLE_ID) in sample_ids
            ]
            if kept:
                yield kept

    def retrieve(self, ids: Sequence[str]) -> Iterator[list[models.Record]]:
        """Yields the points with the given ids page by page, in the order given."""
        vectors = self.with_vectors()
        return self._retrieved(ids, self._page_size(), vectors=vectors)

    def _retrieved(
        self,
        ids: Sequence[str],
        most: int,
        consistency: models.ReadConsistencyType | None = None,
        payload: bool = True,
        vectors: bool | list[str] = True,
    ) -> Iterator[list[models.Record]]:
        point_ids = points.to_point_ids(ids)
        extra = {} if consistency is None else {"consistency": consistency}

        def retrieve(start: int, end: int) -> list[models.Record]:
            found: list[models.Record] = self.call(
                "retrieve",
                ids=point_ids[start:end],
                with_payload=payload,
                with_vectors=vectors,
                **extra,
            )
            return found

        return self.bounds.in_parts(
            len(ids), lambda known: known.points(most), retrieve
        )

    def _page_size(self) -> int:
        return max(1, min(_READ_POINTS, _READ_BYTES // (4 * self.schema().size)))

    def with_vectors(self) -> bool | list[str]:
        """Returns what makes Qdrant return the vectors that are used."""
        name = self.schema().vector_name
        return True if name is None else [name]

    def to_vectors(
        self, records: Sequence[models.Record | models.ScoredPoint]
    ) -> Matrix:
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
        payloads = [r.payload for r in records]
        key = points.norm_key(schema.vector_name)
        return points.restore(matrix, payloads, schema.metric, key)


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
    client = connect(connection)

    def call() -> Any:
        with translated(connection.location):
            return getattr(client, method)()

    return persistently(call, READ_PAUSES)
