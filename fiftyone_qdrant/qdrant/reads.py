"""What is read of one Qdrant collection: counts, ids, points and their vectors.

Within the limits of its strict mode, and on servers several pages at once. Points that
were not made from FiftyOne ids are skipped, and so are those that lack the vectors that
are used: in a collection of others points may have just some vectors.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import LimitExceeded, ReplicasMissing
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.qdrant import grpc_reading, rest_reading
from fiftyone_qdrant.qdrant.calls import CollectionCalls
from fiftyone_qdrant.qdrant.connection import SERVER
from fiftyone_qdrant.qdrant.limits import Limits
from fiftyone_qdrant.qdrant.retries import patient

if TYPE_CHECKING:
    from qdrant_client import models

logger = logging.getLogger(__name__)

IDS_PER_CALL = 10_000
_READ_POINTS = 1000
_READ_BYTES = 8 * 2**20
_READS_AT_ONCE = 3  # while one answer is parsed, others are made


class CollectionReads(CollectionCalls):
    """One collection, as far as it is read."""

    def count(self) -> int:
        """Returns the exact number of points with the vectors that are used.

        Raises:
            CollectionNotFound: if the collection does not exist
        """

        def count(limits: Limits) -> int:
            if limits.search_allow_exact:
                holding = self._holding()
                return int(self.call("count", holding, exact=True).count)

            return sum(len(page) for page in self.scroll(payload=False))

        return self.bounds.within(count)

    def present(self, ids: Sequence[str]) -> set[str]:
        """Returns those of the given sample or label ids that are in it."""
        if self._used_name() is None:
            return self.existing(ids)

        vectors = self.with_vectors()
        pages = self._retrieved(ids, self._page_size(), payload=False, vectors=vectors)
        return {points.from_point_id(r.id) for page in pages for r in self._held(page)}

    def existing(self, ids: Sequence[str]) -> set[str]:
        """Returns those of the given ids of which there are points, of any vectors."""
        pages = self._retrieved(ids, IDS_PER_CALL, payload=False, vectors=False)
        return {points.from_point_id(r.id) for page in pages for r in page}

    def holds(self, ids: Sequence[str]) -> bool | None:
        """Returns whether all of the given ids are in it, by counting.

        Only the ids travel, and none comes back.

        Returns:
            ``None`` where a count cannot tell: of several replicas one is asked, and
            a server may refuse to count exactly
        """
        from qdrant_client import models

        if self.schema().replicas > 1 or not self.bounds.limits.search_allow_exact:
            return None

        point_ids = points.to_point_ids(list(dict.fromkeys(i.lower() for i in ids)))

        def count(start: int, end: int) -> int:
            some = models.HasIdCondition(has_id=list(point_ids[start:end]))
            held = self._holding(models.Filter(must=[some]))
            return int(self.call("count", held, exact=True).count)

        try:
            counts = self.bounds.in_parts(
                len(point_ids), lambda known: known.ids(IDS_PER_CALL), count
            )
            return sum(counts) == len(point_ids)
        except LimitExceeded:
            return None

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

        look = alike or self._used_name() is not None
        pages = self._retrieved(
            ids,
            self._page_size() if look else IDS_PER_CALL,
            models.ReadConsistencyType.ALL,
            payload=alike,
            vectors=look and self.with_vectors(),
        )
        held = (r for page in pages for r in self._held(page))
        try:
            with patient(None):  # a node that is down is not waited for
                return {points.from_point_id(r.id) for r in held}
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
            step = self.bounds.limits.ids(IDS_PER_CALL)
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
        most = self._page_size() if vectors else IDS_PER_CALL
        chosen = vectors and self.with_vectors()
        condition = self._holding(condition)
        arrays = self._arrays() if vectors else None
        method: Any = arrays.scroll if arrays else "scroll"

        def read(offset: Any) -> Any:
            return self.bounds.within(
                lambda limits: self.call(
                    method,
                    scroll_filter=condition,
                    limit=limits.points(most),
                    offset=offset,
                    with_payload=payload,
                    with_vectors=chosen,
                )
            )

        if not vectors or not self._remote:
            for page in _pages(read):
                yield self._without_foreign(page)

            return

        with ThreadPoolExecutor(1) as thread:  # reads one page ahead
            for page in _pages(lambda offset: thread.submit(read, offset)):
                yield self._without_foreign(page)

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
        for page in self._retrieved(ids, self._page_size(), vectors=vectors):
            yield self._held(page)

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

        arrays = self._arrays() if vectors and consistency is None else None
        method: Any = arrays.retrieve if arrays else "retrieve"

        def retrieve(start: int, end: int) -> list[models.Record]:
            found: list[models.Record] = self.call(
                method,
                ids=point_ids[start:end],
                with_payload=payload,
                with_vectors=vectors,
                **extra,
            )
            return found

        return self.bounds.in_parts(
            len(ids),
            lambda known: known.points(most),
            retrieve,
            at_once=_READS_AT_ONCE if self._remote else 1,
        )

    def _used_name(self) -> str | None:
        known = self._schema  # the run knows it as well, without a question
        return self._vector_name if known is None else known.vector_name

    def _holding(self, condition: models.Filter | None = None) -> models.Filter | None:
        """A filter for points that have the vectors that are used, if some may not."""
        from qdrant_client import models

        name = self._used_name()
        if name is None:
            return condition

        has_vector: list[Any] = [models.HasVectorCondition(has_vector=name)]
        return models.Filter(must=has_vector + ([condition] if condition else []))

    def _held(self, records: list[models.Record]) -> list[models.Record]:
        """Those of records, read with vectors, that have the vectors that are used."""
        name = self._used_name()
        return records if name is None else [r for r in records if name in _named(r)]

    def _without_foreign(self, records: list[models.Record]) -> list[models.Record]:
        kept = [r for r in records if points.is_fiftyones(r.id)]
        if len(kept) < len(records):
            foreign = next(r.id for r in records if not points.is_fiftyones(r.id))
            logger.warning(
                "Skipping %d points of collection '%s' (such as '%s') that were not "
                "made from FiftyOne ids. They are never found; delete them if nobody "
                "needs them",
                len(records) - len(kept),
                self.name,
                foreign,
            )

        return kept

    @property
    def _remote(self) -> bool:
        return self.connection.engine == SERVER

    def _arrays(self) -> Any:
        """What reads vectors as arrays, or ``None`` to leave it to the client."""
        if not self._remote:
            return None

        if self.connection.prefer_grpc:
            return grpc_reading

        return rest_reading if rest_reading.available() else None

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


def _pages(read: Callable[[Any], Any]) -> Iterator[list[Any]]:
    """Yields what ``read`` gives page by page; it gets where to go on.

    What it returns may be to come: then the next page is under way with the one before.
    """
    answer = read(None)
    while answer is not None:
        page, offset = answer.result() if isinstance(answer, Future) else answer
        later = isinstance(answer, Future) and offset is not None
        answer = read(offset) if later else None
        if page:
            yield page

        if not later and offset is not None:
            answer = read(offset)


def _named(record: models.Record) -> dict[str, Any]:
    return record.vector if isinstance(record.vector, dict) else {}
