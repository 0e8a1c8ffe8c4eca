"""Several calls under way at once: nothing is lost, and none outlives its job."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from fiftyone_qdrant.errors import ConnectionFailed, EngineError, RequestTooLarge
from fiftyone_qdrant.qdrant import reads, writing
from fiftyone_qdrant.qdrant.limits import Bounds
from tests.server.misbehaviour import Fault

WRITE = "PUT /collections/points/points"
PASSES = {
    "answers lost": [Fault(WRITE, drop=True, applied=True, times=3)],
    "too large": [Fault(WRITE, 413, times=3, body=b"")],
    "503": [Fault(WRITE, 503, times=4)],
    "a limit": [
        Fault(
            WRITE,
            400,
            'Bad request: Limit exceeded 10 > 3 for "upsert limit". Help: Reduce',
            times=2,
        )
    ],
}


@pytest.fixture
def at_once(index, monkeypatch):
    """An index of 30 points, written by twos in messages of 5, read in threes of 7."""
    monkeypatch.setattr(writing, "_MAX_POINTS", 5)
    monkeypatch.setattr(writing, "_WRITES_AT_ONCE", 2)
    monkeypatch.setattr(reads, "_READ_POINTS", 7)
    return index


@pytest.mark.parametrize("name", PASSES)
def test_all_is_written_whatever_passes(name, at_once, samples, vectors, server):
    server.faults = [Fault(**vars(f)) for f in PASSES[name]]
    ids = samples.values("id")
    at_once.add_to_index(vectors, ids)
    found, _, _ = at_once.get_embeddings(sample_ids=ids[::-1])
    np.testing.assert_allclose(found, vectors[::-1], rtol=1e-6)
    found, every, _ = at_once.get_embeddings()
    assert sorted(every) == sorted(ids)


def test_two_messages_are_under_way_at_once(at_once, samples, vectors, server):
    both = threading.Barrier(2, timeout=5)  # broken if one comes alone
    server.faults = [Fault(WRITE, times=2, then=both.wait)]
    at_once.add_to_index(vectors[:10], samples.values("id")[:10])
    assert not both.broken


def test_after_a_failure_nothing_is_under_way(at_once, samples, vectors, server):
    server.faults = [Fault(WRITE, 500, "disk is full", after=3)]
    with pytest.raises(EngineError, match=r"disk is full.*15 of 60 points are known"):
        at_once.add_to_index(vectors + 1, samples.values("id"))
    server.faults = []
    asked = len(server.requests)
    assert at_once.total_index_size >= 30
    assert len(server.requests) == asked + 1


def test_what_is_said_of_one_that_fails_is_said_once(at_once, samples, server):
    server.stop()
    with pytest.raises(ConnectionFailed, match="nothing listens there"):
        at_once.get_embeddings(sample_ids=samples.values("id"))
    server.start()


@pytest.mark.parametrize("at_once", [1, 3])
def test_parts_come_in_order_and_are_divided(at_once):
    asked = []

    def call(start, end):
        asked.append((start, end))
        if end - start > 2:
            raise RequestTooLarge("too large")
        return list(range(start, end))

    parts = Bounds().in_parts(9, lambda _: 5, call, at_once)
    assert [i for part in parts for i in part] == list(range(9))
    too_large = [part for part in asked if part[1] - part[0] > 2]
    assert len(too_large) <= at_once  # what is halved once need not be tried whole
