"""A stand-in server, an index on it, and the table of faults at the end.

Pauses between attempts are not slept but added up, so a fault's seconds in the
table are what a user waits.
"""

from __future__ import annotations

import re
import tempfile
import time
import traceback
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import fiftyone.brain as fob
import numpy as np
import pytest

from fiftyone_qdrant import errors
from fiftyone_qdrant.qdrant import clients, retries, writing
from tests.conftest import recorded
from tests.server.stand_in import StandIn

KEY = "planted-key-77"
TABLE = Path(tempfile.gettempdir(), "fiftyone_qdrant_faults.txt")
_BUSY = 10  # seconds that a busy machine may add to what a call takes
FOREIGN_WORDS = r"Traceback|Errno|httpx|httpcore|pydantic|grpc\.|0x|<html|b'|\n"
ENGINES = ("embedded", "stand-in", "server", "server-grpc")


@pytest.fixture(autouse=True)
def no_clients(monkeypatch):
    """Each test starts with no connections, and ends those it made."""
    monkeypatch.setattr(clients, "_clients", {})
    yield
    for client in clients._clients.values():
        client.close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch):
    """The pauses that were asked for, none of which is slept."""
    asked = []
    clock = SimpleNamespace(
        sleep=asked.append, monotonic=lambda: time.monotonic() + sum(asked)
    )
    monkeypatch.setattr(retries, "time", clock)
    monkeypatch.setattr(writing, "time", clock)
    return asked


@pytest.fixture
def server():
    """A stand-in server that behaves well until told otherwise."""
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture
def samples(make_dataset, monkeypatch):
    """60 samples, written in batches of 20, one at a time: it is known which fails."""
    monkeypatch.setattr(writing, "_MAX_POINTS", 20)
    monkeypatch.setattr(writing, "_WRITES_AT_ONCE", 1)
    return make_dataset(60)


@pytest.fixture
def vectors(rng):
    return rng.standard_normal((60, 8)).astype(np.float32)


@pytest.fixture
def create(samples, vectors):
    """``create(url, n=60, **config)`` makes an index of the first ``n`` samples."""

    def make(url, n=60, **config):
        return fob.compute_similarity(
            samples[:n] if n < 60 else samples,
            embeddings=vectors[:n],
            backend="qdrant",
            brain_key="index",
            **{"url": url, "timeout": 2, "metric": "euclidean", **config},
        )

    return make


@pytest.fixture
def index(create, server):
    """An index of the first 30 samples, in the collection "points"."""
    made = create(server.url, 30, collection_name="points")
    server.requests.clear()
    return made


@pytest.fixture
def fault(record_property, pauses):
    """Gives a context manager that makes one row of the table of faults.

    ``with fault(name, *errors) as seen``: one of the errors must come; without any,
    none may. ``seen.state`` is for the test to say, once it has checked it.
    """
    rows = []

    @contextmanager
    def observe(name, *expected, saying="", within=6.0):
        seen = SimpleNamespace(state="", error=None, seconds=0.0)
        pauses.clear()
        start = time.perf_counter()
        try:
            yield seen
        except expected as e:
            seen.error = e
        seen.seconds = time.perf_counter() - start + sum(pauses)
        said = "" if seen.error is None else str(seen.error)
        if expected:
            assert seen.error is not None, "nothing was raised"
            check_sentence(seen.error, said)
            assert re.search(saying, said), said
        assert sum(pauses) < within
        assert seen.seconds < within + _BUSY
        rows.append((name, said, seen))

    yield observe
    for name, said, seen in rows:
        record_property("fault", (name, said, seen.state, seen.seconds))


def check_sentence(error, said):
    assert isinstance(error, errors.QdrantPluginError), error
    assert 15 < len(said) < 450, said
    assert not re.search(FOREIGN_WORDS, said), said
    assert KEY not in "".join(traceback.format_exception(error))


def pytest_terminal_summary(terminalreporter):
    rows = recorded(terminalreporter, "fault")
    if rows:
        lines = list(_fault_lines(rows))
        TABLE.write_text("\n".join(lines) + "\n")
        terminalreporter.section("faults of a server")
        terminalreporter.write("\n".join(lines) + "\n")
        terminalreporter.write(f"(also in {TABLE})\n")
    ran = _engines_of(terminalreporter.stats)
    if ran:
        terminalreporter.section("the library's tests passed, on which engines")
        terminalreporter.write("\n".join(_engine_lines(ran)) + "\n")


def _fault_lines(rows):
    for name, said, state, seconds in rows:
        yield f"{name}"
        yield f"    sees   {said or 'nothing: it is done all the same'}"
        yield f"    after  {state or 'as before'}   [{seconds:.1f} s]"


def _engines_of(stats):
    """``{test: {engine: [whether it passed]}}`` of the contract suite."""
    ran = {}
    for outcome in ("passed", "failed", "error"):
        for report in stats.get(outcome, ()):
            found = re.match(r"tests/library/(.+?)\[(.+)\]$", report.nodeid)
            engine = found and re.search(r"embedded|stand-in|server(-grpc)?", found[2])
            if engine and (report.when == "call" or outcome != "passed"):
                runs = ran.setdefault(found[1], {}).setdefault(engine[0], [])
                runs.append(outcome == "passed")
    return ran


def _engine_lines(ran):
    yield f"{'':72} " + " ".join(f"{e:>11}" for e in ENGINES)
    for name in sorted(ran):
        cells = (ran[name].get(engine, ()) for engine in ENGINES)
        words = (f"{sum(c)}/{len(c)}" if c else "-" for c in cells)
        yield f"{name[:72]:72} " + " ".join(f"{w:>11}" for w in words)
