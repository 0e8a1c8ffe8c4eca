"""Faults while an index is used: nothing acknowledged is lost, a re-run completes."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from fiftyone_qdrant.errors import (
    AuthenticationFailed,
    CollectionNotFound,
    ConnectionFailed,
    EngineError,
    MissingIDs,
)
from fiftyone_qdrant.qdrant import calls, retries
from tests.server.conftest import KEY
from tests.server.misbehaviour import Fault
from tests.server.stand_in import StandIn

WRITE = "PUT /collections/points/points"
QUERY = "POST /collections/points/points/query/batch"
LAST = {
    "500": (Fault(WRITE, 500, "no space left"), EngineError, "no space left"),
    "503 for ever": (Fault(WRITE, 503), ConnectionFailed, "status 503"),
    "dropped for ever": (Fault(WRITE, drop=True), ConnectionFailed, "closed"),
    "too slow": (Fault(WRITE, stall=True), ConnectionFailed, "not answer in time"),
    "garbage": (Fault(WRITE, body=b"<html>"), ConnectionFailed, "like a Qdrant"),
    "403": (Fault(WRITE, 403, "Forbidden"), AuthenticationFailed, "refused the API"),
    "consistency": (
        Fault(WRITE, 500, "Service internal error: 1 out of 2 replicas failed"),
        EngineError,
        "Too few replicas",
    ),
}


@pytest.mark.parametrize("name", LAST)
def test_an_add_that_fails_midway(name, index, samples, vectors, server, fault):
    """30 points are there, 30 are added in two batches, the second of which fails."""
    misbehaviour, error, saying = LAST[name]
    server.faults = [Fault(**{**vars(misbehaviour), "after": 1})]
    index.client._client.openapi_client.client._client.timeout = 1
    ids = samples.values("id")
    saying += ".*20 of 30 points are known to be written"
    with fault(f"add: {name}", error, saying=saying, within=9) as seen:
        index.add_to_index(vectors[30:], ids[30:])
    assert server.count("points") == 50
    assert samples.list_brain_runs() == ["index"]
    server.faults = []
    index.add_to_index(vectors[30:], ids[30:])
    found, _, _ = index.get_embeddings(sample_ids=ids)
    np.testing.assert_allclose(found, vectors, rtol=1e-6)
    seen.state = "50 points, as said; adding again makes it 60 of 60"


def test_an_add_to_a_collection_deleted_midway(index, samples, vectors, server, fault):
    server.faults = [
        Fault(WRITE, after=1, then=lambda: server.client.delete_collection("points"))
    ]
    with fault("add: 404, deleted mid-way", CollectionNotFound, saying="no coll") as s:
        index.add_to_index(vectors[30:], samples.values("id")[30:])
    assert server.names() == []
    s.state = "the run is kept, and said to be without its collection"


def test_an_add_whose_answers_are_lost(index, samples, vectors, server, fault):
    server.faults = [Fault(WRITE, drop=True, applied=True, times=3)]
    with fault("add: three answers lost") as seen:
        index.add_to_index(vectors[30:], samples.values("id")[30:])
    assert server.count("points") == 60
    seen.state = "60 of 60 points"


def test_a_removal_whose_answer_is_lost(index, samples, server, fault):
    server.faults = [Fault("/points/delete", drop=True, applied=True, times=1)]
    with fault("remove: answer lost") as seen:
        index.remove_from_index(sample_ids=samples.values("id")[:10])
    assert server.count("points") == 20
    seen.state = "20 of 30 points left, as asked"


# --- queries --------------------------------------------------------------------

PASSES = {
    "dropped once": [Fault(QUERY, drop=True, times=1)],
    "503 twice": [Fault(QUERY, 503, times=2)],
    "429, Retry-After 2, once": [
        Fault(QUERY, 429, headers={"Retry-After": "2"}, times=1)
    ],
}
FAILS = {
    "500": (Fault(QUERY, 500, "panicked"), EngineError, "500: panicked.*log"),
    "502 for ever": (Fault(QUERY, 502), ConnectionFailed, "status 502"),
    "dropped for ever": (Fault(QUERY, drop=True), ConnectionFailed, "closed"),
    "too slow": (Fault(QUERY, stall=True), ConnectionFailed, "not answer in time"),
    "garbage": (Fault(QUERY, body=b"\x00"), ConnectionFailed, "like a Qdrant server"),
    "no active replica": (
        Fault(QUERY, 500, "does not have enough active replicas"),
        EngineError,
        "Too few replicas.*Bring the missing nodes back",
    ),
    "strict mode": (
        Fault(QUERY, 400, "Bad request: Index required but not found for sample_id"),
        EngineError,
        "Index required",
    ),
}


def ask(samples, k=5):
    return samples.sort_by_similarity(samples.first().id, k=k, brain_key="index")


@pytest.fixture
def answer(index, samples):
    """The answer to a query while all is well."""
    index.reload()
    return ask(samples).values("id")


@pytest.mark.parametrize("name", PASSES)
def test_a_query_outlives(name, answer, samples, server, fault):
    server.faults = [Fault(**vars(f)) for f in PASSES[name]]
    with fault(f"query: {name}") as seen:
        assert ask(samples).values("id") == answer
    seen.state = "the answer is the same"


@pytest.mark.parametrize("name", FAILS)
def test_a_query_that_fails(name, answer, index, samples, server, fault):
    misbehaviour, error, saying = FAILS[name]
    server.faults = [Fault(**vars(misbehaviour))]
    index.client._client.openapi_client.client._client.timeout = 1
    with fault(f"query: {name}", error, saying=saying, within=3):
        ask(samples)
    server.faults = []
    assert ask(samples).values("id") == answer


def test_a_query_to_a_collection_that_is_gone(answer, samples, server, fault):
    server.client.delete_collection("points")
    saying = "There is no collection 'points'.*delete the brain run as well"
    with fault("query: 404, deleted", CollectionNotFound, saying=saying) as seen:
        ask(samples)
    seen.state = "the run is kept"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2"])
def test_a_restart_between_two_queries(host, create, samples, fault, monkeypatch):
    """127.0.0.2: qdrant-client keeps connections open, except to localhost."""
    with StandIn(host=host) as server:
        create(server.url)
        before = ask(samples).values("id")
        with fault(f"query: restarted between two ({host})") as seen:
            server.restart()
            assert ask(samples).values("id") == before
        seen.state = "the answer is the same"


def test_a_server_that_comes_back_in_time(answer, samples, server, fault, monkeypatch):
    monkeypatch.setattr(retries, "time", time)
    server.stop()
    back = threading.Timer(0.2, server.start)
    back.start()
    with fault("query: server back after 0.2 s") as seen:
        assert ask(samples).values("id") == answer
    back.join()
    seen.state = "the answer is the same"


def test_a_server_that_is_down(answer, samples, server, fault):
    server.stop()
    with fault(
        "query: server down", ConnectionFailed, saying="nothing listens", within=2
    ):
        ask(samples)
    server.start()
    assert ask(samples).values("id") == answer


@pytest.mark.filterwarnings("ignore:Api key is used")
def test_a_key_that_is_revoked(create, samples, server, fault):
    server.api_key = KEY
    create(server.url, api_key=KEY)
    server.api_key = "another"
    saying = "refused the API key.*_QDRANT_API_KEY"
    with fault("query: key revoked", AuthenticationFailed, saying=saying):
        ask(samples)


# --- what a query costs ---------------------------------------------------------


@pytest.mark.parametrize("part", [60, 30], ids=["the dataset", "a view"])
def test_a_query_by_id_is_two_requests(create, samples, server, part, monkeypatch):
    """One for the collection's metric and size, one for the point and its nearest."""
    monkeypatch.setattr(calls, "KNOWN_SECONDS", 0)
    create(server.url)
    query = samples.values("id")[7]
    server.requests.clear()
    found = samples[:part].sort_by_similarity(query, k=5, brain_key="index")
    assert found.first().id == query
    collection = samples.load_brain_results("index").config.collection_name
    assert server.requests == [
        f"GET /collections/{collection}",
        f"POST /collections/{collection}/points/query/batch",
    ]


def test_a_query_in_a_view_sends_as_much_for_any_size_of_the_view(
    create, samples, server
):
    create(server.url)
    query = samples.values("id")[7]
    sent = []
    for part in (20, 40, 60):
        server.sizes.clear()
        samples[:part].sort_by_similarity(query, k=5, brain_key="index")
        sent.append(sum(server.sizes))

    assert len(set(sent)) == 1


def test_a_query_by_the_id_of_no_point_says_so(create, samples, server):
    create(server.url, n=30)
    with pytest.raises(MissingIDs, match=f"{samples.last().id} is not in the index"):
        samples.sort_by_similarity(samples.last().id, k=5, brain_key="index")
