"""What must not end the owner: files, memory, logs, and clients that misbehave."""

from __future__ import annotations

import errno
import json
import os
import resource
import socket
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import qdrant_edge as qe
from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import EmbeddedClient, protocol
from fiftyone_qdrant.embedded.client import launcher, writing
from fiftyone_qdrant.embedded.owner import engine, live_shard, mapping, process
from fiftyone_qdrant.embedded.owner.collection import Collection
from fiftyone_qdrant.embedded.owner.live_shard import LiveShard
from tests.embedded.test_owner import IDS, VECTORS, fill, wait_until


def limits(pid):
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)


def test_the_owner_may_open_as_many_files_as_the_system_allows(client):
    assert limits(client.store_info()["pid"])[0] == limits(os.getpid())[1]


def test_too_many_connections_do_not_end_the_owner(client):
    fill(client)
    about = client.store_info()
    opened = len(os.listdir(f"/proc/{about['pid']}/fd"))
    _, most = limits(about["pid"])
    resource.prlimit(about["pid"], resource.RLIMIT_NOFILE, (opened + 10, most))
    address = launcher.running(client.path)["socket"]
    sockets = [socket.socket(socket.AF_UNIX) for _ in range(30)]
    for sock in sockets:
        sock.connect(address)

    log = Path(client.path, "owner.log")
    wait_until(lambda: "Too many open files" in log.read_text())
    assert client.count("a").count == len(IDS)
    with pytest.raises(errors.StoreUnavailable, match="ulimit -n"):
        client.create_collection("b", models.VectorParams(size=8, distance="Dot"))
    for sock in sockets:
        sock.close()

    with EmbeddedClient(client.path) as other:
        assert other.store_info()["pid"] == about["pid"]


CAUSES = {
    errno.EMFILE: "ulimit -n",
    errno.ENFILE: "too many files",
    errno.ENOMEM: "not enough memory",
    errno.EAGAIN: "no resources",
    errno.EACCES: "may not be read",
    errno.EROFS: "cannot be written",
    errno.ENOSPC: "make room",
    errno.EIO: "disk does not work",
    errno.ESTALE: "mount it again",
}


def forms(number):
    """The ways in which a system's error comes."""
    text = os.strerror(number)
    panic = type("PanicException", (BaseException,), {})
    yield Exception(f"Service runtime error: {text} (os error {number})")
    yield Exception(f"cannot open: {text}")
    yield panic(f'unwrap() on Err: Os {{ code: {number}, kind: Other, message: "x" }}')
    yield OSError(number, text)


@pytest.mark.parametrize("number", CAUSES, ids=errno.errorcode.get)
@pytest.mark.parametrize("form", range(4), ids=["number", "text", "panic", "own"])
def test_what_passes_is_not_called_damage(tmp_path, monkeypatch, number, form):
    (tmp_path / "shard").mkdir()
    live = LiveShard("a", str(tmp_path / "shard"))

    def refuse(*_):
        raise list(forms(number))[form]

    where = (live_shard.seal, "read") if form == 3 else (qe.EdgeShard, "load")
    shard = SimpleNamespace(load=refuse)
    if form == 3:
        monkeypatch.setattr(*where, refuse)
    else:
        monkeypatch.setattr(live_shard, "qe", SimpleNamespace(EdgeShard=shard))
    for _ in range(2):
        with pytest.raises(errors.StoreUnavailable, match=CAUSES[number]) as said:
            live.use().__enter__()
        assert "damaged" not in str(said.value)


def test_what_the_engine_says_of_broken_files_is_still_damage():
    for words in ("no such file (os error 2)", "invalid (os error 22)"):
        assert engine.transient(Exception(words)) is None
        assert isinstance(engine.translated(Exception(words), "a"), errors.EngineError)


# -- messages ---------------------------------------------------------------------


def connect(client):
    return launcher.connect(client.path)


def memory(pid):
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_a_header_takes_no_memory_for_what_does_not_come(client):
    pid = client.store_info()["pid"]
    before = memory(pid)
    sockets = [connect(client) for _ in range(6)]
    for sock in sockets:
        sock.sendall(struct.pack("<QQ", protocol.MAX_REQUEST, 0) + b"x" * 1000)
        client.get_collections()

    assert memory(pid) - before < 200 << 20
    for sock in sockets:
        sock.close()


def frame(header, lengths=None):
    return struct.pack("<QQ", *(lengths or (len(header), 0))) + header


