"""Which of near-duplicates is kept: the order in which they are preferred."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import fiftyone.core.labels as fol
import fiftyone.core.metadata as fom
import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.curate.values import has_attribute, values_of
from fiftyone_qdrant.dataset.samples import label_path
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

KEPT = {
    "largest": "The largest picture",
    "oldest": "The oldest",
    "newest": "The newest",
    "labelled": "The one with most labels and tags",
    "central": "The most central",
}
"""What each rule keeps, in words."""

KEEP = tuple(KEPT)
"""Rules by name; the name of a field, also with ``-`` before it, is one as well."""

_READERS = 8  # threads that read the sizes of pictures

Numbers = npt.NDArray[np.float64]


def check_keep(index: QdrantSimilarityIndex, keep: str) -> None:
    """Raises :class:`ConfigError` unless ``keep`` is a rule that can be followed."""
    if not isinstance(keep, str):
        raise ConfigError(f"keep= is one of {', '.join(KEEP)} or a field, not {keep!r}")

    if keep not in KEEP:
        values_of(index, [], keep.removeprefix("-"))


def ranks(
    index: QdrantSimilarityIndex,
    ids: Sequence[str],
    keep: str,
    paired: npt.NDArray[np.bool_],
    closeness: Numbers,
) -> npt.NDArray[np.int32]:
    """Returns the rank of each point, whose smallest is kept first.

    Args:
        index: the index
        ids: ``n`` ids of the index
        keep: the rule
        paired: bool, shape ``(n,)``: which are near another one; the others' ranks
            do not matter
        closeness: shape ``(n,)``: larger for what has more, and nearer, others

    Raises:
        ConfigError: if the rule is unknown, or its field is gone
    """
    rows = np.flatnonzero(paired)
    wanted = [ids[row] for row in rows.tolist()]
    if keep == "central":
        badness = -closeness[rows]
    elif keep == "largest":
        badness = -_areas(index, wanted)
    elif keep == "labelled":
        badness = -_labelled(index, wanted)
    elif keep in ("oldest", "newest"):
        (times,) = values_of(index, wanted, "created_at")
        badness = _places(times, keep == "newest")
    else:
        (values,) = values_of(index, wanted, keep.removeprefix("-"))
        badness = _places(values, keep.startswith("-"))

    equals = -rows if keep == "newest" else rows
    order = rows[np.lexsort((equals, badness))]
    found = np.empty(len(ids), np.int32)
    found[np.concatenate([order, np.flatnonzero(~paired)])] = np.arange(len(ids))
    return found


def _places(values: list[Any], descending: bool) -> Numbers:
    """Where values stand among all of them; those that are missing stand last."""
    known = {v for v in values if v is not None and v == v}
    try:
        order = sorted(known, reverse=descending)
    except TypeError as e:
        raise ConfigError(
            "The values of the field to keep by cannot be compared. Choose a field of "
            "numbers, dates or texts"
        ) from e

    place = {v: n for n, v in enumerate(order)}
    return np.array([place.get(v, len(order)) for v in values], dtype=np.float64)


def _areas(index: QdrantSimilarityIndex, ids: list[str]) -> Numbers:
    """The pixels of pictures, or of the boxes of labels in them; 0 if unknown."""
    files, known = values_of(index, ids, "filepath", "metadata")
    unread = {f for f, m in zip(files, known, strict=True) if f and _pixels(m) == 0}
    with ThreadPoolExecutor(_READERS) as pool:
        read = dict(zip(unread, pool.map(_read_pixels, unread), strict=True))

    pixels = [_pixels(m) or read.get(f, 0) for f, m in zip(files, known, strict=True)]
    areas = np.array(pixels, dtype=np.float64)
    if has_attribute(index, "bounding_box"):
        (boxes,) = values_of(index, ids, "bounding_box")
        areas *= [box[2] * box[3] if box else 0.0 for box in boxes]

    return areas


def _pixels(metadata: Any) -> int:
    width = getattr(metadata, "width", None) or getattr(metadata, "frame_width", None)
    height = getattr(metadata, "height", None)
    height = height or getattr(metadata, "frame_height", None)
    return int(width * height) if width and height else 0


def _read_pixels(path: str) -> int:
    """Reads the head of a file, which may not be there, or be no picture."""
    try:
        return _pixels(fom.ImageMetadata.build_for(path))
    except (OSError, ValueError, SyntaxError):  # SyntaxError: Pillow, of broken PNGs
        return 0


def _labelled(index: QdrantSimilarityIndex, ids: list[str]) -> Numbers:
    """How many of its label fields, and tags, a sample or label has."""
    home, field = index.held.home, index.config.patches_field
    if field is not None:
        labels, tags = values_of(index, ids, "label", "tags")
        return np.array(
            [bool(v) + len(t or ()) for v, t in zip(labels, tags, strict=True)], float
        )

    schema = home.get_field_schema(embedded_doc_type=fol.Label)
    paths = [label_path(home, name, "id") for name in schema]
    tags, *found = values_of(index, ids, "tags", *paths)
    counts = np.array([len(t or ()) for t in tags], dtype=np.float64)
    for column in found:
        counts += [bool(v) for v in column]

    return counts
