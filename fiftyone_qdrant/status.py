"""What is indexed, what is not, and whether Qdrant is there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from .clients import connect
from .collection import version
from .connection import Connection, resolve
from .errors import CollectionNotFound, ConnectionFailed, QdrantPluginError
from .health import CollectionHealth, collection_health
from .runs import list_indexes, load_index
from .similarity import QdrantSimilarityIndex


@dataclass(frozen=True)
class EngineStatus:
    """Whether an engine answers.

    Attributes:
        engine: ``"embedded"`` or ``"server"``
        location: its directory or URL
        version: of the engine, or ``None`` if it does not answer
        latency_ms: milliseconds of one call, or ``None``
        problem: why it does not answer, or ``None``
    """

    engine: str
    location: str
    version: str | None = None
    latency_ms: float | None = None
    problem: str | None = None


@dataclass(frozen=True)
class IndexStatus:
    """The state of one index of a dataset.

    Attributes:
        brain_key: the run's key
        collection: the collection's name
        engine: ``"embedded"`` or ``"server"``
        points: points in the collection
        indexed: samples (or labels) of the dataset that are in it
        total: samples (or labels) of the dataset
        orphans: points whose sample (or label) the dataset no longer has
        state: ``"ready"``, ``"building"``, ``"degraded"``, ``"gone"`` or
            ``"unreachable"``
        problem: what is wrong, or ``None``
        health: how the collection fares inside Qdrant, or ``None`` if unknown
    """

    brain_key: str
    collection: str
    engine: str
    points: int | None = None
    indexed: int | None = None
    total: int | None = None
    orphans: int | None = None
    state: str = "ready"
    problem: str | None = None
    health: CollectionHealth | None = None

    @property
    def coverage(self) -> float | None:
        """The fraction of the dataset that is indexed, in ``[0, 1]``."""
        if self.indexed is None or not self.total:
            return None

        return self.indexed / self.total


_STATES = {"green": "ready", "yellow": "building", "grey": "building"}


def engine_status(connection: Connection | None = None) -> EngineStatus:
    """Asks an engine for its version.

    Args:
        connection (None): where it is; by default where a new index would go
    """
    place = connection or resolve({})
    try:
        connect(place)  # opening it the first time does not count as latency
        start = time.perf_counter()
        number = version(place)
    except QdrantPluginError as e:
        return EngineStatus(place.engine, place.location, problem=str(e))

    latency = 1000 * (time.perf_counter() - start)
    return EngineStatus(place.engine, place.location, number, latency)


def index_statuses(dataset: Any) -> list[IndexStatus]:
    """Returns the state of each Qdrant index of a dataset; each problem has a row."""
    return [index_status(dataset, key) for key in list_indexes(dataset)]


def index_status(dataset: Any, brain_key: str) -> IndexStatus:
    """Returns the state of one index.

    Raises:
        IndexNotFound: if there is no such index
    """
    config = dataset.get_brain_info(brain_key).config
    about = (brain_key, str(config.collection_name), str(config.engine))
    try:
        return _read(load_index(dataset, brain_key), about)
    except CollectionNotFound as e:
        return IndexStatus(*about, state="gone", problem=str(e))
    except ConnectionFailed as e:
        return IndexStatus(*about, state="unreachable", problem=str(e))
    except (QdrantPluginError, ValueError) as e:  # such as a field that is gone
        return IndexStatus(*about, state="degraded", problem=str(e))


def _read(index: QdrantSimilarityIndex, about: tuple[str, str, str]) -> IndexStatus:
    health = collection_health(index.collection)
    sample_ids, label_ids = index.all_ids()
    indexed = set((sample_ids if label_ids is None else label_ids).tolist())
    existing = set(index.restriction().ids())
    state = _STATES.get(health.color, "degraded")
    problem = health.optimizer_error
    if health.ailing:
        state = "degraded"
        problem = f"{len(health.ailing)} of {len(health.replicas)} replicas are down"

    return IndexStatus(
        *about,
        points=len(indexed),
        indexed=len(indexed & existing),
        total=len(existing),
        orphans=len(indexed - existing),
        state=state,
        problem=problem,
        health=health,
    )
