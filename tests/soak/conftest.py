"""Short forms of long tests; ``make soak`` (FQ_SOAK=1) runs them at full length."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import recorded
from tests.embedded.conftest import temporary_store

REPO = Path(__file__).resolve().parents[2]
LONG = os.environ.get("FQ_SOAK") == "1"


@pytest.fixture
def store():
    """The path of a store that does not exist yet."""
    with temporary_store() as path:
        yield path


@pytest.fixture
def figure(record_property):
    """``figure(text)`` shows a measured figure at the end of the run."""
    return partial(record_property, "soak")


def pytest_terminal_summary(terminalreporter):
    for line in recorded(terminalreporter, "soak"):
        terminalreporter.write_line(f"soak: {line}")


@pytest.fixture
def start_program():
    """``start_program(name, *arguments)`` -> a program of this folder, running."""
    started = []

    def start(name, *arguments):
        program = Path(__file__).with_name(f"{name}.py")
        process = subprocess.Popen(
            [sys.executable, str(program), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "FQ_PACKAGE": str(REPO / "fiftyone_qdrant")},
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.send_signal(signal.SIGKILL)
        process.communicate()
