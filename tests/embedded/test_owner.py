"""The owner process: one per store, found, replaced and ended."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import EmbeddedClient, protocol
from fiftyone_qdrant.embedded.client import launcher

VECTORS = np.random.default_rng(1).standard_normal((500, 8)).astype(np.float32)
IDS = list(range(500))


def fill(client, name="a"):
    client.create_collection(
        name, models.VectorParams(size=8, distance=models.Distance.DOT)
    )
    client.upload_collection(name, VECTORS, ids=IDS)


def wait_until(condition, seconds=10.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return state(pid) != "Z"  # a zombie that nobody reaps is dead


def state(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_ten_programs_that_start_at_once_share_one_owner(start_process):
    code = """
        sys.stdin.readline()
        connection = launcher.connect(store)
        print(launcher.running(store)["pid"])
        """
    starters = [start_process(code, client=False) for _ in range(10)]
    for starter in starters:
        starter.stdin.write("\n")
        starter.stdin.flush()

    pids = {starter.communicate(timeout=60)[0].strip() for starter in starters}

    assert len(pids) == 1
    assert pids != {""}


@pytest.mark.parametrize("name", ["store.json.4711.new", "owner.key.4711.new"])
def test_what_an_owner_is_writing_as_it_starts_is_not_of_others(store, name):
    store.mkdir(mode=0o700)
    (store / name).touch(0o600)
    (store / "owner.lock").touch(0o600)
    with EmbeddedClient(store) as client:
        assert client.get_collections().collections == []


def test_the_owner_outlives_the_program_that_started_it(store, start_process):
    starter = start_process("print(EmbeddedClient(store).store_info()['pid'])")
    pid = int(starter.communicate(timeout=30)[0])

    assert is_alive(pid)
    assert launcher.running(store)["pid"] == pid


def test_all_spellings_of_a_path_reach_the_same_owner(client, store, monkeypatch):
    link = store.parent / "link"
    link.symlink_to(store)
    monkeypatch.chdir(store.parent)
    monkeypatch.setenv("HOME", str(store.parent))
    pid = client.store_info()["pid"]

    for spelling in (link, store.name, f"~/{store.name}", f"{store}/../{store.name}"):
        with EmbeddedClient(spelling) as other:
            assert other.store_info()["pid"] == pid
            assert other.path == client.path


def test_two_processes_read_and_write_the_same_store_at_once(client, start_process):
    fill(client)
    writer = start_process(
        """
        client = EmbeddedClient(store)
        for i in range(200):
            points = [models.PointStruct(id=1000 + i, vector=[float(i)] * 8)]
            client.upsert("a", points)
            assert client.count("a").count >= 501 + i
        print(client.retrieve("a", [5000])[0].payload)
        """
    )
    client.upsert(
        "a", [models.PointStruct(id=5000, vector=[1.0] * 8, payload={"from": "here"})]
    )

    for i in range(200):
        client.upsert("a", [models.PointStruct(id=2000 + i, vector=[float(i)] * 8)])
        client.query_points("a", query=VECTORS[i % 500])

    assert writer.communicate(timeout=60)[0].strip() == "{'from': 'here'}"
    assert client.count("a").count == 500 + 200 + 200 + 1


def test_nothing_acknowledged_is_lost_when_the_owner_is_killed(client):
    fill(client)
    client.set_payload("a", {"x": 1}, [7])
    client.delete("a", [8])
    pid = client.store_info()["pid"]

    os.kill(pid, signal.SIGKILL)

    assert client.count("a").count == 499
    assert client.store_info()["pid"] != pid
    found = client.retrieve("a", IDS, with_vectors=True)
    assert [r.id for r in found] == [i for i in IDS if i != 8]
    assert found[7].payload == {"x": 1}
    np.testing.assert_array_equal(
        np.stack([r.vector for r in found]), np.delete(VECTORS, 8, axis=0)
    )


@pytest.mark.parametrize("round_", range(2))
def test_an_upload_goes_on_when_the_owner_is_killed_in_between(
    client, start_process, store, round_
):
    client.create_collection(
        "a", models.VectorParams(size=8, distance=models.Distance.DOT)
    )
    pid = client.store_info()["pid"]
    uploader = start_process(
        """
        client = EmbeddedClient(store)
        for i in range(60):
            ids = list(range(i * 100, i * 100 + 100))
            client.upload_collection("a", [[float(j)] * 8 for j in ids], ids=ids)
        print("done")
        """
    )
    wait_until(lambda: client.count("a").count > 300 * (round_ + 1))

    os.kill(pid, signal.SIGKILL)

    assert uploader.communicate(timeout=60)[0].strip() == "done"
    assert client.count("a").count == 6000


def test_a_forked_child_gets_a_connection_of_its_own(client):
    fill(client)
    receiving, sending = os.pipe()

    child = os.fork()
    if child == 0:
        try:
            for _ in range(50):
                count = client.count("a").count
            client.upsert("a", [models.PointStruct(id=9000, vector=[1.0] * 8)])
            os.write(sending, str(count).encode())
        finally:
            os._exit(0)
    for _ in range(50):
        assert client.count("a").count >= 500
    os.waitpid(child, 0)

    assert os.read(receiving, 10) == b"500"
    assert client.count("a").count == 501
    os.close(receiving)
    os.close(sending)


def test_the_owner_leaves_when_nobody_is_connected(store, monkeypatch):
    monkeypatch.setenv("FIFTYONE_QDRANT_OWNER_IDLE_SECONDS", "0.3")
    with EmbeddedClient(store) as client:
        fill(client)
        pid = client.store_info()["pid"]
        time.sleep(0.8)
        assert client.store_info()["pid"] == pid  # not while somebody is

    wait_until(lambda: not is_alive(pid))

    assert launcher.running(store) is None
    assert not (store / "owner.json").exists()
    assert not (store / "owner.sock").exists()
    with EmbeddedClient(store) as client:
        assert client.count("a").count == 500


def test_sigterm_makes_the_owner_flush_and_leave(client):
    fill(client)
    pid = client.store_info()["pid"]

    os.kill(pid, signal.SIGTERM)

    wait_until(lambda: not is_alive(pid))
    assert client.count("a").count == 500


def test_stop_ends_the_owner_and_says_so(client, store):
    pid = client.store_info()["pid"]

    assert launcher.stop(store)

    assert not is_alive(pid)
    assert launcher.running(store) is None
    assert not launcher.stop(store)


def test_a_client_goes_on_after_a_stop(client, store):
    fill(client)

    launcher.stop(store)

    assert client.count("a").count == 500


def test_a_closed_client_says_that_it_is_closed(store):
    client = EmbeddedClient(store)
    client.close()

    with pytest.raises(errors.ConnectionFailed, match="closed"):
        client.get_collections()


def test_a_store_can_be_removed_and_made_anew_under_a_running_owner(client, store):
    fill(client)
    old = client.store_info()["pid"]

    shutil.rmtree(store)

    with EmbeddedClient(store) as other:
        assert other.get_collections().collections == []
        wait_until(lambda: not is_alive(old))
        assert launcher.running(store)["pid"] == other.store_info()["pid"] != old


def test_a_deep_directory_works_although_its_socket_path_is_too_long(store):
    deep = store / ("d" * 60) / ("e" * 60)
    try:
        with EmbeddedClient(deep) as client:
            fill(client)
            address = launcher.running(deep)["socket"]
            assert not address.startswith(str(store))
            assert stat.S_IMODE(os.stat(os.path.dirname(address)).st_mode) == 0o700
    finally:
        launcher.stop(deep)


def test_only_the_user_can_read_the_store(client, store):
    fill(client)

    assert stat.S_IMODE(store.stat().st_mode) == 0o700
    for name in ("owner.key", "owner.sock", "owner.json", "store.json"):
        assert stat.S_IMODE((store / name).stat().st_mode) == 0o600


def test_who_does_not_know_the_key_gets_nothing(client):
    about = launcher.running(client.path)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(5)
        sock.connect(about["socket"])
        with pytest.raises((EOFError, ConnectionError)):
            protocol.answer_handshake(sock, b"x" * 32)
    assert client.get_collections().collections == []


def test_an_impostor_that_does_not_know_the_key_is_not_answered():
    ours, theirs = socket.socketpair()

    def pretend():
        greeting = protocol._GREETING
        theirs.sendall(greeting.pack(protocol._MAGIC, protocol.PROTOCOL, b"n" * 32))
        protocol.receive_exactly(theirs, greeting.size + 32)
        theirs.sendall(b"x" * 32)

    with ours, theirs, ThreadPoolExecutor(1) as pool:
        done = pool.submit(pretend)
        with pytest.raises(protocol.HandshakeError, match="owner does not know"):
            protocol.answer_handshake(ours, b"k" * 32)
        done.result(5)


def test_creating_is_not_sent_twice_when_the_owner_dies_in_between(client, monkeypatch):
    client.get_collections()
    receive, asked = protocol.receive, []

    def die(sock):
        asked.append(sock)
        receive(sock)
        raise EOFError

    shape = models.VectorParams(size=8, distance=models.Distance.DOT)
    with monkeypatch.context() as patched:
        patched.setattr(protocol, "receive", die)
        with pytest.raises(errors.ConnectionFailed, match="which may be done"):
            client.create_collection("b", shape)

    assert len(asked) == 1
    assert client.collection_exists("b")


def test_a_silent_connection_does_not_keep_others_out(client):
    about = launcher.running(client.path)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(about["socket"])

        with EmbeddedClient(client.path) as other:
            assert other.get_collections().collections == []


def test_an_owner_that_does_not_answer_in_time_is_an_error_in_words(client):
    fill(client)
    pid = client.store_info()["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state(pid) == "T")
    try:
        with pytest.raises(errors.ConnectionFailed, match="did not answer 'count'"):
            client.count("a", timeout=0.2)
    finally:
        os.kill(pid, signal.SIGCONT)

    assert client.count("a").count == 500


def test_another_protocol_version_is_refused_in_words(client, monkeypatch):
    monkeypatch.setattr(protocol, "PROTOCOL", 99)

    with pytest.raises(errors.StoreUnavailable, match="another version"):
        EmbeddedClient(client.path)


def test_the_owner_imports_neither_fiftyone_nor_the_client(client):
    fill(client)
    mapped = Path(f"/proc/{client.store_info()['pid']}/maps").read_text()

    assert "qdrant_edge" in mapped
    assert "pydantic_core" not in mapped
    assert "pymongo" not in mapped


def test_no_secret_of_the_environment_reaches_the_owner(store, monkeypatch):
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_API_KEY", "very-secret")
    with EmbeddedClient(store) as client:
        environment = Path(f"/proc/{client.store_info()['pid']}/environ")

        assert b"very-secret" not in environment.read_bytes()


def test_threads_share_a_client(client):
    fill(client)

    def search(i):
        hits = client.query_points("a", query=VECTORS[i], limit=500).points
        return [hit.id for hit in hits]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(search, range(100)))

    assert found == [search(i) for i in range(100)]


def test_a_new_client_waits_for_a_hanging_owner_as_long_as_it_was_told(store, client):
    pid = client.store_info()["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state(pid) == "T")
    try:
        with pytest.raises(errors.StoreUnavailable, match="does not answer"):
            EmbeddedClient(store, timeout=0.3)
    finally:
        os.kill(pid, signal.SIGCONT)
