"""Runs code in a Python process of its own, with settings of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
_START = """
import json, sys
import fiftyone_qdrant


def answer(value):
    print("ANSWER", json.dumps(value))


def without_a_server():
    from dataclasses import asdict

    from fiftyone_qdrant.qdrant import (clients)
    from qdrant_client import QdrantClient

    places = []

    def open_server(place):
        places.append(asdict(place))
        return QdrantClient(":memory:")

    clients._open_server = open_server
    return places


def make_dataset(size=20):
    import fiftyone as fo

    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"/nowhere/{i}.png") for i in range(size)])
    return dataset
"""


def run_python(code: str, home: Path, environment: dict[str, str]) -> tuple[Any, str]:
    """Runs code that calls ``answer(value)`` at its end.

    Args:
        code: the code. It may use ``make_dataset(size)`` and ``without_a_server()``,
            the list of the connections that would have been opened
        home: the home folder, so that there may be a ``~/.fiftyone``
        environment: more environment variables; an empty one is unset

    Returns:
        the value, and all that was printed or logged
    """
    env = {**os.environ, "HOME": str(home), "PYTHONPATH": str(REPO), **environment}
    done = subprocess.run(
        [sys.executable, "-c", _START + code],
        capture_output=True,
        text=True,
        cwd=home,
        env={name: value for name, value in env.items() if value},
        timeout=120,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    line = next(x for x in done.stdout.splitlines() if x.startswith("ANSWER "))
    return json.loads(line.removeprefix("ANSWER ")), output
