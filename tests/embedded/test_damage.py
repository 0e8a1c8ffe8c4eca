"""Files that somebody or something has changed: noticed, said, and kept apart."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import qdrant_edge as qe
from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import EmbeddedClient
from fiftyone_qdrant.embedded.client import administration, launcher
from fiftyone_qdrant.embedded.owner import checks, seal
from fiftyone_qdrant.embedded.owner.live_shard import LiveShard
from fiftyone_qdrant.embedded.owner.store import Store

SIZE = 16
COUNT = 2000
VECTORS = np.random.default_rng(5).standard_normal((COUNT, SIZE)).astype(np.float32)


def fill(client, *names):
    for name in names:
        client.create_collection(
            name, models.VectorParams(size=SIZE, distance=models.Distance.COSINE)
        )
        payload = [{"n": i} for i in range(COUNT)]
        client.upload_collection(name, VECTORS, payload=payload, ids=range(COUNT))


@pytest.fixture
def closed(store):
    """A store with the collections "a" and "b", whose owner has ended."""
    with EmbeddedClient(store) as client:
        fill(client, "a", "b")
    launcher.stop(store)
    return store


def files(collection, pattern):
    found = sorted(collection.glob(f"shard/{pattern}"))
    assert found, pattern
    return found


def garble(path, start=0, length=64):
    with open(path, "r+b") as file:
        file.seek(start)
        file.write(b"\xa5" * length)


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def each(pattern, damage, **how):
    """Does the damage to all of a collection's files that match a pattern."""
    return lambda c: [damage(file, **how) for file in files(c, pattern)]


VECTOR_FILES = "segments/*/vector_storage/vectors/chunk_0.mmap"
STATUS = "segments/*/vector_storage/vectors/status.dat"
DELETED = "segments/*/vector_storage/deleted/flags_a.dat"
IDS = "segments/*/mutable_id_tracker.mappings"
DAMAGE = {
    "deleted-status": each(STATUS, Path.unlink),
    "truncated-status": each(STATUS, truncate),
    "truncated-vectors": each(VECTOR_FILES, truncate),
    "overwritten-vectors": each(VECTOR_FILES, garble, length=COUNT * SIZE * 4),
    "garbled-flags": each(DELETED, garble, length=256),
    "garbled-ids": each(IDS, garble, length=4096),
    "garbled-segment": each("segments/*/segment.json", garble),
    "deleted-segment": each("segments/*", shutil.rmtree),
    "garbled-config": each("edge_config.json", garble),
    "garbled-settings": lambda c: garble(c / "collection.json"),
    "garbled-seal": lambda c: garble(c / "seal.json"),
    "deleted-settings": lambda c: (c / "collection.json").unlink(),
    "deleted-shard": lambda c: shutil.rmtree(c / "shard"),
}


def test_all_damage_is_said_on_opening_and_other_collections_work(store):
    with EmbeddedClient(store) as client:
        fill(client, "good", *DAMAGE)
        launcher.stop(store)
        for name, damage in DAMAGE.items():
            damage(store / "collections" / name)

        for name in DAMAGE:
            for _ in range(2):  # not only the first time
                with pytest.raises(errors.CollectionDamaged, match=name) as said:
                    client.query_points(name, query=VECTORS[0])
            assert "Restore it from a backup" in str(said.value)
            assert client.query_points("good", query=VECTORS[7]).points[0].id == 7

        listed = [c.name for c in client.get_collections().collections]
        assert listed == sorted(["good", *DAMAGE])
        for name in DAMAGE:
            with pytest.raises(errors.CollectionExists):
                fill(client, name)
            assert client.delete_collection(name)
        assert [c.name for c in client.get_collections().collections] == ["good"]


def test_a_shard_whose_check_breaks_off_is_closed_again(closed, monkeypatch):
    directory = str(closed / "collections" / "a" / "shard")
    monkeypatch.setattr(seal, "damage_of_answers", lambda note, shard: 1 / 0)
    opening = LiveShard("a", directory).use()
    with pytest.raises(errors.CollectionDamaged) as said:
        opening.__enter__()

    qe.EdgeShard.load(directory).close()
    assert "Restore it from a backup" in str(said.value)  # it was alive until here


def problems(store):
    return {c["name"]: c["problems"] for c in administration.verify(store)}


