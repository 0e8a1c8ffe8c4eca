"""The nearest points of a collection: Qdrant's queries, and its answers as hits.

Vectors that the engines cannot compare in float32 are compared here: :mod:`.scan`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import MissingIDs
from fiftyone_qdrant.points import Matrix, Page
from fiftyone_qdrant.qdrant.asking import Answer, among, ask, ask_in_order
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.qdrant.limits import Limits
from fiftyone_qdrant.search import scan
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.search.kept import kept
from fiftyone_qdrant.search.options import QueryOptions

if TYPE_CHECKING:
    from qdrant_client import models

logger = logging.getLogger(__name__)

_MIN_EF, _MAX_EF = 128, 512
_POINTS_PER_EF = 2_000
_POINTS_PER_HIT = 200


def nearest(
    collection: Collection,
    queries: Matrix,
    k: int,
    options: QueryOptions,
    ids: Sequence[str] | None = None,
    with_samples: bool = False,
) -> list[Hits]:
    """Returns the best ``k`` points for each query, in one call.

    Args:
        collection: where to search
        queries: float32, shape ``(num_queries, size)``
        k: the number of hits per query
        options: ``reverse``, ``max_distance``, ``exact`` and ``hnsw_ef`` are honoured
        ids: search only, and exactly, among these sample or label ids
        with_samples: whether to return the sample of each hit
    """
    if _needs_float64(collection, queries):
        found = scan.rank(collection, queries, k, options.reverse, ids, with_samples)
        return [h.within(options.max_distance) for h in found]

    metric = collection.schema().metric
    within = None if ids is None else among(collection, ids)
    requests = [
        _request(collection, q, k, options, within, with_samples)
        for q in _to_ask(queries, metric).tolist()
    ]
    ascending = _ascending(metric, options.reverse)
    found = [
        _to_hits(a, with_samples, options.reverse, metric)
        for a in ask_in_order(collection, requests, ascending)
    ]
    if not all(h.exact for h in found):
        _tell_approximate(collection)

    return [h.within(options.max_distance) for h in found]


def nearest_to_point(
    collection: Collection,
    point: str,
    k: int,
    options: QueryOptions,
    ids: Sequence[str] | None = None,
    with_samples: bool = False,
) -> Hits:
    """Returns the best ``k`` points for one that is there, itself first, in one call.

    Qdrant's answer to a query by id leaves that point out.

    Args:
        collection: where to search
        point: its sample or label id
        k: the number of hits
        options: as of :func:`nearest`, without ``reverse``
        ids: as of :func:`nearest`
        with_samples: as of :func:`nearest`

    Raises:
        MissingIDs: if there is no such point
    """
    from qdrant_client import models

    (point_id,) = points.to_point_ids([point])
    schema = collection.schema()
    if schema.needs_float64 or schema.vector_name is not None:  # it may have none
        return _nearest_to_stored(collection, point, k, options, ids, with_samples)

    itself = models.QueryRequest.model_construct(
        filter=among(collection, [point] if ids is None or point in ids else []),
        limit=1,
        with_payload=True,
        with_vector=collection.with_vectors(),
    )
    within = None if ids is None else among(collection, ids)
    others = _request(collection, point_id, k, options, within, with_samples)
    metric = collection.schema().metric
    requests = [itself, others]
    first, rest = ask_in_order(collection, requests, _ascending(metric, False))
    hits = _to_itself(collection, Page.of(first.points), with_samples)
    nearby = _to_hits(rest, with_samples, False, metric)
    if not nearby.exact:
        _tell_approximate(collection)

    return nearby.after(hits).within(options.max_distance).first(k)


def _nearest_to_stored(
    collection: Collection,
    point: str,
    k: int,
    options: QueryOptions,
    ids: Sequence[str] | None,
    with_samples: bool,
) -> Hits:
    asked = next(iter(collection.retrieve([point])), Page.of([]))
    if not len(asked):
        raise MissingIDs(f"{point} is not in the index")

    query = collection.to_vectors(asked)
    (nearby,) = nearest(collection, query, k + 1, options, ids, with_samples)
    among = asked if ids is None or point in ids else Page.of([])
    hits = _to_itself(collection, among, with_samples)
    others = nearby.without([point])
    return others.after(hits).within(options.max_distance).first(k)


def _to_itself(collection: Collection, page: Page, with_samples: bool) -> Hits:
    """The hits that points are of themselves."""
    metric = collection.schema().metric
    vectors = collection.to_vectors(page)
    distances = points.pairwise_distances(vectors, vectors, metric)
    samples = page.sample_ids if with_samples else None
    scores = points.to_scores(distances, metric)
    return Hits(page.ids, samples, scores, points.to_distances(scores, metric))


def most_diverse(
    collection: Collection, query: Matrix, ids: Sequence[str], k: int, diversity: float
) -> list[str]:
    """Returns ``k`` of the given ids, each near to the query and unlike those before.

    Qdrant's maximal marginal relevance, in its order of choice.

    Args:
        collection: where the points are
        query: float32, shape ``(size,)``
        ids: sample or label ids of the candidates
        k: how many to choose
        diversity: from 0, the nearest, to 1, the most different from each other
    """
    from qdrant_client import models

    queries = query[np.newaxis]
    if _needs_float64(collection, queries):
        return scan.most_diverse(collection, query, ids, k, diversity)

    (target,) = _to_ask(queries, collection.schema().metric).tolist()

    def choose(limits: Limits) -> list[Answer]:
        candidates = ids[: limits.ids(len(ids))]
        request = models.QueryRequest.model_construct(
            query=models.NearestQuery(
                nearest=target,
                mmr=models.Mmr(diversity=diversity, candidates_limit=len(candidates)),
            ),
            filter=among(collection, candidates),
            using=collection.schema().vector_name,
            params=models.SearchParams(exact=True),
            limit=min(k, len(candidates)),
            with_payload=False,
            with_vector=False,
        )
        return ask(collection, [request])

    (answer,) = collection.bounds.within(choose)
    return [points.from_point_id(p.id) for p in answer.points]


def _ascending(metric: str, reverse: bool) -> bool:
    """Whether smaller scores are better."""
    return metric in ("euclidean", "manhattan") and not reverse


def _tell_approximate(collection: Collection) -> None:
    logger.warning(
        "Collection '%s' does not allow exact searches (search_allow_exact of its "
        "strict mode): what was found is approximate",
        collection.name,
    )


def _needs_float64(collection: Collection, queries: Matrix) -> bool:
    schema = collection.schema()
    if schema.needs_float64:
        return True

    return points.needs_float64(points.norms(queries), schema.metric)


def _to_ask(queries: Matrix, metric: str) -> Matrix:
    return points.to_unit(queries) if metric == "cosine" else queries


def _request(
    collection: Collection,
    query: list[float] | str,
    k: int,
    options: QueryOptions,
    within: models.Filter | None,
    with_samples: bool,
) -> models.QueryRequest:
    from qdrant_client import models

    schema = collection.schema()
    reverse, threshold = options.reverse, None
    if options.max_distance is not None:
        threshold = _threshold(options.max_distance, schema.metric)

    exact = options.exact or reverse or within is not None
    return models.QueryRequest.model_construct(
        query=_farthest(query) if reverse else models.NearestQuery(nearest=query),
        filter=within,
        using=schema.vector_name,
        params=search_params(collection, k, exact, options),
        limit=k,
        score_threshold=threshold,
        with_payload=[points.SAMPLE_ID] if with_samples else False,
        with_vector=False,
    )


def _threshold(max_distance: float, metric: str) -> float:
    """A score that all within a distance are better than; others may be, too.

    Qdrant leaves out what is just as good as its threshold, a float32.
    """
    score = float(points.to_scores(max_distance, metric))
    better = float(points.to_scores(0.0, metric) - points.to_scores(1.0, metric))
    return score - better * points.ROUNDING * max(1.0, abs(score))


def search_params(
    collection: Collection, k: int, exact: bool, options: QueryOptions
) -> models.SearchParams:
    """Sees to it that the graph is searched deeply enough: recall@25 is 0.99.

    For many hits that takes four candidates each: with ``hnsw_ef`` at ``k``, recall
    falls to 0.95 at 250 hits. Many points take more as well: at 100,000 of them 128
    are enough, but at 1,000,000 recall falls to 0.95. Where that is more than a full
    scan of the embedded engine costs, it is asked for one. What was measured, and is
    kept with the collection, comes before this rule.
    """
    from qdrant_client import models

    num_points = collection.schema().num_points
    scan = not collection.connection.remote and options.hnsw_ef is None
    if exact or (scan and k > num_points // _POINTS_PER_HIT):
        return models.SearchParams(exact=True)

    settings = kept(collection)
    by_size = min(max(num_points // _POINTS_PER_EF, _MIN_EF), _MAX_EF)
    ef = options.hnsw_ef or max(settings.hnsw_ef or by_size, 4 * k)
    params = models.SearchParams(hnsw_ef=ef)
    quantized = {
        name: _first(getattr(options, name), getattr(settings, name))
        for name in ("oversampling", "rescore")
    }
    if any(value is not None for value in quantized.values()):
        params.quantization = models.QuantizationSearchParams(**quantized)

    return params


def _first(value: Any, otherwise: Any) -> Any:
    return otherwise if value is None else value


def _to_hits(answer: Answer, with_samples: bool, reverse: bool, metric: str) -> Hits:
    found = answer.points
    ids = [
        points.from_point_id(p.id) if points.is_fiftyones(p.id) else points.NOBODY
        for p in found
    ]
    samples = [_sample_id(p) for p in found] if with_samples else None
    scores = np.array([p.score for p in found], dtype=np.float64)
    to_distances = points.from_farthest_scores if reverse else points.to_distances
    return Hits(ids, samples, scores, to_distances(scores, metric), answer.exact)


def _farthest(query: list[float] | str) -> models.RecommendQuery:
    """A query that ranks by how unlike ``query`` points are, for any metric."""
    from qdrant_client import models

    return models.RecommendQuery(
        recommend=models.RecommendInput(
            negative=[query], strategy=models.RecommendStrategy.SUM_SCORES
        )
    )


def _sample_id(point: models.ScoredPoint) -> str:
    return str((point.payload or {}).get(points.SAMPLE_ID, points.NOBODY))
