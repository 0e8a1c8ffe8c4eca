"""Backups and checks amid damage, links, leftovers and odd targets."""

from __future__ import annotations

import json
import os
import socket

import numpy as np
import pytest
import qdrant_edge as qe

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import files
from fiftyone_qdrant.embedded.client import administration
from fiftyone_qdrant.embedded.owner import backups, checks, seal
from fiftyone_qdrant.embedded.owner.store import Store
from tests.embedded.test_sidecars import GOOD

COUNT = 300


@pytest.fixture
def opened(tmp_path, rng, monkeypatch):
    """A store with the collections "a", "b" and "c", open in this process."""
    monkeypatch.setattr(os, "sync", lambda: None)  # no power failure here
    path = tmp_path / "store"
    path.mkdir()
    made = Store(str(path), "0.9.0")
    vectors = rng.standard_normal((COUNT, 4)).astype(np.float32)
    for name in "abc":
        made.create({**GOOD, "name": name})
        points = [qe.Point(i, v, {"n": i}) for i, v in enumerate(vectors)]
        made.get(name).live.write(qe.UpdateOperation.upsert_points(points))
        made.get(name).live.flush()
    yield made
    made.close()


def reopened(store):
    store.close()
    return Store(store.path, "0.9.0")


def page(store, name):
    (found,) = files_of(store, name, "payload_storage/page_0.dat")
    return found


def files_of(store, name, end):
    shard = store.get(name).live.directory
    return [
        os.path.join(folder, each)
        for folder, _, names in os.walk(shard)
        for each in names
        if os.path.join(folder, each).endswith(end)
    ]


def damage_payload(store, name):
    """Payload that cannot be read, in a collection that nobody has sealed."""
    path = page(store, name)
    store.close()
    with open(path, "r+b") as file:
        file.write(b"\xa5" * 4096)
    os.unlink(f"{store.path}/collections/{name}/seal.json")


def test_verify_looks_at_each_collection_whatever_one_does(opened):
    damage_payload(opened, "b")

    found = {c["name"]: c for c in administration.verify(opened.path)}

    assert [found[name]["points"] for name in "ac"] == [COUNT, COUNT]
    assert [found[name]["problems"] for name in "ac"] == [[], []]
    assert len(found["b"]["problems"]) == 1


def test_verify_and_status_go_on_when_the_owner_says_no(opened, monkeypatch):
    opened.close()
    call = administration.Session.call

    def refuse(self, op, message, *args, **kwargs):
        if message.get("collection") == "b":
            raise errors.EngineError("it did not work")
        return call(self, op, message, *args, **kwargs)

    monkeypatch.setattr(administration.Session, "call", refuse)

    found = list(administration.verify(opened.path))
    assert [c["problems"] for c in found] == [[], ["it did not work"], []]
    with administration._session(opened.path) as session:
        session.call("names", {}, timeout=5)
        states = administration.status(opened.path).collections
        assert [s.problem for s in states] == [None, "it did not work", None]


def test_a_backup_reads_what_it_seals_and_goes_on_with_the_others(opened, tmp_path):
    damage_payload(opened, "b")
    store = Store(opened.path, "0.9.0")
    target = str(tmp_path / "backup")

    with pytest.raises(errors.CollectionDamaged, match="only of 'a', 'c'"):
        backups.back_up(store, target, None)

    copy = Store(target, "0.9.0")
    assert copy.names() == ["a", "c"]
    assert [checks.check(c)["problems"] for c in copy.collections()] == [[], []]
    copy.close()
    with pytest.raises(errors.CollectionDamaged, match="'b' is damaged"):
        backups.back_up(store, str(tmp_path / "none"), ["b"])
    assert sorted(os.listdir(tmp_path)) == ["backup", "store"]
    store.close()


def test_a_backup_compares_what_has_checksums(opened, tmp_path):
    (chunk,) = files_of(opened, "a", "chunk_0.mmap")
    store = reopened(opened)
    with open(chunk, "r+b") as file:
        file.seek(16 * 100)
        file.write(b"\x00\x00\x80\x3f")

    with pytest.raises(errors.CollectionDamaged, match=r"chunk_0\.mmap was changed"):
        backups.back_up(store, str(tmp_path / "backup"), ["a"])

    store.close()


def test_a_damaged_graph_is_found(opened, monkeypatch):
    collection = opened.get("a")
    monkeypatch.setattr(collection, "counts", lambda: {"indexed_vectors_count": 1})

    exactly = seal.exactly

    def lost(query, params=None, **more):
        nothing = qe.Filter(must=[qe.HasIdCondition({10**6})])
        return exactly(query, filter=params and nothing, **more)

    monkeypatch.setattr(seal, "exactly", lost)
    problems = []
    checks._check_index(collection, problems)

    assert problems == ["the index finds 0 of 1000 nearest points"]


def test_points_that_cannot_be_read_are_counted(opened, monkeypatch):
    collection = opened.get("a")
    monkeypatch.setattr(collection, "counts", lambda: {"points_count": COUNT + 5})

    problems = []
    assert checks._check_points(collection, problems) == COUNT
    assert problems == [f"{COUNT} of {COUNT + 5} points can be read"]


