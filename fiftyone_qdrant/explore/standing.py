"""Pinned searches that go on by themselves: what is added to an index and matches.

Whatever brings points into an index, in whatever process, tells this module the new
ones. A search that stands keeps the vector of what was asked and the largest distance
that was shown, so nothing is asked of Qdrant.
"""

from __future__ import annotations

import contextlib
import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.dataset.samples import root_of
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore import history
from fiftyone_qdrant.explore.history import Search
from fiftyone_qdrant.explore.questions import Question, vector_of
from fiftyone_qdrant.matches import matches_of
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

_MOST_IDS = 1_000  # that are kept of what is new
_A_DAY = 24 * 3600


def stand(
    dataset: Any,
    search_id: str,
    index: QdrantSimilarityIndex,
    question: Question,
    limit: float,
) -> None:
    """Has a pinned search go on by itself.

    Args:
        dataset: the dataset
        search_id: the search
        index: the index that was asked
        question: what was asked, with pictures as vectors
        limit: the largest distance of what matches

    Raises:
        ConfigError: if it is not pinned, or asks for the least similar
    """
    if not history.find_search(dataset, search_id).pinned:
        raise ConfigError("Pin the search first")

    if question.reverse:
        raise ConfigError("A search for the least similar cannot stand")

    vector = vector_of(index, question).tolist()
    standing = {"vector": vector, "limit": float(limit), "since": time.time()}
    nothing = {"count": 0, "ids": [], "told": True}
    begun = {**standing, **nothing}
    history.change(
        dataset, search_id, lambda s: replace(s, standing=begun if s.pinned else None)
    )


def stop_standing(dataset: Any, search_id: str) -> None:
    """Has a search no longer go on by itself."""
    history.change(dataset, search_id, lambda search: replace(search, standing=None))


def standing(dataset: Any, brain_key: str) -> list[Search]:
    """Returns the searches of an index that go on by themselves."""
    kept = history.searches(dataset)
    return [s for s in kept if s.standing and s.brain_key == brain_key]


def notice(
    index: QdrantSimilarityIndex,
    found: Sequence[Search],
    ids: Sequence[str],
    vectors: Matrix,
) -> None:
    """Notes which new points of an index match searches that stand.

    Args:
        index: the index
        found: of :func:`standing`
        ids: sample or label ids that the index did not have, shape ``(num_points,)``
        vectors: their embeddings, float32, shape ``(num_points, size)``
    """
    dataset, metric = root_of(index.samples), index.metric
    for search in found:
        known = search.standing or {}
        vector = np.asarray(known["vector"], dtype=np.float32)
        if vector.shape != vectors.shape[1:]:
            continue  # the index was made anew with another model

        far = points.pairwise_distances(vector, vectors, metric)
        new = [ids[row] for row in np.flatnonzero(far <= known["limit"]).tolist()]
        if new:
            _add(dataset, search.id, new)


def news(dataset: Any) -> list[Search]:
    """Returns the searches that have something new."""
    kept = history.searches(dataset)
    return [s for s in kept if s.standing and s.standing["count"]]


def untold(dataset: Any) -> list[Search]:
    """Returns those whose news nobody has been told; from now on they count as told."""
    found = []
    for search in news(dataset):
        before = _change(dataset, search.id, lambda known: {**known, "told": True})
        if before is not None and not before["told"]:
            found.append(search)

    return found


def have_seen(dataset: Any, search_id: str) -> list[str]:
    """Returns the ids of what is new, the first 1,000; from now on nothing is."""
    seen = {"count": 0, "ids": [], "told": True, "since": time.time()}
    before = _change(dataset, search_id, lambda known: {**known, **seen})
    ids: list[str] = [] if before is None else before["ids"]
    return ids


def view_of_news(index: QdrantSimilarityIndex, ids: Sequence[str]) -> Any:
    """Returns a view of what :func:`have_seen` returned, as far as it is there."""
    _, samples, labels = index.contents.retrieved(list(ids), allow_missing=True)
    found = (samples if labels is None else labels).tolist()
    none = np.zeros(len(found))
    return matches_of(index, Hits(found, samples.tolist(), none, none)).view


def in_words(search: Search) -> str:
    """Such as ``"12 new since Monday"``."""
    known = search.standing or {"count": 0, "since": time.time()}
    since = datetime.datetime.fromtimestamp(known["since"])
    age = time.time() - known["since"]
    day = f"{since:%H:%M}" if age < _A_DAY else f"{since:%A}"
    day = day if age < 6 * _A_DAY else f"{since:%d %b}"
    return f"{known['count']:,} new since {day}"


def _add(dataset: Any, search_id: str, ids: Sequence[str]) -> None:
    def add(known: dict[str, Any]) -> dict[str, Any]:
        kept = [*known["ids"], *ids][:_MOST_IDS]
        count = known["count"] + len(ids)
        return {**known, "ids": kept, "count": count, "told": False}

    _change(dataset, search_id, add)


def _change(
    dataset: Any,
    search_id: str,
    how: Callable[[dict[str, Any]], dict[str, Any]],
) -> dict[str, Any] | None:
    """Changes what is known of a search, if it goes on by itself yet.

    Returns:
        what was known before; ``None`` if somebody ended or deleted it meanwhile
    """

    def changed(search: Search) -> Search:
        known = search.standing
        return search if known is None else replace(search, standing=how(known))

    with contextlib.suppress(ConfigError):
        return history.change(dataset, search_id, changed)[0].standing

    return None
