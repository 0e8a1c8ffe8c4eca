"""How a collection is searched where a query does not say: settings that are kept.

They are in the collection's metadata, beside the graph that they were measured on, so
every process that searches it has them with its next query.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.search.options import QueryOptions

SEARCH = "fiftyone_search"
"""In a collection's metadata: the settings of searches that do not give their own."""

_K = 25  # what settings are checked with; they hold for every k


@dataclass(frozen=True)
class SearchSettings:
    """How an approximate search is done; what is ``None`` is left to the defaults.

    Attributes:
        hnsw_ef: the candidates kept while the graph is searched; for many hits it is
            four for each, if that is more
        oversampling: how many times the hits are taken by their quantized vectors, to
            be ranked anew by whole ones
        rescore: whether they are ranked anew
    """

    hnsw_ef: int | None = None
    oversampling: float | None = None
    rescore: bool | None = None

    def __str__(self) -> str:
        given = {k: v for k, v in asdict(self).items() if v is not None}
        return ", ".join(f"{k}={v}" for k, v in given.items()) or "the defaults"

    @property
    def options(self) -> dict[str, Any]:
        """The keywords of a search that are given."""
        return {k: v for k, v in asdict(self).items() if v is not None}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> SearchSettings:
        """Checks settings.

        Raises:
            ConfigError: if a name is unknown or a value is wrong
        """
        unknown = sorted(set(values) - set(asdict(cls())))
        if unknown:
            raise ConfigError(
                f"Unknown setting {', '.join(map(repr, unknown))}. Searches have "
                f"{', '.join(asdict(cls()))}"
            )

        QueryOptions(k=_K, **values).check()
        return cls(**values)


def kept(collection: Collection) -> SearchSettings:
    """Returns the settings that a collection keeps for its searches."""
    values = collection.schema().metadata.get(SEARCH) or {}
    known = {f.name for f in fields(SearchSettings)}  # a later version may have more
    return SearchSettings(**{k: v for k, v in values.items() if k in known})


def keep(collection: Collection, settings: SearchSettings) -> SearchSettings:
    """Has a collection keep settings for all its searches, of every process.

    Args:
        collection: the collection
        settings: the settings; empty ones are the defaults again

    Returns:
        those before, which undo it

    Raises:
        ConfigError: if the server keeps no metadata
    """
    collection.forget()
    before = kept(collection)
    if settings != before:
        note(collection, SEARCH, asdict(settings))

    return before


def note(collection: Collection, name: str, value: Any) -> None:
    """Writes into a collection's metadata.

    Raises:
        ConfigError: if the server keeps none
    """
    if not collection.note({name: value}):
        raise ConfigError(
            f"Collection '{collection.name}' keeps how it is searched in its metadata, "
            "and this Qdrant server has none. Update the server to 1.16 or later, or "
            "give hnsw_ef with each query"
        )
