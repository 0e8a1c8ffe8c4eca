"""Runs code, and delegated operations, in Python processes of their own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parents[2]
_START = """
import json, sys


def answer(value):
    print("ANSWER", json.dumps(value))


def make_dataset(size=20):
    import fiftyone as fo

    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"/nowhere/{i}.png") for i in range(size)])
    return dataset


class Hiding:
    '''A finder of modules that does not see one package.'''

    def __init__(self, finder, name):
        self._finder = finder
        self._name = name

    def find_spec(self, name, path=None, target=None):
        if name == self._name:
            return None
        return self._finder.find_spec(name, path, target)

    def __getattr__(self, attribute):
        return getattr(self._finder, attribute)


def not_installed(name):
    '''From here on a package is found neither on the path nor by an editable hook.

    Parts of a package that is loaded some other way are still found.
    '''
    sys.meta_path[:] = [Hiding(finder, name) for finder in sys.meta_path]
    assert name not in sys.modules
"""
_WORKER = "from fiftyone.core.cli import main; main()"
REGISTERED = "import fiftyone_qdrant\n"


def run_python(
    code: str,
    home: Path,
    environment: dict[str, str] | None = None,
    start: str = REGISTERED,
) -> Any:
    """Runs code that calls ``answer(value)``, and returns the value.

    Args:
        code: the code. It may use ``make_dataset(size)`` and ``not_installed(name)``
        home: the home folder
        environment: more environment variables
        start: code to run before anything else
    """
    env = {**os.environ, "HOME": str(home), "PYTHONPATH": str(REPO)}
    done = subprocess.run(
        [sys.executable, "-c", _START + start + code],
        capture_output=True,
        text=True,
        cwd=home,
        env={**env, **(environment or {})},
        timeout=120,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    line = next(x for x in done.stdout.splitlines() if x.startswith("ANSWER "))
    return json.loads(line.removeprefix("ANSWER "))


@contextlib.contextmanager
def delegated_worker(log: Path, **environment: str) -> Iterator[Callable[[Any], Any]]:
    """Runs a worker as ``fiftyone delegated launch`` starts it.

    Yields a function that waits for an operation, by its id, and returns it; what
    its ``meanwhile`` does happens again and again until then.
    """
    from fiftyone.operators.delegated import DelegatedOperationService

    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _WORKER, "delegated", "launch"],
            env={**os.environ, **environment},
            cwd=log.parent,
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def wait(operation_id, meanwhile=lambda: None):
        service = DelegatedOperationService()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            done = service.get(operation_id)
            if done.run_state in ("completed", "failed"):
                return done
            assert process.poll() is None
            meanwhile()
            time.sleep(0.05)
        raise AssertionError(f"the worker left it {done.run_state}")

    yield wait
    still_there = process.poll() is None
    process.terminate()
    process.wait(20)
    assert still_there, log.read_text()
