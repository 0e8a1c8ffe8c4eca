"""Backups at URLs: in chunks, broken off and gone on with, kept, damaged, restored."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.__main__ import main
from fiftyone_qdrant.embedded import EmbeddedClient
from fiftyone_qdrant.embedded.client import chunks, launcher, remote_backups
from fiftyone_qdrant.embedded.client import remote_archive as archive
from fiftyone_qdrant.embedded.client.remote_place import Place, is_url
from fiftyone_qdrant.embedded.files import FileLock
from tests.embedded.conftest import temporary_store
from tests.embedded.far_away import damage, of

SIZE = 16
VECTORS = np.random.default_rng(7).standard_normal((1000, SIZE)).astype(np.float32)
NAMES = ["a", "Ünï/b"]


@pytest.fixture
def run(capsys):
    """``run(*words)`` runs a command: its exit status, output and errors."""

    def run(*words):
        code = main([str(word) for word in words])
        return code, *capsys.readouterr()

    return run


def fill(client):
    for name, count in zip(NAMES, (1000, 10), strict=True):
        client.create_collection(
            name, models.VectorParams(size=SIZE, distance=models.Distance.DOT)
        )
        client.upload_collection(name, VECTORS[:count], ids=range(count))


@pytest.fixture(scope="module")
def filled():
    """The path of a store with two collections that no test writes to."""
    with temporary_store() as path, EmbeddedClient(path) as client:
        fill(client)
        yield path


def chunk_files(folder):
    return sorted(p for p in folder.glob("chunks/*/*") if p.is_file())


def assert_restored(store):
    with EmbeddedClient(store) as client:
        for name, count in zip(NAMES, (1000, 10), strict=True):
            found = client.retrieve(name, list(range(count)), with_vectors=True)
            np.testing.assert_array_equal(
                np.array([p.vector for p in found], np.float32), VECTORS[:count]
            )


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_what_is_restored_from_a_url_is_what_was_backed_up(
    filled, store, memory, folder, kind
):
    url = memory if kind == "memory" else of(folder)

    done = remote_backups.back_up(filled, url)
    (found,) = remote_backups.verify(url)
    restored = remote_backups.restore(store, url)

    assert found["problems"] == []
    assert found["compared"] == done.chunks == done.sent
    assert {c["name"]: c["points"] for c in restored} == {"a": 1000, "Ünï/b": 10}
    assert_restored(store)


def test_holes_are_not_sent(filled, memory):
    done = remote_backups.back_up(filled, memory)

    length = sum(p.stat().st_size for p in filled.glob("collections/*/shard/**/*"))
    assert done.bytes < 4 << 20 < 100 << 20 < length


def test_progress_says_how_much_is_there(filled, memory):
    said = []

    done = remote_backups.back_up(
        filled, memory, ["a"], progress=lambda *now: said.append(now)
    )

    assert len(said) == done.chunks
    assert said == sorted(said)
    assert said[-1] == (done.bytes, done.bytes)


def test_a_second_backup_sends_only_what_changed(filled, memory):
    first = remote_backups.back_up(filled, memory)
    second = remote_backups.back_up(filled, memory)

    assert second.chunks == first.chunks
    assert second.sent < first.sent / 2
    assert second.bytes_sent < first.bytes_sent / 4


class BrokenOff(Exception):
    """Stands for the end of a process."""


def test_a_backup_that_was_broken_off_goes_on(filled, memory, monkeypatch):
    monkeypatch.setattr(chunks, "CHUNK", 1 << 14)
    write, sent = Place.write, []

    def stop_after_five(self, name, data):
        if name.startswith("chunks/"):
            if len(sent) >= 5:
                raise BrokenOff

            sent.append(name)
        write(self, name, data)

    monkeypatch.setattr(archive, "_WORKERS", 1)
    monkeypatch.setattr(Place, "write", stop_after_five)
    with pytest.raises(BrokenOff):
        remote_backups.back_up(filled, memory)
    assert archive.names(Place(memory)) == []

    monkeypatch.setattr(Place, "write", write)
    there = set(archive.chunk_sizes(Place(memory)))
    done = remote_backups.back_up(filled, memory)

    (name,) = archive.names(Place(memory))
    again = there & archive.read(Place(memory), name).digests()
    assert len(there) == 5
    assert done.sent == done.chunks - len(again)
    assert len(again) >= 3  # what tells when it was made is not the same
    assert [found["problems"] for found in remote_backups.verify(memory)] == [[]]


def test_half_a_chunk_and_a_wrong_one_are_sent_again(filled, folder):
    remote_backups.back_up(filled, of(folder))
    for path in folder.glob("backups/*"):
        path.unlink()  # as if it had been broken off
    long = [p for p in chunk_files(folder) if p.stat().st_size > 10_000]
    os.truncate(long[0], 100)
    damage(long[1])

    done = remote_backups.back_up(filled, of(folder))

    assert done.sent >= 2
    assert [found["problems"] for found in remote_backups.verify(of(folder))] == [[]]


def test_what_a_killed_backup_left_on_the_disk_is_deleted_by_the_next(
    filled, memory, tmp_path, monkeypatch
):
    monkeypatch.setattr(remote_backups.tempfile, "tempdir", str(tmp_path))
    left, used, other = (
        tmp_path / f"{remote_backups._ROOM}{name}" for name in ("left", "used", "x")
    )
    for path in (left, used):
        (path / "backup").mkdir(parents=True)
        os.utime(path, (0, 0))
    other.write_text("no directory")
    os.utime(other, (0, 0))
    lock = FileLock(str(used / remote_backups._LOCK))
    lock.acquire()
    os.utime(used, (0, 0))

    remote_backups.back_up(filled, memory, ["a"])

    lock.release()
    assert sorted(tmp_path.iterdir()) == [used, other]


def largest(folder):
    return max(chunk_files(folder), key=lambda p: p.stat().st_size)


@pytest.mark.parametrize(
    ("harm", "said"),
    [(damage, "is not what was written"), (os.unlink, "is not there")],
)
def test_a_damaged_chunk_is_found_and_nothing_is_restored(
    filled, store, folder, run, harm, said
):
    remote_backups.back_up(filled, of(folder))
    harm(largest(folder))

    code, out, _ = run("verify", "--path", of(folder))
    assert (code, out.count("PROBLEM"), said in out) == (1, 1, True)
    assert "1 backups have problems" in out
    with pytest.raises(errors.CollectionDamaged, match=said):
        remote_backups.restore(store, of(folder))
    assert not store.exists()


def test_a_deleted_bad_chunk_is_mended_by_the_next_backup(filled, folder):
    remote_backups.back_up(filled, of(folder))
    largest(folder).unlink()

    remote_backups.back_up(filled, of(folder))

    assert [f["problems"] for f in remote_backups.verify(of(folder))] == [[], []]


def test_keep_deletes_older_backups_and_what_only_they_need(filled, folder):
    other = remote_backups.back_up(filled, of(folder), ["a"])
    done = [remote_backups.back_up(filled, of(folder), keep=2) for _ in range(4)]

    place = Place(of(folder))
    assert archive.names(place) == [other.name, done[2].name, done[3].name]
    assert [d.backups_deleted for d in done] == [0, 0, 1, 1]
    assert done[3].chunks_deleted > 0
    named = set().union(
        *(archive.read(place, n).digests() for n in archive.names(place))
    )
    assert set(archive.chunk_sizes(place)) == named
    assert all(not f["problems"] for f in remote_backups.verify(of(folder)))
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == sorted(
        [*archive.names(place), *named]
    )


def test_an_older_backup_is_restored_by_its_url(client, store, memory):
    fill(client)
    first = remote_backups.back_up(store, memory)
    client.delete("a", list(range(500)))
    remote_backups.back_up(store, memory)

    with temporary_store() as other:
        old = f"{memory}/backups/{first.name}"
        (done,) = remote_backups.restore(other, old, ["a"])
        assert done == {"name": "a", "points": 1000}
        (done,) = remote_backups.restore(other, memory, ["a"], replace=True)
        assert done == {"name": "a", "points": 500}
        with pytest.raises(errors.CollectionExists):
            remote_backups.restore(other, memory)


def test_a_damaged_collection_is_left_out_and_nothing_is_deleted(
    client, store, folder, run
):
    fill(client)
    whole = remote_backups.back_up(store, of(folder))
    launcher.stop(store)
    (store / "collections" / "a" / "collection.json").write_text("{")

    code, _, said = run("backup", of(folder), "--path", store, "--keep", "1")

    assert code == 1
    assert "has no copy of 'a', only of 'Ünï/b'" in said
    first, second = archive.names(Place(of(folder)))
    assert first == whole.name
    assert f"{of(folder)}/backups/{second}" in said


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["restore", "memory://nothing"], "there is no backup at memory://nothing"),
        (["verify"], "there is no backup at memory://nothing"),
        (["backup", "nowhere://x/y"], "Protocol not known: nowhere"),
        (["backup", "memory://x", "--keep", "0"], "one backup, at least, is kept"),
        (["backup", "/tmp/never", "--keep", "3"], "--keep is for a URL"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(filled, run, command, said):
    path = "memory://nothing" if command == ["verify"] else filled
    code, _, words = run(*command, "--path", path)

    assert code == 1
    assert said in words


def test_a_url_needs_fsspec_and_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec.core", None)

    with pytest.raises(errors.ConfigError, match=r"fiftyone-qdrant\[remote\]"):
        Place("s3://bucket")


def test_a_password_is_not_repeated():
    with pytest.raises(errors.ConfigError) as caught:
        Place("nowhere://me:secret@host/x")

    assert "secret" not in str(caught.value)


def test_fsspec_is_imported_for_urls_only(start_process):
    code = """
