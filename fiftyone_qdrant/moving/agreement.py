"""Whether two indexes answer alike: the proof before one takes the other's place."""

from __future__ import annotations

from collections.abc import Callable, Container

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
    index: QdrantSimilarityIndex,
    other: QdrantSimilarityIndex,
    changing: Callable[[], Container[str]] = tuple,
    queries: int = QUERIES,
) -> tuple[float, bool]:
    """Asks two indexes of the same points the same, exactly where that is allowed.

    Args:
        index: one index
        other: the other one
        changing (tuple): returns the ids of points that others wrote meanwhile: they
            do not count
        queries (50): how many vectors of the first are asked for

    Returns:
        the share of hits that both have, 1 where they differ by nothing but ties, and
        whether all were exact; 1 of empty indexes
    """
    ids = list(sampled_ids(index.collection, queries))[:queries]
    vectors = index.contents.retrieved(ids, allow_missing=True)[0]
    if not len(vectors):
        return 1.0, True

    answers = [
        i.search(vectors, k=_K, aggregation=None, exact=True) for i in (index, other)
    ]
    left_out = changing()
    pairs = [_shared(a, b, left_out) for a, b in zip(*answers, strict=True)]
    common, compared = np.sum(pairs, axis=0)
    exact = all(hits.exact for found in answers for hits in found)
    return float(common / compared) if compared else 1.0, exact


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


def _shared(hits: Hits, others: Hits, left_out: Container[str]) -> tuple[int, int]:
    """Compares hits as far as both lists reach, but for ties at their ends.

    Returns:
        how many of both lists are in the other, and how many there are
    """
    ends = [h.distances[-1] for h in (hits, others) if len(h.ids) == _K]
    end = min(ends, default=np.inf)
    end -= _TIED * max(1.0, abs(end)) if ends else 0
    mine, theirs = (
        {i for i, d in h.by_id().items() if d < end and i not in left_out}
        for h in (hits, others)
    )
    return 2 * len(mine & theirs), len(mine) + len(theirs)
