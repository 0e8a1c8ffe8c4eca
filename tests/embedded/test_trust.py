"""Other users, and files that are not what they should be: before a byte is sent."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import threading
from pathlib import Path

import pytest
from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import EmbeddedClient, protocol
from fiftyone_qdrant.embedded.client import administration, launcher
from tests.embedded.test_owner import IDS, fill, state, wait_until

OTHER = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes files of other users")


@pytest.fixture
def impostor(store):
    """A store's directory with all that an owner writes, and who answers there."""
    store.mkdir()
    key = os.urandom(32)
    (store / "owner.key").write_bytes(key)
    heard = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(store / "owner.sock"))
        listener.listen()
        about = {"socket": str(store / "owner.sock"), "pid": 1, "collections": []}
        (store / "owner.json").write_text(json.dumps(about))
        os.chmod(store, 0o700)

        def answer():
            try:
                sock, _ = listener.accept()
            except OSError:  # nobody came, which is right
                return

            with sock:
                sock.settimeout(10)
                try:
                    protocol.offer_handshake(sock, key)
                    heard.append(protocol.receive(sock))
                except (OSError, EOFError, protocol.HandshakeError):
                    return

        threading.Thread(target=answer, daemon=True).start()
        yield heard


@needs_root
@pytest.mark.parametrize(
    "place", [".", "owner.json", "owner.key", "owner.sock", "owner.lock"]
)
def test_what_belongs_to_another_user_is_not_used(store, impostor, place):
    (store / "owner.lock").touch(0o600)
    os.chown(store / place, OTHER, OTHER)

    with pytest.raises(errors.StoreUnavailable, match=rf"another user \(uid {OTHER}\)"):
        EmbeddedClient(store, timeout=2)

    assert impostor == []


@pytest.mark.parametrize("place", [".", "owner.json", "owner.key"])
@pytest.mark.parametrize("mode", [0o020, 0o002], ids=["group", "all"])
def test_what_other_users_can_change_is_not_used(store, impostor, place, mode):
    (store / "store.json").write_text("{}")
    os.chmod(store / place, stat.S_IMODE(os.stat(store / place).st_mode) | mode)

    with pytest.raises(errors.StoreUnavailable, match="chmod go-w"):
        EmbeddedClient(store, timeout=2)

    assert impostor == []


def test_a_link_instead_of_a_key_is_not_used(store, impostor):
    (store / "owner.key").rename(store.parent / "key")
    (store / "owner.key").symlink_to(store.parent / "key")

    with pytest.raises(errors.StoreUnavailable, match="other users can change"):
        EmbeddedClient(store, timeout=2)

    assert impostor == []


def test_a_process_of_another_user_is_not_talked_to(store, impostor, monkeypatch):
    monkeypatch.setattr(protocol, "peer_uid", lambda sock: OTHER)

    with pytest.raises(errors.StoreUnavailable, match=f"uid {OTHER}.*nothing was sent"):
        EmbeddedClient(store, timeout=2)

    assert impostor == []


def test_the_user_at_the_other_end_is_told():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert protocol.peer_uid(ours) == os.geteuid()


@needs_root
def test_the_owner_does_not_talk_to_other_users(client, start_process):
    store = Path(client.path)
    for place, mode in ((store, 0o755), (store / "owner.sock", 0o777)):
        place.chmod(mode)
    store.parent.chmod(0o755)
    other = start_process(
        """
        import os, socket
        os.setuid(65534)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(store + "/owner.sock")
            print(sock.recv(1), flush=True)
        """,
        client=False,
    )

    assert other.communicate(timeout=30)[0].strip() == "b''"


def test_an_empty_directory_that_others_may_write_is_closed_to_them(store):
    store.mkdir()
    store.chmod(0o777)

    with EmbeddedClient(store):
        assert stat.S_IMODE(store.stat().st_mode) == 0o700


def test_nobody_else_can_write_to_the_parents_of_a_new_store(store, start_process):
    made = start_process(
        """
        import os
        os.umask(0)
        launcher.connect(store + "/a/b/c")
        """,
        client=False,
    )
    assert made.wait(timeout=30) == 0
    try:
        for place, mode in (("a", 0o755), ("a/b", 0o755), ("a/b/c", 0o700)):
            assert stat.S_IMODE(os.stat(store / place).st_mode) == mode
    finally:
        launcher.stop(store / "a" / "b" / "c")


# -- files that are not what they should be ---------------------------------------

