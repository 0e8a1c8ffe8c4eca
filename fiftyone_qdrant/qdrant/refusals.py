"""What Qdrant's own words for a refusal mean, whatever status or code they come with.

The words are those of Qdrant 1.16 to 1.19: of its strict mode, of its shards and
replicas, of its keys, and of what is too large for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from fiftyone_qdrant.errors import (
    AuthenticationFailed,
    EngineError,
    LimitExceeded,
    QdrantPluginError,
    ReplicasMissing,
    RequestTooLarge,
)
from fiftyone_qdrant.qdrant.connection import ENVIRONMENT

_TOO_LARGE = re.compile(
    r"larger than (max|allowed)|message length too large|too large|"
    r"request larger than rate limiter capacity",
    re.IGNORECASE,
)

# What a refusal calls a limit -> its name in strict_mode_config
_EXCEEDED = re.compile(r'Limit exceeded ([\d.]+) > ([\d.]+) for "([^"]+)"')
_EXCEEDED_NAMES = {
    "limit": "max_query_limit",
    "hnsw_ef": "search_max_hnsw_ef",
    "oversampling": "search_max_oversampling",
    "search batch size": "search_max_batchsize",
    "timeout": "max_timeout",
    "upsert limit": "upsert_max_batchsize",
    "update limit": "upsert_max_batchsize",
}
_FILTER_LIMIT = re.compile(
    r"(Filter condition|Condition size) limit reached \((\d+) > (\d+)\)"
)
_FILTER_NAMES = {
    "Filter condition": "filter_max_conditions",
    "Condition size": "condition_max_size",
}
_FULL = re.compile(r"Max (points count|(?:vector|payload) storage size) limit of (\S+)")
_FULL_NAMES = {
    "points count": "max_points_count",
    "vector storage size": "max_collection_vector_size_bytes",
    "payload storage size": "max_collection_payload_size_bytes",
}

_UNWRITTEN = re.compile(
    r"out of \d+ (?:shards|replicas) failed|failed to apply|consistency", re.IGNORECASE
)
_UNREAD = re.compile(
    r"of \d+ read operations failed|enough active replicas|active replica|"
    r"tcp connect error|Tonic status error|replica set",
    re.IGNORECASE,
)
_NODE = re.compile(r"https?://[^\s\"'/,;)]+")
_SHARD = re.compile(r"\bshard (\d+)", re.IGNORECASE)
_PEER = re.compile(r"\bpeer (\d+)", re.IGNORECASE)


def from_words(
    words: str, location: str, collection: str | None
) -> QdrantPluginError | None:
    """Returns the error that a server's words mean, or ``None`` if they say no more.

    Args:
        words: as the server said them
        location: where the server is
        collection: the collection the call was about, if any
    """
    tell: tuple[Callable[..., QdrantPluginError | None], ...] = (
        _too_large,
        _beyond_limit,
        _full,
        _replicas_missing,
    )
    for told in tell:
        error = told(words, location, collection)
        if error is not None:
            return error

    return None


def _too_large(words: str, location: str, _: str | None) -> RequestTooLarge | None:
    return too_large(location) if _TOO_LARGE.search(words) else None


def too_large(location: str) -> RequestTooLarge:
    """Returns the error for a message that was larger than may be."""
    return RequestTooLarge(
        f"A message was larger than Qdrant at {location}, or a proxy before it, "
        "accepts. Raise the limit there (client_max_body_size in nginx, "
        "service.max_request_size_mb in Qdrant)"
    )


def _beyond_limit(
    words: str, location: str, collection: str | None
) -> LimitExceeded | None:
    exceeded = _EXCEEDED.search(words)
    filtered = _FILTER_LIMIT.search(words)
    name: str
    allowed: float | bool
    if exceeded:
        number = float(exceeded[2])
        allowed = int(number) if number.is_integer() else number
        name = _EXCEEDED_NAMES.get(exceeded[3], exceeded[3])
    elif filtered:
        name, allowed = _FILTER_NAMES[filtered[1]], int(filtered[3])
    elif "Exact search disabled" in words:
        name, allowed = "search_allow_exact", False
    elif "Index required but not found" in words:
        name, allowed = "unindexed_filtering_retrieve", False
    else:
        return None

    error = LimitExceeded(
        f"Collection '{collection}' at {location} does not allow this "
        f"({_shortened(words)}). Its strict mode sets {name}: raise it there"
    )
    error.limit, error.allowed = name, allowed
    return error


def _full(words: str, location: str, collection: str | None) -> EngineError | None:
    full = _FULL.search(words)
    if full is None:
        return None

    return EngineError(
        f"Collection '{collection}' at {location} is full: {_shortened(words)}. Its "
        f"strict mode sets {_FULL_NAMES[full[1]]}: raise it there, or remove points"
    )


def _replicas_missing(
    words: str, location: str, collection: str | None
) -> ReplicasMissing | None:
    where = _where(words)
    if _UNWRITTEN.search(words):
        error = ReplicasMissing(
            f"Too few replicas of collection '{collection}' at {location} took part"
            f"{where}: {_shortened(words)}. Bring the missing nodes back and do it "
            "again, or create the index with a lower write_consistency_factor"
        )
    elif _UNREAD.search(words):
        error = ReplicasMissing(
            f"Too few replicas of collection '{collection}' at {location} answer"
            f"{where}. Bring the missing nodes back. An index outlives a node if it "
            "is created with replication_factor=2, and write_consistency_factor=1"
        )
    else:
        return None

    error.retry_after = 0
    return error


def _where(words: str) -> str:
    """The shard and node that words name, such as ``" (shard 2, node http://b:1)"``."""
    shard, peer, node = _SHARD.search(words), _PEER.search(words), _NODE.search(words)
    named = [f"shard {shard[1]}"] if shard else []
    if node:
        named.append(f"node {node[0]}")
    elif peer:
        named.append(f"node {peer[1]}")

    return f" ({', '.join(named)})" if named else ""


def refused_key(words: str, location: str) -> AuthenticationFailed:
    """Returns the error for an answer with status 401."""
    if re.search("expire", words, re.IGNORECASE):
        return AuthenticationFailed(
            f"Qdrant at {location} refused the API key: it has expired. Set "
            f"{ENVIRONMENT['api_key']} to a new one"
        )

    return AuthenticationFailed(
        f"Qdrant at {location} refused the API key. Set "
        f"{ENVIRONMENT['api_key']} to a key that may do this"
    )


def refused_access(
    words: str, location: str, collection: str | None
) -> AuthenticationFailed:
    """Returns the error for an answer with status 403."""
    why = "it may only read, or only use other collections"
    if "lobal" in words:
        why = "it may only read, or only use some collections, and this takes all"
    elif re.search(r"write|manage|read-only|read only", words, re.IGNORECASE):
        why = "it may only read"
    elif collection and re.search("access to collection", words, re.IGNORECASE):
        why = f"it is for other collections than '{collection}'"

    return AuthenticationFailed(
        f"Qdrant at {location} refused the API key for this: {why}. Set "
        f"{ENVIRONMENT['api_key']} to a key that may do this"
    )


_LONGEST = 180


def _shortened(words: str) -> str:
    """The first of a server's words, without the end that could end a sentence."""
    words = " ".join(words.split()).removeprefix("Bad request: ").rstrip(".! ")
    return words if len(words) <= _LONGEST else words[:_LONGEST] + "…"
