"""A server's equal scores come in another order each time: ours do not."""

from __future__ import annotations

import numpy as np
import pytest
from qdrant_client import models

ASKED = {
    "by vector": lambda i, ids, v: i.search(v[0], k=7),
    "by id": lambda i, ids, v: i.search(ids[0], k=7),
    "by ids": lambda i, ids, v: i.search(ids[:4], k=7, aggregation=None),
    "the farthest": lambda i, ids, v: i.search(v[0], k=7, reverse=True),
    "all": lambda i, ids, v: i.search(v[0]),
}


@pytest.fixture
def vectors(rng):
    """Two vectors, each of which half of the points have."""
    return np.repeat(rng.normal(size=(2, 8)), 30, axis=0).astype(np.float32)


def test_the_stand_in_changes_the_order(create, vectors, server):
    index = create(server.url, collection_name="points")
    request = models.QueryRequest(query=vectors[0].tolist(), limit=7)
    asked = [index.client.query_batch_points("points", [request]) for _ in range(5)]
    assert len({tuple(p.id for p in answer.points) for (answer,) in asked}) > 1


@pytest.mark.parametrize("how", ASKED)
def test_two_runs_agree(how, create, samples, vectors, server):
    index = create(server.url, collection_name="points")
    ids = samples.values("id")
    runs = [ASKED[how](index, ids, vectors) for _ in range(3)]
    found = [[h.ids for h in run] for run in runs]
    assert found[0] == found[1] == found[2]
    assert all(h.ids[1:] == sorted(h.ids[1:]) or len(h.ids) > 7 for h in runs[0])


def test_pages_that_are_not_of_one_order_are_made_whole(
    create, samples, vectors, server
):
    """More than the server gives at once, of points that are all equal."""
    index = create(server.url, collection_name="points")
    server.strict[""] = {"enabled": True, "max_query_limit": 7}
    ids = samples.values("id")
    for _ in range(3):
        (hits,) = index.search(vectors[0], k=20)
        assert hits.ids == sorted(ids[:30])[:20]


def test_no_more_is_asked_for_where_none_are_equal(index, samples, rng, server):
    index.add_to_index(rng.normal(size=(30, 8)), samples.values("id")[:30])
    server.requests.clear()
    index.search(rng.normal(size=8), k=5)
    assert sum(r.endswith("/query/batch") for r in server.requests) == 1
