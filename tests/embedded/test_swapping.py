"""The moment at which a new index takes the place of a shard, step by step."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import qdrant_edge as qe

from fiftyone_qdrant.embedded.owner import indexing, live_shard, seal
from fiftyone_qdrant.embedded.owner.process import Owner
from fiftyone_qdrant.embedded.owner.settings import Segments
from fiftyone_qdrant.embedded.owner.store import Store

SIZE, COUNT = 8, 400


@pytest.fixture
def opened(tmp_path, rng):
    """A store with the collection "a", which is to be indexed, in this process."""
    path = tmp_path / "s"
    path.mkdir()
    opened = Store(str(path), "0.9.0")
    opened.create(
        {
            "name": "a",
            "vectors": {"size": SIZE, "distance": "Dot"},
            "optimizers_config": {"indexing_threshold": 1},
        }
    )
    vectors = rng.standard_normal((COUNT, SIZE)).astype(np.float32)
    points = [qe.Point(i, v, None) for i, v in enumerate(vectors)]
    opened.get("a").live.write(qe.UpdateOperation.upsert_points(points))
    opened.get("a").live.flush()
    yield opened
    opened.close()


def point(number):
    vector = np.full(SIZE, number, dtype=np.float32)
    return qe.UpdateOperation.upsert_points([qe.Point(number, vector, None)])


def build(opened):
    opened.index_if_due("a")
    while opened.is_indexing():
        time.sleep(0.005)


@pytest.mark.parametrize("apply", range(6))
def test_what_is_written_between_any_two_catch_ups_is_in_the_result(
    opened, monkeypatch, apply
):
    collection, real, calls = opened.get("a"), indexing._apply, []

    def write_and_apply(shard, journal):
        number = 1000 + len(calls)
        calls.append(number)
        real(shard, journal)
        if len(calls) == apply + 1 < 6:  # the last is made while writers wait
            collection.live.write(point(number))
            collection.live.write(qe.UpdateOperation.delete_points([number - 1000]))

    monkeypatch.setattr(indexing, "_apply", write_and_apply)
    build(opened)

    assert len(calls) == 6
    written = apply < 5
    found = collection.live
    with found.use() as shard:
        ids = {p.id for p in shard.scroll(qe.ScrollRequest(limit=1000))[0]}
    wanted = set(range(COUNT)) ^ ({apply, 1000 + apply} if written else set())
    assert ids == wanted
    assert collection.counts()["indexed_vectors_count"] >= COUNT - 1


def test_writers_wait_while_the_last_is_caught_up_with(opened, monkeypatch):
    collection, real, states = opened.get("a"), indexing._apply, []

    def look(shard, journal):
        states.append(collection.live._writing.locked())
        real(shard, journal)

    monkeypatch.setattr(indexing, "_apply", look)
    build(opened)

    assert states == [False] * 5 + [True]


def test_a_collection_that_is_deleted_while_it_is_swapped_stays_deleted(
    opened, monkeypatch
):
    collection, real = opened.get("a"), seal.remove

    def delete_first(directory):
        real(directory)
        collection.live.close(for_good=True)  # as delete() does

    monkeypatch.setattr(seal, "remove", delete_first)
    live = collection.live
    with live.use():
        pass
    live._journal = live_shard.Journal()
    os.mkdir(f"{opened.path}/making/built")

    assert live.replace(f"{opened.path}/making/built", opened._trash, list) is None
    assert os.listdir(opened._trash) == []
    monkeypatch.undo()


def test_too_much_written_meanwhile_gives_the_index_up(opened, monkeypatch):
    monkeypatch.setattr(live_shard, "_MAX_JOURNAL", 1500)
    collection, real = opened.get("a"), indexing.IndexBuilder._index

    def write_and_index(builder, shard_dir):
        for number in range(3):
            collection.live.write(point(2000 + number))
        real(builder, shard_dir)

    monkeypatch.setattr(indexing.IndexBuilder, "_index", write_and_index)
    build(opened)

    assert "too much was written" in collection.build_error
    assert collection.counts() == {
        "points_count": COUNT + 3,
        "indexed_vectors_count": 0,
    }


def test_the_seal_is_broken_before_the_engine_writes(opened, monkeypatch):
    live = opened.get("a").live
    order = []
    with live.use() as shard:
        assert seal.read(live.directory) is not None

        class Recorded:
            def update(self, operation):
                order.append(os.path.exists(seal.path_of(live.directory)))
                shard.update(operation)

        live._shard = Recorded()
        try:
            live.write(point(5))
        finally:
            live._shard = shard

    assert order == [False]


def test_points_that_the_engine_leaves_out_are_not_indexed_again_and_again(opened):
    build(opened)
    collection = opened.get("a")
    counts = collection.counts()
    missing = counts["points_count"] - counts["indexed_vectors_count"]
    assert collection.config["built"]["points"] == missing

    collection.counts = lambda: {"points_count": 900, "indexed_vectors_count": 0}
    assert indexing.due(collection) is not None
    collection.built(replace(Segments.made(collection.config), points=900))
    assert indexing.due(collection) is None
    del collection.counts


def test_a_store_written_before_what_was_built_was_noted_is_tuned(opened):
    collection = opened.get("a")
    del collection.config["built"]

    collection.update_settings({"hnsw_config": {"m": 24}})

    assert collection.config["built"]["hnsw_config"] == {"m": 0}
    build(opened)
    assert collection.counts()["indexed_vectors_count"] > 0


def test_an_owner_that_indexes_does_not_leave_for_want_of_clients():
    owner = Owner.__new__(Owner)
    owner._count_lock = threading.Lock()
    owner._connections, owner._last_seen, owner._idle = 0, time.monotonic() - 9, 1.0
    for works in (True, False):
        owner._store = SimpleNamespace(is_indexing=lambda works=works: works)
        assert owner._is_idle() is not works
    owner._connections = 1
    assert owner._is_idle() is False


def test_one_index_is_built_at_a_time(opened):
    collection = opened.get("a")
    with opened._turn:
        opened.index_if_due("a")
        time.sleep(0.05)
        assert collection.building["phase"] == "waiting"
    while opened.is_indexing():
        time.sleep(0.005)
    assert collection.counts()["indexed_vectors_count"] > 0
