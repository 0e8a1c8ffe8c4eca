"""The owner process of a store: the one process that has the engine open.

It answers on a Unix socket, one thread per connection, and leaves when nobody has
been connected for a while, on SIGTERM, or when asked to. Whatever way it ends, the
acknowledged writes are in the engine's log on disk.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import resource
import selectors
import signal
import socket
import stat
import sys
import tempfile
import threading
import time
from hashlib import sha256
from importlib import metadata
from typing import Any

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import protocol
from fiftyone_qdrant.embedded.files import FileLock, write_bytes, write_json

logger = logging.getLogger(__name__)

IDLE_SECONDS = 60.0
_TICK_SECONDS = 0.25
_HANDSHAKE_SECONDS = 10.0
_BREATH_SECONDS = 0.1
_MAX_LOG_BYTES = 1 << 20
_LOG_KEPT_BYTES = 1 << 18
_MAX_SOCKET_PATH = 100


def main(path: str, ready_fd: int) -> int:
    """Runs the owner of a store until it leaves.

    Args:
        path: the store's directory, absolute and without links
        ready_fd: where to report once: ``{}``, or an error

    Returns:
        the exit status
    """
    os.umask(0o077)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(process)d %(levelname)s %(message)s",
    )
    _allow_many_files()
    shorten_log(os.path.join(path, "owner.log"))
    lock = FileLock(os.path.join(path, "owner.lock"))
    try:
        _take(lock, path)
        owner = Owner(path, lock)
    except BaseException as e:
        logger.exception("cannot start")
        _report(ready_fd, e)
        return 1

    _report(ready_fd, None)
    owner.serve()
    return 0


def _allow_many_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def shorten_log(path: str) -> None:
    """Keeps the end of a log that has grown long. All its writers append."""
    with contextlib.suppress(OSError), open(path, "r+b", buffering=0) as file:
        if os.fstat(file.fileno()).st_size <= _MAX_LOG_BYTES:
            return

        file.seek(-_LOG_KEPT_BYTES, os.SEEK_END)
        end = file.read()
        file.truncate(0)
        file.seek(0)
        file.write(end[end.find(b"\n") + 1 :])


def _take(lock: FileLock, path: str) -> None:
    for _ in range(50):  # somebody may just be looking whether it is locked
        if lock.acquire():
            return

        time.sleep(0.02)

    raise errors.StoreUnavailable(f"the store {path} has an owner already")


def _report(fd: int, e: BaseException | None) -> None:
    with os.fdopen(fd, "wb") as file:
        file.write(json.dumps(error_to_wire(e) if e else {}).encode())


def error_to_wire(e: BaseException) -> protocol.Message:
    """Returns an error as a reply."""
    if isinstance(e, errors.QdrantPluginError):
        return {"error": type(e).__name__, "message": str(e)}

    if isinstance(e, ImportError):
        message = f"the embedded engine cannot be imported: {e}"
        return {"error": "StoreUnavailable", "message": message}

    if isinstance(e, OSError) and e.errno == errno.ENOSPC:
        message = "the disk of the store is full: make room, and call again"
        return {"error": "StoreUnavailable", "message": message}

    if isinstance(e, OSError):
        message = f"{e.filename or 'the store'}: {e.strerror or e}"
        return {"error": "StoreUnavailable", "message": message}

    return {"error": "EngineError", "message": f"{type(e).__name__}: {e}"}


class Owner:
    """The server of a store.

    Args:
        path: the store's directory
        lock: the lock on it, which is held
    """

    def __init__(self, path: str, lock: FileLock) -> None:
        from fiftyone_qdrant.embedded.owner.dispatch import Dispatcher
        from fiftyone_qdrant.embedded.owner.store import Store

        self._path = path
        self._lock = lock
        self._idle = float(
            os.environ.get("FIFTYONE_QDRANT_OWNER_IDLE_SECONDS", IDLE_SECONDS)
        )
        self._leaving = threading.Event()
        self._connections = 0
        self._last_seen = time.monotonic()
        self._count_lock = threading.Lock()
        engine = metadata.version("qdrant-edge-py")
        self._store = Store(path, engine)
        self._key = os.urandom(32)
        self._listener, self._address = listen(path)
        self._about: dict[str, Any] = {
            "pid": os.getpid(),
            "path": path,
            "socket": self._address,
            "engine": engine,
            "protocol": protocol.PROTOCOL,
            "started_at": time.time(),
            "log": os.path.join(path, "owner.log"),
        }
        self._dispatch = Dispatcher(self._store, self._about, self.leave)
        self._written: list[tuple[int, ...] | None] = []
        self._announce()
        # a reader that waits for the GIL gets it after this time at the latest
        sys.setswitchinterval(0.001)

    def _announce(self) -> None:
        """Writes where the owner answers, and the key to it."""
        write_bytes(os.path.join(self._path, "owner.key"), self._key)
        write_json(os.path.join(self._path, "owner.json"), self._about)
        self._written = self._on_disk()

    def _on_disk(self) -> list[tuple[int, ...] | None]:
        places = [os.path.join(self._path, f"owner.{end}") for end in ("key", "json")]
        return [_signature(place) for place in places]

    def _mend(self) -> None:
        """Writes it again if somebody has changed or deleted it."""
        if self._on_disk() != self._written:
            logger.warning("owner.json or owner.key was changed: written again")
            self._announce()

    def leave(self) -> None:
        """Makes the owner leave soon."""
        self._leaving.set()

    def serve(self) -> None:
        """Answers until it is time to leave, then closes everything."""
        signal.signal(signal.SIGTERM, lambda *_: self.leave())
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        logger.info("serving %s at %s", self._path, self._address)
        self._store.resume_indexing()
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while not self._leaving.is_set():
                if selector.select(_TICK_SECONDS):
                    self._accept()

                self._store.look_after()
                if not self._lock.is_in_place():
                    logger.info("the store was removed")
                    break

                if self._is_idle():
                    logger.info("nobody connected for %g s", self._idle)
                    break

                with contextlib.suppress(OSError):  # a full disk, say: at the next tick
                    self._mend()

                shorten_log(self._about["log"])

        self._leaving.set()
        self._dispatch.close()
        self._listener.close()
        if self._lock.is_in_place():  # else the paths may be another owner's
            for leftover in (self._address, os.path.join(self._path, "owner.json")):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(leftover)

        self._store.close()
        logger.info("left")

    def _is_idle(self) -> bool:
        with self._count_lock:
            return (
                self._connections == 0
                and not self._store.is_indexing()
                and time.monotonic() - self._last_seen > self._idle
            )

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as e:  # too many open files, or the client is gone again
            logger.error("cannot take a connection: %s", e)
            time.sleep(_BREATH_SECONDS)
            return

        with self._count_lock:
            self._connections += 1

        try:
            threading.Thread(target=self._converse, args=(sock,), daemon=True).start()
        except RuntimeError as e:  # too many threads
            logger.error("cannot answer a connection: %s", e)
            sock.close()
            with self._count_lock:
                self._connections -= 1

    def _converse(self, sock: socket.socket) -> None:
        try:
            with sock:
                sock.settimeout(_HANDSHAKE_SECONDS)
                if protocol.peer_uid(sock) not in (None, os.geteuid()):
                    raise protocol.HandshakeError("another user")

                protocol.offer_handshake(sock, self._key)
                sock.settimeout(None)
                while True:
                    message, buffers = protocol.receive(sock, protocol.MAX_REQUEST)
                    header, out = self._answer(message, buffers)
                    del buffers
                    protocol.send_packed(sock, header, out)
        except EOFError:
            pass
        except (OSError, protocol.HandshakeError) as e:
            logger.info("a connection ended: %s", e)
        except Exception:
            logger.exception("a connection ended")
        finally:
            with self._count_lock:
                self._connections -= 1
                self._last_seen = time.monotonic()

    def _answer(
        self, message: protocol.Message, buffers: list[memoryview]
    ) -> tuple[bytes, list[protocol.Buffer]]:
        """Returns the packed header of a reply, and its buffers."""
        try:
            reply, out = self._dispatch(message, buffers)
            return protocol.pack(reply, out), out
        except errors.QdrantPluginError as e:
            return protocol.pack(error_to_wire(e)), []
        except Exception as e:
            logger.exception("%s failed", message.get("op"))
            return protocol.pack(error_to_wire(e)), []


def listen(path: str) -> tuple[socket.socket, str]:
    """Listens in the store's directory, or else in a private temporary one.

    Args:
        path: the store's directory

    Returns:
        a ``(socket, address)`` tuple
    """
    address = os.path.join(path, "owner.sock")
    if len(os.fsencode(address)) < _MAX_SOCKET_PATH:
        try:
            return _bind(address), address
        except OSError:
            logger.info("no socket possible in %s", path)

    directory = os.path.join(tempfile.gettempdir(), f"fiftyone-qdrant-{os.geteuid()}")
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        found = os.lstat(directory)
        if (
            not stat.S_ISDIR(found.st_mode)
            or found.st_uid != os.geteuid()
            or found.st_mode & 0o077
        ):
            raise errors.StoreUnavailable(
                f"{directory} must be a directory that only you can enter: "
                "remove it, or set TMPDIR to another place"
            ) from None

    name = sha256(os.fsencode(path)).hexdigest()[:24]
    address = os.path.join(directory, f"{name}.sock")
    return _bind(address), address


def _bind(address: str) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(address)  # the store's lock is held: it cannot be in use

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(address)
        os.chmod(address, 0o600)
        listener.listen(128)
    except BaseException:
        listener.close()
        raise

    return listener


def _signature(path: str) -> tuple[int, ...] | None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None

    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode, found.st_uid
