"""What creating an index would do and take, and what would stop it, before it starts.

Nothing is changed, no model is loaded and nothing is embedded. What is asked of
Qdrant waits for a second or two at most.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import fiftyone.core.media as fom

from fiftyone_qdrant.dataset import zoo
from fiftyone_qdrant.dataset.held import Held
from fiftyone_qdrant.dataset.indexable import check_indexable, home_of
from fiftyone_qdrant.dataset.samples import is_dynamic_groups, root_of, with_slices
from fiftyone_qdrant.embedded.client.launcher import is_store
from fiftyone_qdrant.errors import CollectionNotFound, ConfigError
from fiftyone_qdrant.index import naming, ownership
from fiftyone_qdrant.ingest.creation import Creation
from fiftyone_qdrant.ingest.forecast import Preflight, Problem
from fiftyone_qdrant.ingest.source_checks import COUNTED, Look
from fiftyone_qdrant.ingest.sources import (
    NO_SOURCE,
    Source,
    known_points,
)
from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.parameters.estimates import estimate
from fiftyone_qdrant.parameters.table import PARAMETERS
from fiftyone_qdrant.points import DEFAULT_METRIC, check_metric
from fiftyone_qdrant.qdrant.calls import OWNER, Schema
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.qdrant.connection import Connection
from fiftyone_qdrant.runs import (
    as_ours,
    check_new_key,
    is_builtin,
    load_index,
)
from fiftyone_qdrant.status.indexes import engine_status, impatient
from fiftyone_qdrant.words import bytes_in_words

_ROOM = 50_000_000  # bytes of disk that an empty store takes, and some more
_MOSTLY = 0.9  # of a collection's points the dataset should have


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
    """Looks at what :func:`fiftyone_qdrant.ingest.ingest.create_index` would do.

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

    source, known = Source(), len(found.problems)
    with found.noting("from_brain_key" if from_brain_key else None):
        source = Source.parse(samples, embeddings, model, patches_field, from_brain_key)
        samples = source.samples(samples)
        if not source.given and not connect:
            raise ConfigError(NO_SOURCE)

    with found.noting("patches_field"):
        check_indexable(samples, source.patches_field, source.embeddings_field)

    parsed = len(found.problems) == known
    origin = source.origin
    found.metric = config.get("metric") or (origin.metric if origin else None)
    if found.metric is not None:
        with found.noting("metric"):
            check_metric(found.metric)

    parameters = {name: config.pop(name, None) for name in PARAMETERS}
    for where, text in CollectionParameters.problems(**parameters).items():
        found.problems.append(Problem(text, where))

    wanted = Creation(samples, brain_key or "", source, connect, config)
    if not connect and parsed:
        _look(found, Look(samples, source, among=COUNTED))

    found.place = next((k for k in ("url", "path") if config.get(k)), None)
    with found.noting(found.place):
        connection = impatient(wanted.connection())
        if ask:
            _ask_engine(found, wanted, connection)
        else:
            found.warnings.append(f"Not connected to {connection.location} yet")

        found.metric = found.metric or DEFAULT_METRIC
        _say_what_is_ignored(found, wanted, connection, parameters)
        if found.size and found.vectors is not None and not connect:
            _estimate(found, source, connection, parameters)

        if connection.path is not None and not connect:
            _look_at_place(found, connection.path)

    return found


def _look(found: Preflight, look: Look) -> None:
    """Counts the vectors, and looks at a few of what they are made from."""
    known = len(found.problems)
    with found.noting(None):
        found.vectors, found.about = look.total, look.estimated
        for where, check in look.checks():
            with found.noting(where):
                check()

            if len(found.problems) > known:
                return

        found.size = look.size
        _say_how_many(found, look)
        _say_which_slices(found, look.samples)
        if look.embeds:
            _say_of_model(found, look)


def _say_how_many(found: Preflight, look: Look) -> None:
    field, total = look.source.embeddings_field, look.total
    if field is None or look.source.origin is not None:
        return

    if look.vectors:
        count, estimated = look.with_vectors
        if count < total:
            found.vectors, found.about = count, estimated
            about = "about " if estimated else ""
            found.notes.append(
                f"{about}{count:,} of {total:,} {look.held} have a value in "
                f"'{field}': the others are left out"
            )
    elif look.source.model is not None:
        found.notes.append(f"The embeddings are stored in field '{field}' as well")
    else:
        found.warnings.append(
            f"None of the first {COUNTED:,} has a value in field '{field}'"
        )


def _say_of_model(found: Preflight, look: Look) -> None:
    first = zoo.download(str(look.source.model))
    if first is not None:
        found.notes.append(first)

    doubtful = look.doubtful_files()
    if doubtful is not None:
        found.warnings.append(f"{doubtful}: those are left out")

    what = "Time depends" if look.size else "Size of the vectors and time depend"
    found.notes.append(f"{what} on the model")


