"""Reading and searching an embedded store, in ``QdrantClient``'s words."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from qdrant_client.http import models

from fiftyone_qdrant.embedded.client import results, wire
from fiftyone_qdrant.embedded.client.session import Caller, check

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
        check(kwargs)
        ids = list(ids)
        found: list[models.Record] = []
        for start in range(0, len(ids), _POINTS_PER_MESSAGE):
            request = wire.Request()
            message = {
                "collection": collection_name,
                "ids": request.ids(ids[start : start + _POINTS_PER_MESSAGE]),
                "with_payload": request.put(with_payload),
                "with_vectors": wire.vector_selector(with_vectors),
            }
            reply, out = self._call("retrieve", message, request.buffers, timeout)
            found.extend(results.records(reply, out))

        if not ids:
            self._call("describe", {"collection": collection_name})

        return found

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
        check(kwargs)
        found: list[models.Record] = []
        following = offset
        while True:
            request = wire.Request()
            count = limit - len(found)
            if order_by is None:
                count = min(count, _POINTS_PER_MESSAGE)

            message = {
                "collection": collection_name,
                "limit": count,
                "filter": request.filter(scroll_filter),
                "with_payload": request.put(with_payload),
                "with_vectors": wire.vector_selector(with_vectors),
            }
            if following is not None:
                message["offset"] = request.ids([following])

            if order_by is not None:
                key = isinstance(order_by, str)
                order = models.OrderBy(key=order_by) if key else order_by
                message["order_by"] = request.put(order)

            reply, out = self._call("scroll", message, request.buffers, timeout)
            found.extend(results.records(reply, out))
            following = reply.get("next")
            if following is None or order_by is not None or len(found) >= limit:
                return found, following

    def count(
        self,
        collection_name: str,
        count_filter: models.Filter | None = None,
        exact: bool = True,
        timeout: int | None = None,
        **kwargs: Any,
    ) -> models.CountResult:
        """Counts points."""
        check(kwargs)
        request = wire.Request()
        message = {
            "collection": collection_name,
            "filter": request.filter(count_filter),
            "exact": exact,
        }
        reply, _ = self._call("count", message, request.buffers, timeout)
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
        check(kwargs)
        request = wire.Request()
        message = {
            "collection": collection_name,
            "key": key,
            "filter": request.filter(facet_filter),
            "limit": limit,
            "exact": exact,
        }
        reply, _ = self._call("facet", message, request.buffers, timeout)
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
        check(kwargs)
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
        check(kwargs)
        request = wire.Request()
        message = {
            "collection": collection_name,
            "queries": [request.query(r) for r in requests],
        }
        reply, out = self._call("query", message, request.buffers, timeout)
        make = models.QueryResponse.model_construct
        return [
            make(points=results.scored_points(found, out)) for found in reply["results"]
        ]
