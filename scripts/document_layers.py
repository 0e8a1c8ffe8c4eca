"""Draws the layers that `make check` holds the library to, in docs/architecture.md."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
PAGE = REPO / "docs" / "architecture.md"
TOP = f"{'operators/ panels/':<20}What a person does, and sees, in the App."
PICTURE = re.compile(r"(?<=```\n)operators/.*?(?=```)", re.DOTALL)


def layers() -> list[list[str]]:
    """Returns the modules and packages of each layer, from top to bottom."""
    project = (REPO / "pyproject.toml").read_text()
    rows = re.search(r"^layers = \[(.*?)^\]", project, re.DOTALL | re.MULTILINE)[1]
    return [re.findall(r"\w+", row) for row in re.findall(r'"(.+?)",', rows)]


def picture() -> str:
    """Returns the drawing: each layer may import only what is below it."""
    blocks = [[TOP], *([line(name) for name in layer] for layer in layers())]
    return f"\n{' ' * 4}|\n".join("\n".join(block) for block in blocks) + "\n"


def line(name: str) -> str:
    """Returns a module's or package's name, and what it says of itself."""
    path = REPO / "fiftyone_qdrant" / name
    package = path.is_dir()
    source = path / "__init__.py" if package else path.with_suffix(".py")
    says = ast.get_docstring(ast.parse(source.read_text())).splitlines()[0]
    return f"{name + ('/' if package else '.py'):<20}{says}"


def page() -> str:
    """Returns the page with the drawing as it has to be."""
    return PICTURE.sub(lambda _: picture(), PAGE.read_text())


if __name__ == "__main__":
    PAGE.write_text(page())
