"""``python -m fiftyone_qdrant``: status, stop, verify, backup, restore."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import EmbeddedClient
from fiftyone_qdrant.embedded.client import administration, launcher
from fiftyone_qdrant.embedded.owner import backups
from fiftyone_qdrant.embedded.owner.store import Store

CHUNK = "collections/a/shard/segments/*/vector_storage/vectors/*.mmap"
SIZE = 16
COUNT = 1000
VECTORS = np.random.default_rng(6).standard_normal((COUNT, SIZE)).astype(np.float32)


def run(*words):
    """Runs a command and returns its exit status, output and errors."""
    done = subprocess.run(
        [sys.executable, "-m", "fiftyone_qdrant", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def fill(client, name, count=COUNT):
    client.create_collection(
        name,
        models.VectorParams(size=SIZE, distance=models.Distance.DOT),
        metadata={"of": name},
    )
    client.upload_collection(name, VECTORS[:count], ids=range(count))


@pytest.fixture
def filled(client):
    fill(client, "a")
    fill(client, "Ünï/b", 10)
    return client


@pytest.fixture
def backup(filled, store):
    """A backup of the store."""
    target = store.parent / "backup"
    administration.back_up(store, target)
    yield target
    launcher.stop(target)


def test_status_tells_owner_and_collections(filled, store):
    code, said, _ = run("status", "--path", store)

    assert code == 0
    assert f"running: pid {filled.store_info()['pid']}" in said
    assert "a: 1,000 points x 16" in said
    assert "searched exactly, indexed above 200,000 points" in said
    assert "Ünï/b: 10 points" in said


def test_status_starts_no_owner(filled, store):
    launcher.stop(store)

    code, said, _ = run("status", "--path", store)

    assert code == 0
    assert "not running" in said
    assert "a: 1,000 points x 16" in said
    assert launcher.running(store) is None


def test_status_of_no_store_makes_none(tmp_path):
    code, said, _ = run("status", "--path", tmp_path / "none")

    assert code == 0
    assert "no store there yet" in said
    assert not (tmp_path / "none").exists()


def test_what_is_no_store_is_said_in_a_sentence(tmp_path):
    file = tmp_path / "file"
    file.touch()
    code, _, said = run("status", "--path", file)
    assert (code, "Not a directory" in said) == (1, True)

    (tmp_path / "store.json").write_text("{")
    code, _, said = run("status", "--path", tmp_path)
    assert code == 1
    assert f"{tmp_path / 'store.json'} is not JSON" in said


def test_the_configured_store_is_the_default(filled, store, monkeypatch, tmp_path):
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH", str(store))
    assert str(store) in run("status")[1]

    monkeypatch.delenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH")
    config = tmp_path / "brain_config.json"
    config.write_text(f'{{"similarity_backends": {{"qdrant": {{"path": "{store}"}}}}}}')
    monkeypatch.setenv("FIFTYONE_BRAIN_CONFIG_PATH", str(config))
    assert str(store) in run("status")[1]

    monkeypatch.setenv("FIFTYONE_BRAIN_CONFIG_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(tmp_path / ".fiftyone" / "var" / "lib" / "qdrant") in run("status")[1]


def test_stop_ends_the_owner(filled, store):
    assert run("stop", "--path", store)[:2] == (0, "stopped\n")
    assert launcher.running(store) is None
    assert run("stop", "--path", store)[:2] == (0, "no owner was running\n")


def test_verify_says_what_it_did_and_fails_for_damage(filled, store):
    launcher.stop(store)
    code, said, _ = run("verify", "--path", store, "--collection", "a")
    assert (code, said.splitlines()[-1]) == (0, "no problems")
    assert "a: 1,000 points read" in said

    (chunk,) = store.glob(
        "collections/a/shard/segments/*/vector_storage/vectors/*.mmap"
    )
    with open(chunk, "r+b") as file:
        file.seek(100)
        file.write(b"x")

    code, said, _ = run("verify", "--path", store)
    assert code == 1
    assert "PROBLEM" in said
    assert "1 collections have problems" in said


def test_a_wrong_name_or_place_is_said_in_a_sentence(filled, store, tmp_path):
    code, said, _ = run("verify", "--path", store, "--collection", "c")
    assert (code, "no collection 'c'" in said) == (1, True)
    assert run("verify", "--path", tmp_path)[0] == 1
    assert "no embedded store" in run("backup", "--path", tmp_path, tmp_path / "b")[2]
    assert "is no backup" in run("restore", "--path", store, tmp_path)[2]
    assert run("explode")[0] == 2


def test_a_backup_of_a_store_in_use_is_a_store_of_its_own(filled, store, backup):
    filled.delete("a", list(range(500)))

    with EmbeddedClient(backup) as other:
        assert other.count("a").count == COUNT
        assert other.count("Ünï/b").count == 10
        found = other.retrieve("a", [999], with_vectors=True)[0].vector
        np.testing.assert_array_equal(found, VECTORS[999])
    assert [c["problems"] for c in administration.verify(backup)] == [[], []]


def test_a_backup_while_others_write_holds_what_was_acknowledged_before(
    filled, store, start_process
):
    writer = start_process(
        """
        client = EmbeddedClient(store)
        i = 0
        print("writing", flush=True)
        while True:
            client.upsert("a", [models.PointStruct(id=5000 + i, vector=[1.0] * 16)])
            i += 1
            print(i, flush=True)
        """
    )
    assert writer.stdout.readline() == "writing\n"
    for _ in range(20):
        before = int(writer.stdout.readline())

    administration.back_up(store, store.parent / "live")

    writer.kill()
    after = [int(line) for line in writer.stdout.read().split()]
    try:
        with EmbeddedClient(store.parent / "live") as other:
            written = other.count("a").count - COUNT
            assert before <= written <= max([before, *after]) + 1
            ids = [r.id for r in other.retrieve("a", range(5000, 5000 + written))]
            assert ids == list(range(5000, 5000 + written))
    finally:
        launcher.stop(store.parent / "live")


def test_a_backup_keeps_holes(backup):
    lengths = sum(f.stat().st_size for f in backup.rglob("*"))

    assert sum(f.stat().st_blocks * 512 for f in backup.rglob("*")) < lengths / 10


def test_a_backup_overwrites_nothing(filled, store, backup):
    code, _, said = run("backup", "--path", store, backup)

    assert code == 1
    assert "is not empty" in said


def test_restore_replaces_only_when_told_to(filled, store, backup):
    filled.delete("a", list(range(COUNT)))

    code, _, said = run("restore", "--path", store, backup)
    assert code == 1
    assert "has 'a', 'Ünï/b' already" in said or "has 'Ünï/b', 'a' already" in said
    assert filled.count("a").count == 0

    code, said, _ = run(
        "restore", "--path", store, backup, "--collection", "a", "--replace"
    )
    assert code == 0
    assert "a: 1,000 points" in said
    assert filled.count("a").count == COUNT
    info = filled.get_collection("a")
    assert info.config.metadata == {"of": "a"}
    filled.upsert("a", [models.PointStruct(id=7777, vector=[1.0] * SIZE)])
    assert filled.count("a").count == COUNT + 1


def test_restore_into_a_new_store_makes_it(backup, store):
    fresh = store.parent / "fresh"
    try:
        assert run("restore", "--path", fresh, backup)[0] == 0
        with EmbeddedClient(fresh) as other:
            assert other.count("a").count == COUNT
    finally:
        launcher.stop(fresh)


def test_restore_refuses_a_backup_with_a_changed_file(filled, store, backup):
    (chunk,) = backup.glob(
        "collections/a/shard/segments/*/vector_storage/vectors/*.mmap"
    )
    with open(chunk, "r+b") as file:
        file.seek(100)
        file.write(b"x")

    with pytest.raises(errors.CollectionDamaged, match=r"chunk_0\.mmap was changed"):
        administration.restore(store, backup, replace=True)

    assert filled.count("a").count == COUNT  # nothing was touched
    assert filled.count("Ünï/b").count == 10


def test_restore_opens_the_copy_before_it_replaces_anything(filled, store, backup):
    config = backup / "collections" / "a" / "shard" / "edge_config.json"
    config.write_bytes(b"?" * config.stat().st_size)

    with pytest.raises(errors.CollectionDamaged, match="'a' cannot be restored"):
        administration.restore(store, backup, replace=True)

    assert filled.count("a").count == COUNT
    assert filled.count("Ünï/b").count == 10


def test_restore_refuses_a_backup_without_checksums(filled, store, backup):
    path = backup / "collections" / "a" / "seal.json"
    seal = json.loads(path.read_text())
    del seal["checksums"]
    path.write_text(json.dumps(seal))

    with pytest.raises(errors.CollectionDamaged, match="has no checksums"):
        administration.restore(store, backup, replace=True)

    assert filled.count("a").count == COUNT


def test_no_names_are_not_all_and_the_same_twice_is_once(filled, store, backup):
    filled.delete("a", [0])

    assert administration.restore(store, backup, [], replace=True) == []
    assert administration.back_up(store, store.parent / "none", []) == []
    assert filled.count("a").count == COUNT - 1

    done = administration.restore(store, backup, ["a", "a"], replace=True)
    assert done == [{"name": "a", "points": COUNT}]


def test_a_collection_that_is_replaced_is_there_all_the_time(filled, store, backup):
    done = threading.Event()
    counts, failures = set(), []

    def read():
        with EmbeddedClient(store) as other:
            while not done.is_set():
                try:
                    counts.add(other.count("a").count)
                except errors.QdrantPluginError as exc:
                    failures.append(exc)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for _ in range(10):
        administration.restore(store, backup, ["a"], replace=True)
    done.set()
    for reader in readers:
        reader.join()

    assert (failures, counts) == ([], {COUNT})


@pytest.fixture
def opened(filled, store, backup):
    """The store, opened in this process instead of by an owner."""
    launcher.stop(store)
    opened = Store(str(store), "0.9.0")
    yield opened
    opened.close()


def test_a_collection_made_while_another_is_copied_is_not_replaced(
    opened, backup, monkeypatch
):
    opened.delete("a")
    config = opened.get("Ünï/b").config
    copy = backups.copy_tree

    def copy_slowly(*where):
        copy(*where)
        opened.create({**config, "name": "a"})

    monkeypatch.setattr(backups, "copy_tree", copy_slowly)
    with pytest.raises(errors.CollectionExists):
        backups.restore(opened, str(backup), ["a"], replace=False)

    assert opened.get("a").counts()["points_count"] == 0


def test_restore_looks_for_room_for_all_before_it_copies(opened, backup, monkeypatch):
    monkeypatch.setattr(backups, "tree_size", lambda path: 1 << 60)
    monkeypatch.setattr(backups, "copy_tree", lambda *where: pytest.fail("copied"))

    with pytest.raises(errors.StoreUnavailable, match="make room"):
        backups.restore(opened, str(backup), None, replace=True)


def test_nobody_waits_for_the_deletion_of_another_collection(opened):
    def delete():
        assert opened.delete("a")

    deleting = threading.Thread(target=delete)
    with opened.get("a").live.still():
        deleting.start()
        while "a" in opened.names():
            time.sleep(0.01)
        other = threading.Thread(target=opened.look_after)
        other.start()
        other.join(5)
        assert not other.is_alive()
        assert deleting.is_alive()
    deleting.join()
    assert opened.names() == ["Ünï/b"]


def test_restore_refuses_a_store_in_use_and_an_unknown_name(filled, store, backup):
    with (
        EmbeddedClient(backup),
        pytest.raises(errors.StoreUnavailable, match="a store in use"),
    ):
        administration.restore(store, backup, replace=True)
    launcher.stop(backup)
    with pytest.raises(errors.CollectionNotFound, match="no collection 'c'"):
        administration.restore(store, backup, ["c"])


@pytest.mark.parametrize("moved", [False, True], ids=["before", "between"])
def test_an_owner_that_ended_while_restoring_leaves_one_good_collection(
    filled, store, backup, moved
):
    launcher.stop(store)
    place = store / "collections" / "a"
    waiting = store / "collections" / "a.restored"
    if moved:
        place.rename(waiting)
    else:
        (backup / "collections" / "a").rename(waiting)

    assert filled.count("a").count == COUNT
    assert not waiting.exists()


def test_the_commands_do_not_wait_for_fiftyone(store):
    done = subprocess.run(
        [
            *(sys.executable, "-X", "importtime", "-m", "fiftyone_qdrant"),
            *("status", "--path", str(store)),
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "fiftyone_qdrant.embedded.client.administration" in imported
    assert not imported & {"fiftyone", "qdrant_client", "numpy", "qdrant_edge"}