def test_verify_finds_a_single_changed_byte(closed):
    (chunk,) = files(closed / "collections" / "a", VECTOR_FILES)
    with open(chunk, "r+b") as file:  # too little to be noticed on opening
        file.seek(COUNT * SIZE * 2)
        changed = file.read(1)[0] ^ 1
        file.seek(COUNT * SIZE * 2)
        file.write(bytes([changed]))

    found = problems(closed)

    assert found["b"] == []
    assert any("chunk_0.mmap was changed" in words for words in found["a"])


def test_verify_finds_a_changed_vector_without_checksums(closed):
    (chunk,) = files(closed / "collections" / "a", VECTOR_FILES)
    seal = closed / "collections" / "a" / "seal.json"
    seal.unlink()
    garble(chunk, start=COUNT * SIZE * 2, length=8)

    assert any("1 vectors are not what was written" in p for p in problems(closed)["a"])


def test_verify_finds_nothing_wrong_with_a_good_store(closed):
    found = list(administration.verify(closed))

    assert [c["problems"] for c in found] == [[], []]
    assert [c["points"] for c in found] == [COUNT, COUNT]
    assert all(c["compared"] > 10 for c in found)
    assert launcher.running(closed) is None  # as it was before


PRODUCT = models.ProductQuantization(
    product=models.ProductQuantizationConfig(compression=models.CompressionRatio.X64)
)


@pytest.mark.parametrize("quantization", [None, PRODUCT], ids=["plain", "product"])
def test_verify_finds_nothing_wrong_with_a_good_index(client, quantization):
    client.create_collection(
        "a",
        models.VectorParams(size=64, distance=models.Distance.DOT),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=50),
        quantization_config=quantization,
    )
    rng = np.random.default_rng(7)
    vectors = rng.standard_normal((COUNT, 64)) * rng.uniform(0.1, 10, (COUNT, 1))
    client.upload_collection("a", vectors.astype(np.float32), ids=range(COUNT))
    client.flush("a")
    until = time.monotonic() + 60
    while client.get_collection("a").indexed_vectors_count < COUNT:
        assert time.monotonic() < until, "it was not indexed"
        time.sleep(0.05)

    assert problems(client.path) == {"a": []}


def test_verify_knows_that_bytes_have_no_unit_length(client):
    client.create_collection(
        "a",
        models.VectorParams(
            size=SIZE, distance=models.Distance.COSINE, datatype=models.Datatype.UINT8
        ),
    )
    vectors = np.random.default_rng(8).integers(1, 255, (100, SIZE))
    client.upload_collection("a", vectors.astype(np.float32), ids=range(100))

    assert problems(client.path) == {"a": []}


def test_verify_counts_no_points_that_are_deleted_meanwhile(opened, monkeypatch):
    collection = opened.get("a")
    counts = collection.counts

    def delete_and_count():
        collection.live.write(qe.UpdateOperation.delete_points([0, 1, 2]))
        collection.live.flush()
        return counts()

    monkeypatch.setattr(collection, "counts", delete_and_count)

    assert checks.check(collection)["problems"] == []


def test_verify_goes_on_while_others_write(closed):
    with EmbeddedClient(closed) as client:
        client.upsert("a", [models.PointStruct(id=9999, vector=[1.0] * SIZE)])

        found = list(administration.verify(closed, ["a"]))

        assert found[0]["problems"] == []
        assert found[0]["points"] == COUNT + 1


def test_a_write_breaks_the_seal_and_quiet_brings_it_back(closed):
    seal = closed / "collections" / "a" / "seal.json"
    with EmbeddedClient(closed) as client:
        client.upsert("a", [models.PointStruct(id=9999, vector=[1.0] * SIZE)])
        assert not seal.exists()

        until = time.monotonic() + 20
        while not seal.exists():
            assert time.monotonic() < until, "it was not sealed"
            time.sleep(0.05)
        assert json.loads(seal.read_text())["points"] == COUNT + 1


def test_scores_near_zero_may_differ_by_more_than_they_are():
    wanted = {"0": 1e6, "1": 0.01}
    note = {"points": 2, "ids": ["0", "1"], "scores": wanted}

    def damage(found, monkeypatch=pytest.MonkeyPatch):
        with monkeypatch.context() as patched:
            patched.setattr(seal, "_scores", lambda *_: found)
            shard = SimpleNamespace(info=lambda: SimpleNamespace(points_count=2))
            return seal.damage_of_answers(note, shard)

    assert damage({"0": 1e6, "1": 0.5}) is None
    assert "point 1" in damage({"0": 1e6, "1": 500.0})


