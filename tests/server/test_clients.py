"""One client per place and process: reused, safe between threads, left at a fork."""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from fiftyone_qdrant.qdrant import clients
from fiftyone_qdrant.qdrant.collection import Collection, list_collections
from fiftyone_qdrant.qdrant.connection import resolve
from tests.server.stand_in import StandIn


def greetings(server):
    return server.requests.count("GET /")


def test_indexes_of_one_place_share_a_client(index, samples, server):
    """The App's server makes a new index object for each request."""
    samples.clear_cache()
    for _ in range(3):
        again = samples.load_brain_results("index", url=server.url, timeout=2)
        assert again.total_index_size == 30
        assert again.client is index.client
    assert greetings(server) == 0  # counted from after the index was made


@pytest.mark.parametrize(
    "other", [{"timeout": 9}, {"api_key": "other"}, {"url": "http://localhost:{port}"}]
)
@pytest.mark.filterwarnings("ignore:Api key is used")
def test_another_place_or_key_has_another_client(other, server):
    given = {"url": server.url}
    other = {k: str(v).format(port=server.port) for k, v in other.items()}
    other = {k: int(v) if v.isdigit() else v for k, v in other.items()}
    one = clients.connect(resolve(given))
    assert clients.connect(resolve({**given, **other})) is not one
    assert clients.connect(resolve(given)) is one


@pytest.mark.parametrize("timeout", [0.5, 1.5, 2, 60])
def test_a_call_may_take_a_fraction_of_a_second(server, timeout):
    """``QdrantClient`` itself rounds up to whole seconds."""
    client = clients.connect(resolve({"url": server.url, "timeout": timeout}))
    asked = []
    hooks = client._client.openapi_client.client._client.event_hooks["request"]
    hooks.append(lambda request: asked.append(request.extensions["timeout"]))
    client.get_collections()
    (limits,) = asked
    assert limits["read"] == limits["write"] == limits["pool"] == timeout
    assert limits["connect"] == min(timeout, 5)


def test_threads_share_a_client(index, server):
    place = index.collection.connection

    def use(_):
        points = Collection(place, "points")
        return points.count(), id(points.client)

    with ThreadPoolExecutor(8) as threads:
        counts, used = zip(*threads.map(use, range(80)), strict=True)
    assert set(counts) == {30}
    assert len(set(used)) == 1


def test_threads_that_connect_at_once_end_with_one_client(server, monkeypatch):
    place, opened = resolve({"url": server.url}), []
    given, together = clients._open, threading.Barrier(8)

    def open_with_others(connection):
        together.wait(10)  # all find that there is none yet
        opened.append(given(connection))
        return opened[-1]

    monkeypatch.setattr(clients, "_open", open_with_others)
    with ThreadPoolExecutor(8) as threads:
        returned = set(threads.map(lambda _: clients.connect(place), range(8)))
    (kept,) = clients._clients.values()
    assert (returned, len(opened)) == ({kept}, 8)
    assert [c for c in opened if not c._client.closed] == [kept]


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork")
def test_a_forked_child_makes_its_own_connection():
    """On a host that connections are kept open to."""
    with StandIn(host="127.0.0.2") as server:
        place = resolve({"url": server.url})
        list_collections(place)
        before = greetings(server)
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                names = list_collections(place)
                os.write(write, f"{names} {len(clients._clients)}".encode())
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read) as answer:
            assert answer.read() == "[] 1"
        os.waitpid(child, 0)
        assert greetings(server) == before + 1
        assert list_collections(place) == []  # the parent's is not disturbed
