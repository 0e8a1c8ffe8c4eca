"""Writes docs/parameters.md from fiftyone_qdrant/parameters/table.py."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from fiftyone_qdrant.parameters.parameter import Parameter
from fiftyone_qdrant.parameters.table import COLLECTION, GROUPS, QUANTIZATIONS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "parameters.md"
HEAD = """\
# Collection parameters

Made by `make docs` from `fiftyone_qdrant/parameters/table.py`; names and units are
Qdrant's.

All are keyword arguments of `compute_similarity(backend="qdrant")`, and of the
operator Create Qdrant Index. Dicts may be partial; what is left out, or `None`, is
Qdrant's default. A dash under *embedded* means that only a server has it: an embedded
index names it in a warning and keeps it for the day it moves to a server.
"""


def page() -> str:
    """Returns the whole page."""
    parts = [HEAD, *section("Collection", "keyword arguments", COLLECTION)]
    for group in GROUPS:
        parts += section(group.label, f"`{group.name}={{...}}`", group.parameters)

    for kind, group in QUANTIZATIONS.items():
        given = f'`quantization_config={{"{kind}": {{...}}}}`'
        parts += section(f"Quantization: {group.label}", given, group.parameters)

    return "\n".join(parts)


def section(title: str, given: str, parameters: Iterable[Parameter]) -> Iterator[str]:
    """Yields the lines of one table."""
    yield f"\n## {title}\n\nGiven as {given}.\n"
    yield "| parameter | type | default | embedded | what it is |"
    yield "|---|---|---|---|---|"
    for p in parameters:
        default = "" if p.default is None else f"{p.default}".lower()
        text = f"{p.description}. {p.advice}".strip().rstrip(".")
        embedded = "yes" if p.embedded else "-"
        yield f"| `{p.name}` | {kind(p)} | {default} | {embedded} | {text} |"


def kind(p: Parameter) -> str:
    """Returns the type with its limits."""
    if p.choices:
        return ", ".join(p.choices)

    if p.minimum is None:
        return p.type.__name__

    limits = f">= {p.minimum}" if p.maximum is None else f"{p.minimum} to {p.maximum}"
    return f"{p.type.__name__}, {limits}"


if __name__ == "__main__":
    PAGE.write_text(page() + "\n")
