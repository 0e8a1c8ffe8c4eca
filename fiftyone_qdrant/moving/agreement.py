"""Whether two indexes answer alike: the proof before one takes the other's place."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fiftyone_qdrant.errors import EngineError
from fiftyone_qdrant.moving.copying import sampled_ids
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

QUERIES = 50
_K = 25
_TIED = 1e-5  # relative: distances that two engines may order differently
_ENOUGH = 0.9  # where the graph answers, or vectors are kept in fewer bits


def agreement(
    index: QdrantSimilarityIndex, other: QdrantSimilarityIndex, queries: int = QUERIES
) -> tuple[float, bool]:
    """Asks two indexes of the same points the same, exactly where that is allowed.

    Args:
        index: one index
        other: the other one
        queries (50): how many vectors of the first are asked for

    Returns:
        the share of hits that both have, 1 where they differ by nothing but ties, and
        whether all were exact; 1 of empty indexes
    """
    ids = list(sampled_ids(index.collection, queries))[:queries]
    if not ids:
        return 1.0, True

    vectors = index.contents.vectors(ids)
    answers = [
        i.search(vectors, k=_K, aggregation=None, exact=True) for i in (index, other)
    ]
    shares = [_shared(*pair) for pair in zip(*answers, strict=True)]
    exact = all(hits.exact for found in answers for hits in found)
    return float(np.mean(shares)), exact


def check(share: float, exact: bool, lossless: bool) -> None:
    """Checks that a copy answers as what it was made of.

    Args:
        share: see :func:`agreement`
        exact: whether all answers were exact
        lossless: whether the copy keeps all bits of the vectors

    Raises:
        EngineError: if it does not
    """
    if share < (1.0 if exact and lossless else _ENOUGH):
        raise EngineError(
            f"The copy answers {QUERIES} queries differently: {share:.1%} of the hits "
            "agree. The index stays where it is; move it again to compare anew"
        )


def _shared(hits: Hits, others: Hits) -> float:
    """Returns the share of hits that are among others, or as far as their last."""
    if not len(hits.ids) and not len(others.ids):
        return 1.0

    mine, theirs = hits.by_id(), others.by_id()
    agreeing = _found(mine, theirs.keys(), others.distances) + _found(
        theirs, mine.keys(), hits.distances
    )
    return agreeing / (len(mine) + len(theirs))


def _found(distances: dict[str, float], ids: Iterable[str], others: np.ndarray) -> int:
    known = set(ids)
    last = float(others[-1]) if len(others) else -np.inf
    slack = _TIED * max(1.0, abs(last))
    return sum(i in known or d >= last - slack for i, d in distances.items())