ODD_FILES = [b"", b"{", b"[]", b"{}", b"null", b'{"socket": 5}', b"\xff\xfe{"]
ODD_FILES += [b'{"socket": "/nowhere"}', b'{"socket": "\\u0000"}', b"[" * 100_000]


@pytest.mark.parametrize("runs", [True, False], ids=["running", "stopped"])
def test_a_malformed_owner_file_heals_itself(client, store, runs):
    fill(client)
    pid = client.store_info()["pid"]
    for content in ODD_FILES if runs else ODD_FILES[3:6]:
        if not runs:
            launcher.stop(store)
        (store / "owner.json").write_bytes(content)

        with EmbeddedClient(store, timeout=20) as other:
            assert other.count("a").count == len(IDS)
        assert administration.status(store).owner is not None
    assert (client.store_info()["pid"] == pid) is runs


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"5", b'{"format": "x"}'])
def test_a_malformed_record_is_said_with_what_to_do_and_that_works(store, content):
    with EmbeddedClient(store) as client:
        fill(client)
    launcher.stop(store)
    (store / "store.json").write_bytes(content)

    with pytest.raises(errors.StoreUnavailable, match=r"delete .*store\.json") as said:
        EmbeddedClient(store)
    with pytest.raises(errors.StoreUnavailable):
        administration.status(store)

    os.unlink(re.search(r"delete (\S+)", str(said.value))[1])
    with EmbeddedClient(store) as client:
        assert client.count("a").count == len(IDS)


@pytest.mark.parametrize("name", ["owner.log", "start.lock", "owner.json", "owner.key"])
def test_a_pipe_keeps_nobody_waiting(store, name):
    store.mkdir(0o700)
    os.mkfifo(store / name, 0o600)

    if name == "owner.log":
        with pytest.raises(errors.StoreUnavailable, match=r"owner\.log"):
            EmbeddedClient(store, timeout=10)
    else:
        with EmbeddedClient(store, timeout=10) as client:
            assert client.get_collections().collections == []


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(errors.ConfigError, match="is no path"):
        EmbeddedClient(path)


# -- waiting has an end -----------------------------------------------------------


@pytest.fixture
def hanging_start(store, monkeypatch, tmp_path):
    """Owners that stop before they report."""
    script = tmp_path / "run_owner.py"
    script.write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)\n")
    monkeypatch.setattr(launcher, "_SCRIPT", str(script))


def test_a_start_that_hangs_is_not_waited_for_longer_than_told(
    store, hanging_start, monkeypatch
):
    with pytest.raises(errors.StoreUnavailable, match="does not answer in time"):
        EmbeddedClient(store, timeout=0.3)

    monkeypatch.undo()
    with EmbeddedClient(store) as client:  # nothing is left of it
        assert client.get_collections().collections == []


def test_a_program_that_stops_while_it_starts_the_owner_is_not_waited_for(store):
    store.mkdir(0o700)
    starting = launcher.FileLock(str(store / "start.lock"))
    assert starting.acquire()

    with pytest.raises(errors.StoreUnavailable, match="it may be starting"):
        EmbeddedClient(store, timeout=0.3)

    starting.release()


def test_status_tells_an_owner_that_does_not_answer(client, store, monkeypatch, capsys):
    from fiftyone_qdrant.__main__ import main

    monkeypatch.setattr(administration, "_STATUS_SECONDS", 0.2)
    pid = client.store_info()["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state(pid) == "T")
    try:
        assert main(["status", "--path", str(store)]) == 1
    finally:
        os.kill(pid, signal.SIGCONT)

    assert f"it does not answer: pid {pid}" in capsys.readouterr().out


# -- a store that is not there any more -------------------------------------------


def test_no_empty_store_is_made_where_one_was_moved_away(client, store):
    fill(client)
    launcher.stop(store)
    store.rename(store.parent / "moved")

    for call in (client.get_collections, lambda: client.count("a")):
        with pytest.raises(errors.StoreUnavailable, match="if it was moved"):
            call()
    assert not store.exists()

    with EmbeddedClient(store.parent / "moved") as other:
        assert other.count("a").count == len(IDS)
    launcher.stop(store.parent / "moved")
    shape = models.VectorParams(size=8, distance=models.Distance.DOT)
    assert client.create_collection("b", shape)  # this says that there shall be one
    assert client.count("b").count == 0


def test_a_client_that_must_not_make_a_store_makes_none(store):
    with pytest.raises(errors.StoreUnavailable, match="there is no embedded store at"):
        EmbeddedClient(store, make=False)
    assert not store.exists()

    EmbeddedClient(store).close()
    EmbeddedClient(store, make=False).close()
