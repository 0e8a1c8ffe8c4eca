"""Finding, starting and stopping the owner process of a store.

Whether a store has an owner is decided by one thing: whether ``owner.lock`` is locked.
Process ids are only reported. The start itself happens under ``start.lock``, so that
of many programs that start at once one starts the owner and the others wait for it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import select
import socket
import subprocess
import sys
import time
from typing import Any

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import protocol
from fiftyone_qdrant.embedded.client import trust
from fiftyone_qdrant.embedded.files import (
    HAS_LOCKS,
    FileLock,
    make_directories,
    open_plain,
    read_bytes,
    read_json,
)

_START_SECONDS = 60.0
_HANDSHAKE_SECONDS = 30.0
_POLL_SECONDS = 0.01
_SCRIPT = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "owner", "run_owner.py"
)
_ENDINGS = ("lock", "log", "key", "sock", "json")
_OWN_FILES = {"start.lock", "lost+found", *(f"owner.{end}" for end in _ENDINGS)}
# what an owner that just starts is writing, see files.write_bytes
_BEING_WRITTEN = re.compile(r"(store\.json|owner\.(key|json))\.\d+\.new")
_KEPT_ENVIRONMENT = (
    "FIFTYONE_QDRANT_",
    "HOME",
    "LANG",
    "LC_",
    "LD_LIBRARY_PATH",
    "DYLD_",
    "PATH",
    "PYTHON",
    "TMPDIR",
    "TZ",
    "VIRTUAL_ENV",
)


def store_path(path: str | os.PathLike[str]) -> str:
    """Returns the one spelling of a store's directory.

    Raises:
        ConfigError: if it cannot be a directory's
    """
    spelled = os.fsdecode(path)
    if not spelled or "\0" in spelled:
        raise errors.ConfigError(f"{spelled!r} is no path: name a directory")

    return os.path.realpath(os.path.expanduser(spelled))


def connect(
    path: str, patience: float | None = None, *, make: bool = True
) -> socket.socket:
    """Returns a connection to a store's owner, which is started when needed.

    Args:
        path: the store's directory, as :func:`store_path` returns it
        patience: how long to wait for an owner that runs but does not answer, in
            seconds, by default as long as a start may take
        make: whether to make a store if there is none

    Returns:
        a connected socket, after the handshake

    Raises:
        StoreUnavailable: with what is wrong with the directory or the owner
    """
    deadline = time.monotonic() + min(patience or _START_SECONDS, _START_SECONDS)
    sock = _try_connect(path, deadline)
    if sock is not None:
        return sock

    _check_platform()
    try:
        _prepare(path, make)
        return _start_and_connect(path, deadline)
    except OSError as e:
        if isinstance(e, errors.QdrantPluginError):
            raise

        raise errors.StoreUnavailable(
            f"the embedded store {path} cannot be used: "
            f"{e.strerror or e} ({e.filename or path})"
        ) from e


def running(
    path: str | os.PathLike[str], patience: float = _HANDSHAKE_SECONDS
) -> dict[str, Any] | None:
    """Returns what a store's owner says about itself, or None if none answers.

    Args:
        path: the store's directory
        patience: how long to wait for an owner that does not answer, in seconds
    """
    sock = _try_connect(store_path(path), time.monotonic() + patience)
    if sock is None:
        return None

    with sock:
        try:
            return _ask(sock, "about", patience)
        except (OSError, EOFError):
            return None


def silent(path: str) -> dict[str, Any] | None:
    """Returns what is known of an owner that runs and does not answer, or None.

    Args:
        path: the store's directory, as :func:`store_path` returns it
    """
    place = os.path.join(path, "owner.lock")
    if not os.path.exists(place):
        return None

    lock = FileLock(place)
    if lock.acquire():
        lock.release()
        return None

    return {"log": os.path.join(path, "owner.log"), **(_about(path) or {})}


def stop(path: str | os.PathLike[str], timeout: float = 60.0) -> bool:
    """Asks a store's owner to flush, close and leave, and waits until it has.

    Args:
        path: the store's directory
        timeout: how long to wait, in seconds

    Returns:
        whether there was an owner

    Raises:
        StoreUnavailable: if it does not leave in time
    """
    path = store_path(path)
    sock = _try_connect(path)
    if sock is None:
        return False

    with sock:
        try:
            about = _ask(sock, "leave")
        except (OSError, EOFError):
            about = {}

    lock = FileLock(os.path.join(path, "owner.lock"))
    deadline = time.monotonic() + timeout
    while not lock.acquire():
        if time.monotonic() > deadline:
            raise errors.StoreUnavailable(
                f"the owner of {path} (process {about.get('pid')}) "
                f"did not leave within {timeout:g} s"
            )

        time.sleep(_POLL_SECONDS)

    lock.release()
    return True


def _ask(
    sock: socket.socket, op: str, patience: float = _HANDSHAKE_SECONDS
) -> dict[str, Any]:
    sock.settimeout(patience)
    protocol.send(sock, {"op": op})
    reply, _ = protocol.receive(sock)
    about: dict[str, Any] = reply.get("about", {})
    return about


def _try_connect(path: str, deadline: float | None = None) -> socket.socket | None:
    """Returns a connection, or None if no owner answers until the deadline."""
    limit = _HANDSHAKE_SECONDS
    if deadline is not None:
        limit = min(limit, max(_POLL_SECONDS, deadline - time.monotonic()))

    about = _about(path)
    if about is None:
        return None

    trust.check_store(path)
    try:
        key = read_bytes(os.path.join(path, "owner.key"))
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    except (OSError, AttributeError):
        return None

    try:
        sock.settimeout(limit)
        trust.check_file(about["socket"])
        sock.connect(about["socket"])
        trust.check_peer(sock, path)
        protocol.answer_handshake(sock, key)
        return sock
    except protocol.VersionMismatch as e:
        sock.close()
        raise errors.StoreUnavailable(
            f"another version of this package has the store {path} open (process "
            f"{about.get('pid')}; {e}): end the programs that use it, "
            "or use the same version everywhere"
        ) from e
    except errors.StoreUnavailable:  # an OSError, too
        sock.close()
        raise
    except (OSError, EOFError, protocol.HandshakeError):
        sock.close()
        return None


def _about(path: str) -> dict[str, Any] | None:
    """Returns what a store's ``owner.json`` tells, or None if it tells no socket."""
    try:
        about = read_json(os.path.join(path, "owner.json"))
    except (OSError, ValueError):
        return None

    known = isinstance(about, dict) and isinstance(about.get("socket"), str)
    return about if known and "\0" not in about["socket"] else None


