"""What the library promises to be exact, on an index whose graph is really searched."""

import os
import time
from types import SimpleNamespace

import fiftyone.brain as fob
import numpy as np
import pytest
from qdrant_client import models

from fiftyone_qdrant.qdrant.asking import _allowed
from fiftyone_qdrant.qdrant.limits import Limits
from fiftyone_qdrant.search import queries
from fiftyone_qdrant.search.options import QueryOptions

N, SIZE = 1000, 64
POOR = {"m": 2, "ef_construct": 4, "full_scan_threshold": 10}


@pytest.fixture(
    scope="module", params=["cosine", "dotproduct", "euclidean", "manhattan"]
)
def metric(request):
    return request.param


@pytest.fixture
def vectors(rng):
    return rng.normal(size=(N, SIZE)).astype(np.float32)


@pytest.fixture
def index(make_dataset, vectors, metric):
    """An index with a graph that finds few of the nearest."""
    dataset = make_dataset(N)
    index = fob.compute_similarity(
        dataset,
        embeddings=vectors,
        backend="qdrant",
        brain_key="index",
        metric=metric,
        path=os.environ["FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"],
        hnsw_config=POOR,
        optimizers_config={"indexing_threshold": 100},
    )
    index.collection.flush()
    until = time.monotonic() + 60
    while index.collection.info().indexed_vectors_count < N:
        assert time.monotonic() < until, "it was not indexed"
        time.sleep(0.05)

    index.reload()
    yield index
    index.collection.drop()


def distances(vectors, query, metric):
    vectors, query = vectors.astype(np.float64), query.astype(np.float64)
    if metric == "cosine":
        norms = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        return 1 - vectors @ query / norms

    if metric == "dotproduct":
        return -vectors @ query

    return np.linalg.norm(
        vectors - query, axis=1, ord=1 if metric == "manhattan" else 2
    )


def test_what_is_promised_to_be_exact_is_where_the_graph_is_searched(
    index, vectors, metric, rng, monkeypatch
):
    monkeypatch.setattr(queries, "_POINTS_PER_HIT", 1)  # no scan unless it must be
    dataset = index.samples
    ids = np.array(dataset.values("id"))
    rows = np.sort(rng.permutation(N)[: N // 5])
    part = dataset.select(ids[rows])
    shallow = models.SearchParams(hnsw_ef=1)
    found = 0
    for query in rng.normal(size=(8, SIZE)).astype(np.float32):
        wanted = distances(vectors, query, metric)
        order = ids[np.argsort(wanted)]
        (answer,) = index.collection.call(
            "query_batch_points",
            requests=[
                models.QueryRequest(query=query.tolist(), limit=10, params=shallow)
            ],
        )
        graph = {f"{p.id}".replace("-", "")[:24] for p in answer.points}
        found += len(graph & set(order[:10]))

        farthest = dataset.sort_by_similarity(
            query, k=25, reverse=True, brain_key="index"
        )
        assert farthest.values("id") == order[::-1][:25].tolist()
        near = part.sort_by_similarity(query, k=25, brain_key="index").values("id")
        assert near == ids[rows][np.argsort(wanted[rows])[:25]].tolist()
        ranked = dataset.sort_by_similarity(query, brain_key="index").values("id")
        rows_of = {i: row for row, i in enumerate(ids)}
        in_order = wanted[[rows_of[i] for i in ranked]]
        np.testing.assert_allclose(in_order, np.sort(wanted), rtol=1e-5, atol=1e-6)

    assert found < 60  # of 80: it is the graph that is searched


EF = [(1_000, 1, 128), (1_000, 32, 128), (1_000, 33, 132), (500_000, 250, 1000)]


@pytest.mark.parametrize(("num_points", "k", "at_least"), EF)
def test_the_graph_is_searched_four_times_as_deep_as_hits_are_asked_for(
    num_points, k, at_least
):
    schema = SimpleNamespace(num_points=num_points, metadata={})
    for remote in (False, True):
        collection = SimpleNamespace(
            schema=lambda: schema, connection=SimpleNamespace(remote=remote)
        )
        given = QueryOptions(hnsw_ef=7)
        params = queries.search_params(collection, k, False, QueryOptions())
        assert params.exact or params.hnsw_ef >= at_least
        assert queries.search_params(collection, k, False, given).hnsw_ef == 7
        assert queries.search_params(collection, k, True, QueryOptions()).exact is True

    assert params.hnsw_ef >= at_least  # on a server, always


def test_oversampling_is_what_the_limits_allow():
    of = models.QuantizationSearchParams
    params = models.SearchParams(hnsw_ef=64, quantization=of(oversampling=4.0))
    asked = models.QueryRequest(query=[1.0], params=params)

    allowed = _allowed(asked, Limits(search_max_oversampling=1.5)).params

    assert (allowed.hnsw_ef, allowed.quantization) == (64, of(oversampling=1.5))
    assert _allowed(asked, Limits()).params == params
