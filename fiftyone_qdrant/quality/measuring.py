"""How good the searches of an index are, and how fast, measured on its own vectors."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.packed import unpack
from fiftyone_qdrant.points import Matrix, Scores
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.search.kept import SearchSettings, kept
from fiftyone_qdrant.search.options import QueryOptions
from fiftyone_qdrant.search.queries import search_params
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.tuning import in_force

Progress = Callable[[int, int], None] | None
"""Called with the steps done and all steps; what it raises ends the measuring."""

EFFORTS = (16, 32, 64, 128, 256, 512, 1024)
_QUANTIZED = ((1.0, False), (1.0, True), (2.0, True), (4.0, True))
_QUANTIZED_EFFORTS = (64, 128, 256, 512)
_AT_ONCE = 4  # exact queries a call: others wait for a store meanwhile
_FEWEST = 20  # queries that are asked however long it takes
_FOR_TRUTH = 0.4  # of the time
_TIED = 1e-6  # relative: distances that are as good as each other
_MORE = 16  # of the nearest, in which ties are looked for
_Z = 1.96  # of a confidence of 95 %


@dataclass(frozen=True)
class Point:
    """One way to search, and what it gives.

    Attributes:
        settings: of the search
        recall: the share of the ``k`` nearest that it finds, 0 to 1
        low: the lower end of the recall's 95 % confidence interval
        high: its upper end
        p50: the median time of a query, in seconds
        p95: the time that 95 % of the queries take at most, in seconds
        present: whether the index is searched like this now
        exact: whether it compares with every point
    """

    settings: SearchSettings
    recall: float
    low: float
    high: float
    p50: float
    p95: float
    present: bool = False
    exact: bool = False


@dataclass(frozen=True)
class Measurement:
    """What was measured.

    Attributes:
        points: the ways to search, the present one first
        queries: the ids of the points whose vectors were asked for
        k: how many neighbors were looked for
        seed: what the queries were chosen with
        count: the points of the index
        share: of all points, those that the view holds; 1 of the whole index
        complete: whether there was time for all
    """

    points: list[Point]
    queries: list[str]
    k: int
    seed: int
    count: int
    share: float
    complete: bool

    @property
    def present(self) -> Point:
        """The point of how the index is searched now."""
        return self.points[0]

    def choose(self, target: float) -> Point:
        """Returns the point of least work that reaches a recall.

        It is the present one where searches are exact. Work is ``hnsw_ef`` times the
        oversampling, so that the choice does not depend on what else the machine does.

        Raises:
            ConfigError: if none reaches it, with what would help
        """
        return choose(self.points, target)


def choose(points: list[Point], target: float) -> Point:
    """See :meth:`Measurement.choose`."""
    now = points[0]
    if now.exact and target <= now.recall:
        return now

    good = [p for p in points if p.recall >= target]
    if good:
        return min(good, key=_work)

    best = max(points, key=lambda p: p.recall)
    raise ConfigError(
        f"No search setting finds {target:.3f} of the nearest: {best.settings} find "
        f"{best.recall:.3f}, which is the most. A denser graph finds more: raise m and "
        "ef_construct in Tune Qdrant Index, or take the quantization away"
    )


def _work(point: Point) -> tuple[float, bool]:
    s = point.settings
    return (s.hnsw_ef or 0) * (s.oversampling or 1.0), bool(s.rescore)


def measure(
    index: QdrantSimilarityIndex,
    samples: Any = None,
    *,
    queries: int = 200,
    k: int = 25,
    seed: int = 0,
    seconds: float = 60.0,
    progress: Progress = None,
) -> Measurement:
    """Measures recall and latency of an index against exact searches.

    Vectors of the index are looked for, without themselves, with each ``hnsw_ef`` of
    :data:`EFFORTS`, and where vectors are quantized with oversampling and rescoring.
    The truth is what a search that compares with every point finds; ties count as
    found. The confidence interval is Wilson's, at 95 %, for as many trials as the
    queries' own spread says that their hits are worth, at least one for each query.

    In a view, recall is that of searches in the view: those that give Qdrant ids are
    exact, so a small share of the points is often found better than a large one.

    Latency is of one query after another, MongoDB's part included, on the machine as
    busy as it is.

    Args:
        index: the index
        samples (None): a view to search in; by default all that is indexed
        queries (200): how many vectors to look for
        k (25): how many neighbors of each
        seed (0): chooses the vectors, the same ones every time
        seconds (60): how long it may take. After that time settings are left out, and
            queries of which there is no truth yet
        progress (None): see :data:`Progress`; to cancel, it raises

    Raises:
        ConfigError: if ``queries`` or ``k`` is wrong, or there is nothing to ask for
        CollectionNotFound: if the collection is gone
    """
    for name, value in (("queries", queries), ("k", k)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} must be a whole number of 1 or more")

    view = index.view
    if samples is not None:
        index.use_view(samples)

    try:
        return _measure(index, queries, k, seed, time.monotonic() + seconds, progress)
    finally:
        if samples is not None:
            index.use_view(view)


def _measure(
    index: QdrantSimilarityIndex,
    queries: int,
    k: int,
    seed: int,
    until: float,
    progress: Progress,
) -> Measurement:
    index.collection.forget()
    ids, vectors, share = _sample(index, queries, seed)
    settings = list(_to_try(index, k))
    steps = len(ids) * (1 + len(settings))
    done = 0

    def step(number: int) -> None:
        nonlocal done
        done += number
        if progress is not None:
            progress(min(done, steps), steps)

    enough = time.monotonic() + _FOR_TRUTH * max(0.0, until - time.monotonic())
    truths: list[set[str]] = []
    for first in range(0, len(ids), _AT_ONCE):
        if first >= _FEWEST and time.monotonic() > enough:
            break

        some = slice(first, first + _AT_ONCE)
        truths += _truths(index, ids[some], vectors[some], k)
        step(len(ids[some]))

    ids = ids[: len(truths)]
    points: list[Point] = []
    for point in settings:
        measured = _point(index, point, ids, vectors, truths, k, until, step)
        if measured is None:
            break

        points.append(measured)

    complete = len(points) == len(settings) and len(ids) == len(vectors)
    count = index.collection.schema().num_points
    return Measurement(points, ids, k, seed, count, share, complete)


def _sample(
    index: QdrantSimilarityIndex, queries: int, seed: int
) -> tuple[list[str], Matrix, float]:
    """Chooses points of the view: their ids and vectors, and the view's share."""
    rng = np.random.default_rng(seed)
    restriction = index.restriction()
    if restriction.whole:
        packed = index.collection.packed_ids()
        chosen = rng.permutation(len(packed))[:queries]
        ids, share = unpack(packed[chosen]), 1.0
    else:
        held = sorted(restriction.ids())
        chosen = rng.permutation(len(held))
        ids = [held[i] for i in chosen[: 2 * queries]]  # some may not be indexed
        share = min(1.0, len(held) / max(1, index.collection.count()))

    present = index.collection.present(ids) if ids else set()
    ids = [i for i in ids if i in present][:queries]
    if not ids:
        raise ConfigError(
            f"There is nothing to measure: no point of index '{index.key}' is there, "
            "or in this view. Add embeddings, or choose another view"
        )

    vectors = index.contents.retrieved(ids)[0]
    return ids, vectors, share


