"""Every parameter of a Qdrant collection that a user may set, declared once.

A :class:`Parameter` here is the source of the keyword argument, the form field,
the row in ``docs/parameters.md`` and the checks. Names, units and meaning mirror
``qdrant_client.models`` 1.20 (``HnswConfigDiff``, ``OptimizersConfigDiff``,
``WalConfigDiff``, the quantization configs and ``create_collection``); those of strict
mode are in :mod:`fiftyone_qdrant.parameters.strict_mode`. ``None``
means "left to Qdrant's default" and is never sent.
"""

from __future__ import annotations

from fiftyone_qdrant.parameters.parameter import Group, Parameter
from fiftyone_qdrant.parameters.strict_mode import STRICT_MODE

STORAGE = (
    Parameter(
        "on_disk",
        bool,
        "Serve vectors from disk instead of memory",
        "Turn on when the vectors do not fit in memory; queries get slower",
        default=False,
        label="Vectors on disk",
    ),
)


def _memory(what: str) -> Parameter:
    return Parameter(
        "memory",
        str,
        f"Where {what} are: pinned in memory, cached, or cold on the disk",
        "In place of the switches for disk and memory, from Qdrant 1.19 on",
        choices=("cold", "cached", "pinned"),
        embedded=False,
        label="Memory tier",
    )


CLUSTER = (
    Parameter(
        "shard_number",
        int,
        "Number of shards of the collection",
        "A multiple of the number of nodes; cannot be changed later",
        default=1,
        minimum=1,
        embedded=False,
        label="Shards",
    ),
    Parameter(
        "replication_factor",
        int,
        "Number of copies of each shard",
        "2 or more keeps the index available when a node fails",
        default=1,
        minimum=1,
        embedded=False,
        label="Copies of each shard",
    ),
    Parameter(
        "write_consistency_factor",
        int,
        "Number of copies that must confirm a write",
        "At most the replication factor; higher is safer, and fails sooner",
        default=1,
        minimum=1,
        embedded=False,
        label="Copies that confirm a write",
    ),
)

COLLECTION = (*STORAGE, *CLUSTER)

HNSW = Group(
    "hnsw_config",
    "HNSW",
    (
        Parameter(
            "m",
            int,
            "Edges per node of the graph",
            "Higher finds more of the true neighbors and needs more memory",
            default=16,
            minimum=0,
            maximum=1024,
            label="Edges per node",
        ),
        Parameter(
            "ef_construct",
            int,
            "Neighbors considered while building the graph",
            "Higher gives a better graph and a slower build",
            default=100,
            minimum=4,
            label="Neighbors looked at while building",
        ),
        Parameter(
            "full_scan_threshold",
            int,
            "Size in kilobytes below which a full scan is used (1 KB = 256 floats)",
            "Raise it to get exact results on larger selections",
            default=10000,
            minimum=10,
            label="Full scan below, in kB",
        ),
        Parameter(
            "max_indexing_threads",
            int,
            "Threads used to build the graph; 0 chooses automatically",
            "Lower it when searches must stay fast while the graph is built",
            default=0,
            minimum=0,
            label="Threads that build the graph",
        ),
        Parameter(
            "on_disk",
            bool,
            "Keep the graph on disk",
            "Turn on when the graph does not fit in memory; searches get slower",
            default=False,
            label="Graph on disk",
        ),
        _memory("the links of the graph"),
        Parameter(
            "payload_m",
            int,
            "Extra edges per node between points with the same indexed payload",
            "Raise it for searches within one value of a payload field, as per tenant",
            minimum=0,
            label="Extra edges within a payload value",
        ),
        Parameter(
            "inline_storage",
            bool,
            "Store copies of the vectors inside the graph file",
            "Takes twice the disk; without quantization it does nothing",
            default=False,
            label="Vectors in the graph file",
        ),
    ),
)

OPTIMIZERS = Group(
    "optimizers_config",
    "Optimizers",
    (
        Parameter(
            "deleted_threshold",
            float,
            "Fraction of deleted vectors at which a segment is rewritten",
            "Lower it to get space back sooner, for more rewriting",
            default=0.2,
            minimum=0,
            maximum=1,
            label="Share of deleted vectors to clean up at",
        ),
        Parameter(
            "vacuum_min_vector_number",
            int,
            "Vectors a segment must have before it is rewritten",
            "Lower it when small segments keep many deleted vectors",
            default=1000,
            minimum=100,
            label="Smallest segment to clean up",
        ),
        Parameter(
            "default_segment_number",
            int,
            "Number of segments to aim for; 0 chooses from the number of CPUs",
            "More segments index faster, fewer search faster",
            default=0,
            minimum=0,
            label="Segments",
        ),
        Parameter(
            "max_segment_size",
            int,
            "Largest segment in kilobytes (1 KB = 256 floats)",
            "Smaller segments are indexed faster, larger ones searched faster",
            minimum=1,
            label="Largest segment, in kB",
        ),
        Parameter(
            "memmap_threshold",
            int,
            "Size in kilobytes above which a segment is memory-mapped",
            "Set it to need less memory while many vectors are written",
            minimum=0,
            embedded=False,
            label="Memory-map above, in kB",
        ),
        Parameter(
            "indexing_threshold",
            int,
            "Size in kilobytes above which vectors are indexed (1 KB = 256 floats)",
            "0 turns indexing off",
            here="above 200,000 points",
            default=10000,
            minimum=0,
            label="Build the graph above, in kB",
        ),
        Parameter(
            "flush_interval_sec",
            int,
            "Seconds between two flushes to disk",
            "Raise it to write less; after a crash more of the log is replayed",
            default=5,
            minimum=1,
            embedded=False,
            label="Seconds between flushes",
        ),
        Parameter(
            "max_optimization_threads",
            int,
            "Optimizations that run at the same time per shard; 0 stops them",
            "Lower it when indexing slows down searches",
            minimum=0,
            embedded=False,
            label="Optimizations at a time",
        ),
        Parameter(
            "prevent_unoptimized",
            bool,
            "Hold new points back from search until they are indexed",
            "Turn on when searches must stay fast during large writes",
            default=False,
            embedded=False,
            label="Search only what is indexed",
        ),
    ),
)

