"""What is at a URL: lists and chunks, and two programs that work there at once."""

from __future__ import annotations

import hashlib
import json
import uuid
from types import SimpleNamespace

import pytest

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.client import chunks, remote_backups
from fiftyone_qdrant.embedded.client import remote_archive as archive
from fiftyone_qdrant.embedded.client.remote_place import Place
from tests.embedded.far_away import damage, of


def backup_of(place, text, origin="x", whole=True):
    """Adds a backup of one small file."""
    digest = hashlib.sha256(text).hexdigest()
    place.write(archive.chunk_place(digest), text)
    tree = chunks.Tree((), {"f": len(text)}, (chunks.Chunk("f", 0, len(text), digest),))
    return archive.add(place, {"store": origin}, whole, {}, tree)


def test_what_a_running_backup_needs_is_not_deleted(memory):
    place = Place(memory)
    old, new = backup_of(place, b"old"), backup_of(place, b"new")

    with archive.running(place, old.digests()) as check:
        assert archive.keep(place, new, 1) == (1, 0)
        assert archive.chunk_sizes(place).keys() == old.digests() | new.digests()
        check()

    assert archive.keep(place, new, 1) == (0, 1)
    assert archive.chunk_sizes(place).keys() == new.digests()


def test_what_was_broken_off_long_ago_keeps_nothing(memory, monkeypatch):
    place = Place(memory)
    old, new = backup_of(place, b"old"), backup_of(place, b"new")
    monkeypatch.setattr(archive, "_RUNNING_SECONDS", -1.0)

    with archive.running(place, old.digests()) as check:
        assert archive.keep(place, new, 1) == (1, 1)
        with pytest.raises(errors.StoreUnavailable, match="took so long"):
            check()


def test_a_backup_waits_until_nobody_clears(memory, monkeypatch, caplog):
    place, note = Place(memory), f"clearing/{uuid.uuid4().hex}.json"
    place.write(note, b"{}")
    slept = []

    def sleep(seconds):
        assert len(place.list("running")) == 1  # it said so first
        slept.append(seconds)
        if len(slept) == 3:
            place.delete(note)

    clock = SimpleNamespace(sleep=sleep, monotonic=lambda: 0.0, time=lambda: 0.0)
    monkeypatch.setattr(archive, "time", clock)

    with archive.running(place, set()):
        assert len(slept) == 3
    assert [r.message.split(",")[0] for r in caplog.records] == [
        f"{memory}: another program deletes old chunks"
    ]


def test_a_clearing_that_was_killed_is_waited_for_no_longer_than_it_may_take(
    memory, monkeypatch
):
    place, note = Place(memory), f"clearing/{uuid.uuid4().hex}.json"
    place.write(note, b"{}")
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    clock = SimpleNamespace(sleep=sleep, monotonic=lambda: now[0], time=lambda: now[0])
    monkeypatch.setattr(archive, "time", clock)

    with archive.running(place, set()):
        assert now[0] > archive._CLEAR_SECONDS
        assert place.list("clearing") == {}


def test_nothing_is_cleared_while_a_backup_cannot_be_read(folder):
    place = Place(of(folder))
    bad, new = backup_of(place, b"bad", "y"), backup_of(place, b"new")
    damage(folder / "backups" / bad.name)

    with pytest.raises(errors.CollectionDamaged, match="is not what was written"):
        archive.keep(place, new, 1)

    assert archive.chunk_sizes(place).keys() == bad.digests() | new.digests()


def test_backups_that_are_not_whole_take_no_place_of_whole_ones(memory):
    place = Place(memory)
    first, part, second = (
        backup_of(place, text, whole=whole)
        for text, whole in ((b"1", True), (b"2", False), (b"3", True))
    )

    archive.keep(place, second, 2)
    assert archive.names(place) == [first.name, part.name, second.name]
    archive.keep(place, second, 1)
    assert archive.names(place) == [second.name]


@pytest.mark.parametrize("path", ["../out", "/out", "a/../../out", "a//b", ""])
def test_a_backup_that_would_write_elsewhere_is_refused(memory, store, path):
    place = Place(memory)
    tree = chunks.Tree((), {path: 0}, ())
    with pytest.raises(errors.CollectionDamaged, match="no path in a backup"):
        archive.add(place, {}, True, {}, tree)
    with pytest.raises(errors.CollectionDamaged, match="no path in a backup"):
        remote_backups.restore(store, memory)


@pytest.mark.parametrize(
    "content",
    [
        [],
        {"format": 1},
        {"format": "1", "directories": [], "files": {}},
        {"format": 1, "directories": [], "files": {"f": {"size": -1, "chunks": []}}},
        {"format": 1, "directories": [], "files": {"f": {"size": 1, "chunks": [3]}}},
        {
            "format": 1,
            "directories": [],
            "files": {"f": {"size": 1, "chunks": [[1, 1, "0" * 64]]}},
        },
    ],
)
def test_what_is_no_backup_is_said(memory, content):
    data = json.dumps(content).encode()
    digest = hashlib.sha256(data).hexdigest()[:16]
    name = f"20260101T000000.000000Z-{digest}.json"
    Place(memory).write(f"backups/{name}", data)

    (found,) = remote_backups.verify(memory)

    assert ["is no backup" in problem for problem in found["problems"]] == [True]
