"""Where an index is, or is to be: what of its config is stored about that."""

from __future__ import annotations

from typing import Any

from fiftyone_qdrant.embedded.client.launcher import store_path
from fiftyone_qdrant.errors import CollectionExists, ConfigError
from fiftyone_qdrant.parameters.table import PARAMETERS
from fiftyone_qdrant.qdrant import urls
from fiftyone_qdrant.qdrant.collection import list_collections
from fiftyone_qdrant.qdrant.connection import KEYWORDS, SERVER, resolve
from fiftyone_qdrant.similarity import QdrantSimilarityConfig, QdrantSimilarityIndex

_PLACE = ("engine", "path", "collection_name", "vector_name", "metric", *PARAMETERS)
_OF_THE_CLASS = ("cls", "type", "method")


def place_of(index: QdrantSimilarityIndex) -> dict[str, Any]:
    """Returns what is stored of where an index is, and of how its collection is made.

    No url and no key is.
    """
    stored = index.config.serialize()
    return {name: stored.get(name) for name in _PLACE}


def at(
    index: QdrantSimilarityIndex, place: dict[str, Any], **keywords: Any
) -> QdrantSimilarityIndex:
    """Returns an index as it would be at another place; changes nothing.

    It is of no run, so it stays there even if the index was moved from there.

    Args:
        index: the index
        place: of :func:`place_of`
        **keywords: ``url`` and the like, if they are not as configured
    """
    stored = {
        k: v for k, v in index.config.serialize().items() if k not in _OF_THE_CLASS
    }
    config = QdrantSimilarityConfig(**{**stored, **place})
    config.load_credentials(**keywords)
    return QdrantSimilarityIndex(index.samples, config, None)


def new_place(
    index: QdrantSimilarityIndex, collection_name: str | None, asked: dict[str, Any]
) -> QdrantSimilarityIndex:
    """Returns an index as it would be where it is to go; makes nothing there.

    Args:
        index: the index
        collection_name: the new collection's name, or ``None`` for one that is free
        asked: connection keywords and collection parameters that were given

    Raises:
        ConfigError: if it cannot go there
        CollectionExists: if there is a collection of that name
    """
    asked = {k: v for k, v in asked.items() if v is not None}
    keywords = {k: asked.pop(k) for k in KEYWORDS if k in asked}
    here = not (keywords.get("url") or keywords.get("path"))
    place = {**place_of(index), **asked, "vector_name": None, "collection_name": "?"}
    if not here:
        place.update(engine=None, path=None)

    target = at(index, place, **keywords)
    connection = target.collection.connection
    if connection.remote and not here:
        _check_configured(connection.url)

    taken = set(list_collections(connection))
    if collection_name in taken:
        raise CollectionExists(
            f"There is a collection '{collection_name}' at {connection.location} "
            "already. Give the new one another collection_name"
        )

    name = collection_name or index.collection.name
    place["collection_name"] = None if name in taken else name  # then one is chosen
    return at(index, place, **keywords)


def check_same(place: dict[str, Any], asked: dict[str, Any], name: str | None) -> None:
    """Checks that a move that goes on goes where it was begun to.

    Raises:
        ConfigError: if not
    """
    path, url = asked.get("path"), asked.get("url")
    elsewhere = (
        (url and place["engine"] != SERVER)
        or (path and store_path(str(path)) != place["path"])
        or (name and name != place["collection_name"])
    )
    if elsewhere:
        raise ConfigError(
            f"This index is on its way to {shown(place)} already. Call move_index() "
            "without a place to go on with that, or abandon_move() first"
        )


def shown(place: dict[str, Any]) -> str:
    """Returns where a stored place is, in words."""
    name = f"collection '{place['collection_name']}'"
    return f"{name} at {place['path'] or 'a Qdrant server'}"


def _check_configured(url: str | None) -> None:
    configured = resolve({}, SERVER).url
    if urls.origins(url or "").isdisjoint(urls.origins(configured or "")):
        raise ConfigError(
            f"No url is stored with an index, so only the configured server can be "
            f"moved to, which is {urls.shown(str(configured))}. Set "
            "FIFTYONE_BRAIN_SIMILARITY_QDRANT_URL, or url in the brain config, to "
            f"{urls.shown(str(url))} wherever the index is used, and move it then"
        )
