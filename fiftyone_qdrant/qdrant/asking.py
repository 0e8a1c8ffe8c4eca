"""Queries of a collection within its limits, and their answers in one order.

What a server does not answer in one query is asked in several: more hits than it gives
at once page by page, more ids than it takes slice by slice. Equal scores come in the
order of their ids, also where the last of them are cut off, as a server's order of
equal scores changes from call to call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fiftyone_qdrant import points
from fiftyone_qdrant.packed import PointIds
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.qdrant.limits import Limits

if TYPE_CHECKING:
    from qdrant_client import models

_MORE_OF_EQUALS = (1, 16, 256, 4096)  # asked beyond what is wanted, while all are equal
_APPROXIMATE_EF = 512  # candidates in place of an exact search


@dataclass(frozen=True)
class Answer:
    """What a server found for one query.

    Attributes:
        points: the points, best first
        exact: False if it was to be exact, and the server does not allow that
    """

    points: list[models.ScoredPoint]
    exact: bool = True


def ask(
    collection: Collection,
    requests: Sequence[models.QueryRequest],
    ascending: bool = False,
) -> list[Answer]:
    """Returns the answer to each query.

    Args:
        collection: where to search
        requests: the queries; ``limit`` may be more than the server gives at once
        ascending: whether smaller scores are better

    Raises:
        LimitExceeded: if the collection's limits do not allow it in any number of
            queries
    """
    return collection.bounds.within(
        lambda limits: _ask(collection, requests, limits, ascending)
    )


def ask_in_order(
    collection: Collection,
    requests: Sequence[models.QueryRequest],
    ascending: bool = False,
) -> list[Answer]:
    """Returns the answer to each query, points with equal scores by their ids.

    Args:
        collection: as of :func:`ask`
        requests: as of :func:`ask`
        ascending: as of :func:`ask`
    """
    answers: dict[int, Answer] = {}
    pending = list(range(len(requests)))
    for more in _MORE_OF_EQUALS:
        wider = [
            _changed(requests[i], limit=_limit(requests[i]) + more) for i in pending
        ]
        again = []
        for i, answer in zip(pending, ask(collection, wider, ascending), strict=True):
            limit = _limit(requests[i])
            found = sorted(answer.points, key=lambda p: _rank(p, ascending))
            answers[i] = Answer(found[:limit], answer.exact)
            whole = len(found) == limit + more
            if whole and found[limit - 1].score == found[-1].score:
                again.append(i)

        pending = again
        if not pending:
            break

    return [answers[i] for i in range(len(requests))]


def _rank(point: models.ScoredPoint, ascending: bool) -> tuple[float, str]:
    return (point.score if ascending else -point.score, str(point.id))


def _limit(request: models.QueryRequest) -> int:
    return int(request.limit or 1)


def _changed(request: models.QueryRequest, **changes: object) -> models.QueryRequest:
    return request.model_copy(update=changes)


def _ask(
    collection: Collection,
    requests: Sequence[models.QueryRequest],
    limits: Limits,
    ascending: bool,
) -> list[Answer]:
    """Asks what the limits allow in as many queries as that takes."""
    allowed = [_allowed(r, limits) for r in requests]
    parts = [list(_parts(collection, r, limits)) for r in allowed]
    flat = [p for ps in parts for p in ps]
    found: list[models.QueryResponse] = []
    for responses in collection.bounds.in_parts(
        len(flat),
        lambda known: known.searches(len(flat)),
        lambda start, end: collection.call(
            "query_batch_points", requests=flat[start:end]
        ),
    ):
        found.extend(responses)

    answers = []
    for request, wanted, some in zip(allowed, requests, parts, strict=True):
        mine, found = found[: len(some)], found[len(some) :]
        merged = [p for response in mine for p in response.points]
        if len(some) > 1:
            merged = _merged(merged, _limit(request), ascending)

        missed = len(merged) < sum(len(r.points) for r in mine) and _pages(some)
        if missed:  # the pages were not of one order
            every = _changed(request, filter=_all_ids(collection))
            merged = _ask(collection, [every], limits, ascending)[0].points

        was_exact = wanted.params is not None and wanted.params.exact
        answers.append(Answer(merged, request.params == wanted.params or not was_exact))

    return answers


def _merged(
    found: Sequence[models.ScoredPoint], limit: int, ascending: bool
) -> list[models.ScoredPoint]:
    unique = {p.id: p for p in found}
    return sorted(unique.values(), key=lambda p: _rank(p, ascending))[:limit]


def _pages(parts: Sequence[models.QueryRequest]) -> bool:
    return len(parts) > 1 and bool(parts[-1].offset)


def _allowed(request: models.QueryRequest, limits: Limits) -> models.QueryRequest:
    """The request with search parameters that are allowed."""
    given = request.params
    if given is None:
        return request

    exact, ef = given.exact, given.hnsw_ef
    most = limits.search_max_hnsw_ef
    if exact and not limits.search_allow_exact:
        exact, ef = None, max(_APPROXIMATE_EF, 4 * _limit(request))

    if ef is not None and most is not None and not exact:
        ef = min(ef, most)

    quantization, times = given.quantization, limits.search_max_oversampling
    if quantization is not None and times is not None:
        most_times = min(quantization.oversampling or 1.0, times)
        quantization = quantization.model_copy(update={"oversampling": most_times})

    changes = {"exact": exact, "hnsw_ef": ef, "quantization": quantization}
    params = given.model_copy(update=changes)
    return _changed(request, params=params)


def _parts(
    collection: Collection, request: models.QueryRequest, limits: Limits
) -> Iterator[models.QueryRequest]:
    """The queries that together ask for what a request does."""
    limit, ids = _limit(request), _ids(request)
    page = limits.points(limit)
    if request.query is None or getattr(request.query, "mmr", None) is not None:
        yield request
    elif ids is not None:
        size = limits.ids(len(ids))
        if min(limit, size) > page:
            size = page

        for start in range(0, len(ids), max(1, size)):
            some = ids[start : start + size]
            among = _among(some)
            yield _changed(request, filter=among, limit=min(limit, len(some)))
    elif page == limit:
        yield request
    elif 2 * limit >= collection.schema().num_points:
        every = _changed(request, filter=_all_ids(collection))
        yield from _parts(collection, every, limits)
    else:
        for offset in range(0, limit, page):
            rest = min(page, limit - offset)
            yield _changed(request, limit=rest, offset=offset)


def _ids(request: models.QueryRequest) -> Sequence[str] | None:
    """The point ids that a request is restricted to, or ``None`` for all points."""
    must: Any = None if request.filter is None else request.filter.must
    return None if not must else must[0].has_id


def _all_ids(collection: Collection) -> models.Filter:
    ids = [str(i) for page in collection.scroll(payload=False) for i in page.point_ids]
    return _among(ids)


def among(collection: Collection, ids: Sequence[str]) -> models.Filter:
    """Returns the filter for some sample or label ids."""
    if collection.connection.remote:
        return _among(points.to_point_ids(ids))

    return _among(PointIds.of(ids))


def _among(point_ids: Sequence[str]) -> models.Filter:
    from qdrant_client import models

    has_id = models.HasIdCondition.model_construct(has_id=point_ids)
    return models.Filter.model_construct(must=[has_id])
