"""The points of a similarity index, seen as FiftyOne ids and embeddings.

What FiftyOne promises of ``add_to_index()``, ``remove_from_index()`` and
``get_embeddings()``: which ids are meant, which exist, in what order they come.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from bson import ObjectId

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import CollectionNotFound, ConfigError, MissingIDs
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.qdrant import writing
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.search.matrices import Name, to_matrix

if TYPE_CHECKING:
    from qdrant_client import models

logger = logging.getLogger(__name__)

_ID_TYPE = "<U24"
_NO_LABELS = "This index holds samples: it has no label ids"


@dataclass(frozen=True)
class Batch:
    """Points to write: ``num_points`` ids of each kind and as many vectors.

    Attributes:
        ids: the label ids of an index of patches, else the sample ids
        sample_ids: the sample of each point
        vectors: float32, shape ``(num_points, size)``
    """

    ids: list[str]
    sample_ids: list[str]
    vectors: Matrix

    @classmethod
    def parse(
        cls,
        embeddings: Any,
        sample_ids: Any,
        label_ids: Any,
        patches: bool,
        keep: str = "last",
    ) -> Batch:
        """Checks what a user gives.

        Args:
            embeddings: finite numbers, shape ``(num_points, size)``
            sample_ids: ``num_points`` sample ids
            label_ids: ``num_points`` label ids, or ``None`` for an index of samples
            patches: whether it is for an index of patches
            keep: which of the points of a repeated id counts, the ``"first"`` or the
                ``"last"``

        Raises:
            VectorError: if vectors have a wrong shape or values float32 cannot hold
            ConfigError: if the ids do not fit the embeddings or the index
            MissingIDs: if an id is no FiftyOne id
        """
        if not len(embeddings):
            embeddings = np.empty((0, 0))

        samples = to_list(sample_ids)
        labels = None if label_ids is None else to_list(label_ids)
        vectors = to_matrix(embeddings, name=_namer(samples, labels))
        if patches and labels is None and samples:
            raise ConfigError("This index holds patches: give label_ids as well")

        if labels is not None and not patches:
            raise ConfigError(_NO_LABELS)

        for name, values in (("sample_ids", samples), ("label_ids", labels)):
            if values is not None and len(values) != len(vectors):
                raise ConfigError(
                    f"There are {len(vectors)} embeddings but {len(values)} {name}"
                )

        ids = samples if labels is None else labels
        points.to_point_ids(samples)
        if labels is not None:
            points.to_point_ids(labels)

        rows = list(enumerate(ids))
        chosen = {i: row for row, i in (rows if keep == "last" else rows[::-1])}
        if len(chosen) == len(ids):
            return cls(ids, samples, vectors)

        return cls(ids, samples, vectors)._take(sorted(chosen.values()))

    def without(self, ids: set[str]) -> Batch:
        """Returns the batch without the given ids."""
        return self._take([row for row, i in enumerate(self.ids) if i not in ids])

    def _take(self, rows: list[int]) -> Batch:
        return Batch(
            [self.ids[i] for i in rows],
            [self.sample_ids[i] for i in rows],
            self.vectors[rows],
        )


class Contents:
    """The points of one collection, as ids and embeddings.

    Args:
        collection: where they are
        patches: whether they are patches (one label each) rather than samples
    """

    def __init__(self, collection: Collection, patches: bool) -> None:
        self._collection = collection
        self._patches = patches

    @property
    def kind(self) -> str:
        """What an id of this index is the id of: ``"label"`` or ``"sample"``."""
        return "label" if self._patches else "sample"

    def point_ids(self) -> set[str]:
        """Returns the sample id, or of patches the label id, of every point.

        Twice as quick as :meth:`ids`, as no payload is read.

        Raises:
            CollectionNotFound: if the collection does not exist
        """
        return {
            points.from_point_id(record.id)
            for page in self._collection.scroll(payload=False)
            for record in page
        }

    def ids(self) -> tuple[Any, Any]:
        """Returns all sample ids and, of patches, label ids, ordered by point id."""
        ids: list[str] = []
        samples: list[str] = []
        try:
            for page in self._collection.scroll():
                ids.extend(points.from_point_id(r.id) for r in page)
                samples.extend(_sample_id(r) for r in page)
        except CollectionNotFound:
            logger.debug("Collection '%s' does not exist", self._collection.name)

        return self._to_id_arrays(ids, samples)

    def write(self, batch: Batch) -> None:
        """Writes points, replacing those that exist."""
        schema, vectors = self._collection.schema(), batch.vectors
        lengths = points.norms(vectors)
        if points.needs_float64(lengths, schema.metric):
            self._collection.mark_float64()  # before anybody can find them

        kept = None  # by other metrics, nothing
        if schema.metric == "cosine":
            vectors, kept = points.to_unit(vectors, lengths), lengths

        key = points.norm_key(schema.vector_name)
        payloads = points.to_payloads(batch.sample_ids, kept, key)
        writing.write(self._collection, batch.ids, vectors, payloads)

    def new(self, batch: Batch, allow_existing: bool, warn_existing: bool) -> Batch:
        """Returns the part of a batch that is not in the index.

        Raises:
            ConfigError: if some of it is in the index and may not be
        """
        existing = self._collection.present(batch.ids)
        if existing and not allow_existing:
            raise ConfigError(
                f"{len(existing)} {self.kind} ids (such as {min(existing)}) are "
                "already in the index"
            )

        whole = self._collection.on_all_replicas(sorted(existing))
        if whole is not None:  # what a replica lacks is written to it
            existing &= whole

        if existing and warn_existing:
            logger.warning("Skipping %d ids that are in the index", len(existing))

        return batch.without(existing)

    def remove(
        self, sample_ids: Any, label_ids: Any, allow_missing: bool, warn_missing: bool
    ) -> None:
        """Removes points by label id, or all points of samples.

        Raises:
            ConfigError: if no ids are given
            MissingIDs: if ids are missing and may not be
        """
        if sample_ids is None and label_ids is None:
            raise ConfigError("Give the sample_ids or label_ids to remove")

        if label_ids is not None and not self._patches:
            raise ConfigError(_NO_LABELS)

        missing: list[str] = []
        if label_ids is not None:  # sample_ids only say where the labels are
            ids = to_list(label_ids)
        elif self._patches:
            wanted = to_list(sample_ids)
            ids, samples = self.of_samples(wanted)
            found = set(samples)
            missing.extend(i for i in wanted if i not in found)
        else:
            ids = to_list(sample_ids)

        if not allow_missing or warn_missing:
            found = self._collection.present(ids)
            missing.extend(i for i in ids if i not in found)
            self._tell_missing(missing, allow_missing, warn_missing)

        writing.remove(self._collection, ids)

    def embeddings(
        self,
        sample_ids: Any = None,
        label_ids: Any = None,
        allow_missing: bool = True,
        warn_missing: bool = False,
    ) -> tuple[Matrix, Any, Any]:
        """Returns embeddings as they were put in, in the order of the ids given.

        Without ids, all of the index. With sample ids, an index of patches returns
        all patches of each sample.

        Returns:
            a tuple of float32 embeddings, shape ``(num_points, size)``, their
            ``num_points`` sample ids, and their label ids or ``None``

        Raises:
            ConfigError: if label ids are given for an index of samples
            MissingIDs: if ids are missing and may not be
        """
        if label_ids is not None and not self._patches:
            raise ConfigError(_NO_LABELS)

        if label_ids is not None and sample_ids is not None:
            logger.warning("Ignoring sample_ids because label_ids are given")

        if label_ids is None and (sample_ids is None or self._patches):
            wanted = None if sample_ids is None else to_list(sample_ids)
            return self._scrolled(wanted, allow_missing, warn_missing)

        wanted = to_list(sample_ids if label_ids is None else label_ids)
        return self.retrieved(wanted, allow_missing, warn_missing)

    def vectors(self, ids: list[str]) -> Matrix:
        """Returns the embeddings of points, in the order of the ids given.

        Raises:
            MissingIDs: if an id is not in the index
        """
        return self.retrieved(ids)[0]

    def retrieved(
        self, wanted: list[str], allow_missing: bool = False, warn_missing: bool = False
    ) -> tuple[Matrix, Any, Any]:
        """Returns embeddings, sample ids and label ids, in the order of the ids given.

        Raises:
            MissingIDs: if ids are missing and may not be
        """
        ids, samples, vectors = self._read(self._collection.retrieve(_unique(wanted)))
        rows = {i: row for row, i in enumerate(ids)}
        missing = [i for i in wanted if i not in rows]
        self._tell_missing(missing, allow_missing, warn_missing)
        order = [rows[i] for i in wanted if i in rows]
        return self._result(order, ids, samples, vectors)

    def _scrolled(
        self, sample_ids: list[str] | None, allow_missing: bool, warn_missing: bool
    ) -> tuple[Matrix, Any, Any]:
        pages = self._collection.scroll(sample_ids=sample_ids, vectors=True)
        ids, samples, vectors = self._read(pages)
        order = list(range(len(ids)))
        if sample_ids is not None:
            rank = {s: n for n, s in reversed(list(enumerate(sample_ids)))}
            order.sort(key=lambda row: rank[samples[row]])
            found = set(samples)
            missing = [s for s in sample_ids if s not in found]
            self._tell_missing(missing, allow_missing, warn_missing)

        return self._result(order, ids, samples, vectors)

    def _read(
        self, pages: Iterable[list[models.Record]]
    ) -> tuple[list[str], list[str], Matrix]:
        ids: list[str] = []
        samples: list[str] = []
        vectors = []
        for page in pages:
            ids.extend(points.from_point_id(r.id) for r in page)
            samples.extend(_sample_id(r) for r in page)
            vectors.append(self._collection.to_vectors(page))

        if not vectors:
            vectors.append(self._collection.to_vectors([]))

        return ids, samples, np.concatenate(vectors)

    def of_samples(self, sample_ids: Sequence[str]) -> tuple[list[str], list[str]]:
        """Returns the ids of the points of samples, and the sample of each."""
        records = [
            r for page in self._collection.scroll(sample_ids=sample_ids) for r in page
        ]
        ids = [points.from_point_id(r.id) for r in records]
        return ids, [_sample_id(r) for r in records]

    def _result(
        self, order: list[int], ids: list[str], samples: list[str], vectors: Matrix
    ) -> tuple[Matrix, Any, Any]:
        sample_ids, label_ids = self._to_id_arrays(
            [ids[row] for row in order], [samples[row] for row in order]
        )
        in_order = order == list(range(len(ids)))
        return vectors if in_order else vectors[order], sample_ids, label_ids

    def _tell_missing(self, missing: Sequence[str], allow: bool, warn: bool) -> None:
        if missing and not allow:
            what = f"{self.kind} ids"
            if len(missing) == 1:
                raise MissingIDs(
                    f"{missing[0]} is not in the index, which holds {what}"
                )

            raise MissingIDs(
                f"{len(missing)} ids (such as {missing[0]}) are not in the index, "
                f"which holds {what}"
            )

        if missing and warn:
            logger.warning("Skipping %d ids that are not in the index", len(missing))

    def _to_id_arrays(self, ids: list[str], samples: list[str]) -> tuple[Any, Any]:
        if self._patches:
            return np.array(samples, dtype=_ID_TYPE), np.array(ids, dtype=_ID_TYPE)

        return np.array(ids, dtype=_ID_TYPE), None


def to_list(ids: Any) -> list[str]:
    """Returns one id or several as a list of ``str``."""
    return [str(ids)] if isinstance(ids, (str, ObjectId)) else [str(i) for i in ids]


def _namer(samples: list[str], labels: list[str] | None) -> Name:
    """Returns what gives a vector its name in errors: that of its sample."""

    def name(row: int) -> str:
        if row >= len(samples):  # there are more vectors than ids
            return f"number {row + 1}"

        if labels is None or row >= len(labels):
            return f"sample {samples[row]}"

        return f"label {labels[row]} of sample {samples[row]}"

    return name


def _unique(ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ids))


def _sample_id(record: models.Record) -> str:
    return str((record.payload or {}).get(points.SAMPLE_ID))
