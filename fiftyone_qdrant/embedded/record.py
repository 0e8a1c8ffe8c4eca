"""``store.json``: which versions wrote a store."""

from __future__ import annotations

import os
import re
from importlib import metadata
from typing import Any

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.files import read_json

RECORD = "store.json"
FORMAT = 1
"""Version of the layout on disk."""


def read(path: str) -> dict[str, Any] | None:
    """Returns a store's record, or None if there is none.

    Raises:
        StoreUnavailable: if it cannot be read, with what to do
    """
    place = os.path.join(path, RECORD)
    try:
        record = read_json(place)
    except ValueError as e:
        raise _unreadable(str(e), place) from e

    if record is None:
        return None

    if not isinstance(record, dict) or type(record.get("format", FORMAT)) is not int:
        raise _unreadable(f"{place} is not what this package writes", place)

    return record


def _unreadable(what: str, place: str) -> errors.StoreUnavailable:
    return errors.StoreUnavailable(
        f"{what}. It only tells which version wrote the store: if that was this one, "
        f"delete {place} and call again, which writes it anew"
    )


def check(record: dict[str, Any], path: str) -> None:
    """Refuses a store that a newer package or engine has written.

    Raises:
        StoreUnavailable: with what to do
    """
    if record.get("format", FORMAT) > FORMAT:
        raise errors.StoreUnavailable(
            f"the store {path} was written by a newer version (format "
            f"{record['format']}, this one knows {FORMAT}): "
            "update fiftyone-qdrant, or use another path"
        )

    theirs = str(record.get("engine", "")).removeprefix("qdrant-edge ")
    ours = metadata.version("qdrant-edge-py")
    if _minor(theirs) > _minor(ours):
        raise errors.StoreUnavailable(
            f"the store {path} was last written by qdrant-edge {theirs} and this is "
            f"{ours}, which may not read it: pip install -U qdrant-edge-py, or use "
            "another path"
        )


def _minor(version: str) -> tuple[int, ...]:
    return tuple(int(n[:9]) for n in re.findall(r"\d+", version)[:2])
