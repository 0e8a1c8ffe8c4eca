"""How often a server is asked, and how much is sent: what latency is made of.

Two more requests come before the first of a process: what is there, and may we use it.
"""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest

POINTS = 60
BATCHES = 3  # of 20 points, as the fixture has it

# Queries ask for size and metric first: somebody may have replaced the collection.
# Adding also looks at a point before, and reads one back afterwards
REQUESTS = {
    "query by id": 2,
    "query by id within a view": 2,
    "query by vector": 2,
    "many queries by id": 3,
    "get embeddings": 2,
    "open and count": 1,
    "add": 3 + BATCHES,
    "remove": 1,
}


@pytest.fixture
def index(create, server):
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
    operations, operation, server
):
    server.requests.clear()
    operations[operation]()
    assert len(server.requests) == REQUESTS[operation], server.requests


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
