"""Reading and searching an embedded store, in ``QdrantClient``'s words."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from qdrant_client.http import models

from fiftyone_qdrant.embedded.client import results, wire
from fiftyone_qdrant.embedded.client.session import Caller, refuse_unknown
from fiftyone_qdrant.packed import PointIds
from fiftyone_qdrant.points import Page

_POINTS_PER_MESSAGE = 4096


class PointReader(Caller):
    """The methods of the client that read points."""

    def retrieve(
        self,
        collection_name: str,
        ids: Sequence[Any],
        with_payload: Any = True,
        with_vectors: Any = False,
        timeout: int | None = None,
        **kwargs: Any,
    ) -> list[models.Record]:
        """Returns points in the order of ``ids``, without those there are not."""
        refuse_unknown(kwargs)
        given = with_payload, with_vectors, timeout
        return results.records(self.retrieve_page(collection_name, ids, *given))

    def retrieve_page(
        self,
        collection_name: str,
        ids: Sequence[Any],
        with_payload: Any = True,
        with_vectors: Any = False,
        timeout: int | None = None,
    ) -> Page:
        """Returns what :meth:`retrieve` does as columns, for a third less time."""
        if not isinstance(ids, PointIds):
            ids = list(ids)

        pages = []
        for start in range(0, max(1, len(ids)), _POINTS_PER_MESSAGE):
            some = ids[start : start + _POINTS_PER_MESSAGE]
            request = _reading(collection_name, with_payload, with_vectors)
            request.message["ids"] = request.ids(some)
            reply, out = self._call("retrieve", request, timeout)
            pages.append(results.page(reply, out))

        return results.joined(pages)

    def scroll(
        self,
        collection_name: str,
        scroll_filter: models.Filter | None = None,
        limit: int = 10,
        order_by: Any = None,
        offset: Any = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        timeout: int | None = None,
        **kwargs: Any,
    ) -> tuple[list[models.Record], Any]:
        """Returns a page of points by id, and the id the next page starts with."""
        refuse_unknown(kwargs)
        if order_by is None:
            given = offset, with_payload, with_vectors, timeout
            page = self.scroll_page(collection_name, scroll_filter, limit, *given)
            return results.records(page[0]), page[1]

        key = isinstance(order_by, str)
        order = models.OrderBy(key=order_by) if key else order_by
        request = _reading(collection_name, with_payload, with_vectors)
        request.message |= {"limit": limit, "filter": request.filter(scroll_filter)}
        request.message["order_by"] = request.put(order)
        reply, out = self._call("scroll", request, timeout)
        found = results.records(results.page(reply, out), reply["order_values"])
        return found, reply.get("next")

    def scroll_page(
        self,
        collection_name: str,
        scroll_filter: models.Filter | None = None,
        limit: int = 10,
        offset: Any = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        timeout: int | None = None,
    ) -> tuple[Page, Any]:
        """Returns what :meth:`scroll` does as columns."""
        pages: list[Page] = []
        left, following = limit, offset
        while not pages or (following is not None and left > 0):
            request = _reading(collection_name, with_payload, with_vectors)
            request.message["limit"] = min(left, _POINTS_PER_MESSAGE)
            request.message["filter"] = request.filter(scroll_filter)
            if following is not None:
                request.message["offset"] = request.ids([following])

            reply, out = self._call("scroll", request, timeout)
            pages.append(results.page(reply, out))
            left -= len(pages[-1])
            following = reply.get("next")

        return results.joined(pages), following

    def scroll_ids(
        self, collection_name: str, offset: Any = None, timeout: int | None = None
    ) -> tuple[Page | npt.NDArray[np.uint8], Any]:
        """Returns the ids of some points in their order, and where the next start.

        Returns:
            uint8, shape ``(num_points, 16)``, if all of them are UUIDs, else a page
        """
        request = _reading(collection_name, False, False)
        request.message |= {"limit": _POINTS_PER_MESSAGE, "filter": None}
        if offset is not None:
            request.message["offset"] = request.ids([offset])

        reply, out = self._call("scroll", request, timeout)
        kind, number = reply["ids"]
        if kind != "u":
            return results.page(reply, out), reply.get("next")

        uuids = np.frombuffer(out[number], dtype=np.uint8).reshape(-1, 16)
        return uuids, reply.get("next")

    def count(
        self,
        collection_name: str,
        count_filter: models.Filter | None = None,
        exact: bool = True,
        timeout: int | None = None,
        **kwargs: Any,
    ) -> models.CountResult:
        """Counts points."""
        refuse_unknown(kwargs)
        request = wire.Request(collection_name, exact=exact)
        request.message["filter"] = request.filter(count_filter)
        reply, _ = self._call("count", request, timeout)
        return models.CountResult(count=reply["count"])

    def facet(
        self,
        collection_name: str,
        key: str,
        facet_filter: models.Filter | None = None,
        limit: int = 10,
        exact: bool = False,
        timeout: int | None = None,
        **kwargs: Any,
    ) -> models.FacetResponse:
        """Counts the values of a payload field, which needs a payload index."""
        refuse_unknown(kwargs)
        request = wire.Request(collection_name, key=key, limit=limit, exact=exact)
        request.message["filter"] = request.filter(facet_filter)
        reply, _ = self._call("facet", request, timeout)
        return models.FacetResponse(
            hits=[models.FacetValueHit(value=v, count=n) for v, n in reply["hits"]]
        )

    def query_points(
        self,
        collection_name: str,
        query: Any = None,
        using: str | None = None,
        prefetch: Any = None,
        query_filter: models.Filter | None = None,
        search_params: models.SearchParams | None = None,
        limit: int = 10,
        offset: int | None = None,
        with_payload: Any = True,
        with_vectors: Any = False,
        score_threshold: float | None = None,
        lookup_from: Any = None,
        timeout: int | None = None,
        **kwargs: Any,
    ) -> models.QueryResponse:
        """Searches: by a vector, a point id or one of the query models.

        Points that are given as examples by their ids are not in the result.
        """
        refuse_unknown(kwargs)
        if isinstance(query, uuid.UUID):
            query = str(query)

        request = models.QueryRequest.model_construct(
            query=query,
            using=using,
            prefetch=prefetch,
            filter=query_filter,
            params=search_params,
            limit=limit,
            offset=offset,
            with_payload=with_payload,
            with_vector=with_vectors,
            score_threshold=score_threshold,
            lookup_from=lookup_from,
            shard_key=None,
        )
        return self.query_batch_points(collection_name, [request], timeout=timeout)[0]

    def query_batch_points(
        self,
        collection_name: str,
        requests: Sequence[models.QueryRequest],
        timeout: int | None = None,
        **kwargs: Any,
    ) -> list[models.QueryResponse]:
        """Searches several times in one call."""
        refuse_unknown(kwargs)
        request = wire.Request(collection_name)
        request.message["queries"] = [request.query(r) for r in requests]
        reply, out = self._call("query", request, timeout)
        make = models.QueryResponse.model_construct
        return [
            make(points=results.scored_points(found, out)) for found in reply["results"]
        ]


def _reading(collection: str, with_payload: Any, with_vectors: Any) -> wire.Request:
    request = wire.Request(collection, with_vectors=wire.vector_selector(with_vectors))
    request.message["with_payload"] = request.put(with_payload)
    return request
