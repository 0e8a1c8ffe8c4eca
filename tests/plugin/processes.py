"""Runs code in a Python process of its own."""

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
