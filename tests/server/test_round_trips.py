"""How often a server is asked, and how much is sent: what latency is made of.

Two more requests come before the first of a process: what is there, and may we use it.
"""

from __future__ import annotations

from types import SimpleNamespace

import fiftyone as fo
import numpy as np
import pytest
from qdrant_client import models

from fiftyone_qdrant.qdrant import calls, collection, retries

POINTS = 60
BATCHES = 3  # of 20 points, as the fixture has it

# Queries ask for size and metric first, if that was a while ago: somebody may have
# replaced the collection. Adding looks at a point before, and reads one back afterwards
REQUESTS = {
    "query by id": 2,
    "query by id within a view": 2,
    "query by vector": 2,
    "many queries by id": 3,
    "get embeddings": 2,
    "open and count": 1,
    "add": 3 + BATCHES,
    "remove": 2,
}


SOON_AGAIN = {
    "query by id": 1,
    "query by id within a view": 1,
    "query by vector": 1,
    "many queries by id": 2,
    "remove": 1,
}


@pytest.fixture
def clock(monkeypatch, server):
    """Seconds pass when they are added, or waited for, which is noted as a request."""

    def sleep(seconds):
        server.requests.append("wait")
        clock.now += seconds

    clock = SimpleNamespace(now=1000.0, sleep=sleep, monotonic=lambda: clock.now)
    for module in (calls, collection, retries):
        monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def index(create, server, clock):
    return create(server.url)


@pytest.fixture
def operations(index, samples, vectors, server):
    ids = samples.values("id")
    half = samples[: POINTS // 2]

    def in_view():
        with index.use_view(half):
            index.search(ids[3], k=5)

    def open_and_count():
        samples.clear_cache()
        opened = samples.load_brain_results("index", url=server.url, timeout=2)
        assert opened.total_index_size == POINTS

    return {
        "query by id": lambda: index.search(ids[3], k=5),
        "query by id within a view": in_view,
        "query by vector": lambda: index.search(vectors[3], k=5),
        "many queries by id": lambda: index.search(ids, k=5, aggregation=None),
        "get embeddings": lambda: index.get_embeddings(sample_ids=ids),
        "open and count": open_and_count,
        "add": lambda: index.add_to_index(vectors, ids),
        "remove": lambda: index.remove_from_index(sample_ids=ids[:7]),
    }


@pytest.mark.parametrize("operation", REQUESTS)
def test_an_operation_takes_as_many_requests_as_documented(
    operations, operation, server, clock
):
    clock.now += calls.KNOWN_SECONDS
    server.requests.clear()
    operations[operation]()
    assert len(server.requests) == REQUESTS[operation], server.requests


def test_what_was_added_is_counted_not_read_back(operations, server):
    operations["add"]()
    assert server.requests[-1].endswith("/points/count")


def test_a_query_in_a_view_sends_as_many_bytes_as_one_in_the_dataset(
    index, samples, server
):
    sent = []
    for view in (samples, samples.match(fo.ViewField("filepath") != "")):
        with index.use_view(view):
            server.sizes.clear()
            index.search(samples.first().id, k=5)
            sent.append(sum(server.sizes))

    assert sent[1] <= 1.05 * sent[0]
    assert np.min(sent) > 0


@pytest.mark.parametrize("operation", SOON_AGAIN)
def test_soon_after_another_an_operation_is_one_request_less(
    operations, operation, server, clock
):
    operations[operation]()
    clock.now += 0.9 * calls.KNOWN_SECONDS
    server.requests.clear()
    operations[operation]()
    assert len(server.requests) == SOON_AGAIN[operation], server.requests


@pytest.fixture
def others(index, samples, server):
    """The same index, as another process has it, and a third."""

    def opened():
        samples.clear_cache()
        return samples.load_brain_results("index", url=server.url)

    return opened(), opened()


def test_that_float32_is_not_enough_is_known_to_all_before_it_matters(
    index, others, samples, vectors, server, clock
):
    ids, tiny = samples.values("id"), (1e-20 * vectors[:3]).astype(np.float32)
    index.search(vectors[3], k=5)
    server.requests.clear()
    others[0].add_to_index(tiny, ids[:3])
    marked, waited, written = (
        next(i for i, r in enumerate(server.requests) if r.startswith(start))
        for start in ("PATCH", "wait", "PUT /collections")
    )
    assert marked < waited < written

    (hits,) = index.search(tiny[1], k=3)
    assert hits.ids[0] == ids[1]
    assert hits.distances[0] == 0 < hits.distances[1]


def test_who_finds_the_mark_of_another_waits_as_well(
    index, others, samples, vectors, server, clock
):
    ids, tiny = samples.values("id"), (1e-20 * vectors[:3]).astype(np.float32)
    others[0].collection.call("update_collection", metadata={calls.FLOAT64: True})
    before = clock.now
    others[1].add_to_index(tiny, ids[:3])
    assert clock.now >= before + calls.KNOWN_SECONDS

    server.requests.clear()
    others[1].add_to_index(tiny, ids[:3])
    assert "wait" not in server.requests


def test_a_collection_made_anew_with_another_size_is_searched_at_once(
    index, server, vectors
):
    name = index.config.collection_name
    index.search(vectors[3], k=5)
    index.client.delete_collection(name)
    index.client.create_collection(
        name, models.VectorParams(size=3, distance=models.Distance.COSINE)
    )
    (hits,) = index.search(np.ones(3), k=5)
    assert hits.ids == []
    assert index.metric == "cosine"


def test_another_metric_is_seen_after_a_while(index, server, vectors, clock):
    name = index.config.collection_name
    index.search(vectors[3], k=5)
    index.client.delete_collection(name)
    index.client.create_collection(
        name, models.VectorParams(size=8, distance=models.Distance.COSINE)
    )
    clock.now += calls.KNOWN_SECONDS
    index.search(vectors[3], k=5)
    assert index.metric == "cosine"
