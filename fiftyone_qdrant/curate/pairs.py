"""Near-duplicates among all points of an index, found in one pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np

from fiftyone_qdrant.curate.groups import NearDuplicates
from fiftyone_qdrant.curate.keeping import check_keep, ranks
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.runs import load_index

BOUND = 64
"""How many pairs of each point are kept at most."""

Progress = Callable[[int, int], object] | None
"""Called with how many points are done and how many there are; may raise to stop."""


def near_duplicates(
    samples: Any,
    brain_key: str,
    threshold: float,
    *,
    keep: str = "largest",
    progress: Progress = None,
) -> NearDuplicates:
    """Finds all pairs of samples, or of patches, that are near each other.

    One pass with a threshold that is rather too large answers for all smaller ones:
    see :meth:`.NearDuplicates.at`. Nothing is written.

    Args:
        samples: the dataset, or the view whose samples are compared
        brain_key: the index's run
        threshold: the largest distance of a pair, in the index's metric: smaller is
            nearer. Of cosine indexes 0 is the same and 2 the opposite
        keep ("largest"): which of near-duplicates is kept: the ``"largest"`` picture,
            the ``"oldest"`` or ``"newest"`` sample, the most ``"labelled"`` (labels
            and tags), the most ``"central"`` (with the nearest and most others), or
            the first by a field, given by its name; with ``-`` before it, the last.
            Of equals, the one that is earlier in the index
        progress (None): called with how many points are done and how many there are;
            what it raises ends the search

    Raises:
        ConfigError: if the threshold is no number, or ``keep`` no rule or field
        IndexNotFound: if there is no such index
        CollectionNotFound: if its collection is gone
    """
    check_threshold(threshold)
    index = load_index(samples, brain_key)
    check_keep(index, keep)
    ids = _ids(index)
    rows, distances = index.all_pairs().within(threshold)
    first = np.repeat(np.arange(len(ids)), [len(r) for r in rows])
    second, far = np.concatenate([*rows, []]), np.concatenate([*distances, []])
    once = first < second
    first, second, far = first[once], second[once], far[once]
    nearest = np.full(len(ids), np.inf, np.float32)
    closeness = np.zeros(len(ids))
    for end in (first, second):
        end = end.astype(np.int64)
        np.minimum.at(nearest, end, far.astype(np.float32))
        np.add.at(closeness, end, threshold - far)

    rank = ranks(index, ids, keep, np.isfinite(nearest), closeness)
    order = np.argsort(far, kind="stable")
    return NearDuplicates(
        ids=ids,
        first=first[order].astype(np.int32),
        second=second[order].astype(np.int32),
        distances=far[order].astype(np.float32),
        same_file=np.zeros(len(order), bool),
        nearest=nearest,
        ranks=rank,
        fixed=np.zeros(len(ids), bool),
        threshold=float(threshold),
        metric=index.metric,
        keep=keep,
        bound=BOUND,
        reached=0,
        missing=index.missing_size or 0,
        recall=1.0,
        brain_key=brain_key,
    )


def check_threshold(threshold: Any) -> None:
    """Raises :class:`ConfigError` unless it is a number."""
    if not isinstance(threshold, Real) or math.isnan(threshold):
        raise ConfigError(
            "threshold= is the largest distance of near-duplicates, a number; not "
            f"{threshold!r}"
        )


def _ids(index: Any) -> list[str]:
    patches = index.config.patches_field is not None
    ids = index.current_label_ids if patches else index.current_sample_ids
    return list(map(str, ids))
