"""A store of its own for each test, or for each module; every owner is ended."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import textwrap
import uuid
from itertools import count
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
_numbers = count()

# lets a child process use the client without paying for FiftyOne
_PRELUDE = """
import sys, types
package = types.ModuleType("fiftyone_qdrant")
package.__path__ = [sys.argv[1]]
sys.modules["fiftyone_qdrant"] = package
from fiftyone_qdrant.embedded.client import (launcher)
store = sys.argv[2]
"""
_CLIENT = """
from fiftyone_qdrant.embedded import (EmbeddedClient)
from qdrant_client.http import models
"""


@contextlib.contextmanager
def temporary_store():
    """Yield the path of a store that does not exist yet; end its owner."""
    from fiftyone_qdrant.embedded.client import launcher

    # short: the path of a socket is limited to about 100 characters
    root = Path(tempfile.mkdtemp(prefix="fqe-", dir="/tmp"))
    path = root / f"store{next(_numbers)}"
    try:
        yield path
    finally:
        with contextlib.suppress(Exception):
            launcher.stop(path)
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def store():
    """The path of a store that does not exist yet."""
    with temporary_store() as path:
        yield path


@pytest.fixture
def client(store):
    """A client of a new store."""
    from fiftyone_qdrant.embedded import EmbeddedClient

    with EmbeddedClient(store) as client:
        yield client


@pytest.fixture(scope="module")
def shared_client():
    """A client of a store that the tests of a module share."""
    from fiftyone_qdrant.embedded import EmbeddedClient

    with temporary_store() as path, EmbeddedClient(path) as client:
        yield client


@pytest.fixture
def memory():
    """A URL where nothing is yet."""
    return f"memory://{uuid.uuid4().hex}/of the store"


@pytest.fixture
def folder(tmp_path):
    """A directory to be made, which its URL names."""
    return tmp_path / "far" / "away"


@pytest.fixture
def start_process(store):
    """``start_process(code)`` -> a Python process that has the client's names."""
    started = []

    def start(code: str, client: bool = True) -> subprocess.Popen[str]:
        script = _PRELUDE + (_CLIENT if client else "") + textwrap.dedent(code)
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                script,
                str(REPO / "fiftyone_qdrant"),
                str(store),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