def _check_platform() -> None:
    if not HAS_LOCKS or not hasattr(socket, "AF_UNIX"):
        raise errors.StoreUnavailable(
            "the embedded engine needs Linux or macOS: "
            "set url= to use a Qdrant server instead"
        )

    if importlib.util.find_spec("qdrant_edge") is None:
        raise errors.StoreUnavailable(
            "the embedded engine is not installed: pip install qdrant-edge-py, "
            "or set url= to use a Qdrant server instead"
        )


def is_store(path: str) -> bool:
    """Whether a directory is an embedded store; makes nothing.

    Raises:
        StoreUnavailable: if it is none, and none can be made there
    """
    if not os.path.exists(path):
        return False

    try:
        found = set(os.listdir(path))
    except OSError as e:
        raise _no_place(path) from e

    if "store.json" in found or {"collections", "owner.lock"} <= found:
        return True

    foreign = (name for name in found - _OWN_FILES if not name.startswith("."))
    if not all(map(_BEING_WRITTEN.fullmatch, foreign)):
        raise _no_place(path)

    return False


def _no_place(path: str) -> errors.StoreUnavailable:
    """One sentence whatever is there: a form asks before anybody may look."""
    return errors.StoreUnavailable(
        f"{path} can be no embedded store: it is no directory of yours, or has other "
        "files in it. Use a new or an empty directory"
    )