def _to_try(index: QdrantSimilarityIndex, k: int) -> Iterator[Point]:
    """Yields the ways to search, the present one first, as points without figures."""
    collection = index.collection
    params = search_params(collection, k + 1, False, QueryOptions(k=k + 1))
    info = collection.info()
    exact = bool(params.exact) or not info.indexed_vectors_count
    quantized = is_quantized(index)
    now = replace(kept(collection), hnsw_ef=None if exact else params.hnsw_ef)
    blank = Point(now, 0.0, 0.0, 0.0, 0.0, 0.0, present=True, exact=exact)
    yield blank
    if not info.indexed_vectors_count:
        return  # every search is exact, whatever it says

    if not quantized:
        others = [SearchSettings(ef) for ef in EFFORTS if ef >= k]
    else:
        others = [
            SearchSettings(ef, times, rescore)
            for ef in _QUANTIZED_EFFORTS
            if ef >= k
            for times, rescore in _QUANTIZED
        ]

    for other in others:
        if other != now:
            yield replace(blank, settings=other, present=False, exact=False)


def is_quantized(index: QdrantSimilarityIndex) -> bool:
    """Whether an index's vectors are quantized."""
    return in_force(index)["quantization_config"] is not None


def _truths(
    index: QdrantSimilarityIndex, ids: list[str], vectors: Matrix, k: int
) -> list[set[str]]:
    found = index.search(vectors, k=k + 1 + _MORE, aggregation=None, exact=True)
    return [_nearest(h, i, k) for h, i in zip(found, ids, strict=True)]


def _nearest(hits: Hits, itself: str, k: int) -> set[str]:
    """The k nearest without the point itself, and what is as near as the last."""
    others = [
        (i, d) for i, d in zip(hits.ids, hits.distances, strict=True) if i != itself
    ]
    if len(others) <= k:
        return {i for i, _ in others}

    end = others[k - 1][1]
    end += _TIED * max(1.0, abs(end))
    return {i for i, d in others if d <= end}


def _point(
    index: QdrantSimilarityIndex,
    point: Point,
    ids: list[str],
    vectors: Matrix,
    truths: list[set[str]],
    k: int,
    until: float,
    step: Callable[[int], None],
) -> Point | None:
    """Measures one way to search; ``None`` if there is no time for it."""
    options = {} if point.present else point.settings.options
    shares, seconds = np.zeros(len(ids)), np.zeros(len(ids))
    for n, (i, truth) in enumerate(zip(ids, truths, strict=True)):
        if not point.present and time.monotonic() > until:
            return None

        began = time.perf_counter()
        (hits,) = index.search(vectors[n : n + 1], k + 1, aggregation=None, **options)
        seconds[n] = time.perf_counter() - began
        found = [other for other in hits.ids if other != i][:k]
        wanted = min(k, len(truth))
        shares[n] = min(wanted, len(truth & set(found))) / wanted if wanted else 1.0
        if n % 10 == 9 or n == len(ids) - 1:
            step(n % 10 + 1)

    low, high = interval(shares, k)
    p50, p95 = np.quantile(seconds, [0.5, 0.95]).tolist()
    return replace(
        point, recall=float(shares.mean()), low=low, high=high, p50=p50, p95=p95
    )


def interval(shares: Scores | npt.NDArray[np.float64], k: int) -> tuple[float, float]:
    """Returns Wilson's 95 % confidence interval of a mean of shares.

    The hits of one query stand or fall together, so they count for less than as many
    trials: for as many as explain how far the queries' shares differ.

    Args:
        shares: of each query, 0 to 1, shape ``(num_queries,)``
        k: the hits of each query
    """
    queries = len(shares)
    p = float(shares.mean())
    spread = float(shares.var(ddof=1)) if queries > 1 else 0.0
    trials = float(queries)
    if spread > 0:
        trials = min(queries * float(k), max(trials, queries * p * (1 - p) / spread))

    z2 = _Z**2 / trials
    middle = (p + z2 / 2) / (1 + z2)
    half = _Z / (1 + z2) * float(np.sqrt(p * (1 - p) / trials + z2 / (4 * trials)))
    return min(p, max(0.0, middle - half)), max(p, min(1.0, middle + half))
