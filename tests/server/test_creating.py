"""Faults while an index is made: done all the same, or nothing is left of it."""

from __future__ import annotations

import re
import threading
import time

import numpy as np
import pytest

from fiftyone_qdrant.errors import (
    AuthenticationFailed,
    CollectionExists,
    CollectionNotFound,
    ConnectionFailed,
    EngineError,
    RequestTooLarge,
)
from fiftyone_qdrant.qdrant import retries, writing
from tests.server.conftest import KEY
from tests.server.misbehaviour import Fault

MAKE = r"PUT /collections/[^/]+$"
INDEX = r"PUT /collections/[^/]+/index"
WRITE = r"PUT /collections/[^/]+/points"
WAIT = {"Retry-After": "3"}
NO_REPLICA = (
    "Service internal error: The replica set for shard 1 on peer 7 does not have "
    "enough active replicas"
)


@pytest.fixture
def survives(create, samples, server, fault, vectors):
    """The index is made in spite of the fault, complete and once."""

    def check(name, *faults, saw=None, within=6.0):
        server.faults = list(faults)
        with fault(name, within=within) as seen:
            index = create(server.url)
        (made,) = server.names()
        assert server.count(made) == index.total_index_size == 60
        found, ids, _ = index.get_embeddings(sample_ids=samples.values("id"))
        assert list(ids) == samples.values("id")
        np.testing.assert_allclose(found, vectors, rtol=1e-6)
        seen.state = "the index is complete: 60 of 60 points"
        return index

    return check


@pytest.fixture
def leaves_nothing(create, samples, server, fault):
    """The error is said; no run and no collection is left; the next try works."""

    def check(name, *faults, errors, saying, within=6.0, again=True, **config):
        server.faults = list(faults)
        with fault(name, *errors, saying=saying, within=within) as seen:
            create(server.url, **config)
        assert samples.list_brain_runs() == []
        seen.state = "no run, no collection"
        if server._server is not None:
            assert server.names() == []
        if again:
            server.faults = []
            assert create(server.url).total_index_size == 60
            seen.state += "; the next try makes it"
        return seen

    return check


# --- what passes ----------------------------------------------------------------

PASSES = {
    "create: answer lost": [Fault(MAKE, drop=True, applied=True, times=1)],
    "create: 503 once": [Fault(MAKE, 503, times=1)],
    "create: 429, Retry-After 3, once": [Fault(MAKE, 429, headers=WAIT, times=1)],
    "write: dropped mid-way, once": [Fault(WRITE, drop=True, after=1, times=1)],
    "write: answer lost": [Fault(WRITE, drop=True, applied=True, after=1, times=1)],
    "write: 502, 503, 504": [Fault(WRITE, s, times=1) for s in (502, 503, 504)],
    "write: 429 twice": [Fault(WRITE, 429, after=1, times=2)],
    "write: 429 until a date": [
        Fault(WRITE, 429, headers={"Retry-After": "Wed, 21 Oct 2099"}, times=1)
    ],
    "read: dropped, once": [Fault("POST .*/points$", drop=True, times=1)],
    "read: 503, once": [Fault("GET /collections/[^/]+$", 503, times=1)],
}


@pytest.mark.parametrize("name", PASSES)
def test_what_passes_is_waited_for(name, survives):
    survives(name, *[Fault(**vars(f)) for f in PASSES[name]])


def test_retry_after_is_honoured(survives, pauses):
    survives("write: 429, Retry-After 3", Fault(WRITE, 429, headers=WAIT, times=1))
    assert 3 in pauses


def test_restart_between_two_batches(survives, server, monkeypatch):
    monkeypatch.setattr(retries, "time", time)  # it takes some
    restart = threading.Thread(target=server.restart)
    survives(
        "write: server restarted mid-way",
        Fault(WRITE, drop=True, after=1, times=1, then=restart.start),
    )
    restart.join()


@pytest.mark.parametrize("limit", [400, 1500])
def test_what_is_too_large_for_a_proxy_goes_in_parts(limit, survives, server):
    server.max_bytes = limit * 8
    survives(f"413 beyond {limit * 8} bytes")


# --- what does not --------------------------------------------------------------

FAILS = {
    "create: 503 for ever": (Fault(MAKE, 503), ConnectionFailed, "status 503.*running"),
    "create: dropped for ever": (Fault(MAKE, drop=True), ConnectionFailed, "closed"),
    "create: done, but too slow": (
        Fault(MAKE, applied=True, stall=True),
        ConnectionFailed,
        "did not answer in time",
    ),
    "create: 500": (Fault(MAKE, 500, "disk is full"), EngineError, "disk is full"),
    "create: garbage": (
        Fault(MAKE, body=b"<html>", applied=True),
        ConnectionFailed,
        "like a Qdrant server",
    ),
    "payload index: 500": (Fault(INDEX, 500, "no"), EngineError, "status 500: no. The"),
    "write: 500": (
        Fault(WRITE, 500, "disk is full", after=1),
        EngineError,
        "disk is full.*log.* 20 of 60 points are known to be written.*again",
    ),
    "write: 503 for ever": (
        Fault(WRITE, 503, after=2),
        ConnectionFailed,
        "status 503.*40 of 60",
    ),
    "write: dropped for ever": (
        Fault(WRITE, drop=True, after=1),
        ConnectionFailed,
        "closed the connection.*20 of 60",
    ),
    "write: 429 for ever": (
        Fault(WRITE, 429, after=1),
        ConnectionFailed,
        "busy.*later.*20 of 60",
    ),
    "write: 429, Retry-After 3600": (
        Fault(WRITE, 429, headers={"Retry-After": "3600"}),
        ConnectionFailed,
        "busy.*in 3600 s",
    ),
    "write: too slow": (
        Fault(WRITE, stall=True, after=1),
        ConnectionFailed,
        "did not answer in time.*timeout.*20 of 60",
    ),
    "write: garbage": (
        Fault(WRITE, body=b"<html>oops</html>", after=1),
        ConnectionFailed,
        "like a Qdrant server.*20 of 60",
    ),
    "write: 413 for ever": (
        Fault(WRITE, 413, body=b"<html>413</html>"),
        RequestTooLarge,
        "client_max_body_size",
    ),
    "write: consistency not met": (
        Fault(WRITE, 500, NO_REPLICA, after=1),
        EngineError,
        "Too few replicas.*write_consistency_factor.*20 of 60",
    ),
    "write: acknowledged, not done": (
        Fault(WRITE, body=b'{"result":{"operation_id":1,"status":"completed"}}'),
        EngineError,
        "acknowledged 60 points, but 60 of them .* are not in",
    ),
}