# -- targets and leftovers --------------------------------------------------------


@pytest.mark.parametrize("place", ["", "sub", "collections/new", "collections/a"])
def test_a_backup_inside_the_store_is_refused(opened, place):
    with pytest.raises(errors.StoreUnavailable, match="is inside the store"):
        backups.back_up(opened, os.path.join(opened.path, place).rstrip("/"), None)

    assert opened.names() == ["a", "b", "c"]
    assert sorted(os.listdir(opened.path)) == [
        "collections",
        "making",
        "store.json",
        "trash",
    ]


def test_an_empty_target_or_source_is_refused(opened, tmp_path, monkeypatch):
    opened.close()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for call in (administration.back_up, administration.restore):
        with pytest.raises(errors.ConfigError, match="is no path"):
            call(opened.path, "")
    assert os.listdir(tmp_path / "here") == []


def test_what_a_killed_backup_left_is_cleared_by_the_next(opened, tmp_path):
    def partial(name, digits="0"):
        made = tmp_path / f"{name}.{digits * 32}.partial"
        (made / "collections").mkdir(parents=True)
        return made

    old = partial("monday")
    os.utime(old, (1, 1))
    killed = partial("tuesday")
    (killed / "backup.lock").touch()
    running = partial("wednesday")
    lock = files.FileLock(str(running / "backup.lock"))
    assert lock.acquire()
    (partial("thursday") / "thesis.txt").touch()
    (tmp_path / "friday.partial").mkdir()

    backups.back_up(opened, str(tmp_path / "today"), ["a"])

    assert not old.exists()
    assert not killed.exists()
    left = sorted(p.name.partition(".")[0] for p in tmp_path.iterdir())
    assert left == ["friday", "store", "thursday", "today", "wednesday"]
    assert sorted(os.listdir(tmp_path / "today")) == ["collections", "store.json"]
    lock.release()


# -- what is no file --------------------------------------------------------------


def link_out(shard, outside):
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (shard / "segments" / "link").symlink_to(outside)


def link_file(shard, outside):
    outside.write_text("{}")
    (shard / "edge_config.json").unlink()
    (shard / "edge_config.json").symlink_to(outside)


def pipe(shard, outside):
    os.mkfifo(shard / "segments" / "pipe")


def unix_socket(shard, outside):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"/tmp/fqe-{os.getpid()}")  # its path is limited
    os.rename(f"/tmp/fqe-{os.getpid()}", shard / "s")


def link_collection(shard, outside):
    shard.parent.rename(outside)
    shard.parent.symlink_to(outside)


def link_seal(shard, outside):
    (shard.parent / "seal.json").rename(outside)
    (shard.parent / "seal.json").symlink_to(outside)


def seal_outside(shard, outside):
    path = shard.parent / "seal.json"
    note = json.loads(path.read_text())
    path.write_text(json.dumps({**note, "checksums": {"../../../../etc/passwd": 1}}))


ODD = [link_out, link_file, pipe, unix_socket, link_collection, link_seal, seal_outside]


@pytest.mark.parametrize("make", ODD, ids=lambda make: make.__name__)
def test_only_plain_files_are_verified_restored_and_backed_up(opened, tmp_path, make):
    backups.back_up(opened, str(tmp_path / "b"), ["a", "c"])
    make(tmp_path / "b" / "collections" / "a" / "shard", tmp_path / "outside")

    with pytest.raises(errors.CollectionDamaged, match="'a' cannot be restored"):
        backups.restore(opened, str(tmp_path / "b"), ["a"], replace=True)
    crafted = Store(str(tmp_path / "b"), "0.9.0")
    with pytest.raises(errors.CollectionDamaged):
        crafted.get("a").counts()
    assert crafted.get("c").counts()["points_count"] == COUNT
    with pytest.raises(errors.CollectionDamaged):
        backups.back_up(crafted, str(tmp_path / "again"), ["a"])
    crafted.close()

    assert not (tmp_path / "again").exists()
    assert opened.get("a").counts()["points_count"] == COUNT


def test_copying_takes_only_directories_and_plain_files(tmp_path):
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "link").symlink_to("/etc/hostname")

    with pytest.raises(OSError, match="link"):
        files.copy_tree(str(tmp_path / "from"), str(tmp_path / "to"))

    assert list((tmp_path / "to").iterdir()) == []


SEALS = [b"", b"[]", b"5", b"{}", b'{"files": 5}', b"\xff\xfe{", b"[" * 100_000]


@pytest.mark.parametrize("content", SEALS, ids=range(len(SEALS)))
def test_a_seal_that_is_none_is_damage(opened, content):
    path = f"{opened.path}/collections/a/seal.json"
    store = reopened(opened)
    with open(path, "wb") as file:
        file.write(content)

    with pytest.raises(errors.CollectionDamaged, match=r"seal\.json"):
        store.get("a").counts()

    assert store.get("b").counts()["points_count"] == COUNT
    store.close()