def test_a_flush_after_a_crash_flushes(closed):
    sealed = closed / "collections" / "a" / "seal.json"
    with EmbeddedClient(closed) as client:
        client.upsert("a", [models.PointStruct(id=9999, vector=[1.0] * SIZE)])
        os.kill(client.store_info()["pid"], signal.SIGKILL)
        assert not sealed.exists()

        client.flush("a")

        assert json.loads(sealed.read_text())["points"] == COUNT + 1


@pytest.fixture
def opened(closed):
    """The store, opened in this process instead of by an owner."""
    opened = Store(str(closed), "0.9.0")
    yield opened
    opened.close()


def clear(collection):
    collection.live.write(qe.UpdateOperation.delete_field_index("n"))


def refuse(*_):
    raise OSError(5, "Input/output error")


def test_a_flush_that_fails_is_tried_again(opened, monkeypatch):
    live = opened.get("a").live
    clear(opened.get("a"))
    with monkeypatch.context() as broken:
        broken.setattr(seal, "put", refuse)
        with pytest.raises(errors.StoreUnavailable, match="disk does not work"):
            live.flush()
    assert live.written_at is not None

    live.written_at -= 10
    opened.look_after()

    assert live.written_at is None
    assert seal.read(live.directory)["points"] == COUNT


def test_a_seal_that_cannot_be_broken_is_not_forgotten(opened, monkeypatch):
    collection = opened.get("a")
    with monkeypatch.context() as broken:
        broken.setattr(seal, "remove", refuse)
        with pytest.raises(errors.StoreUnavailable, match="disk does not work"):
            clear(collection)

    clear(collection)

    assert seal.read(collection.live.directory) is None


def test_what_is_written_without_a_pause_is_flushed_all_the_same(closed):
    (flushed,) = files(closed / "collections" / "a", "segments/*/segment.json")
    with EmbeddedClient(closed) as client:
        client.count("a")
        before = flushed.stat().st_mtime_ns
        until = time.monotonic() + 30
        while flushed.stat().st_mtime_ns == before:
            assert time.monotonic() < until, "it was not flushed"
            client.upsert("a", [models.PointStruct(id=9999, vector=[1.0] * SIZE)])


@pytest.mark.parametrize("flushed", [False, True], ids=["written", "flushed"])
def test_a_killed_owner_leaves_no_false_alarm(closed, flushed):
    with EmbeddedClient(closed) as client:
        client.update_collection(
            "a", optimizers_config=models.OptimizersConfigDiff(indexing_threshold=50)
        )
        until = time.monotonic() + 60
        while client.get_collection("a").indexed_vectors_count < COUNT:
            assert time.monotonic() < until, "it was not indexed"
            time.sleep(0.05)
        client.delete("a", list(range(100)))
        client.upload_collection("a", VECTORS[:200], ids=range(1500, 1700))
        if flushed:
            client.flush("a")
        os.kill(client.store_info()["pid"], signal.SIGKILL)

        assert client.count("a").count == COUNT - 100
        hits = client.query_points("a", query=VECTORS[10], limit=2).points
        assert 1510 in [hit.id for hit in hits]
    assert problems(closed) == {"a": [], "b": []}


def test_what_is_not_of_the_store_does_not_keep_it_from_opening(closed):
    home = closed / "collections"
    (home / "a%zz").mkdir()
    shutil.copytree(home / "a", home / "copy")

    with EmbeddedClient(closed) as client:
        assert client.count("a").count == COUNT
        with pytest.raises(errors.CollectionDamaged, match="of a collection 'a'"):
            client.count("copy")
        assert client.delete_collection("copy")
        assert client.delete_collection("a%zz")
        assert client.count("a").count == COUNT
    assert sorted(p.name for p in home.iterdir()) == ["a", "b"]


def test_a_store_last_written_by_a_newer_engine_is_left_alone(closed):
    record = json.loads((closed / "store.json").read_text())
    (closed / "store.json").write_text(
        json.dumps({**record, "engine": "qdrant-edge 0.77.1"})
    )

    with pytest.raises(errors.StoreUnavailable, match=r"0\.77\.1.*pip install -U"):
        EmbeddedClient(closed)

    assert "0.77.1" in (closed / "store.json").read_text()