def _prepare(path: str, make: bool) -> None:
    if is_store(path):
        trust.check_store(path)
        return

    if not make:
        raise errors.StoreUnavailable(
            f"there is no embedded store at {path}: if it was moved, name its new "
            "path; if it was deleted, create the index again"
        )

    make_directories(path)
    if os.stat(path).st_uid == os.geteuid():
        os.chmod(path, 0o700)  # it may have been there, empty and open to others

    trust.check_store(path)


def _start_and_connect(path: str, deadline: float) -> socket.socket:
    starting = FileLock(os.path.join(path, "start.lock"))
    owning = FileLock(os.path.join(path, "owner.lock"))
    while time.monotonic() < deadline:
        if not starting.acquire():
            time.sleep(_POLL_SECONDS)
            continue

        try:
            sock = _try_connect(path, deadline)
            if sock is None and owning.acquire():
                owning.release()
                _start(path, deadline)
                sock = _try_connect(path, deadline)
        finally:
            starting.release()

        if sock is not None:
            return sock

        time.sleep(_POLL_SECONDS)  # an owner is just leaving

    pid = (_about(path) or {}).get("pid", "unknown: it may be starting")
    raise errors.StoreUnavailable(
        f"the process that owns the store {path} (pid {pid}) "
        f"does not answer: see {os.path.join(path, 'owner.log')}"
    )


def _start(path: str, deadline: float) -> None:
    """Starts the owner and waits until it answers or has failed."""
    log = os.path.join(path, "owner.log")
    fd = open_plain(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    receiving, sending = os.pipe()
    command = [
        sys.executable,
        _SCRIPT,
        "serve",
        path,
        str(sending),
        *_import_paths(),
    ]
    with os.fdopen(receiving, "rb", buffering=0) as pipe:
        try:
            starter = subprocess.Popen(
                command,
                cwd="/",
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=fd,
                pass_fds=(sending,),
                start_new_session=True,
            )
        finally:
            os.close(fd)
            os.close(sending)

        report = _read_until(pipe.fileno(), deadline)
        _reap(starter, deadline)

    if report is None:
        raise errors.StoreUnavailable(
            f"the owner process of the store {path} was started and does not answer "
            f"in time: it may still do, see {log}"
        )

    try:
        outcome = json.loads(report)
    except ValueError:
        raise errors.StoreUnavailable(
            f"the owner process of the store {path} did not start: see {log}"
        ) from None

    if "error" in outcome:
        raise to_error(outcome)


def _read_until(fd: int, deadline: float) -> bytes | None:
    """Returns all that comes through a pipe, or None if it is open at the deadline."""
    report = b""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        left = max(0.0, deadline - time.monotonic())
        if not poll.poll(left * 1000):
            return None

        data = os.read(fd, 1 << 16)
        if not data:
            return report

        report += data


def _reap(starter: subprocess.Popen[bytes], deadline: float) -> None:
    # it ends as soon as it has made the owner, unless something stops it
    try:
        starter.wait(max(_POLL_SECONDS, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        starter.kill()
        starter.wait()


def to_error(reply: protocol.Message) -> errors.QdrantPluginError:
    """Returns the error that a reply stands for."""
    cls = getattr(errors, str(reply["error"]), None)
    if not (isinstance(cls, type) and issubclass(cls, errors.QdrantPluginError)):
        cls = errors.EngineError

    return cls(str(reply.get("message", "")))


def _import_paths() -> list[str]:
    """Returns where the owner finds its packages if not by itself."""
    found = []
    for name in ("qdrant_edge", "numpy"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin:
            found.append(os.path.dirname(os.path.dirname(spec.origin)))

    return list(dict.fromkeys(found))


def _environment() -> dict[str, str]:
    """Returns the owner's environment: no secrets, and no idle thread pools."""
    kept = {k: v for k, v in os.environ.items() if k.startswith(_KEPT_ENVIRONMENT)}
    return {**kept, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
