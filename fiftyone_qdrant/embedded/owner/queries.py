"""From the wire's query dicts to the engine's queries.

The engine searches by vectors only. Turning point ids into their vectors, leaving
those points out of the results and averaging the examples of a recommendation are
done here, as Qdrant's server does them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import qdrant_edge as qe

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.owner.conversions import (
    Buffers,
    filter_from_wire,
    ids_from_wire,
    order_by,
    payload_selector,
    search_params,
)

Lookup = Callable[[list[Any]], dict[Any, Any]]
"""Returns the stored vectors of the given ids, by id."""


class Planned(NamedTuple):
    """A query for the engine, and what remains to be done with its result."""

    request: Any
    """The engine's ``QueryRequest``."""

    drop: frozenset[Any]
    """Ids to take out of the result afterwards."""

    offset: int
    """How many of the remaining hits to skip."""

    limit: int
    """How many of the hits after these to keep."""


class Planner:
    """Plans the queries of one message.

    Args:
        lookup: finds stored vectors by id
        buffers: the buffers of the message
        distance: the collection's distance, such as ``"Cosine"``
        quantized: whether the collection is quantized
    """

    def __init__(
        self, lookup: Lookup, buffers: Buffers, distance: str, quantized: bool
    ) -> None:
        self._lookup = lookup
        self._buffers = buffers
        self._distance = distance
        self._quantized = quantized

    def plan(self, wire: dict[str, Any]) -> Planned:
        """Plans one query."""
        limit = wire["limit"]
        offset = wire.get("offset") or 0
        query, mentioned = self._query(wire.get("query"), offset + limit)
        clauses = wire.get("filter")
        found = filter_from_wire(clauses, self._buffers)
        filtered = found is not None
        drop: frozenset[Any] = frozenset()
        reach = limit
        if mentioned:
            if filtered or not isinstance(query, qe.Query):
                own = qe.Filter(must_not=[qe.HasIdCondition(set(mentioned))])
                found = qe.Filter(must=[found, own]) if filtered else own
            else:
                # a filter would make the search a full scan: take more, and drop
                drop = frozenset(mentioned)
                reach = offset + limit + len(drop)

        threshold = wire.get("score_threshold")
        if threshold is not None and self._far_is_high(wire.get("query")):
            raise errors.UnsupportedByEngine(
                "the embedded engine takes no score_threshold with a recommend query "
                f"in a collection with {self._distance} distance: leave it out"
            )

        request = qe.QueryRequest(
            limit=reach,
            offset=0 if drop else offset,
            query=query,
            filter=found,
            score_threshold=threshold,
            params=search_params(
                wire.get("params"), filtered=filtered, quantized=self._quantized
            ),
            with_payload=payload_selector(wire.get("with_payload", False)),
            with_vector=bool(wire.get("with_vector", False)),
        )
        return Planned(request, drop, offset if drop else 0, limit)

    def _far_is_high(self, query: dict[str, Any] | None) -> bool:
        return (
            query is not None
            and query.get("recommend", {}).get("strategy")
            in ("best_score", "sum_scores")
            and self._distance in ("Euclid", "Manhattan")
        )

    def _query(self, wire: dict[str, Any] | None, reach: int) -> tuple[Any, list[Any]]:
        if wire is None:
            return None, []

        if "nearest" in wire:
            return self._nearest(wire, reach)

        if "recommend" in wire:
            return self._recommend(wire["recommend"])

        if "discover" in wire:
            spec = wire["discover"]
            refs = [spec["target"], *_flat(spec["context"])]
            vectors, mentioned = self._vectors(refs)
            target, *rest = vectors
            query = qe.DiscoverQuery(target, _pairs(rest))
            return qe.Query.Discover(query), mentioned

        if "context" in wire:
            vectors, mentioned = self._vectors(_flat(wire["context"]))
            return qe.Query.Context(qe.ContextQuery(_pairs(vectors))), mentioned

        if "order_by" in wire:
            return order_by(wire["order_by"]), []

        if "sample" in wire:
            return qe.Sample.Random, []

        raise errors.UnsupportedByEngine(
            f"the embedded engine has no {'/'.join(wire)} query"
        )

    def _nearest(self, wire: dict[str, Any], reach: int) -> tuple[Any, list[Any]]:
        (vector,), mentioned = self._vectors([wire["nearest"]])
        mmr = wire.get("mmr")
        if mmr is None:
            return qe.Query.Nearest(vector), mentioned

        diversity = mmr.get("diversity")
        query = qe.Mmr(
            vector,
            1.0 - (0.5 if diversity is None else diversity),
            mmr.get("candidates_limit") or reach,
        )
        return query, mentioned

    def _recommend(self, wire: dict[str, Any]) -> tuple[Any, list[Any]]:
        positive, negative = wire["positive"], wire["negative"]
        strategy = wire.get("strategy") or "average_vector"
        vectors, mentioned = self._vectors([*positive, *negative])
        pos, neg = vectors[: len(positive)], vectors[len(positive) :]
        if strategy == "average_vector":
            if not pos:
                raise errors.ConfigError(
                    "a recommendation by average vector needs a positive example"
                )

            mean: Any = np.mean(np.asarray(pos, dtype=np.float32), axis=0)
            if neg:
                mean = 2 * mean - np.mean(np.asarray(neg, dtype=np.float32), axis=0)

            return qe.Query.Nearest(mean), mentioned

        if not pos and not neg:
            raise errors.ConfigError("a recommendation needs an example")

        query = qe.RecommendQuery(pos, neg)
        if strategy == "best_score":
            return qe.Query.RecommendBestScore(query), mentioned

        return qe.Query.RecommendSumScores(query), mentioned

    def _vectors(self, refs: list[dict[str, Any]]) -> tuple[list[Any], list[Any]]:
        """Returns the vectors the references stand for, and the ids among them."""
        wanted = [
            ids_from_wire(ref["id"], self._buffers)[0] for ref in refs if "id" in ref
        ]
        stored = self._lookup(wanted) if wanted else {}
        missing = [str(i) for i in wanted if i not in stored]
        if missing:
            raise errors.MissingIDs(
                f"the collection does not hold point {', '.join(missing[:5])}"
            )

        ids = iter(wanted)
        vectors = [
            stored[next(ids)] if "id" in ref else self._buffers[ref["v"]].cast("f")
            for ref in refs
        ]
        return vectors, wanted


def _flat(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [pair[side] for pair in pairs for side in ("positive", "negative")]


def _pairs(vectors: list[Any]) -> list[Any]:
    return [
        qe.ContextPair(vectors[i], vectors[i + 1]) for i in range(0, len(vectors), 2)
    ]
