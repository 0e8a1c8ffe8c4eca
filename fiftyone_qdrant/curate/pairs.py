"""Near-duplicates among all points of an index, found in one pass."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.curate.collected import Collected
from fiftyone_qdrant.curate.compared import Compared
from fiftyone_qdrant.curate.copies import same_files
from fiftyone_qdrant.curate.groups import NearDuplicates
from fiftyone_qdrant.curate.keeping import check_keep, ranks
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.index.all_pairs import Progress

BOUND = 64
"""How many pairs of each point are kept; of more than 250,000 points fewer."""

_MOST = 16_000_000  # pairs that are kept, unless that makes too few of each point
_FEWEST = 8

Mask = npt.NDArray[np.bool_]


def near_duplicates(
    samples: Any,
    brain_key: str,
    threshold: float,
    *,
    keep: str = "largest",
    only: str | None = None,
    by: str | None = None,
    against: Any = None,
    against_key: str | None = None,
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
        only (None): ``"across"`` for pairs of which the two are in different sets, or
            ``"within"`` for those of the same set
        by (None): the field whose values tell sets apart. By default, these are groups,
            videos of frames and clips, or the samples that patches are in
        against (None): another dataset, or view: pairs are then of one of it and one of
            ``samples``, which alone may go ("already have it", or leaks between splits)
        against_key (None): the key of its index, if that is another one
        progress (None): called with how many points are done and how many there are;
            what it raises ends the search

    Raises:
        ConfigError: if the threshold is no number, ``keep`` no rule or field, if
            nothing tells sets apart, or the two indexes cannot be compared
        IndexNotFound: if there is no such index
        CollectionNotFound: if its collection is gone
    """
    _check(threshold, only)
    compared = Compared.of(samples, brain_key, against, against_key)
    index = compared.index
    check_keep(index, keep)
    ids, fixed = compared.all_ids, compared.fixed
    bound = max(_FEWEST, min(BOUND, _MOST // max(1, len(ids))))
    collected = Collected(len(ids), bound)
    sets = None if only is None else compared.sets(by)

    def take(i: Any, j: Any, far: Any) -> None:
        wanted = np.ones(len(i), bool)
        if against is not None:
            wanted &= fixed[i] != fixed[j]

        if sets is not None:
            wanted &= (sets[i] == sets[j]) == (only == "within")

        collected.add(i[wanted], j[wanted], far[wanted])

    compared.all_pairs(progress).scan(float(threshold), take)
    first, second, far = collected.pairs()
    nearest = np.full(len(ids), np.inf, np.float32)
    closeness = np.zeros(len(ids))
    for end in (second[::-1], first[::-1]):
        nearest[end] = np.minimum(nearest[end], far[::-1])
        closeness += np.bincount(end, threshold - far[::-1], minlength=len(ids))

    paired = np.isfinite(nearest)
    kept = _ranks(compared, keep, paired, closeness)
    if only != "across":
        first, second, far = collected.with_copies(first, second, far, kept)

    return NearDuplicates(
        ids=ids,
        first=first,
        second=second,
        distances=far,
        same_file=_same_files(compared, paired, first, second),
        nearest=nearest,
        ranks=kept,
        fixed=fixed,
        threshold=float(threshold),
        metric=index.metric,
        keep=keep,
        bound=bound,
        reached=int(np.isfinite(collected.full_at).sum()),
        complete_to=float(collected.full_at.min(initial=np.float32(threshold))),
        missing=index.missing_size or 0,
        recall=1.0,
        brain_key=brain_key,
    )


def _ranks(compared: Compared, keep: str, paired: Mask, closeness: Any) -> Any:
    """The ranks of all; what others are compared against comes first."""
    fixed = len(compared.other_ids)
    mine = ranks(compared.index, compared.ids, keep, paired[fixed:], closeness[fixed:])
    return np.append(np.arange(fixed, dtype=np.int32), mine + np.int32(fixed))


def _same_files(compared: Compared, paired: Mask, first: Any, second: Any) -> Mask:
    rows = np.flatnonzero(paired)
    place = np.cumsum(paired) - 1
    pairs = place[first], place[second]
    same = same_files(compared.values(rows, "filepath"), *pairs)
    if compared.index.config.patches_field is not None and same.any():
        boxes = compared.boxes(rows)
        same &= (boxes[pairs[0]] == boxes[pairs[1]]).all(axis=1)

    return same


def _check(threshold: Any, only: str | None) -> None:
    if not isinstance(threshold, Real) or math.isnan(threshold):
        raise ConfigError(
            "threshold= is the largest distance of near-duplicates, a number; not "
            f"{threshold!r}"
        )

    if only not in (None, "across", "within"):
        raise ConfigError(f"only= is 'across', 'within' or None, not {only!r}")
