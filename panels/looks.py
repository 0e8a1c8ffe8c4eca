"""How figures and states are written and colored, the same everywhere in a panel."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fiftyone_qdrant.words import bytes_in_words

UNKNOWN = "…"
ABSENT = "-"

GOOD, BUSY, WARNING, BAD = (
    "success.main",
    "info.main",
    "warning.main",
    "error.main",
)
STATE_COLORS = {
    "ready": GOOD,
    "building": BUSY,
    "filling": BUSY,
    "waiting": BUSY,
    "unfinished": WARNING,
    "foreign": WARNING,
    "degraded": WARNING,
    "gone": BAD,
    "refused": BAD,
    "unreachable": BAD,
}
INDEXED, MISSING = "#2e9e6b", "#d98e2b"  # on both themes


def number(value: Any, unknown: str = UNKNOWN) -> str:
    """Returns a count in words."""
    return unknown if value is None else f"{value:,}"


def setting(value: Any) -> str:
    """Returns the value of a parameter in words."""
    if isinstance(value, bool):
        return "on" if value else "off"

    return f"{value:,}" if isinstance(value, int) else str(value)


def percent(part: int, whole: int) -> str:
    """Returns a percentage that never says 100 while something is missing."""
    return f"{int(1000 * part / whole) / 10:g}\u00a0%"


def size(num_bytes: float | None) -> str:
    """Returns a number of bytes in words."""
    return ABSENT if num_bytes is None else bytes_in_words(num_bytes)


def place(location: str) -> str:
    """Returns where something is, the home directory as people write it."""
    return location.replace(str(Path.home()), "~", 1)


def narrower_than(pixels: int, rules: dict[str, Any]) -> dict[str, Any]:
    """Returns style rules that hold while their container is narrow."""
    return {f"@container (max-width: {pixels}px)": rules}


CONTAINER = {"containerType": "inline-size", "width": "100%"}


def hidden(columns: Iterable[Any]) -> dict[str, Any]:
    """Returns style rules that hide columns of a table, counted from 1."""
    return {f"& tr > :nth-child({n})": {"display": "none"} for n in columns}