from fiftyone_qdrant.embedded.client import remote_backups
print("fsspec" in sys.modules)
"""
    process = start_process(code, client=False)
    assert process.communicate(timeout=60)[0] == "False\n"


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("s3://b/x", True),
        ("file:///x", True),
        ("simplecache::s3://b", True),
        ("/x://y", False),
        ("C:/x", False),
        ("backups", False),
    ],
)
def test_urls_are_told_from_directories(place, expected):
    assert is_url(place) is expected


@pytest.fixture
def s3():
    """The environment in which s3:// is a server of this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server.stop()


@pytest.mark.s3
def test_all_commands_work_with_an_s3_server(filled, store, s3, run, monkeypatch):
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    url = "s3://bucket/backups of mine"
    code, _, said = run("backup", url, "--path", filled)
    assert (code, "s3://bucket" in said) == (1, True)  # it makes no bucket

    import boto3

    boto3.client("s3").create_bucket(Bucket="bucket")
    for deleted in (0, 0, 1):
        code, out, said = run("backup", url, "--path", filled, "--keep", "2")
        assert (code, said) == (0, "")
        assert f"deleted {deleted} older backups" in out

    assert run("verify", "--path", url)[0] == 0
    assert run("restore", url, "--path", store)[0] == 0
    assert_restored(store)
    assert Place(url).list("running") == {}
