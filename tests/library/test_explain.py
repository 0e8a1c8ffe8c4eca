"""Why a sample is, or is not, among the hits: each cause constructed, and named."""

from __future__ import annotations

import time

import numpy as np
import pytest

from fiftyone_qdrant import explain, find_similar
from fiftyone_qdrant.explore import explanations as causes
from fiftyone_qdrant.search import queries
from tests.library.conftest import ONE_ENGINE

pytestmark = ONE_ENGINE
N = 40


@pytest.fixture
def index(make_dataset, make_index):
    """Points on a line: the distance of the first to another is its number."""
    dataset = make_dataset(N + 1)  # the last one is not indexed
    vectors = np.zeros((N, 4), dtype=np.float32)
    vectors[:, 0] = np.arange(N)
    ids = dataset.values("id")
    index = make_index(dataset, embeddings=False, metric="euclidean")
    index.add_to_index(vectors, ids[:N])
    return index


@pytest.fixture
def ids(index):
    return index.samples.values("id")


def test_a_hit_is_said_to_be_there(index, ids):
    (found,) = explain(index, ids[0], ids[3], k=5)
    assert (found.cause, found.rank) == (causes.FOUND, 4)
    assert found.distance == pytest.approx(3)
    assert found.words == "It is there: hit 4, at 3"


def test_what_is_not_indexed(index, ids):
    (found,) = explain(index, ids[0], ids[N])
    assert (found.cause, found.rank, found.distance) == (causes.NOT_INDEXED, None, None)


def test_what_is_outside_of_the_view_that_was_searched(index, ids):
    view = index.samples.select(ids[:10])
    inside, outside = explain(index, ids[0], [ids[4], ids[20]], samples=view)
    assert (inside.cause, inside.rank) == (causes.FOUND, 5)
    assert outside.cause == causes.NOT_IN_SCOPE
    assert outside.distance == pytest.approx(20)
    assert not index.has_view


def test_what_comes_after_the_last_hit(index, ids):
    (found,) = explain(index, ids[0], ids[30], k=25)
    assert (found.cause, found.rank) == (causes.BEYOND_K, 31)
    assert found.words == "Rank 31 at 30, and 25 were asked for"


def test_what_is_farther_than_hits_may_be(index, ids):
    (found,) = explain(index, ids[0], ids[8], max_distance=7.5)
    assert (found.cause, found.rank) == (causes.TOO_FAR, 9)
    assert found.words == "Rank 9 at 8, and hits may be at most at 7.5"


def test_what_was_pushed_out_by_variety(index, ids):
    asked = {"k": 3, "diversity": 1.0}
    hits = find_similar(index, ids[0], **asked).ids
    near = next(i for i in ids[1:3] if i not in hits)
    (found,) = explain(index, ids[0], near, **asked)
    assert found.cause == causes.VARIETY


def test_what_is_hidden_as_a_twin(index, ids):
    (found,) = explain(index, ids[0], ids[2], hidden={ids[2]: ids[1]})
    assert (found.cause, found.rank) == (causes.TWIN, 3)
    assert ids[1] in found.words


def test_an_example_of_the_query_itself(index, ids):
    found = explain(index, [ids[0]], [ids[0], ids[5]], negatives=[ids[5]])
    assert [f.cause for f in found] == [causes.EXAMPLE] * 2


def test_the_farthest_are_ranked_from_the_other_end(index, ids):
    last, first = explain(index, ids[0], [ids[N - 1], ids[1]], k=5, reverse=True)
    assert (last.cause, last.rank) == (causes.FOUND, 1)
    assert (first.cause, first.rank) == (causes.BEYOND_K, N - 1)


def test_what_the_graph_missed_and_how_deep_to_search_for_it(
    make_dataset, make_index, rng, monkeypatch
):
    monkeypatch.setattr(queries, "_POINTS_PER_HIT", 1)  # no scan unless it must be
    vectors = rng.normal(size=(1000, 64)).astype(np.float32)
    index = make_index(
        make_dataset(1000),
        embeddings=vectors,
        hnsw_config={"m": 8, "ef_construct": 64, "full_scan_threshold": 10},
        optimizers_config={"indexing_threshold": 100},
    )
    index.collection.flush()
    until = time.monotonic() + 60
    while index.collection.info().indexed_vectors_count < 1000:
        assert time.monotonic() < until, "it was not indexed"
        time.sleep(0.05)

    query = rng.normal(size=64).astype(np.float32)
    shallow = set(find_similar(index, query, k=10, hnsw_ef=1).ids)
    exact = find_similar(index, query, k=10, exact=True).ids
    missed = [i for i in exact if i not in shallow]
    found = explain(index, query, missed, k=10, hnsw_ef=1)

    assert {f.cause for f in found} == {causes.MISSED}
    assert [f.rank for f in found] == [exact.index(i) + 1 for i in missed]
    for one in found:
        deeper = find_similar(index, query, k=10, hnsw_ef=one.hnsw_ef)
        assert one.id in deeper.ids
        assert f"hnsw_ef to {one.hnsw_ef:,}" in one.words
