"""What Qdrant's strict mode refuses, in the words of Qdrant 1.18.3.

The limits and texts on limits, exactness and rates are those a server gave; those on
filters and full collections are as its sources of that version have them.
"""

from __future__ import annotations

from typing import Any

REQUIRED = (
    'Index required but not found for "{}" of one of the following types: [keyword]. '
    "Help: Create an index for this key or use a different filter."
)
BYTES_PER_FLOAT = 4
READS = ("points", "points/scroll", "points/count", "points/query/batch")


class Refused(Exception):
    """A refusal: the status, Qdrant's words, and headers."""

    def __init__(self, status: int, words: str, **headers: str) -> None:
        super().__init__(words)
        self.status, self.words = status, words
        self.headers = {k.replace("_", "-"): v for k, v in headers.items()}


class StrictMode:
    """Refuses what a collection's strict mode does not allow.

    Attributes:
        spent: tokens of this minute, ``{"read": 3, "write": 5}``; tests set it back
    """

    def __init__(self) -> None:
        self.spent = {"read": 0, "write": 0}

    def check(self, config: Any, what: str, body: Any, query: Any, stats: Any) -> None:
        """Raises :class:`Refused` if a request may not be.

        Args:
            config: the collection's ``strict_mode_config``
            what: ``"METHOD rest/of/the/path"``
            body: of the request
            query: parameters of the URL
            stats: ``points``, ``size``, ``indexed`` fields of the collection
        """
        if not config or not config.get("enabled"):
            return
        limits = {k: v for k, v in config.items() if v is not None}
        if "timeout" in query:
            exceed(limits, "max_timeout", int(query["timeout"][0]), "timeout")
        method, rest = what.split(" ")
        if method == "POST" and rest in READS:
            self._read(limits, rest, body, stats)
        elif rest in ("points", "points/vectors", "points/delete", "points/payload"):
            self._write(limits, rest, body, stats)
        elif (method, rest) == ("PUT", "index"):
            most = limits.get("max_payload_index_count")
            if most is not None and len(stats["indexed"]) >= most:
                raise Refused(
                    400,
                    "Bad request: Collection already has the maximum number of "
                    f"payload indices ({most}). Help: Please delete an existing index "
                    "before creating a new one.",
                )

    def _read(self, limits: Any, rest: str, body: Any, stats: Any) -> None:
        cost = 1
        if rest == "points/query/batch":
            searches = body["searches"]
            cost = len(searches)
            exceed(limits, "search_max_batchsize", cost, "search batch size")
            for search in searches:
                exceed(limits, "max_query_limit", search.get("limit", 10), "limit")
                filtered(limits, search.get("filter"), stats)
                searched(limits, search.get("params") or {})
        elif rest == "points/scroll":
            exceed(limits, "max_query_limit", body.get("limit", 10), "limit")
            filtered(limits, body.get("filter"), stats)
        elif rest == "points/count":
            filtered(limits, body.get("filter"), stats)
            refuse_exact(limits, body.get("exact", True))
        self._spend(limits, "read", cost)

    def _write(self, limits: Any, rest: str, body: Any, stats: Any) -> None:
        if rest in ("points/delete", "points/payload"):
            if "filter" in body:
                filtered(limits, body["filter"], stats, "unindexed_filtering_update")
            self._spend(limits, "write", len(body.get("points") or [1]))
            return
        batch = body.get("batch")
        count = len(body["points"] if batch is None else batch["ids"])
        name = "upsert limit" if rest == "points" else "update limit"
        exceed(limits, "upsert_max_batchsize", count, name)
        held = stats["points"]
        full(limits, "max_points_count", held, "points count", "{}")
        size = held * stats["size"] * BYTES_PER_FLOAT
        for kind, used in (("vector", size), ("payload", held * 60)):
            limit = f"max_collection_{kind}_size_bytes"
            full(limits, limit, used, f"{kind} storage size", "{}MB", 2**20)
        self._spend(limits, "write", count)

    def _spend(self, limits: Any, kind: str, cost: int) -> None:
        capacity = limits.get(f"{kind}_rate_limit")
        if capacity is None:
            return
        words = f"Rate limiting exceeded: {kind.capitalize()} rate limit exceeded"
        if cost > capacity:
            raise Refused(
                429,
                f"{words}, request larger than rate limiter capacity, please try to "
                "split your request",
            )
        left = capacity - self.spent[kind]
        if cost > left:
            wait = max(1, -(-60 * (cost - left) // capacity))
            raise Refused(
                429,
                f"{words}: Operation requires {cost} tokens but only {left:.1f} were "
                f"available. Retry after {wait}s",
                Retry_After=str(wait),
            )
        self.spent[kind] += cost


def exceed(limits: Any, limit: str, value: float, name: str) -> None:
    """Refuse what is more than a limit."""
    if limit in limits and value > limits[limit]:
        raise Refused(
            400,
            f'Bad request: Limit exceeded {value} > {limits[limit]} for "{name}". '
            f'Help: Reduce the "{name}" parameter to or below {limits[limit]}.',
        )


def full(
    limits: Any, limit: str, used: float, name: str, form: str, unit: int = 1
) -> None:
    """Refuse writes to a collection that has reached a limit."""
    if limit in limits and used >= limits[limit]:
        most = form.format(limits[limit] / unit if unit > 1 else limits[limit])
        raise Refused(400, f"Bad request: Max {name} limit of {most} reached!")


def refuse_exact(limits: Any, exact: Any) -> None:
    """Refuse exact counts and searches where they are not allowed."""
    if exact and limits.get("search_allow_exact") is False:
        raise Refused(
            400, "Bad request: Exact search disabled!. Help: Set exact=false."
        )


def searched(limits: Any, params: Any) -> None:
    """Refuse search parameters."""
    refuse_exact(limits, params.get("exact"))
    oversampling = (params.get("quantization") or {}).get("oversampling")
    exceed(limits, "search_max_oversampling", oversampling or 0, "oversampling")
    exceed(limits, "search_max_hnsw_ef", params.get("hnsw_ef") or 0, "hnsw_ef")


def filtered(
    limits: Any, condition: Any, stats: Any, unindexed="unindexed_filtering_retrieve"
) -> None:
    """Refuse a filter that is too large, or on what is not indexed."""
    if not condition:
        return
    must = condition.get("must") or []
    most = limits.get("filter_max_conditions")
    if most is not None and len(must) > most:
        raise Refused(
            400,
            f"Bad request: Filter condition limit reached ({len(must)} > {most}). "
            "Help: Reduce the amount of conditions of your filter.",
        )
    sizes = [len(c.get("has_id") or c.get("match", {}).get("any") or [1]) for c in must]
    most = limits.get("condition_max_size")
    if most is not None and max(sizes, default=0) > most:
        raise Refused(
            400,
            f"Bad request: Condition size limit reached ({max(sizes)} > {most}). "
            "Help: Reduce the size of your condition.",
        )
    for key in [c["key"] for c in must if "key" in c]:
        if limits.get(unindexed) is False and key not in stats["indexed"]:
            raise Refused(400, "Bad request: " + REQUIRED.format(key))
