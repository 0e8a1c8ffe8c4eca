"""What is indexed, what is not, and whether Qdrant is there."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, replace
from typing import Any

from fiftyone_qdrant.dataset.samples import is_generated
from fiftyone_qdrant.errors import (
    AuthenticationFailed,
    CollectionNotFound,
    ConnectionFailed,
    QdrantPluginError,
)
from fiftyone_qdrant.packed import Packed
from fiftyone_qdrant.parameters.parameter import ENGINES
from fiftyone_qdrant.qdrant.clients import connect
from fiftyone_qdrant.qdrant.collection import Collection, version
from fiftyone_qdrant.qdrant.connection import Connection, resolve
from fiftyone_qdrant.qdrant.health import CollectionHealth, collection_health
from fiftyone_qdrant.runs import list_indexes, load_index
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status import coverage

PATIENCE = 1.5
"""Seconds that a question about the status may wait for Qdrant."""


@dataclass(frozen=True)
class EngineStatus:
    """Whether an engine answers.

    Attributes:
        engine: ``"embedded"`` or ``"server"``
        location: its directory or URL
        version: of the engine, or ``None`` if it does not answer
        latency_ms: milliseconds of one call, or ``None``
        problem: why it does not answer, or ``None``
        refused: whether it answers, but refuses the API key
    """

    engine: str
    location: str
    version: str | None = None
    latency_ms: float | None = None
    problem: str | None = None
    refused: bool = False

    @property
    def name(self) -> str:
        """What it is called."""
        return ENGINES[self.engine]


@dataclass(frozen=True)
class IndexStatus:
    """The state of one index of a dataset.

    Attributes:
        brain_key: the run's key
        collection: the collection's name
        engine: ``"embedded"`` or ``"server"``
        patches_field: the label field whose patches it holds, or ``None`` if samples
        model: the name of the model that made the embeddings, if known
        metric: FiftyOne's name of the distance, or ``None`` if it cannot be read
        size: dimensions of its vectors, likewise
        points: points in the collection
        total: samples (or labels) of the dataset
        indexed: those of them that are in it, or ``None`` if not compared
        orphans: points whose sample (or label) the dataset no longer has, likewise
        state: ``"ready"``, ``"building"``, ``"waiting"`` (for the next write, to be
            optimized), ``"unfinished"``, ``"foreign"`` (nothing in it is of the
            dataset), ``"degraded"``, ``"gone"``, ``"refused"`` (the API key) or
            ``"unreachable"``
        problem: what is wrong, or ``None``
        health: how the collection fares inside Qdrant, or ``None`` if unknown
    """

    brain_key: str
    collection: str
    engine: str
    patches_field: str | None = None
    model: str | None = None
    metric: str | None = None
    size: int | None = None
    points: int | None = None
    indexed: int | None = None
    total: int | None = None
    orphans: int | None = None
    state: str = "ready"
    problem: str | None = None
    health: CollectionHealth | None = None

    @property
    def missing(self) -> int | None:
        """Samples (or labels) of the dataset that are not in it, if compared."""
        if self.indexed is None or self.total is None:
            return None

        return self.total - self.indexed

    @property
    def coverage(self) -> float | None:
        """The fraction of the dataset that is indexed, in ``[0, 1]``."""
        if self.indexed is None or not self.total:
            return None

        return self.indexed / self.total

    @property
    def built(self) -> float | None:
        """The fraction of its vectors in an HNSW graph while one is built."""
        if self.state != "building" or self.health is None or not self.points:
            return None

        return min(1.0, self.health.indexed_vectors / self.points)


_STATES = {"green": "ready", "yellow": "building", "grey": "waiting"}
_FOREIGN = (
    "None of its points is of this dataset as it is now, so it finds nothing. Sync the "
    "index to write this dataset's, or remove it"
)
_UNFINISHED = (
    "Indexing has not finished. If it is not running, resume it here, or create the "
    "index again under the same key"
)


def engine_status(connection: Connection | None = None) -> EngineStatus:
    """Asks an engine for its version; waits for :data:`PATIENCE` at most.

    Args:
        connection (None): where it is; by default where a new index would go
    """
    place = impatient(connection or resolve({}))
    try:
        connect(place)  # opening it the first time does not count as latency
        start = time.perf_counter()
        number = version(place)
    except QdrantPluginError as e:
        refused = isinstance(e, AuthenticationFailed)
        return EngineStatus(
            place.engine, place.location, problem=str(e), refused=refused
        )

    latency = 1000 * (time.perf_counter() - start)
    return EngineStatus(place.engine, place.location, number, latency)


def impatient(connection: Connection) -> Connection:
    """Returns the same place for calls that may wait for :data:`PATIENCE` only."""
    return replace(connection, timeout=min(connection.timeout, PATIENCE))


def places(dataset: Any = None) -> list[Connection]:
    """Returns where the indexes of a dataset are, or where its first would go."""
    found: dict[Connection, None] = {}
    for key in [] if dataset is None else list_indexes(dataset):
        with contextlib.suppress(QdrantPluginError, ValueError):  # its row says so
            found[load_index(dataset, key).collection.connection] = None

    return list(found) or [resolve({})]


def survey(
    dataset: Any = None, exact: bool = True
) -> tuple[list[EngineStatus], list[IndexStatus]]:
    """Returns the state of each engine of a dataset, and of each of its indexes.

    Indexes of an engine that does not answer are not asked for: to find out takes
    :data:`PATIENCE` once, whatever their number.

    Args:
        dataset (None): the dataset; without, the engine where a new index would go
        exact (True): see :func:`index_statuses`
    """
    engines = {place: engine_status(place) for place in places(dataset)}
    if dataset is None:
        return list(engines.values()), []

    reader = _Reader(dataset, exact)
    for place, engine in engines.items():
        if engine.problem:
            kind = AuthenticationFailed if engine.refused else ConnectionFailed
            reader.down[impatient(place)] = kind(engine.problem)

    return list(engines.values()), [reader.read(k) for k in list_indexes(dataset)]


def index_statuses(dataset: Any, exact: bool = True) -> list[IndexStatus]:
    """Returns the state of each Qdrant index of a dataset; each problem has a row.

    Args:
        dataset: the dataset
        exact (True): whether to compare all ids. Without, the cost does not grow
            with the dataset, and ``indexed`` and ``orphans`` are mostly unknown
    """
    reader = _Reader(dataset, exact)
    return [reader.read(key) for key in list_indexes(dataset)]


def index_status(dataset: Any, brain_key: str, exact: bool = True) -> IndexStatus:
    """Returns the state of one index; see :func:`index_statuses`.

    Raises:
        IndexNotFound: if there is no such index
    """
    return _Reader(dataset, exact).read(brain_key)


def load_impatient(dataset: Any, brain_key: str) -> QdrantSimilarityIndex:
    """Returns an index whose calls wait for :data:`PATIENCE` only.

    Raises:
        IndexNotFound: if there is no such index
    """
    index = load_index(dataset, brain_key)
    there = index.collection
    place = impatient(there.connection)
    index.contents.collection = Collection(place, there.name, index.config.vector_name)
    return index


class _Reader:
    """Reads the states of indexes; what several of them need is asked for once."""

    def __init__(self, dataset: Any, exact: bool) -> None:
        self._dataset = dataset
        self._exact = exact
        self._totals: dict[Any, int] = {}
        self._ids: dict[Any, coverage.DatasetIds] = {}
        self.down: dict[Connection, ConnectionFailed] = {}  # and why

    def read(self, brain_key: str) -> IndexStatus:
        index, config = None, self._dataset.get_brain_info(brain_key).config
        status = IndexStatus(
            brain_key,
            str(config.collection_name),
            str(config.engine),
            getattr(config, "patches_field", None),
            getattr(config, "model", None),
        )
        try:
            index = load_impatient(self._dataset, brain_key)
            self._check_reachable(index)
            return self._read(index, status)
        except CollectionNotFound as e:
            return replace(status, state="gone", problem=str(e))
        except ConnectionFailed as e:
            if index is not None:
                self.down[index.collection.connection] = e

            refused = isinstance(e, AuthenticationFailed)
            state = "refused" if refused else "unreachable"
            return replace(status, state=state, problem=str(e))
        except (QdrantPluginError, ValueError) as e:  # such as a field that is gone
            return replace(status, state="degraded", problem=str(e))

    def _check_reachable(self, index: QdrantSimilarityIndex) -> None:
        known = self.down.get(index.collection.connection)
        if known is not None:
            raise type(known)(str(known)) from known

    def _read(self, index: QdrantSimilarityIndex, status: IndexStatus) -> IndexStatus:
        health = collection_health(index.collection)
        schema = index.collection.schema()
        state = _STATES.get(health.color, "degraded")
        problem = health.optimizer_error
        if health.problem:
            state, problem = "degraded", health.problem
        elif index.config.unfinished:
            state, problem = "unfinished", problem or _UNFINISHED

        status = replace(
            status,
            metric=schema.metric,
            size=schema.size,
            state=state,
            problem=problem,
            health=health,
        )
        return (
            self._compared(index, status)
            if self._exact
            else self._counted(index, status)
        )

    def _counted(
        self, index: QdrantSimilarityIndex, status: IndexStatus
    ) -> IndexStatus:
        points = index.collection.count()
        shared = self._shared(index)
        if shared not in self._totals:
            self._totals[shared] = coverage.count(index)

        total = self._totals[shared]
        if points and total:
            return replace(status, points=points, total=total)

        return replace(status, points=points, total=total, indexed=0, orphans=points)

    def _compared(
        self, index: QdrantSimilarityIndex, status: IndexStatus
    ) -> IndexStatus:
        found = coverage.compare(index, self._read_ids)
        if found.behind and status.problem is None:
            status = replace(
                status,
                state="degraded",
                problem=f"{found.behind:,} points are not on all replicas. Sync the "
                "index to write them again",
            )

        if found.total and len(found.left) and not found.indexed:
            status = replace(status, state="foreign", problem=_FOREIGN)

        return replace(
            status,
            points=found.points,
            total=found.total,
            indexed=found.indexed,
            orphans=len(found.left),
        )

    def _read_ids(
        self, index: QdrantSimilarityIndex, indexed: Packed
    ) -> coverage.DatasetIds:
        shared = self._shared(index)
        if shared not in self._ids:
            self._ids[shared] = coverage.dataset_ids(index, indexed)

        return self._ids[shared]

    def _shared(self, index: QdrantSimilarityIndex) -> Any:
        """What indexes of the same samples or labels have in common."""
        whole = index.held.flat(index.samples) is index.samples
        own = None if whole and not is_generated(index.samples) else index.key
        return (own, index.config.patches_field, coverage.source_field(index))
