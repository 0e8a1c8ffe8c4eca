"""Questions to the index of another dataset: what it has like this, or lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import fiftyone as fo
import fiftyone.core.media as fom
import fiftyone.core.utils as fou
import numpy as np

from fiftyone_qdrant.dataset.samples import dataset_of
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.matches import matches_of
from fiftyone_qdrant.points import Scores
from fiftyone_qdrant.runs import list_indexes
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

FOUND_IN = "found_in"
FOUND_ID = "found_id"
"""Fields of samples that were added from another dataset: its name, and their id."""

_AT_ONCE = 64
_MOST_DATASETS = 100


@dataclass(frozen=True)
class Lacking:
    """What one dataset has and another lacks, the farthest first.

    Attributes:
        ids: sample ids, or label ids of an index of patches, of the one
        sample_ids: the sample of each
        distances: to the nearest of anything in the other; larger is more lacking
        asked: how many of the one were compared
        of: how many it has
    """

    ids: list[str]
    sample_ids: list[str]
    distances: Scores
    asked: int
    of: int


def other_indexes(dataset: Any) -> list[tuple[str, str]]:
    """Returns the Qdrant indexes of other datasets: the dataset's name, and the key.

    Of the first 100 datasets that FiftyOne lists.
    """
    names = [n for n in fo.list_datasets()[:_MOST_DATASETS] if n != dataset.name]
    return [(n, key) for n in names for key in list_indexes(fo.load_dataset(n))]


def why_not_comparable(
    index: QdrantSimilarityIndex, other: QdrantSimilarityIndex
) -> str | None:
    """Returns why distances between two indexes would mean nothing, or ``None``."""
    sizes = [i.collection.schema().size for i in (index, other)]
    names = [
        f"'{i.key}' of dataset '{dataset_of(i.samples).name}'" for i in (index, other)
    ]
    if sizes[0] != sizes[1]:
        return (
            f"Index {names[0]} has vectors of {sizes[0]:,} numbers, and {names[1]} "
            f"of {sizes[1]:,}"
        )

    models = [i.config.model for i in (index, other)]
    for model, name in zip(models, names, strict=True):
        if model is None:
            return f"Nobody knows which model made the vectors of index {name}"

    if models[0] != models[1]:
        return (
            f"Index {names[0]} was made by '{models[0]}', and {names[1]} by "
            f"'{models[1]}'"
        )

    return None


def check_comparable(
    index: QdrantSimilarityIndex, other: QdrantSimilarityIndex, force: bool = False
) -> None:
    """Makes sure that one index can be asked with what is in another.

    Args:
        index: the one
        other: the other
        force (False): whether it is known that the same model made both

    Raises:
        ConfigError: if another model made it, or one of another size
    """
    problem = why_not_comparable(index, other)
    sizes = {i.collection.schema().size for i in (index, other)}
    if problem is not None and (len(sizes) > 1 or not force):
        how = "" if len(sizes) > 1 else ". If the same model made both, force it"
        raise ConfigError(f"{problem}, so they cannot be compared{how}")


def find_across(
    index: QdrantSimilarityIndex,
    ids: Sequence[str],
    other: QdrantSimilarityIndex,
    k: int | None = 25,
    *,
    max_distance: float | None = None,
    force: bool = False,
) -> Hits:
    """Returns what another index has that is like samples of this one, best first.

    Args:
        index: the index that has the samples
        ids: their ids, or label ids of an index of patches; several are averaged
        other: the index to search in its current view
        k (25): the number of hits, or ``None`` for all
        max_distance (None): the largest distance of a hit, by the other's metric
        force (False): see :func:`check_comparable`

    Returns:
        hits of ``other``

    Raises:
        ConfigError: if nothing is given, or the indexes cannot be compared
        MissingIDs: if something is not in the index
    """
    check_comparable(index, other, force)
    if not ids:
        raise ConfigError("Select samples to look for first")

    vectors = index.contents.vectors(list(ids))
    (hits,) = other.search(vectors, k=k, max_distance=max_distance)
    return hits


def find_lacking(
    index: QdrantSimilarityIndex,
    other: QdrantSimilarityIndex,
    k: int = 25,
    *,
    most: int = 20_000,
    force: bool = False,
    seed: int = 51,
    progress: Callable[[int, int], None] | None = None,
) -> Lacking:
    """Returns what an index has in its current view that is far from all of another.

    Each is asked for; of very many, some at random.

    Args:
        index: the index that has them
        other: the index that lacks them
        k (25): how many to return
        most (20000): how many of the view are compared, at most
        force (False): see :func:`check_comparable`
        seed (51): decides which are compared
        progress (None): called with how many were compared, and how many there are

    Raises:
        ConfigError: if the indexes cannot be compared, or the other is empty
    """
    check_comparable(index, other, force)
    chosen, of = _chosen(index, most, seed)
    ids: list[str] = []
    samples: list[str] = []
    far: list[float] = []
    for start in range(0, len(chosen), _AT_ONCE):
        some = chosen[start : start + _AT_ONCE]
        vectors, owners, labels = index.contents.retrieved(some, allow_missing=True)
        if not len(vectors):
            continue

        found = other.search(vectors, k=1, aggregation=None)
        if not all(h.ids for h in found):
            raise ConfigError(f"Index '{other.key}' has nothing to compare with")

        ids += (owners if labels is None else labels).tolist()
        samples += owners.tolist()
        far += [float(h.distances[0]) for h in found]
        if progress is not None:
            progress(start + len(some), len(chosen))

    distances = np.array(far, dtype=np.float64)
    order = np.argsort(-distances, kind="stable")[:k]
    return Lacking(
        [ids[row] for row in order],
        [samples[row] for row in order],
        distances[order],
        len(ids),
        of,
    )


def save_there(other: QdrantSimilarityIndex, hits: Hits, name: str) -> str:
    """Keeps hits as a saved view of their own dataset, best first.

    Returns:
        the path of the view in the App, from its root

    Raises:
        ConfigError: if there is such a view already
    """
    dataset = dataset_of(other.samples)
    if dataset.has_saved_view(name):
        raise ConfigError(f"Dataset '{dataset.name}' has a view '{name}' already")

    dataset.save_view(name, matches_of(other, hits).view)
    slug = quote(str(fou.to_slug(name)))
    return f"/datasets/{quote(dataset.name, safe='')}?view={slug}"


def add_here(dataset: Any, other: QdrantSimilarityIndex, hits: Hits) -> list[str]:
    """Adds the samples of another dataset's hits to a dataset, and where they are from.

    Their files, metadata and tags come along; what the dataset has already does not
    come twice. ``found_in`` and ``found_id`` say where each was found.

    Returns:
        the ids of the new samples

    Raises:
        ConfigError: if one of the datasets is grouped, or they are of other media
    """
    theirs = dataset_of(other.samples)
    kinds = {theirs.media_type, dataset.media_type or theirs.media_type}
    if fom.GROUP in kinds or len(kinds) > 1:
        raise ConfigError(
            f"Samples of '{theirs.name}' cannot be added here: both datasets must be "
            "of the same media, and not grouped"
        )

    samples = list(dict.fromkeys(hits.sample_ids or hits.ids))
    known = set(dataset.values("filepath"))
    new = []
    for sample in theirs.select(samples, ordered=True):
        if sample.filepath not in known:
            copy = fo.Sample(
                sample.filepath, tags=list(sample.tags), metadata=sample.metadata
            )
            copy[FOUND_IN], copy[FOUND_ID] = theirs.name, sample.id
            new.append(copy)

    added: list[str] = dataset.add_samples(new, progress=False) if new else []
    return added


def _chosen(
    index: QdrantSimilarityIndex, most: int, seed: int
) -> tuple[list[str], int]:
    """Returns ids of the current view, and how many there are."""
    ids = index.restriction().ids()
    if len(ids) <= most:
        return list(ids), len(ids)

    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(len(ids), most, replace=False))
    return [ids[row] for row in rows], len(ids)