@pytest.mark.parametrize("name", FAILS)
def test_what_does_not_pass_leaves_nothing(name, leaves_nothing):
    fault, error, saying = FAILS[name]
    fault = Fault(**vars(fault))
    leaves_nothing(name, fault, errors=[error], saying=saying, within=12, timeout=1)


@pytest.mark.parametrize(("status", "calls"), [(403, 1), (500, 1), (503, 6), (429, 6)])
def test_only_what_may_pass_is_tried_again(status, calls, leaves_nothing, server):
    leaves_nothing(
        f"write: {status} (tried {calls} times)",
        Fault(WRITE, status),
        errors=[ConnectionFailed, EngineError],
        saying="Qdrant at",
        within=12,
        again=False,
    )
    assert sum(bool(re.match(WRITE, r)) for r in server.requests) == calls


@pytest.mark.filterwarnings("ignore:Api key is used")
def test_403_for_a_key_that_may_only_read(leaves_nothing, server):
    server.api_key, server.read_only_key = "full", KEY
    leaves_nothing(
        "403, read-only key",
        errors=[AuthenticationFailed],
        saying="refused the API key for this: it may only read",
        api_key=KEY,
        again=False,
    )


def test_collection_deleted_under_us(leaves_nothing, server):
    leaves_nothing(
        "404, collection deleted mid-way",
        Fault(
            WRITE, after=1, then=lambda: server.client.delete_collection(*_of(server))
        ),
        errors=[CollectionNotFound],
        saying="There is no collection.*delete the brain run",
    )


def test_a_server_that_dies_meanwhile(create, samples, server, fault):
    """Nobody can clean up: it is said what is left, and the next try takes it over."""
    stop = threading.Thread(target=server.stop)
    server.faults = [Fault(WRITE, drop=True, after=1, then=stop.start)]
    saying = "nothing listens.*'mine' could not be deleted.*incomplete"
    with fault("server dies mid-way", ConnectionFailed, saying=saying, within=17) as s:
        create(server.url, collection_name="mine")
    stop.join()
    assert samples.list_brain_runs() == []
    server.faults = []
    server.start()
    assert server.count("mine") == 20
    assert create(server.url, collection_name="mine").total_index_size == 60
    s.state = "no run; the collection as far as written, and the next try completes it"


def _of(server):
    return server.names()


# --- two creators ---------------------------------------------------------------


def _taken(server):
    """Somebody makes the collection just before we do."""

    def make():
        name = server.requests[-1].rpartition("/")[2]
        body = {"vectors": {"size": 8, "distance": "Euclid"}, "metadata": {"a": 1}}
        server.answer("PUT", f"/collections/{name}", body)

    return Fault(MAKE, then=make, times=1)


def test_409_of_a_name_we_chose_gives_another(create, server, fault):
    server.faults = [_taken(server)]
    with fault("409, name chosen by us") as seen:
        index = create(server.url)
    theirs, ours = sorted(server.names(), key=len)
    assert (server.count(theirs), server.count(ours)) == (0, 60)
    assert index.collection.name == ours
    seen.state = "a collection of another name; theirs untouched"


def test_409_of_a_name_the_user_chose_is_said(create, samples, server, fault):
    server.faults = [_taken(server)]
    with fault("409, name given", CollectionExists, saying="exists already") as seen:
        create(server.url, collection_name="mine")
    assert samples.list_brain_runs() == []
    assert server.count("mine") == 0
    seen.state = "no run; theirs untouched"


# --- batches --------------------------------------------------------------------


def test_batches_are_bounded_by_bytes(create, server, monkeypatch):
    monkeypatch.setattr(writing, "_MAX_POINTS", 1000)
    monkeypatch.setattr(writing, "_MAX_BYTES", 3000)
    create(server.url)
    sent = [
        n
        for n, r in zip(server.sizes, server.requests, strict=True)
        if re.match(WRITE, r)
    ]
    assert len(sent) == 9
    assert max(sent) <= 3000


def test_the_longest_floats_fit_a_message():
    worst = np.full((1, 4), -1.17549435e-38, np.float32).tolist()
    text = max(len(repr(v)) + 1 for v in worst[0])
    assert text <= writing._BYTES_PER_FLOAT + 2
    size = writing._batch_size(4096)
    assert size * (4096 * text + writing._BYTES_PER_POINT) < 32e6


def test_writes_wait_until_they_are_done(create, server):
    seen = []
    handler = server._server.RequestHandlerClass
    handler.parse_request = lambda self, parse=handler.parse_request: (
        parse(self) and (seen.append(f"{self.command} {self.path}") is None)
    )
    create(server.url)
    writes = [s for s in seen if re.match(f"{WRITE}|{INDEX}", s)]
    assert len(writes) == 4
    assert all("wait=true" in w for w in writes)
