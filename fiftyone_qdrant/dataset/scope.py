"""Where to search: what was shown before a query's result, and how much there is."""

from __future__ import annotations

import uuid
from typing import Any

import fiftyone.core.media as fom
from pymongo.errors import ExecutionTimeout

from fiftyone_qdrant.dataset.samples import (
    are_alike,
    dataset_of,
    documents_of,
    estimated_count,
    name_stage,
    pipeline_of,
    root_of,
    stage_name,
    stages_in,
)

_OURS = "fiftyone-qdrant-result"  # how the uuids of a result's stages begin
_COUNTED_FOR = 300  # milliseconds


def mark(view: Any, searched: Any) -> Any:
    """Marks the stages of a result, so that :func:`before` finds what was searched.

    The App keeps the marks, also in its address and in saved views.

    Args:
        view: the result, a view that was just made
        searched: the dataset, or the view, that was searched
    """
    ours, result = stages_in(view)[_common(view, searched) :], uuid.uuid4().hex
    for n, stage in enumerate(ours):
        name_stage(stage, f"{_OURS}-{n}-{result}")

    return view


def mark_of(view: Any) -> str | None:
    """Returns what marks the result that a view shows; no other has the same."""
    marks = map(stage_name, stages_in(view))
    return next((m for m in marks if m.startswith(_OURS)), None)


def before(view: Any) -> Any:
    """Returns what was searched if a view is the result of a query, else the view."""
    result = mark_of(view)
    if result is None:
        return view

    searched = root_of(view)
    for stage in stages_in(view):
        if stage_name(stage) == result:
            break

        searched = searched.add_stage(stage)

    return searched


def count(samples: Any) -> int | None:
    """Returns how many a dataset or view shows, or ``None`` if that takes long."""
    if not stages_in(samples) and samples.media_type != fom.GROUP:
        return estimated_count(dataset_of(samples))

    pipeline = pipeline_of(samples, [{"$count": "count"}])
    documents = documents_of(samples)
    try:
        found = list(documents.aggregate(pipeline, maxTimeMS=_COUNTED_FOR))
    except ExecutionTimeout:
        return None

    return int(found[0]["count"]) if found else 0


def count_in_words(samples: Any) -> str:
    """Returns the same as people write it."""
    number = count(samples)
    return "…" if number is None else f"{number:,}"


def _common(view: Any, searched: Any) -> int:
    """How many stages two collections begin with alike."""
    alike = 0
    for one, other in zip(stages_in(view), stages_in(searched), strict=False):
        if one is not other and not are_alike(one, other):
            break

        alike += 1

    return alike
