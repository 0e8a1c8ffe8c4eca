"""Print the lowest version of each dependency that pyproject.toml allows, for pip.

pip install --constraint <(python scripts/lowest.py) -e '.[dev]' tries the promise that
the bounds make. Development tools are not part of it, and stay at their newest.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def lowest(requirements: list[str]) -> list[str]:
    """Return ``name==version`` for each of ``name>=version,...``."""
    pinned = []
    for requirement in requirements:
        name = re.match(r"[\w.-]+", requirement)
        bound = re.search(r">=\s*([\w.]+)", requirement)
        if name is None or bound is None:
            sys.exit(f"pyproject.toml gives no lowest version in '{requirement}'")
        pinned.append(f"{name[0]}=={bound[1]}")
    return pinned


def dependencies(project: str) -> list[str]:
    """Return what ``[project] dependencies`` lists; Python 3.10 has no tomllib."""
    table = re.search(r"^dependencies = \[(.*?)^\]", project, re.DOTALL | re.MULTILINE)
    if table is None:
        sys.exit("pyproject.toml has no list of dependencies")
    return re.findall(r'"([^"]+)"', table[1])


if __name__ == "__main__":
    print("\n".join(lowest(dependencies(PROJECT.read_text()))))
