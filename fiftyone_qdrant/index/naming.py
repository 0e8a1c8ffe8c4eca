"""The collection of one similarity index: named, checked against the config, made."""

from __future__ import annotations

import logging
from typing import Any

import fiftyone.brain.internal.core.utils as fbu
import fiftyone.core.utils as fou

from fiftyone_qdrant import points
from fiftyone_qdrant.dataset.samples import root_of
from fiftyone_qdrant.errors import (
    CollectionExists,
    CollectionMismatch,
    CollectionNotFound,
    QdrantPluginError,
)
from fiftyone_qdrant.index import ownership
from fiftyone_qdrant.parameters import in_force
from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.qdrant.calls import Schema
from fiftyone_qdrant.qdrant.collection import Collection, list_collections
from fiftyone_qdrant.qdrant.connection import Connection

logger = logging.getLogger(__name__)

_LONGEST_BASE = 200  # of the 255 that a name may have: what makes it unique comes last


def choose_name(samples: Any, connection: Connection) -> str:
    """Returns a name made from the dataset's that no collection or run has."""
    taken = ownership.claimed_names().union(list_collections(connection))
    return str(fbu.get_unique_name(base_name(samples), taken))


def base_name(samples: Any) -> str:
    """Returns the name that a dataset's first collection gets."""
    slug = str(fou.to_slug(root_of(samples).name))
    return f"fiftyone-{slug}"[:_LONGEST_BASE]


def described_names(connection: Connection) -> dict[str, str]:
    """Returns the names of all collections at a place, with who uses each in words.

    Raises:
        ConnectionFailed: if Qdrant cannot be reached
    """
    if connection.missing_store:
        return {}

    users = ownership.all_users(connection)
    return {
        name: f"Used by {', '.join(map(str, users[name]))}"
        if name in users
        else "Used by no index of this database"
        for name in sorted(list_collections(connection))
    }


def check_usable(collection: Collection, config: Any) -> None:
    """Checks that an index may have a collection; tells what a new one will lack.

    Raises:
        CollectionMismatch: as :func:`check`
    """
    if not check(collection, config) and config.ignored:
        logger.warning(
            "The embedded engine has no %s: ignored here, but kept with the "
            "index. They take effect on a Qdrant server (give its url)",
            ", ".join(config.ignored),
        )


def check(collection: Collection, config: Any) -> bool:
    """Checks an existing collection before it is used; returns whether it exists.

    ``config.metric`` and ``config.vector_name`` become the collection's.

    Raises:
        CollectionMismatch: if it has another metric than the config asks for, or
            points that were not made from FiftyOne ids
    """
    collection.forget()
    schema = look(collection, config.metric)
    if schema is None:
        return False

    config.metric, config.vector_name = schema.metric, schema.vector_name
    if config.patches_field is not None and not schema.filterable:
        collection.make_filterable()

    return True


def look(collection: Collection, metric: str | None) -> Schema | None:
    """Checks whether an index can use a collection; changes nothing.

    Args:
        collection: the collection
        metric: the metric that the index should have, or ``None`` for any

    Returns:
        what the collection is, or ``None`` if it does not exist

    Raises:
        CollectionMismatch: if it has another metric, or points that were not made
            from FiftyOne ids
    """
    try:
        schema = collection.schema()
    except CollectionNotFound:
        return None

    if metric not in (None, schema.metric):
        raise CollectionMismatch(
            f"Collection '{collection.name}' exists with metric '{schema.metric}', not "
            f"'{metric}'. Use metric='{schema.metric}', or another "
            "collection_name"
        )

    collection.check_ids()
    return schema


def check_size(collection: Collection, size: int) -> None:
    """Checks that vectors fit an existing collection.

    Raises:
        CollectionMismatch: if it has another vector size
    """
    expected = collection.schema().size
    if expected != size:
        raise CollectionMismatch(
            f"The embeddings have {size} dimensions, but collection "
            f"'{collection.name}' has {expected}. Use embeddings of {expected} "
            "dimensions, or another collection_name"
        )


def create(
    collection: Collection,
    size: int,
    config: Any,
    metadata: dict[str, Any],
    samples: Any = None,
) -> Collection:
    """Creates the collection as the config asks for, and looks whether it is so.

    Args:
        collection: the collection, which does not exist
        size: dimensions of its vectors
        config: the index's config
        metadata: what to store with it
        samples (None): if given, the name was made from this dataset's, and another
            one is made if some process has taken it meanwhile

    Returns:
        the collection that was made

    Raises:
        CollectionExists: if the name is taken
    """
    parameters = config.parameters.on(config.engine)
    config.metric = config.metric or points.DEFAULT_METRIC
    try:
        collection.create(size, config.metric, parameters, metadata)
    except CollectionExists:
        if samples is None:
            raise

        connection = collection.connection
        collection = Collection(connection, choose_name(samples, connection))
        collection.create(size, config.metric, parameters, metadata)

    config.collection_name = collection.name
    _tell_differences(collection, size, config.metric, parameters)
    return collection


def _tell_differences(
    collection: Collection, size: int, metric: str, parameters: CollectionParameters
) -> None:
    try:
        info = collection.info()
    except QdrantPluginError as e:  # it was made: what comes next will tell
        logger.info("Collection '%s' could not be read: %s", collection.name, e)
        return

    found = in_force.compare(size, metric, parameters, info)
    if found:
        logger.warning(
            "Collection '%s' is not quite as asked for (%s)",
            collection.name,
            "; ".join(map(str, found)),
        )
