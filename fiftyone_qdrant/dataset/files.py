"""The files of samples on disk: where they are, and whether they have changed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from bson import ObjectId

from fiftyone_qdrant.dataset.samples import documents_of, is_patches


def paths_of(samples: Any) -> dict[str, str]:
    """Returns the path of each sample by its id; of patches, by that of the image."""
    name = "sample_id" if is_patches(samples) else "id"
    return dict(zip(*samples.values([name, "filepath"]), strict=True))


def paths_by_id(home: Any, sample_ids: Iterable[str]) -> dict[str, str]:
    """Returns the paths of some samples, in whichever group slice they are."""
    query = {"_id": {"$in": [ObjectId(i) for i in sample_ids]}}
    found = documents_of(home).find(query, {"filepath": 1})
    return {str(d["_id"]): d["filepath"] for d in found}


def state_of(path: str) -> tuple[int, int] | None:
    """Returns a file's size in bytes and when it changed, in nanoseconds since 1970.

    Returns:
        ``None`` if there is no such file, or it cannot be looked at
    """
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # such as of a path with a NUL
        return None

    return found.st_size, found.st_mtime_ns