MALFORMED = {
    "too long": struct.pack("<QQ", protocol.MAX_REQUEST + 1, 0),
    "buffers too long": frame(json.dumps({"m": {"op": "x"}, "b": [1 << 29]}).encode()),
    "negative": frame(b'{"m": {"op": "names"}, "b": [-5]}'),
    "text": frame(b'{"m": {"op": "names"}, "b": ["5"]}'),
    "no list": frame(b'{"m": {"op": "names"}, "b": 5}'),
    "no message": frame(b'{"m": 5, "b": []}'),
    "no object": frame(b"[]"),
    "no json": frame(b"\xff\xfe"),
    "deep": frame(b"[" * 200_000),
    "other sum": frame(b'{"m": {"op": "names"}, "b": [1]}xyz', (32, 3)),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_message_ends_its_connection_and_no_more(shared_client, name):
    with connect(shared_client) as sock:
        sock.settimeout(10)
        sock.sendall(MALFORMED[name])
        with pytest.raises((EOFError, ConnectionError)):
            protocol.receive(sock)
    shared_client.get_collections()


def test_a_message_in_many_pieces_is_what_was_sent(monkeypatch, rng):
    monkeypatch.setattr(protocol, "_AT_ONCE", 8)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for length in (0, 1, 7, 8, 9, 17, 64, 1000):
            data = rng.bytes(length)
            protocol.send(ours, {"n": length}, [data, b"end"])
            assert protocol.receive(theirs) == ({"n": length}, [data, b"end"])
            ours.sendall(data)
            assert protocol.receive_exactly(theirs, length) == data


def test_a_request_that_is_too_large_is_refused_before_it_is_sent(
    shared_client, monkeypatch
):
    monkeypatch.setattr(protocol, "MAX_REQUEST", 10_000)
    some = models.Filter(must=[models.HasIdCondition(has_id=list(range(5000)))])

    with pytest.raises(errors.RequestTooLarge, match="send less at a time"):
        shared_client.count("none", count_filter=some)


def test_large_payloads_are_written_in_several_messages(client, monkeypatch):
    monkeypatch.setattr(writing, "_PAYLOAD_BYTES_PER_MESSAGE", 1000)
    client.create_collection("a", models.VectorParams(size=8, distance="Dot"))
    payload = [{"text": "x" * (i % 7) * 100, "i": i} for i in range(50)]
    sizes, write = [], client._write

    def count(op, request, *args):
        sizes.append(len(request.buffers[request.message["payloads"]]))
        return write(op, request, *args)

    monkeypatch.setattr(client, "_write", count)
    client.upload_collection("a", VECTORS[:50], payload=payload, ids=IDS[:50])

    assert max(sizes) <= 1000 < sum(sizes)
    found = client.retrieve("a", IDS[:50], with_vectors=True)
    assert [r.payload for r in found] == payload
    np.testing.assert_array_equal(np.stack([r.vector for r in found]), VECTORS[:50])


@pytest.mark.parametrize(
    "name",
    ["TypeError", "_Feature", "annotations", "sentence", "", None, 5, "__name__"],
)
def test_an_unknown_error_name_is_an_engine_error(name):
    found = launcher.to_error({"error": name, "message": "words"})

    assert type(found) is errors.EngineError
    assert str(found) == "words"


# -- what must not grow -----------------------------------------------------------


def test_a_log_keeps_its_end_when_it_is_long(tmp_path):
    log = tmp_path / "owner.log"
    lines = [f"{i:09d}\n" for i in range(110_000)]
    log.write_text("".join(lines))
    with open(log, "ab", buffering=0) as writer:
        process.shorten_log(str(log))
        writer.write(b"last\n")

    kept = log.read_text().splitlines(keepends=True)
    assert log.stat().st_size < 300_000
    assert kept == [*lines[1 - len(kept) :], "last\n"]


def test_a_running_owner_shortens_its_log(client):
    log = f"{client.path}/owner.log"
    with open(log, "ab") as file:
        file.write(b"x\n" * (1 << 20))

    wait_until(lambda: os.stat(log).st_size < 1 << 20)
    client.get_collections()


def test_few_sets_of_ids_are_kept(monkeypatch):
    monkeypatch.setattr(mapping, "_ID_BYTES_KEPT", 1 << 16)
    mapping._id_sets.clear()
    for i in range(20):
        ids = np.arange(i, i + 3000, dtype=np.uint64).tobytes()
        mapping._has_id(["i", 0], [memoryview(ids)])
        assert 0 < len(mapping._id_sets) <= 4
    before = list(mapping._id_sets)
    large = np.arange(10_000, dtype=np.uint64).tobytes()
    mapping._has_id(["i", 0], [memoryview(large)])
    assert list(mapping._id_sets) == before


def test_the_files_of_the_owner_are_put_back(client):
    fill(client)
    for name in ("owner.json", "owner.key"):
        os.unlink(f"{client.path}/{name}")
    wait_until(lambda: launcher.running(client.path) is not None)

    with EmbeddedClient(client.path) as other:
        assert other.store_info()["pid"] == client.store_info()["pid"]


@pytest.mark.parametrize("vector", [None, [], [1.0] * 7])
def test_a_vector_that_cannot_be_read_is_damage_in_words(tmp_path, vector):
    config = {"name": "a", "vectors": {"size": 8, "distance": "Dot"}}
    points = [SimpleNamespace(id=3, vector=vector)]

    with pytest.raises(errors.CollectionDamaged, match="point 3 has no vector of 8"):
        Collection(str(tmp_path), config)._points(points, vectors=True, payload=False)