def _say_which_slices(found: Preflight, samples: Any) -> None:
    if samples.media_type != fom.GROUP or is_dynamic_groups(samples):
        return

    every = with_slices(samples).count()
    found.notes.append(
        f"Only the active slice '{samples.group_slice}': {samples.count():,} of "
        f"{every:,} samples. Open a view of more slices (select_group_slices) to index "
        "these as well"
    )


def _say_what_is_ignored(
    found: Preflight,
    wanted: Creation,
    connection: Connection,
    parameters: dict[str, Any],
) -> None:
    """Says which parameters are given and do nothing."""
    given = {k: v for k, v in parameters.items() if v not in (None, {})}
    if CollectionParameters.problems(**given):
        return  # that is said

    if found.exists and given and not wanted.goes_on:
        found.warnings.append(
            f"The collection is there already: {', '.join(given)} is not applied. "
            "Tune Qdrant Index changes it"
        )
        return

    lacking = CollectionParameters.parse(**given).ignored_by(connection.engine)
    if lacking:
        found.warnings.append(
            f"The embedded engine has no {', '.join(lacking)}: ignored here"
        )


def _ask_engine(found: Preflight, wanted: Creation, connection: Connection) -> None:
    wanted.check_named()
    if connection.missing_store:
        found.notes.append(f"A new embedded store is made at {connection.path}")
        return

    found.engine = engine_status(connection)
    if connection.withheld:
        found.warnings.append(connection.withheld)

    if found.engine.problem and connection.key_waits:
        found.warnings.append(found.engine.problem)
        return

    if found.engine.problem:
        found.problems.append(Problem(found.engine.problem, found.place))
        return

    with found.noting("from_brain_key"):
        _size_of_origin(found, wanted)

    with found.noting("collection_name"):
        name = wanted.collection_name()
        if name is None:
            _foresee_name(found, wanted, connection)
        else:
            _look_at(
                found,
                wanted,
                Collection(connection, name, wanted.config.get("vector_name")),
            )


def _foresee_name(found: Preflight, wanted: Creation, connection: Connection) -> None:
    name = naming.base_name(wanted.samples)
    found.collection = f"New collection '{name}-…'"  # what follows is random
    if naming.choose_name(wanted.samples, connection) == name:
        found.collection_name = name
        found.collection = f"New collection '{name}'"


def _look_at(found: Preflight, wanted: Creation, collection: Collection) -> None:
    found.collection_name = name = collection.name
    metric = None if wanted.goes_on else found.metric
    schema = naming.look(collection, metric)
    if schema is not None:
        _describe(found, wanted, collection, schema)
    elif wanted.connect:
        raise CollectionNotFound(f"There is no collection '{name}' to connect to")
    else:
        found.collection = f"New collection '{name}'"


def _size_of_origin(found: Preflight, wanted: Creation) -> None:
    """Asks the other index for its size where that is cheap."""
    origin, dataset = wanted.source.origin, root_of(wanted.samples)
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
    found: Preflight, wanted: Creation, collection: Collection, schema: Schema
) -> None:
    """Says what an existing collection holds and whose it is, and checks the size."""
    name, count = collection.name, collection.count()
    found.exists = True
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
        _look_up(found, wanted, collection)

    found.collection = f"Collection '{name}' has {count:,} points ({whose}): {does}"
    if found.size is not None:
        naming.check_size(collection, found.size)

    found.size = schema.size


def _look_up(found: Preflight, wanted: Creation, collection: Collection) -> None:
    """Says how many points of a collection are of this dataset."""
    held = Held(home_of(wanted.samples), wanted.source.patches_field)
    looked_at, known = known_points(held, collection)
    if looked_at and known < looked_at:
        found.notes.append(
            f"{known:,} of {looked_at:,} points looked up are {held} of this dataset"
        )
        if known < _MOSTLY * looked_at:
            found.warnings.append("What is not of this dataset is never found in it")


def _estimate(
    found: Preflight,
    source: Source,
    connection: Connection,
    parameters: dict[str, Any],
) -> None:
    timed = not (connection.remote or source.computes)
    found.estimate = estimate(found.vectors or 0, found.size or 0, parameters, timed)


def _look_at_place(found: Preflight, directory: str) -> None:
    """Looks whether an embedded store can be made, and has room.

    Raises:
        ConfigError: if not
    """
    path = Path(directory)
    there = next(p for p in (path, *path.parents) if p.exists())
    new = not is_store(directory)
    if new and not os.access(there, os.W_OK | os.X_OK):
        raise ConfigError(
            f"The directory {path} cannot be used: {there} cannot be written to. "
            "Choose another directory"
        )

    disk = shutil.disk_usage(there)
    found.free_disk = disk.free
    needs = found.estimate.disk if found.estimate else 0
    free = f"{bytes_in_words(disk.free)} are free at {path}"
    if disk.free < max(needs / 2, _ROOM if new else 0):
        raise ConfigError(f"There is no room: {free}. Choose another directory")

    if disk.free < needs:
        found.warnings.append(f"The disk may fill up: {free}")
