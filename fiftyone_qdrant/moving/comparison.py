"""Two indexes of the same things, asked the same: how far do they agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.moving.copying import sampled_ids
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.runs import load_index
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

_AT_ONCE = 50  # queries in one call


@dataclass(frozen=True, eq=False)
class Comparison:
    """How two indexes answer the same queries, each by its own vectors.

    Attributes:
        overlap: the mean of ``overlaps``
        queries: the ids that were asked for, sample or label ids: up to as many as
            wanted of those that both hold
        overlaps: float32, of each query the share of its hits that both have
        hits: the ids of the hits of each query in the first index, nearest first,
            without the query itself
        other_hits: the same in the other index
    """

    overlap: float
    queries: list[str]
    overlaps: Matrix
    hits: list[list[str]]
    other_hits: list[list[str]]


def compare_indexes(
    dataset: Any, brain_key: str, other_key: str, *, queries: int = 200, k: int = 25
) -> Comparison:
    """Compares the nearest neighbors that two indexes give the same ids.

    Before one takes the other's place, as with another model: an overlap of 1 means
    that nothing would change, one of 0 that nothing stays.

    Args:
        dataset: the dataset, or a view that both are asked within
        brain_key: one index
        other_key: another one, of the same samples or of patches of the same field
        queries (200): how many ids to ask for, spread evenly over the first index
        k (25): how many neighbors to compare

    Raises:
        IndexNotFound: if there is no such index
        ConfigError: if they hold different things, or have nothing in common, or a
            number is wrong
    """
    for name, value in (("queries", queries), ("k", k)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} must be a whole number of 1 or more")

    index, other = (load_index(dataset, key) for key in (brain_key, other_key))
    check_alike(index, other)
    ids = list(sampled_ids(index.collection, queries))[: 2 * queries]
    present = other.collection.present(ids)
    asked = [i for i in ids if i in present][:queries]
    if not asked:
        raise ConfigError(
            f"Indexes '{brain_key}' and '{other_key}' have nothing in common that "
            "could be asked for"
        )

    hits, other_hits = ([*_neighbors(i, asked, k)] for i in (index, other))
    shares = [
        len(set(mine) & set(theirs)) / max(len(mine), len(theirs), 1)
        for mine, theirs in zip(hits, other_hits, strict=True)
    ]
    overlaps = np.array(shares, dtype=np.float32)
    return Comparison(float(overlaps.mean()), asked, overlaps, hits, other_hits)


def check_alike(index: QdrantSimilarityIndex, other: QdrantSimilarityIndex) -> None:
    """Checks that two indexes hold the same kind of thing.

    Raises:
        ConfigError: if not, or if they are one
    """
    if index.key == other.key:
        raise ConfigError(f"'{index.key}' is one index: choose another second one")

    fields = (index.config.patches_field, other.config.patches_field)
    if fields[0] != fields[1]:
        raise ConfigError(
            f"Index '{index.key}' holds {index.held}, and '{other.key}' "
            f"{other.held}: they cannot be compared"
        )


def _neighbors(
    index: QdrantSimilarityIndex, ids: list[str], k: int
) -> Iterator[list[str]]:
    for start in range(0, len(ids), _AT_ONCE):
        some = ids[start : start + _AT_ONCE]
        found = index.search(some, k=k + 1, aggregation=None)
        for query, hits in zip(some, found, strict=True):
            yield [i for i in hits.ids if i != query][:k]
