"""How large an index gets: what so many vectors take, on a laptop or on servers.

The formulas, and where each is from:

- vectors: ``count * size`` numbers of 4 bytes, 2 in float16; quantized copies as many
  times fewer as Qdrant's documentation says (guide "Quantization").
- graph: ``count * 2 * m`` links of 4 bytes: nearly all points are in the lowest layer
  only, which has ``2 * m`` (``fiftyone_qdrant.parameters.estimates``).
- ids, payload and their index: 210 bytes a point on disk: what 1,000,000 x 128 took in
  an embedded store beside its vectors and graph.
- memory beside that: 1.2 times what is to be kept in memory, for the ids and the
  engine; Qdrant's own rule of 1.5 for all of a collection is for vectors alone.
- disk: twice what is stored, as an optimizer writes a segment beside the old one
  (guide "Optimizer").
- of a machine's memory three quarters are for vectors, of a laptop's the half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.parameters.estimates import memory
from fiftyone_qdrant.words import bytes_in_words

MOST_VECTORS = 10**10
LAPTOP = "laptop"
ONE_SERVER = "one server"
CLUSTER = "cluster"

_GB = 10**9
_BESIDE = 210  # bytes a point on disk: id, payload and the index of the sample id
_ENGINE = 1.2  # times what is kept in memory
_REBUILD = 2  # times what is stored
_LAPTOP_GB, _SERVER_GB, _NODE_GB = 8, 48, 48  # of 16, 64 and 64
_REPLICAS = 2
_CORES = 8  # of a server
_GRAPHS = 2**24  # points of a shard, beyond which a search of its graph takes long
_M = ((0.99, 32, 256), (0.0, 16, 128))  # from which recall: m and ef_construct
_POINTS_PER_EF, _MIN_EF, _MAX_EF = 2_000, 128, 512
_DENSE = 0.99

# From the whole to the smallest: what is kept in memory, and up to which recall it is
# proposed. Rescored by whole vectors on disk
_STEPS: tuple[tuple[float, bool, dict[str, Any] | None, float], ...] = (
    (1.0, False, None, 1.0),
    (4.0, True, {"scalar": {"type": "int8", "always_ram": True}}, 0.995),
    (8.0, True, {"turbo": {"bits": "bits4", "always_ram": True}}, 0.99),
    (16.0, True, {"turbo": {"bits": "bits2", "always_ram": True}}, 0.98),
)


@dataclass(frozen=True)
class Preset:
    """One way to hold so many vectors.

    Attributes:
        name: ``"laptop"``, ``"one server"`` or ``"cluster"``
        memory: bytes it takes in memory, of all nodes and copies together
        disk: bytes it takes on disk, of all of them, room to rebuild included
        nodes: how many machines: a laptop of 16 GB, servers of 64 GB
        shards: how many shards
        replicas: how many copies of each
        settings: keyword arguments of ``compute_similarity(backend="qdrant")``
        search: what :func:`fiftyone_qdrant.apply_search` is to be given at first
        fits: whether the memory that its machines have is enough
        why: what was chosen, in a sentence
    """

    name: str
    memory: int
    disk: int
    nodes: int
    shards: int
    replicas: int
    settings: dict[str, Any]
    search: dict[str, Any]
    fits: bool
    why: str

    def __str__(self) -> str:
        several = f" ({self.nodes:,} nodes)" if self.nodes > 1 else ""
        amounts = f"{bytes_in_words(self.memory)} of memory, "
        amounts += f"{bytes_in_words(self.disk)} of disk"
        return f"{self.name}{several} {amounts}" + ("" if self.fits else ": too large")


def plan_capacity(count: int, size: int, *, recall: float = 0.98) -> list[Preset]:
    """Plans what an index of a size takes, in three ways.

    Each has the least compression with which its machines have enough memory, as far
    as that is expected to reach the recall. How much a compression really costs depends
    on the vectors: :func:`fiftyone_qdrant.measure` tells once an index is there.

    Args:
        count: the number of vectors, 1 to 10^10
        size: their dimensions
        recall (0.98): the share of the nearest that searches should find

    Returns:
        the presets ``"laptop"``, ``"one server"`` and ``"cluster"``

    Raises:
        ConfigError: if an argument is wrong
    """
    for name, value, most in (("count", count, MOST_VECTORS), ("size", size, 65_536)):
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not 1 <= value <= most:
            raise ConfigError(f"{name} must be a whole number from 1 to {most:,}")

    if not 0 < recall < 1:
        raise ConfigError("recall must be a number between 0 and 1, such as 0.98")

    return [
        _single(LAPTOP, count, size, recall, _LAPTOP_GB * _GB),
        _single(ONE_SERVER, count, size, recall, _SERVER_GB * _GB),
        _cluster(count, size, recall),
    ]


def stored(count: int, size: int, settings: dict[str, Any]) -> int:
    """Returns the bytes that an index takes on disk at rest.

    Args:
        count: the number of vectors
        size: their dimensions
        settings: keyword arguments of the collection
    """
    on_disk = {**settings, "on_disk": False}
    graph = {k: v for k, v in settings.get("hnsw_config", {}).items() if k == "m"}
    whole = memory(count, size, {**on_disk, "hnsw_config": graph}, indexed=count)
    return whole.total + count * _BESIDE


def _needed(count: int, size: int, settings: dict[str, Any]) -> int:
    return round(_ENGINE * memory(count, size, settings, indexed=count).total)


def _settings(
    step: tuple[float, bool, dict[str, Any] | None, float], recall: float
) -> dict[str, Any]:
    m, ef_construct = next((m, ef) for least, m, ef in _M if recall >= least)
    settings: dict[str, Any] = {"hnsw_config": {"m": m, "ef_construct": ef_construct}}
    if step[1]:
        settings["on_disk"] = True

    if step[2] is not None:
        settings["quantization_config"] = step[2]

    return settings


def _choose(
    count: int, size: int, recall: float, budget: int
) -> tuple[dict[str, Any], int, bool]:
    """The least compression that fits: settings, memory, and whether it does fit."""
    possible = [s for s in _STEPS if recall <= s[3]]
    for step in possible:
        settings = _settings(step, recall)
        needed = _needed(count, size, settings)
        if needed <= budget:
            return settings, needed, True

    return settings, needed, False


def _single(name: str, count: int, size: int, recall: float, budget: int) -> Preset:
    settings, needed, fits = _choose(count, size, recall, budget)
    if name == ONE_SERVER:
        settings["optimizers_config"] = {"default_segment_number": _CORES}

    return Preset(
        name,
        needed,
        _REBUILD * stored(count, size, settings),
        nodes=1,
        shards=1,
        replicas=1,
        settings=settings,
        search=_search(count, recall, settings),
        fits=fits,
        why=_why(settings, fits, budget),
    )


def _cluster(count: int, size: int, recall: float) -> Preset:
    """As few nodes as hold all in two copies, three at least for a majority."""
    budget = _NODE_GB * _GB
    settings, needed, _ = _choose(count, size, recall, 12 * budget // _REPLICAS)
    by_memory = math.ceil(_REPLICAS * needed / budget)
    nodes = max(3, by_memory)
    shards = nodes * max(1, math.ceil(count / _GRAPHS / nodes))
    settings |= {
        "shard_number": shards,
        "replication_factor": _REPLICAS,
        "optimizers_config": {"default_segment_number": _CORES},
    }
    return Preset(
        CLUSTER,
        _REPLICAS * needed,
        _REPLICAS * _REBUILD * stored(count, size, settings),
        nodes=nodes,
        shards=shards,
        replicas=_REPLICAS,
        settings=settings,
        search=_search(math.ceil(count / shards), recall, settings),
        fits=True,
        why=_why(settings, True, nodes * budget),
    )


def _search(count: int, recall: float, settings: dict[str, Any]) -> dict[str, Any]:
    ef = min(max(count // _POINTS_PER_EF, _MIN_EF), _MAX_EF)
    found: dict[str, Any] = {"hnsw_ef": 2 * ef if recall >= _DENSE else ef}
    if "quantization_config" in settings:
        found |= {"oversampling": 2.0, "rescore": True}

    return found


def _why(settings: dict[str, Any], fits: bool, budget: int) -> str:
    kept = "whole vectors in memory"
    for kind, given in settings.get("quantization_config", {}).items():
        what = given.get("bits") or given.get("type")
        kept = f"vectors on disk, {kind} ({what}) copies in memory"

    if fits:
        return f"Room in {budget // _GB:,} GB for {kept}"

    return f"Too large for {budget // _GB:,} GB, even with {kept}"
