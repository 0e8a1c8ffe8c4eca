"""The limits that Qdrant's strict mode sets, as parameters of a collection.

Names, units and meaning mirror ``qdrant_client.models.StrictModeConfig`` 1.20. How
calls stay within them is in :mod:`fiftyone_qdrant.qdrant.limits`.
"""

from __future__ import annotations

from fiftyone_qdrant.parameters.parameter import Group, Parameter


def _allowed(name: str, description: str, advice: str) -> Parameter:
    """What a caller may do unless it is forbidden."""
    return Parameter(name, bool, description, advice, default=True, embedded=False)


def _most(name: str, description: str, advice: str, kind: type = int) -> Parameter:
    """How much of something there may be; any number unless it is given."""
    return Parameter(name, kind, description, advice, minimum=1, embedded=False)


STRICT_MODE = Group(
    "strict_mode_config",
    "Strict mode",
    (
        Parameter(
            "enabled",
            bool,
            "Whether the limits hold; off, they are kept and do nothing",
            "Turn off to lift all limits at once: Qdrant takes back no single one",
            default=False,
            embedded=False,
        ),
        _most(
            "max_query_limit",
            "Points in one answer",
            "Lower it when large answers take the server's memory; more come in pages",
        ),
        _most(
            "max_timeout",
            "Seconds that a call may ask to be given",
            "Lower it when long searches hold up others",
        ),
        _allowed(
            "unindexed_filtering_retrieve",
            "Searches and reads may filter on payload fields without an index",
            "Turn off when such filters slow others down; indexes here need none",
        ),
        _allowed(
            "unindexed_filtering_update",
            "Updates and deletions may filter on payload fields without an index",
            "Turn off when such writes slow others down; indexes here need none",
        ),
        _most(
            "search_max_hnsw_ef",
            "Candidates that a search of the graph may consider (hnsw_ef)",
            "Lower it when searches slow others down; fewer true neighbors are found",
        ),
        _allowed(
            "search_allow_exact",
            "Searches and counts may be exact",
            "Turn off when full scans slow others down; answers then say they are not",
        ),
        _most(
            "search_max_oversampling",
            "Factor by which more may be searched to rescore quantized vectors",
            "Lower it when rescoring slows others down",
            float,
        ),
        _most(
            "upsert_max_batchsize",
            "Points written by one call",
            "Lower it when large writes hold up searches",
        ),
        _most(
            "search_max_batchsize",
            "Searches in one call",
            "Lower it when many searches at once hold up others",
        ),
        _most(
            "max_collection_vector_size_bytes",
            "Size of all vectors in bytes, of one replica",
            "Set it to share a server's disk; writes beyond it are refused",
        ),
        _most(
            "read_rate_limit",
            "Read operations per minute and replica",
            "Set it to share a server; beyond it calls wait, so jobs take longer",
        ),
        _most(
            "write_rate_limit",
            "Write operations per minute and replica",
            "Set it to share a server; beyond it calls wait, so jobs take longer",
        ),
        _most(
            "max_collection_payload_size_bytes",
            "Size of all payload in bytes, of one replica",
            "Set it to share a server's disk; writes beyond it are refused",
        ),
        _most(
            "max_points_count",
            "About how many points there may be",
            "Set it to share a server's disk; writes beyond it are refused",
        ),
        _most(
            "filter_max_conditions",
            "Conditions in one filter",
            "Lower it when large filters slow others down",
        ),
        _most(
            "condition_max_size",
            "Values in one condition, such as ids",
            "Lower it when large filters slow others down; views take more searches",
        ),
        _most(
            "max_payload_index_count",
            "Indexed payload fields",
            "Set it to bound memory; an index here has one, of the sample id",
        ),
    ),
)
