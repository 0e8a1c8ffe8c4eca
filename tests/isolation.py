"""A world of its own for the tests: HOME, MongoDB, stores, plugin folder.

``start()`` must run before FiftyOne is imported, as FiftyOne reads its settings
at import. Everything lies in one short folder under ``/tmp`` (the paths of Unix
sockets are limited to about 100 characters), the database's files in memory if there
is plenty, and goes away with the process.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
_PLENTY = 4 * 2**30  # bytes
AS_ROOT = () if not hasattr(os, "geteuid") or os.geteuid() == 0 else ("sudo", "-n")


@dataclass
class Isolation:
    """What ``start()`` set up."""

    root: Path
    qdrant_url: str | None  # the server that tests may use, if one was named
    database: str = ""  # version of the mongod, or whose it is
    memory: Path | None = None  # folder of the mongod's files, if not below the root
    _processes: list[subprocess.Popen] = field(default_factory=list)
    _owner: int = field(default_factory=os.getpid)

    @property
    def store(self) -> Path:
        """The default embedded store: where indexes go if nothing else is said."""
        return self.root / "store"

    @property
    def images(self) -> Path:
        """Where tests' images are written."""
        return self.root / "images"

    def stop(self) -> None:
        """End what was started and remove the folder. Safe to call twice."""
        if os.getpid() != self._owner:  # a forked child leaves all as it is
            return
        end_processes_below(self.root)
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
        shutil.rmtree(self.root, ignore_errors=True)
        if self.memory is not None:
            shutil.rmtree(self.memory, ignore_errors=True)


def start() -> Isolation:
    """Set the environment for this process and its children, start a mongod."""
    given_uri = os.environ.get("FIFTYONE_DATABASE_URI")
    qdrant_url = os.environ.get("QDRANT_URL")
    for name in list(os.environ):
        if name.startswith(("FIFTYONE_", "QDRANT_", "XDG_")):
            del os.environ[name]

    root = Path(tempfile.mkdtemp(prefix="fq-", dir="/tmp"))
    world = Isolation(root, qdrant_url)
    # first registered, last run: at exit FiftyOne still talks to its database
    atexit.register(world.stop)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as if by Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored by jobs with &

    for folder in ("home", "plugins", "images"):
        (root / folder).mkdir()
    (root / "plugins" / "qdrant").symlink_to(REPO, target_is_directory=True)
    if qdrant_url:
        os.environ["QDRANT_URL"] = qdrant_url
    os.environ.update(
        HOME=str(root / "home"),
        FIFTYONE_PLUGINS_DIR=str(root / "plugins"),
        FIFTYONE_MODEL_ZOO_DIR=str(root / "home" / "models"),
        FIFTYONE_DATASET_ZOO_DIR=str(root / "home" / "zoo"),
        FIFTYONE_DEFAULT_DATASET_DIR=str(root / "home" / "datasets"),
        FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH=str(world.store),
        FIFTYONE_DO_NOT_TRACK="true",
        FIFTYONE_DATABASE_VALIDATION="false",
        FIFTYONE_SHOW_PROGRESS_BARS="false",
        FIFTYONE_ALLOW_LEGACY_ORCHESTRATORS="true",
    )
    _start_database(world, given_uri)
    return world


def end_processes_below(folder: Path) -> None:
    """End every process whose command line names ``folder`` or what is in it."""
    import psutil

    mine = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            database = Path(words[0]).name == "mongod" if words else True
            below = any(str(folder) in word for word in words)
            if below and not database and process.pid != os.getpid():
                process.terminate()
                mine.append(process)
    _, alive = psutil.wait_procs(mine, timeout=5)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()


def free_port() -> int:
    """Return a TCP port that is free on the loopback device now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _start_database(world: Isolation, given_uri: str | None) -> None:
    mongod, version = _find_mongod()
    if mongod is None:
        if given_uri is None:
            world.stop()
            raise SystemExit(
                "No mongod runs here. `make test` installs one; or name a MongoDB "
                "in FIFTYONE_DATABASE_URI and the tests use a database of their own."
            )
        os.environ["FIFTYONE_DATABASE_URI"] = given_uri
        os.environ["FIFTYONE_DATABASE_NAME"] = name = f"fq-{uuid.uuid4().hex[:8]}"
        world.database = f"database {name} at the given URI"
        atexit.register(_drop_database, given_uri, name)
        return

    folder = _database_folder(world)
    for _ in range(3):  # another process may take the port in between
        port = free_port()
        command = [str(mongod), "--dbpath", str(folder), "--port", str(port)]
        command += ["--bind_ip", "127.0.0.1", "--nounixsocket"]
        command += ["--wiredTigerCacheSizeGB", "0.25", "--syncdelay", "0"]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false"]
        command += ["--logpath", str(world.root / "mongod.log")]
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us; we end it afterwards
            preexec_fn=_die_with_parent if sys.platform == "linux" else None,
        )
        if _answers(port, process):
            world._processes.append(process)
            world.database = version
            os.environ["FIFTYONE_DATABASE_URI"] = f"mongodb://127.0.0.1:{port}"
            return
        process.kill()
    log = (world.root / "mongod.log").read_text()[-2000:]
    world.stop()
    raise SystemExit(f"mongod did not start. The end of its log:\n{log}")


def _database_folder(world: Isolation) -> Path:
    """Where the mongod writes: in memory if there is plenty, it syncs so much."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _PLENTY:
        world.memory = Path(tempfile.mkdtemp(prefix="fq-db-", dir=memory))
        return world.memory

    folder = world.root / "mongo"
    folder.mkdir()
    return folder


def _find_mongod() -> tuple[Path | None, str]:
    spec = importlib.util.find_spec("fiftyone")
    folders = [Path(p, "db", "bin") for p in spec.submodule_search_locations or ()]
    for found in [*(str(f / "mongod") for f in folders), shutil.which("mongod")]:
        if found is None:
            continue
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            done = subprocess.run(
                [found, "--version"], capture_output=True, text=True, check=True
            )
            return Path(found), done.stdout.split()[2].lstrip("v")
    return None, ""


def _answers(port: int, process: subprocess.Popen) -> bool:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        time.sleep(0.05)
    return False


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: even at kill -9


def _drop_database(uri: str, name: str) -> None:
    import pymongo

    pymongo.MongoClient(uri).drop_database(name)
