"""How much of a dataset an index holds: in all, of a view, and value by value.

A grouped dataset is its active slice, as everywhere in FiftyOne; what an index holds of
other slices counts as well, but what it does not hold of them is not missing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fiftyone as fo
import numpy as np

from fiftyone_qdrant.dataset.samples import label_path, root_of
from fiftyone_qdrant.packed import Packed, among, blocks, pack, unpack
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

_SOME = 1_000  # ids that tell of which group slices an index is
_AT_ONCE = 100_000  # ids that all replicas are asked for in one turn
_FEW = 20_000  # ids that are looked up rather than compared with all of the index
_LABELS = (fo.Classification, fo.Classifications, fo.Detections, fo.Polylines)


@dataclass(frozen=True)
class Comparison:
    """An index and its dataset, id by id.

    Attributes:
        total: samples, or labels of the patches field, of the dataset; of other slices
            than the active one those that the index has; and none of those for which
            the embeddings field has nothing, as these cannot be indexed
        lacking: ids of those that the index does not have, packed
        left: ids of points whose sample, or label, the dataset does not have, packed
        points: the number of points
        behind: how many of them one of several replicas lacks; 0 if nobody knows
    """

    total: int
    lacking: Packed
    left: Packed
    points: int
    behind: int = 0

    @property
    def indexed(self) -> int:
        """Samples, or labels, of the dataset that are in the index."""
        return self.total - len(self.lacking)

    @property
    def missing(self) -> set[str]:
        """Ids of those that the index does not have."""
        return set(unpack(self.lacking))

    @property
    def orphans(self) -> set[str]:
        """Ids of points whose sample, or label, the dataset does not have."""
        return set(unpack(self.left))


@dataclass(frozen=True)
class Share:
    """How much of what has one value is indexed.

    Attributes:
        value: a tag, or a label of a field
        indexed: how many of it are in the index
        total: how many there are
    """

    value: str
    indexed: int
    total: int


@dataclass(frozen=True)
class DatasetIds:
    """The ids of a dataset's samples, or of what else an index holds.

    They are read after those of the index: what is added meanwhile would look like an
    orphan otherwise.

    Attributes:
        wanted: those that should be indexed: of groups the active slice's, and of
            those only what has an embedding
        existing: all, ascending
    """

    wanted: Packed
    existing: Packed

    def missing(self, indexed: Packed) -> Packed:
        """Returns those that an index, whose ids ascend, should have, and has not."""
        return self.wanted[~among(self.wanted, indexed)]

    def orphans(self, indexed: Packed) -> Packed:
        """Returns those that an index has, and the dataset has no more."""
        return indexed[~among(indexed, self.existing)]


def dataset_ids(
    index: QdrantSimilarityIndex, indexed: Packed, samples: Any = None
) -> DatasetIds:
    """Reads all ids that the dataset of an index has, as it is now.

    Args:
        index: the index
        indexed: the ids of its points
        samples (None): the dataset or view that should be indexed; by default all

    Raises:
        ConfigError: if it is a view of something else than the index holds
    """
    held = index.held if samples is None else index.held.following(samples)
    samples = root_of(held.home) if samples is None else samples
    some = unpack(indexed[:: 1 + len(indexed) // _SOME])
    samples, having = held.as_indexed(samples, some), source_field(index)
    if having is None and held.means_all(samples):
        wanted = pack(held.existing())
        return DatasetIds(wanted, np.sort(wanted))

    existing = np.sort(pack(held.existing()))
    wanted = pack(held.each_wanted(samples, having))
    if held.remakes:  # copies of frames or clips whose original is gone
        wanted = wanted[among(wanted, existing)]

    return DatasetIds(wanted, np.union1d(existing, wanted))


def source_field(index: QdrantSimilarityIndex) -> str | None:
    """Returns the field without which a sample, or label, cannot be indexed."""
    field: str | None = index.config.embeddings_field
    if field is None or index.config.stores_embeddings:
        return None

    return field if index.held.has_field(field) else None


def compare(
    index: QdrantSimilarityIndex,
    read: Callable[[QdrantSimilarityIndex, Packed], DatasetIds] = dataset_ids,
) -> Comparison:
    """Compares all ids of an index with those of its dataset.

    Args:
        index: the index
        read (dataset_ids): what reads the ids of the dataset

    Raises:
        CollectionNotFound: if the collection is gone
    """
    indexed = index.contents.packed_ids()
    found = read(index, indexed)
    missing, orphans = np.unique(found.missing(indexed)), found.orphans(indexed)
    total = len(missing) + len(indexed) - len(orphans)
    return Comparison(total, missing, orphans, len(indexed), _behind(index, indexed))


def _behind(index: QdrantSimilarityIndex, indexed: Packed) -> int:
    if index.collection.schema().replicas < 2:
        return 0

    behind = 0
    for ids in blocks(indexed, _AT_ONCE):
        whole = index.collection.on_all_replicas(ids)
        if whole is None:
            return 0

        behind += len(ids) - len(whole)

    return behind


def count(index: QdrantSimilarityIndex) -> int:
    """Returns how many samples, or labels of the patches field, the dataset has."""
    return index.held.count()


def of_ids(index: QdrantSimilarityIndex, ids: list[str]) -> int:
    """Returns how many of the given sample ids, or label ids of patches, it holds."""
    return _held(index, np.unique(pack(ids)))


def _held(index: QdrantSimilarityIndex, wanted: Packed) -> int:
    if len(wanted) <= _FEW:
        return len(index.collection.present(unpack(wanted)))

    return int(among(wanted, index.contents.packed_ids()).sum())


def of_view(index: QdrantSimilarityIndex, view: Any) -> tuple[int, int]:
    """Returns how many samples, or labels, of a view are indexed, and how many it has.

    Raises:
        ConfigError: if the view does not have the labels that are indexed
    """
    ids = np.unique(pack(index.held.each(view)))
    return _held(index, ids), len(ids)


def groupings(index: QdrantSimilarityIndex) -> list[str]:
    """Returns what :func:`by_value` can group by: label fields, and ``"tags"``."""
    if index.config.patches_field is not None:
        return [index.config.patches_field]

    schema = index.samples.get_field_schema(embedded_doc_type=_LABELS)
    return [*schema, "tags"]


def by_value(
    index: QdrantSimilarityIndex, grouping: str, missing: set[str]
) -> list[Share]:
    """Returns how much of each label or tag is indexed, the most frequent first.

    MongoDB counts, over the dataset and over what is missing. A sample with two of a
    field's labels counts with each.

    Args:
        index: the index
        grouping: one of :func:`groupings`
        missing: the ids that the index does not have
    """
    samples = index.samples
    path = _path(samples, grouping)
    totals = _counts(samples, path)
    if not missing:
        return _shares(totals, totals)

    field = index.config.patches_field
    if field is None:
        lacking = samples.select(list(missing))
    else:
        lacking = samples.select_labels(ids=list(missing), fields=field)

    absent = _counts(lacking, path)
    return _shares({v: n - absent.get(v, 0) for v, n in totals.items()}, totals)


def ids_of(
    index: QdrantSimilarityIndex,
    indexed: bool,
    grouping: str | None = None,
    value: str | None = None,
) -> list[str]:
    """Returns the ids of what the dataset has and the index holds, or lacks.

    Args:
        index: the index
        indexed: whether those that it holds, else those that it lacks
        grouping (None): one of :func:`groupings`, to take those with one value only
        value (None): that label or tag
    """
    missing = compare(index).missing
    if grouping is None and not indexed:
        return sorted(missing)

    samples = index.samples
    if grouping == "tags":
        samples = samples.match_tags(value)
    elif grouping is not None:
        samples = samples.filter_labels(grouping, fo.ViewField("label") == value)

    return [i for i in index.held.ids(samples) if (i not in missing) is indexed]


def _path(samples: Any, grouping: str) -> str:
    if grouping == "tags":
        return "tags"

    return label_path(samples, grouping, "label")


def _counts(samples: Any, path: str) -> dict[str, int]:
    return {str(v): n for v, n in samples.count_values(path).items() if v is not None}


def _shares(indexed: dict[str, int], totals: dict[str, int]) -> list[Share]:
    shares = [Share(value, indexed[value], total) for value, total in totals.items()]
    return sorted(shares, key=lambda s: (-s.total, s.value))
