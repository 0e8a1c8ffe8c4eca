"""What creating an index would do and take, and what would stop it, before it starts.

Nothing is changed, no model is loaded and nothing is embedded. What is asked of
Qdrant waits for a second or two at most.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.core.media as fom
import fiftyone.zoo as foz

from . import index_collection, ownership
from .calls import Schema
from .collection import Collection
from .connection import EMBEDDED, Connection
from .embedded.launcher import is_store
from .errors import CollectionNotFound, ConfigError
from .estimates import estimate, in_words
from .forecast import Preflight, Problem
from .ownership import OWNER
from .parameter_table import PARAMETERS
from .parameters import CollectionParameters
from .points import DEFAULT_METRIC, check_metric
from .runs import as_ours, check_new_key, is_builtin, is_unfinished, load_index
from .similarity import QdrantSimilarityConfig
from .sources import NO_COLLECTION, NO_SOURCE, Source
from .status import engine_status, impatient

_COUNTED = 20_000  # samples whose labels are counted one by one
_PROBED = 1_000  # samples of which more are estimated


def preflight(
    samples: Any,
    brain_key: str | None = None,
    embeddings: str | None = None,
    model: str | None = None,
    patches_field: str | None = None,
    from_brain_key: str | None = None,
    connect: bool = False,
    ask: bool = True,
    **config: Any,
) -> Preflight:
    """Looks at what :func:`fiftyone_qdrant.ingest.create_index` would do.

    Args:
        samples: the dataset or view to index
        brain_key (None): as for ``create_index``; not checked while there is none
        embeddings (None): likewise, as all others
        model (None): the zoo model; it is not loaded
        patches_field (None): the label field
        from_brain_key (None): another similarity run
        connect (False): whether only to connect to a collection
        ask (True): whether to ask Qdrant what is there
        **config: arguments of
            :class:`fiftyone_qdrant.similarity.QdrantSimilarityConfig`
    """
    found = Preflight()
    if brain_key:
        with found.noting("brain_key"):
            check_new_key(samples, brain_key)

    source = Source()
    with found.noting("from_brain_key" if from_brain_key else None):
        source = Source.parse(samples, embeddings, model, patches_field, from_brain_key)
        if not source.given and not connect:
            raise ConfigError(NO_SOURCE)

    if model:
        with found.noting("model"):
            _check_model(model)

    origin = source.origin
    found.metric = config.get("metric") or (origin.metric if origin else None)
    if found.metric is not None:
        with found.noting("metric"):
            check_metric(found.metric)

    parameters = {name: config.pop(name, None) for name in PARAMETERS}
    for where, text in CollectionParameters.problems(**parameters).items():
        found.problems.append(Problem(text, where))

    wanted = _Wanted(samples, brain_key or "", source, connect, config)
    if not connect:
        _count(found, wanted)

    with found.noting(next((k for k in ("url", "path") if config.get(k)), None)):
        connection = wanted.connection()
        if ask:
            _ask_engine(found, wanted, connection)
        else:
            found.warnings.append(f"{connection.location} was not asked yet")

        found.metric = found.metric or DEFAULT_METRIC
        if found.size and found.vectors is not None and not connect:
            _estimate(found, source, connection, parameters)

    if source.computes:
        found.notes.append("Size of the vectors and time depend on the model")

    return found


@dataclass(frozen=True)
class _Wanted:
    """What is to be made."""

    samples: Any
    brain_key: str
    source: Source
    connect: bool
    config: dict[str, Any]

    @property
    def goes_on(self) -> bool:
        return is_unfinished(self.samples, self.brain_key)

    def connection(self) -> Connection:
        if self.goes_on:
            return impatient(self.started().connection)

        config = {**self.config, "metric": None}
        return impatient(QdrantSimilarityConfig(**config).connection())

    @property
    def vector_name(self) -> str | None:
        return self.config.get("vector_name")

    def started(self) -> Collection:
        return load_index(self.samples._root_dataset, self.brain_key).collection

    def collection_name(self) -> str | None:
        if self.goes_on:
            return self.started().name

        return self.config.get("collection_name") or None


def _check_model(name: str) -> None:
    if "/" not in name:  # else a remote source, which only loading it looks at
        foz.get_zoo_model(name)


def _count(found: Preflight, wanted: _Wanted) -> None:
    """Counts the vectors, and finds their size in the field."""
    source = wanted.source
    with found.noting("embeddings"):
        labels = source.patches_field
        found.vectors, found.about = _count_vectors(wanted.samples, labels)
        if source.embeddings_field is None:
            return

        found.size = _first_size(wanted.samples, source.embeddings_field, labels)
        if found.size is None and source.origin is None:
            raise ConfigError(
                f"Nothing to index: field '{source.embeddings_field}' gave no "
                "embeddings"
            )


def _count_vectors(samples: Any, labels: str | None) -> tuple[int, bool]:
    plain = isinstance(samples, fo.Dataset) and samples.media_type != fom.GROUP
    count = samples._estimated_count() if plain else samples.count()
    if labels is None:
        return count, False

    _, path = samples._get_label_field_path(labels)
    if count <= _COUNTED:
        return samples.count(path), False

    mean = samples.limit(_PROBED).count(path) / _PROBED
    return round(count * mean), True


def _first_size(samples: Any, field_name: str, labels: str | None) -> int | None:
    there: dict[str, Any] = {"$ne": None}
    path = field_name
    if labels is not None:
        _, path = samples._get_label_field_path(labels, field_name)
        there = {"$exists": True}  # in one label of the list

    found = samples.match({path: there}).limit(10)
    vectors = found.values(path, unwind=labels is not None)
    return next((len(v) for v in vectors if v is not None), None)


def _ask_engine(found: Preflight, wanted: _Wanted, connection: Connection) -> None:
    if wanted.connect and not wanted.config.get("collection_name"):
        raise ConfigError(NO_COLLECTION)

    if connection.engine == EMBEDDED and not is_store(str(connection.path)):
        found.notes.append(f"A new embedded store is made at {connection.path}")
        return

    found.engine = engine_status(connection)
    if connection.withheld:
        found.warnings.append(connection.withheld)

    if found.engine.problem and connection.key_waits:
        found.warnings.append(found.engine.problem)
        return

    if found.engine.problem:
        found.problems.append(Problem(found.engine.problem))
        return

    with found.noting("from_brain_key"):
        _size_of_origin(found, wanted)

    with found.noting("collection_name"):
        name = wanted.collection_name()
        if name is None:
            _foresee_name(found, wanted, connection)
        else:
            _look_at(found, wanted, Collection(connection, name, wanted.vector_name))


def _foresee_name(found: Preflight, wanted: _Wanted, connection: Connection) -> None:
    name = index_collection.base_name(wanted.samples)
    found.collection = f"New collection '{name}-…'"  # what follows is random
    if index_collection.choose_name(wanted.samples, connection) == name:
        found.collection_name = name
        found.collection = f"New collection '{name}'"


def _look_at(found: Preflight, wanted: _Wanted, collection: Collection) -> None:
    found.collection_name = name = collection.name
    metric = None if wanted.goes_on else found.metric
    schema = index_collection.look(collection, metric)
    if schema is not None:
        _describe(found, wanted, collection, schema)
    elif wanted.connect:
        raise CollectionNotFound(f"There is no collection '{name}' to connect to")
    else:
        found.collection = f"New collection '{name}'"


def _size_of_origin(found: Preflight, wanted: _Wanted) -> None:
    """Asks the other index for its size where that is cheap."""
    origin, dataset = wanted.source.origin, wanted.samples._root_dataset
    if origin is None or found.size is not None:
        return

    if is_builtin(dataset, origin.brain_key):
        index = as_ours(dataset, origin.brain_key)
    elif origin.backend == "qdrant":
        index = load_index(dataset, origin.brain_key)
    else:
        found.notes.append(
            f"The size of the vectors is known when '{origin.brain_key}' is read"
        )
        return

    here = impatient(index.collection.connection)
    name, vector_name = index.collection.name, index.config.vector_name
    found.size = Collection(here, name, vector_name).schema().size


def _describe(
    found: Preflight, wanted: _Wanted, collection: Collection, schema: Schema
) -> None:
    """Says what an existing collection holds and whose it is, and checks the size."""
    name, count = collection.name, collection.count()
    found.metric = schema.metric
    users = ownership.users(collection.connection, name)
    made_for = schema.metadata.get("dataset_name")
    whose = "not made by this plugin"
    if users:
        whose = f"used by {', '.join(map(str, users))}"
    elif schema.metadata.get("owner") == OWNER:
        whose = f"made for dataset '{made_for}'"

    does = "vectors are added to it"
    if wanted.goes_on:
        does = "this goes on where it stopped"
    elif wanted.connect:
        does = "it is used as it is"
        found.vectors, found.size = count, schema.size

    found.collection = f"Collection '{name}' has {count:,} points ({whose}): {does}"
    if found.size is not None:
        index_collection.check_size(collection, found.size)

    found.size = schema.size


def _estimate(
    found: Preflight,
    source: Source,
    connection: Connection,
    parameters: dict[str, Any],
) -> None:
    embedded = connection.engine == EMBEDDED
    timed = embedded and not source.computes
    found.estimate = estimate(found.vectors or 0, found.size or 0, parameters, timed)
    if embedded:
        path = Path(str(connection.path))
        there = next(p for p in (path, *path.parents) if p.exists())
        found.free_disk = shutil.disk_usage(there).free
        if found.free_disk < found.estimate.disk:
            found.warnings.append(
                f"The disk may fill up: {in_words(found.free_disk)} are free at "
                f"{connection.path}"
            )
