"""Exact answers in float64, for vectors that an engine's float32 cannot compare.

All points are read page by page: some seconds for each 100,000, and no graph helps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.points import Matrix, Page, Scores
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.search.hits import Hits


def rank(
    collection: Collection,
    queries: Matrix,
    k: int,
    reverse: bool = False,
    ids: Sequence[str] | None = None,
    with_samples: bool = False,
) -> list[Hits]:
    """Returns the best ``k`` points for each query, best first.

    A page of vectors is in memory at a time, and ``k`` hits of each query.

    Args:
        collection: where to search
        queries: float32, shape ``(num_queries, size)``
        k: the number of hits per query
        reverse: the farthest first
        ids: search only among these sample or label ids
        with_samples: whether to return the sample of each hit
    """
    metric = collection.schema().metric
    best = [Hits.none(with_samples) for _ in queries]
    for page, vectors in _pages(collection, ids):
        found, samples = page.ids, page.sample_ids if with_samples else None
        for row, query in enumerate(queries):
            distances = points.pairwise_distances(query, vectors, metric)
            more = Hits(found, samples, _scores(distances, metric, reverse), distances)
            best[row] = _best(more.after(best[row]), k, reverse)

    return best


def most_diverse(
    collection: Collection, query: Matrix, ids: Sequence[str], k: int, diversity: float
) -> list[str]:
    """Returns ``k`` of the given ids by Qdrant's maximal marginal relevance.

    Args:
        collection: where the points are
        query: float32, shape ``(size,)``
        ids: sample or label ids of the candidates
        k: how many to choose
        diversity: from 0, the nearest, to 1, the most different from each other
    """
    metric = collection.schema().metric
    pages = list(_pages(collection, ids))
    left = [i for page, _ in pages for i in page.ids]
    vectors = np.concatenate([v for _, v in pages])
    relevance = _similarities(query, vectors, metric)
    redundancy = np.full(len(left), -np.inf)
    chosen: list[int] = []
    while len(chosen) < min(k, len(left)):
        worth = (1 - diversity) * relevance
        if chosen:
            worth = worth - diversity * redundancy

        worth[chosen] = -np.inf
        chosen.append(int(np.argmax(worth)))
        latest = _similarities(vectors[chosen[-1]], vectors, metric)
        redundancy = np.maximum(redundancy, latest)

    return [left[row] for row in chosen]


def _similarities(query: Matrix, vectors: Matrix, metric: str) -> Scores:
    """What Qdrant compares by: of Euclidean distances the squares."""
    distances = points.pairwise_distances(query, vectors, metric)
    return -(distances**2) if metric == "euclidean" else -distances


def _pages(
    collection: Collection, ids: Sequence[str] | None
) -> Iterator[tuple[Page, Matrix]]:
    pages = collection.scroll(vectors=True) if ids is None else collection.retrieve(ids)
    for page in pages:
        if len(page):
            yield page, collection.to_vectors(page)


def _best(hits: Hits, k: int, reverse: bool) -> Hits:
    order = np.argsort(-hits.distances if reverse else hits.distances, kind="stable")
    return hits.take(order[:k].tolist())


def _scores(distances: Scores, metric: str, reverse: bool) -> Scores:
    to_scores = points.to_farthest_scores if reverse else points.to_scores
    return to_scores(distances, metric)
