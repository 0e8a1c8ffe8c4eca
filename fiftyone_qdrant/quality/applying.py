"""What was measured is kept with an index, and what was chosen is used by everyone."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.quality.measuring import Measurement, Point
from fiftyone_qdrant.search.kept import SearchSettings, keep, kept, note
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.tuning import in_force

MEASURED = "fiftyone_measured"
"""In a collection's metadata: what was last measured of the whole index."""

_OF_THE_GRAPH = ("hnsw_config", "quantization_config")


@dataclass(frozen=True)
class Measured:
    """What an index was last measured to be.

    Attributes:
        points: the ways to search, the one that was in force then first
        now: the point of how it is searched now; ``None`` if that was not measured
        queries: how many vectors were looked for
        k: how many neighbors of each
        at: when, in UTC
        outdated: whether the index has changed since: other points, or another graph
    """

    points: list[Point]
    now: Point | None
    queries: int
    k: int
    at: datetime.datetime
    outdated: bool

    def __str__(self) -> str:
        day = f"{self.at.day} {self.at:%b}"
        if self.now is None:
            return f"not measured with the present settings; last on {day}"

        half = max(self.now.high - self.now.recall, self.now.recall - self.now.low)
        words = f"recall {self.now.recall:.3f} ± {half:.3f}, "
        words += f"{self.queries:,} queries, {day}"
        return (
            f"{words}: out of date, the index has changed" if self.outdated else words
        )


def apply_search(
    index: QdrantSimilarityIndex, settings: SearchSettings | Mapping[str, Any]
) -> SearchSettings:
    """Has all searches of an index use settings, in every process, from now on.

    What a query gives itself comes first. The settings are kept in the collection's
    metadata; a server's other processes have them within seconds.

    Args:
        index: the index
        settings: ``.settings`` of a point of :func:`.measuring.measure`, or a dict with
            any of ``hnsw_ef``, ``oversampling`` and ``rescore``; empty ones are the
            defaults again

    Returns:
        the settings before: give them to this function to undo it

    Raises:
        ConfigError: if a setting is wrong, or the server keeps no metadata
        CollectionNotFound: if the collection is gone
    """
    values = asdict(settings) if isinstance(settings, SearchSettings) else settings
    return keep(index.collection, SearchSettings.of(values))


def record(index: QdrantSimilarityIndex, found: Measurement) -> None:
    """Keeps a measurement of a whole index with it, for :func:`last_measured`.

    Raises:
        ConfigError: if it is of a view, or the server keeps no metadata
    """
    if found.share < 1:
        raise ConfigError("Only what is measured of the whole index is kept with it")

    now = datetime.datetime.now(datetime.timezone.utc)
    value = {
        "at": now.isoformat(timespec="seconds"),
        "points": [asdict(p) for p in found.points],
        "queries": len(found.queries),
        "k": found.k,
        "seed": found.seed,
        "count": found.count,
        "kept": asdict(kept(index.collection)),
        "graph": _graph(index),
    }
    note(index.collection, MEASURED, value)


def last_measured(index: QdrantSimilarityIndex) -> Measured | None:
    """Returns what was last measured of an index, or ``None`` if nothing was.

    Raises:
        CollectionNotFound: if the collection is gone
    """
    schema = index.collection.schema()
    value = schema.metadata.get(MEASURED)
    if not value:
        return None

    points = [
        Point(**{**p, "settings": SearchSettings(**p["settings"])})
        for p in value["points"]
    ]
    settings = kept(index.collection)
    if asdict(settings) == value["kept"]:
        now: Point | None = points[0]
    else:
        now = next((p for p in points if p.settings == settings), None)

    changed = (schema.num_points, _graph(index)) != (value["count"], value["graph"])
    at = datetime.datetime.fromisoformat(value["at"])
    return Measured(points, now, value["queries"], value["k"], at, changed)


def _graph(index: QdrantSimilarityIndex) -> str:
    """What decides how well an index can be searched, beside its points."""
    settings = in_force(index)
    return str([settings[name] for name in _OF_THE_GRAPH])