WAL = Group(
    "wal_config",
    "WAL",
    (
        Parameter(
            "wal_capacity_mb",
            int,
            "Size of one write-ahead-log segment in megabytes",
            "Raise it for very large batches",
            default=32,
            minimum=1,
            embedded=False,
            label="Size of a log segment, in MB",
        ),
        Parameter(
            "wal_segments_ahead",
            int,
            "Write-ahead-log segments created in advance",
            "Raise it when many clients write at the same time",
            default=0,
            minimum=0,
            embedded=False,
            label="Log segments made ahead",
        ),
        Parameter(
            "wal_retain_closed",
            int,
            "Closed write-ahead-log segments to keep",
            "Raise it so that replicas that were away can catch up from the log",
            minimum=0,
            embedded=False,
            label="Closed log segments kept",
        ),
    ),
)

_ALWAYS_RAM = Parameter(
    "always_ram",
    bool,
    "Keep the quantized vectors in memory",
    "Turn on together with on_disk to keep searches fast",
    default=False,
    label="Compressed vectors in memory",
)

_COMPRESSED = _memory("the quantized vectors")

QUANTIZATIONS = {
    "scalar": Group(
        "quantization_config.scalar",
        "Scalar (int8, 4 times smaller)",
        (
            Parameter(
                "type",
                str,
                "Type of a component",
                "Leave it: there is no other yet",
                default="int8",
                choices=("int8",),
                label="Type",
            ),
            Parameter(
                "quantile",
                float,
                "Fraction of the values that keep their range",
                "0.99 cuts off outliers",
                minimum=0.5,
                maximum=1,
                label="Quantile kept",
            ),
            _ALWAYS_RAM,
            _COMPRESSED,
        ),
        key="scalar",
    ),
    "product": Group(
        "quantization_config.product",
        "Product (4 to 64 times smaller)",
        (
            Parameter(
                "compression",
                str,
                "How many times smaller",
                "Loses more accuracy than scalar; rescoring is needed",
                default="x16",
                choices=("x4", "x8", "x16", "x32", "x64"),
                label="Compression",
            ),
            _ALWAYS_RAM,
            _COMPRESSED,
        ),
        key="product",
    ),
    "binary": Group(
        "quantization_config.binary",
        "Binary (16 to 32 times smaller)",
        (
            Parameter(
                "encoding",
                str,
                "Bits of a component",
                "More bits lose less",
                default="one_bit",
                choices=("one_bit", "one_and_half_bits", "two_bits"),
                label="Encoding",
            ),
            Parameter(
                "query_encoding",
                str,
                "What a query is compared as",
                "Finer loses less, and is slower",
                default="default",
                choices=("default", "binary", "scalar4bits", "scalar8bits"),
                label="Encoding of queries",
            ),
            _ALWAYS_RAM,
            _COMPRESSED,
        ),
        key="binary",
    ),
    "turbo": Group(
        "quantization_config.turbo",
        "Turbo (4 to 32 times smaller)",
        (
            Parameter(
                "bits",
                str,
                "Bits of a component",
                "bits4 loses little; fewer need rescoring",
                default="bits4",
                choices=("bits1", "bits1_5", "bits2", "bits4", "bits8"),
                label="Bits",
            ),
            _ALWAYS_RAM,
            _COMPRESSED,
        ),
        key="turbo",
    ),
}
QUANTIZATION_REQUIRED = {
    "scalar": {"type": "int8"},
    "product": {"compression": "x16"},
    "binary": {},
    "turbo": {},
}

GROUPS = (HNSW, OPTIMIZERS, WAL, STRICT_MODE)

PARAMETERS = (
    *(p.name for p in COLLECTION),
    *(g.name for g in GROUPS),
    "quantization_config",
)
"""The keyword arguments in which all of these are given."""

TUNABLE = (
    HNSW.name,
    OPTIMIZERS.name,
    STRICT_MODE.name,
    "quantization_config",
    "on_disk",
)
"""Those of them that can be changed while an index is in use."""
