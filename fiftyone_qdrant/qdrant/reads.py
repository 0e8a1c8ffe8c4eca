"""What is read of one Qdrant collection: counts, ids, points and their vectors.

Within the limits of its strict mode, and on servers several pages at once. Points that
were not made from FiftyOne ids are skipped, and so are those that lack the vectors that
are used: in a collection of others points may have just some vectors.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import LimitExceeded, ReplicasMissing
from fiftyone_qdrant.packed import Packed, PointIds, from_uuids, joined, pack
from fiftyone_qdrant.points import Matrix, Page
from fiftyone_qdrant.qdrant import grpc_reading, reading, rest_reading
from fiftyone_qdrant.qdrant.calls import CollectionCalls
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
        return {i for page in pages for i in self._held(page).ids}

    def existing(self, ids: Sequence[str]) -> set[str]:
        """Returns those of the given ids of which there are points, of any vectors."""
        pages = self._retrieved(ids, IDS_PER_CALL, payload=False, vectors=False)
        return {i for page in pages for i in page.ids}

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
        held = map(self._held, pages)
        try:
            with patient(None):  # a node that is down is not waited for
                return {i for page in held for i in page.ids}
        except ReplicasMissing as e:
            logger.info("The replicas cannot be compared: %s", e)
            return None

    def scroll(
        self,
        sample_ids: Sequence[str] | None = None,
        vectors: bool = False,
        payload: bool = True,
        first: str | None = None,
    ) -> Iterator[Page]:
        """Yields all points page by page, in the order of their ids.

        Args:
            sample_ids: only points of these samples; of many, in several turns
            vectors: whether to read the vectors
            payload: whether to read the payload
            first: the id of the point to begin with, if not of some samples
        """
        from qdrant_client import models

        if sample_ids is None:
            yield from self._scroll(None, vectors, payload, first)
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

    def packed_ids(self) -> Packed:
        """Returns the sample or label ids of all points, 12 bytes each, ascending.

        Raises:
            CollectionNotFound: if the collection does not exist
        """
        if self.connection.remote:
            pages = self.scroll(payload=False)
            return np.sort(joined([pack(page.ids) for page in pages]))

        parts: list[Packed] = []
        offset = None
        while not parts or offset is not None:
            found, offset = self.call("scroll_ids", offset=offset)
            if isinstance(found, Page):
                parts.append(pack(self._without_foreign(found).ids))
                continue

            ids, foreign = from_uuids(found)
            parts.append(ids)
            if foreign:
                other = found[found[:, 12:].any(axis=1)][0]
                self._tell_foreign(foreign, uuid.UUID(bytes=other.tobytes()))

        return np.sort(joined(parts))

    def _scroll(
        self,
        condition: models.Filter | None,
        vectors: bool,
        payload: bool,
        start: str | None = None,
    ) -> Iterator[Page]:
        most = self._page_size() if vectors else IDS_PER_CALL
        chosen = vectors and self.with_vectors()
        condition = self._holding(condition)
        _, method = self._readers(vectors)

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

        if not vectors or not self.connection.remote:
            for page in _pages(read, start):
                yield self._without_foreign(page)

            return

        with ThreadPoolExecutor(1) as thread:  # reads one page ahead
            for page in _pages(lambda offset: thread.submit(read, offset), start):
                yield self._without_foreign(page)

    def _picked(self, sample_ids: set[str], vectors: bool) -> Iterator[Page]:
        """Reads everything, for a filter that the server does not allow."""
        for page in self._scroll(None, vectors, payload=True):
            kept = page.where([i in sample_ids for i in page.sample_ids])
            if len(kept):
                yield kept

    def retrieve(self, ids: Sequence[str]) -> Iterator[Page]:
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
    ) -> Iterator[Page]:
        remote = self.connection.remote
        point_ids = points.to_point_ids(ids) if remote else PointIds.of(ids)
        extra = {} if consistency is None else {"consistency": consistency}
        method, _ = self._readers(bool(vectors) and consistency is None)

        def retrieve(start: int, end: int) -> Page:
            found: Page = self.call(
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
            at_once=_READS_AT_ONCE if remote else 1,
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

    def _held(self, page: Page) -> Page:
        """Those of a page, read with vectors, that have the vectors that are used."""
        name = self._used_name()
        if name is None:
            return page

        return page.where([isinstance(v, dict) and name in v for v in page.vectors])

    def _without_foreign(self, page: Page) -> Page:
        kept = page.where([points.is_fiftyones(i) for i in page.point_ids])
        if len(kept) < len(page):
            foreign = next(i for i in page.point_ids if not points.is_fiftyones(i))
            self._tell_foreign(len(page) - len(kept), foreign)

        return kept

    def _tell_foreign(self, number: int, example: object) -> None:
        logger.warning(
            "Skipping %d points of collection '%s' (such as '%s') that were not "
            "made from FiftyOne ids. They are never found; delete them if nobody "
            "needs them",
            number,
            self.name,
            example,
        )

    def _readers(self, arrays: bool) -> tuple[Any, Any]:
        """What retrieves pages and what scrolls.

        Args:
            arrays: whether to read vectors as arrays, where it is known how
        """
        if not self.connection.remote:
            return "retrieve_page", "scroll_page"

        module: Any = reading
        if arrays and self.connection.prefer_grpc:
            module = grpc_reading
        elif arrays and rest_reading.available():
            module = rest_reading

        return module.retrieve, module.scroll

    def _page_size(self) -> int:
        return max(1, min(_READ_POINTS, _READ_BYTES // (4 * self.schema().size)))

    def with_vectors(self) -> bool | list[str]:
        """Returns what makes Qdrant return the vectors that are used."""
        name = self.schema().vector_name
        return True if name is None else [name]

    def to_vectors(self, page: Page) -> Matrix:
        """Returns the vectors of points as they were put in.

        Returns:
            float32, shape ``(num_points, size)``
        """
        schema = self.schema()
        key = points.norm_key(schema.vector_name)
        matrix = self.stored_vectors(page)
        return points.restore(matrix, page.payloads, schema.metric, key)

    def stored_vectors(self, page: Page) -> Matrix:
        """Returns the vectors of points as Qdrant has them: of cosine, at length 1.

        Returns:
            float32, shape ``(num_points, size)``
        """
        schema = self.schema()
        if not len(page):
            return np.empty((0, schema.size), dtype=np.float32)

        found = page.vectors
        if schema.vector_name is not None:
            found = [v[schema.vector_name] for v in found]

        return np.asarray(found, dtype=np.float32)


def _pages(read: Callable[[Any], Any], start: Any = None) -> Iterator[Page]:
    """Yields what ``read`` gives page by page; it gets where to go on.

    What it returns may be to come: then the next page is under way with the one before.
    """
    answer = read(start)
    while answer is not None:
        page, offset = answer.result() if isinstance(answer, Future) else answer
        later = isinstance(answer, Future) and offset is not None
        answer = read(offset) if later else None
        if len(page):
            yield page

        if not later and offset is not None:
            answer = read(offset)
