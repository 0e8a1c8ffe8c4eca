"""Small pictures for panels, as data URIs: they work behind any proxy."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import fiftyone as fo
from PIL import Image, UnidentifiedImageError

SIZE = 96
_LARGEST = 50_000_000  # pixels of a picture that is made small
_KEPT = 512


def of_samples(dataset: Any, sample_ids: Sequence[str]) -> dict[str, str]:
    """Returns small pictures of samples, by id; none of what is no picture here."""
    found = dataset.select(list(sample_ids)).values(["id", "filepath"])
    small = {i: of_file(path) for i, path in zip(*found, strict=True)}
    return {i: uri for i, uri in small.items() if uri is not None}


def of_file(path: str) -> str | None:
    """Returns a small picture of a file, or ``None`` if it is no picture here."""
    try:
        changed = os.stat(path).st_mtime_ns
    except OSError:
        return None

    return _of_file(path, changed)


def of_bytes(content: bytes) -> str | None:
    """Returns a small picture of a picture's bytes, or ``None`` if they are none."""
    return _small(io.BytesIO(content))


def label_crop(dataset: Any, sample_id: str, field: str, label_id: str) -> bytes | None:
    """Returns the part of a picture that a label is in, as PNG.

    Args:
        dataset: the dataset
        sample_id: the sample
        field: the label's field
        label_id: the label

    Returns:
        the PNG, or ``None`` if the label has no box, or there is no picture
    """
    label = _label(dataset[sample_id], field, label_id)
    box = _box(label)
    if box is None:
        return None

    x, y, width, height = box
    try:
        with Image.open(dataset[sample_id].filepath) as opened:
            full = opened.convert("RGB")
    except (OSError, Image.DecompressionBombError):
        return None

    left, top = max(0, int(x * full.width)), max(0, int(y * full.height))
    right = min(full.width, max(left + 1, round((x + width) * full.width)))
    bottom = min(full.height, max(top + 1, round((y + height) * full.height)))
    if right <= left or bottom <= top:
        return None

    file = io.BytesIO()
    full.crop((left, top, right, bottom)).save(file, "PNG")
    return file.getvalue()


def _label(sample: Any, field: str, label_id: str) -> Any:
    value = sample[field]
    for name in ("detections", "polylines"):
        labels = getattr(value, name, None)
        if labels is not None:
            return next((one for one in labels if one.id == label_id), None)

    return value


def _box(label: Any) -> Any:
    if isinstance(label, fo.Detection):
        return label.bounding_box

    if isinstance(label, fo.Polyline) and any(label.points or []):
        xs, ys = zip(*(p for shape in label.points for p in shape), strict=True)
        return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)

    return None


@lru_cache(_KEPT)
def _of_file(path: str, changed: int) -> str | None:
    return _small(path)


def _small(file: Any) -> str | None:
    try:
        with Image.open(file) as opened:
            if opened.width * opened.height > _LARGEST:
                return None

            opened.draft("RGB", (2 * SIZE, 2 * SIZE))
            small = opened.convert("RGB")
    except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
        return None

    small.thumbnail((SIZE, SIZE))
    written = io.BytesIO()
    small.save(written, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"
