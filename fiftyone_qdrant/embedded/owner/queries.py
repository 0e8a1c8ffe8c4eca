"""From the wire's query requests to the engine's.

The engine searches by vectors only. Turning point ids into their vectors, leaving
those points out of the results and averaging the examples of a recommendation are
done here, as Qdrant's server does them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import qdrant_edge as qe

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.owner.mapping import (
    Buffers,
    Stored,
    as_list,
    made,
    refuse,
    to_ids,
)

Lookup = Callable[[list[Any]], Stored]
"""Returns the stored vectors of the given ids."""

Wire = dict[str, Any]

_COMMON = {"", "query", "using", "filter", "params", "score_threshold", "prefetch"}
_AVERAGE = {"": ["RecommendStrategy", "average_vector"]}
_WHOLE = {"limit", "offset", "with_payload", "with_vector"}


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

    def plan(self, wire: Wire) -> Planned:
        """Plans one query, a ``models.QueryRequest``."""
        limit, offset = wire.get("limit", 10), wire.get("offset") or 0
        parts, mentioned = self._parts(wire, offset + limit)
        drop: frozenset[Any] = frozenset()
        if mentioned and isinstance(parts["query"], qe.Query):
            # a filter would make the search a full scan, and with a second condition
            # one of many ids takes thrice as long: take more, and drop
            drop = frozenset(mentioned)
        else:
            _leave_out(parts, mentioned)

        request = qe.QueryRequest(
            limit=offset + limit + len(drop) if drop else limit,
            offset=0 if drop else offset,
            with_payload=made(wire.get("with_payload", False), self._buffers),
            with_vector=bool(wire.get("with_vector", False)),
            **parts,
        )
        return Planned(request, drop, offset if drop else 0, limit)

    def _prefetch(self, wire: Wire) -> Any:
        limit = wire.get("limit", 10)
        parts, mentioned = self._parts(wire, limit)
        _leave_out(parts, mentioned)
        return qe.Prefetch(limit=limit, **parts)

    def _parts(self, wire: Wire, reach: int) -> tuple[Wire, list[Any]]:
        """Returns what all queries may have, and the ids that are examples.

        Args:
            wire: the query
            reach: how many hits are needed
        """
        refuse(wire[""], wire.keys() - _COMMON - _WHOLE)
        query = wire.get("query")
        mentioned = [to_ids(ref, self._buffers)[0] for ref in _ids(query)]
        stored = self._lookup(mentioned) if mentioned else {}
        missing = [str(i) for i in mentioned if i not in stored]
        if missing:
            raise errors.MissingIDs(
                f"the collection does not hold point {', '.join(missing[:5])}"
            )

        parts = {
            "prefetches": [
                self._prefetch(p) for p in as_list(wire.get("prefetch", []))
            ],
            "params": self._params(wire.get("params"), filtered="filter" in wire),
        }
        if query is not None:
            parts["query"] = self._query(query, stored, wire.get("using"), reach)

        if "filter" in wire:
            parts["filter"] = made(wire["filter"], self._buffers)

        if "score_threshold" in wire:
            if self._far_is_high(query):
                raise errors.UnsupportedByEngine(
                    "the embedded engine takes no score_threshold with a recommend "
                    f"query in a collection with {self._distance} distance: leave it "
                    "out"
                )

            parts["score_threshold"] = wire["score_threshold"]

        return parts, mentioned

    def _params(self, wire: Wire | None, *, filtered: bool) -> Any:
        """Returns the engine's search parameters.

        The graph misses most hits of a selective filter, so such a search is exact
        unless the caller explicitly said otherwise. With quantized vectors twice the
        hits are taken and ranked anew by their full vectors, unless the caller said
        otherwise.
        """
        wanted: Wire = {"": "SearchParams", "exact": filtered}
        if self._quantized:
            rescored = {"rescore": True, "oversampling": 2.0}
            wanted["quantization"] = {"": "QuantizationSearchParams", **rescored}

        return made({**wanted, **(wire or {})}, self._buffers)

    def _far_is_high(self, query: Wire | None) -> bool:
        return (
            self._distance in ("Euclid", "Manhattan")
            and query is not None
            and query[""] == "RecommendQuery"
            and query["recommend"].get("strategy", _AVERAGE) != _AVERAGE
        )

    def _query(self, wire: Wire, stored: Stored, using: str | None, reach: int) -> Any:
        query = made(wire, self._buffers, stored)
        return query(using, reach) if callable(query) else query


def _ids(wire: Any) -> Iterator[Any]:
    """Yields the references to all points that a query names as examples."""
    if isinstance(wire, list):
        for item in wire:
            yield from _ids(item)
    elif isinstance(wire, dict) and wire.get("") == "Example":
        yield from [wire["id"]] if "id" in wire else []
    elif isinstance(wire, dict):
        yield from _ids(list(wire.values()))


def _leave_out(parts: Wire, mentioned: list[Any]) -> None:
    """Lets the filter of a query exclude the points that are its examples."""
    if mentioned:
        own = qe.Filter(must_not=[qe.HasIdCondition(set(mentioned))])
        given = parts.get("filter")
        parts["filter"] = own if given is None else qe.Filter(must=[given, own])
