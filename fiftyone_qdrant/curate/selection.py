"""Which samples to label next."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import fiftyone.core.collections as foc
import numpy as np

from fiftyone_qdrant.curate.choosing import Choosing, Wanted, distances_to
from fiftyone_qdrant.curate.label_field import LabelField
from fiftyone_qdrant.curate.vectors import (
    Progress,
    Rows,
    Vectors,
    check_twins,
    vectors_of,
)
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.matches import ids_with_tag
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.runs import load_index
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

STRATEGIES = {
    "coverage": "far from all that is chosen, so that nothing is far from it",
    "typical": "where many others are near",
    "unusual": "where few others are near",
    "near": "near what has a tag",
    "far": "far from what has a tag",
}
"""What can make a sample worth choosing, in words."""

NO_GROUP = ""
"""The class of what has none."""

_REFERENCES = 2_048  # points that tell how many are near
_NEIGHBORS = 15  # the neighbor whose distance tells it, or of a part of the points
_FEWEST = 3  # the one that is so many times as near, but at least the third
_READ = 2_000  # vectors at once


@dataclass(frozen=True, eq=False)
class Selection:
    """Samples, or patches, chosen one after the other: any first part is a choice, too.

    Attributes:
        brain_key: the index that was asked
        strategy: the weight of each of :data:`STRATEGIES`
        ids: sample ids, or label ids of patches, in the order chosen; fewer than wanted
            if all others are twins of these
        radius: float32: after each choice, the largest distance of anything shown to
            the nearest that is chosen or given: nothing is farther
        mean: float32, the mean of these distances after each choice
        classes: the class of each, if they are balanced, else empty
        given: how many were given
        total: how many there are to choose from, with those given
        twins: the distance up to which two were held to be twins
    """

    brain_key: str
    strategy: dict[str, float]
    ids: list[str]
    radius: Matrix
    mean: Matrix
    classes: list[str]
    given: int
    total: int
    twins: float


def select_samples(
    samples: Any,
    brain_key: str,
    n: int,
    *,
    strategy: str | Mapping[str, float] = "coverage",
    given: Any = None,
    tag: str | None = None,
    balance: str | None = None,
    twins: float | None = None,
    seed: int = 0,
    progress: Progress = None,
) -> Selection:
    """Chooses ``n`` samples to label next, or patches.

    ``"coverage"`` chooses k-centers: each time what is farthest from all that is chosen
    or given. The others rank all samples from 0 to 1. In a mix these are multiplied,
    each to the power of its weight; for ``"coverage"`` that is ``d / (d + m)``, of a
    distance ``d`` and the median ``m`` of those to what is given, or chosen first. No
    two that are chosen are twins of each other, or of what is given. Nothing is
    written.

    All vectors are read into a temporary file, and not kept in memory. Of dot product
    indexes distances are those by angle.

    Args:
        samples: a dataset or view to choose from
        brain_key: an index of it
        n: how many to choose
        strategy ("coverage"): one of :data:`STRATEGIES`, or the weights of several
        given (None): what is labelled already: a tag, a view, or ids
        tag (None): what ``"near"`` and ``"far"`` are about
        balance (None): a field of Classification or text, of whose classes as many are
            chosen, with those given; those without count as a class. Of an index of
            patches, their field
        twins (None): the distance up to which two are twins; by default a fifth of that
            to an ordinary neighbor
        seed (0): decides which points tell how many others are near
        progress (None): see :data:`.vectors.Progress`

    Raises:
        IndexNotFound, CollectionNotFound: if there is no such index
        ConfigError: if an argument is wrong
        MissingIDs: if the index holds nothing of the samples, or with a tag
    """
    weights = _weights(strategy, tag)
    if not isinstance(n, Integral) or isinstance(n, bool) or n < 1:
        raise ConfigError(f"n must be a whole number from 1 on, not {n!r}")

    check_twins(twins)
    index = load_index(samples, brain_key)
    field = None if balance is None else LabelField(index, balance)
    given_ids = [] if given is None else _ids_of(index, given)
    tagged = [] if tag is None else ids_with_tag(index, tag)

    def beat(done: int = 0) -> None:
        if progress is not None:
            progress(done, int(n))

    with vectors_of(index, lambda done, total: beat()) as vectors:
        rng = np.random.default_rng(seed)
        near = vectors.twins(twins, rng)
        worth = np.ones(len(vectors), np.float32)
        if weights.keys() & {"typical", "unusual"}:
            alone = _ranked(_loneliness(vectors, near, rng, beat))
            worth *= (1.0 - alone) ** weights.get("typical", 0.0)
            worth *= alone ** weights.get("unusual", 0.0)

        if weights.keys() & {"near", "far"}:
            far = _ranked(_nearest(vectors, _read(index, vectors, tagged), beat))
            worth *= (1.0 - far) ** weights.get("near", 0.0)
            worth *= far ** weights.get("far", 0.0)

        names, groups, before = _groups(field, vectors, given_ids)
        spread = weights.get("coverage", 0.0)
        wanted = Wanted(worth, spread, groups, before, near)
        choosing = Choosing(vectors, wanted, beat)
        count = 0
        for block in _read(index, vectors, given_ids):
            choosing.give(block)
            count += len(block)

        choosing.choose(int(n))
        beat(int(n))
        rows = choosing.rows
        return Selection(
            brain_key=brain_key,
            strategy=weights,
            ids=[vectors.ids[row] for row in rows],
            radius=np.array(choosing.radius, np.float32),
            mean=np.array(choosing.mean, np.float32),
            classes=[names[groups[row]] for row in rows] if field else [],
            given=count,
            total=len(vectors),
            twins=near,
        )


def _weights(strategy: Any, tag: str | None) -> dict[str, float]:
    weights = {strategy: 1.0} if isinstance(strategy, str) else strategy
    known = ", ".join(map(repr, STRATEGIES))
    if not isinstance(weights, Mapping) or not weights:
        raise ConfigError(
            f"strategy must be one of {known}, or the weights of some, such as "
            f"{{'coverage': 1, 'typical': 0.5}}; not {strategy!r}"
        )

    for name, weight in weights.items():
        if name not in STRATEGIES:
            raise ConfigError(f"Unknown strategy {name!r}. Use {known}")

        number = isinstance(weight, Real) and not isinstance(weight, bool)
        if not number or not 0 <= float(weight) < math.inf:
            raise ConfigError(
                f"The weight of '{name}' must be a number from 0 on, not {weight!r}"
            )

    weights = {name: float(weight) for name, weight in weights.items() if weight}
    if not weights:
        raise ConfigError("Give one of the strategies a weight that is more than 0")

    if weights.keys() & {"near", "far"} and not tag:
        raise ConfigError("Give the tag that samples shall be near to, or far from")

    return weights


def _ids_of(index: QdrantSimilarityIndex, given: Any) -> list[str]:
    """Returns the ids of what is given: of a tag, a view, or ids."""
    if isinstance(given, str):
        return ids_with_tag(index, given)

    if isinstance(given, foc.SampleCollection):
        return index.held.ids(index.held.flat(given))

    try:
        return list(dict.fromkeys(map(str, given)))
    except TypeError as e:
        raise ConfigError(
            f"Give what is labelled already as a tag, a view or ids, not {given!r}"
        ) from e


def _read(
    index: QdrantSimilarityIndex, vectors: Vectors, ids: list[str]
) -> Iterator[Matrix]:
    """Yields the vectors of those ids that an index holds, prepared."""
    for start in range(0, len(ids), _READ):
        part = ids[start : start + _READ]
        found = index.contents.retrieved(part, allow_missing=True)[0]
        if len(found):
            yield vectors.space.ready(found)


def _nearest(
    vectors: Vectors, others: Iterator[Matrix], beat: Callable[[], None]
) -> Matrix:
    nearest = np.full(len(vectors), np.inf, np.float32)
    for block in others:
        np.minimum(nearest, distances_to(vectors, block, beat), out=nearest)

    return nearest


def _loneliness(
    vectors: Vectors, twins: float, rng: np.random.Generator, beat: Callable[[], None]
) -> Matrix:
    """Returns how far the nearest of some points are from each, but for its twins."""
    count = min(len(vectors), _REFERENCES)
    chosen = np.sort(rng.choice(len(vectors), count, replace=False))
    references = np.asarray(vectors.rows[chosen])
    k = min(count, max(_FEWEST, _NEIGHBORS * count // len(vectors)))
    alone = np.empty(len(vectors), np.float32)
    for first, block in vectors.blocks():
        d = vectors.space.distances(block, references)
        d[d <= twins] = np.inf
        alone[first : first + len(block)] = np.partition(d, k - 1, axis=1)[:, k - 1]
        beat()

    return alone


def _ranked(values: Matrix) -> Matrix:
    """Returns the rank of each value as a number between 0 and 1."""
    ranks = np.empty(len(values), np.float32)
    ranks[np.argsort(values, kind="stable")] = np.arange(len(values)) + 0.5
    return np.asarray(ranks / np.float32(len(values)))


def _groups(
    field: LabelField | None, vectors: Vectors, given: list[str]
) -> tuple[list[str], Rows, Rows]:
    """Returns the classes, that of each vector, and how many of each are given."""
    if field is None:
        return [NO_GROUP], np.zeros(len(vectors), np.int64), np.zeros(1, np.int64)

    label_of = field.read()
    labels = [label_of.get(i, NO_GROUP) for i in vectors.ids]
    names, groups = np.unique(np.array(labels, object), return_inverse=True)
    number = {name: n for n, name in enumerate(names.tolist())}
    before = np.zeros(len(names), np.int64)
    there = field.read_of(given)
    for i in given:
        name = there.get(i, NO_GROUP)
        if name in number:
            before[number[name]] += 1

    return names.tolist(), groups.astype(np.int64), before
