"""Embeddings with the ids that they are of, on their way into an index."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from bson import ObjectId

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.search.matrices import Name, to_matrix

NO_LABELS = "This index holds samples: it has no label ids"


@dataclass(frozen=True)
class Batch:
    """``num_points`` vectors, and as many ids of each kind.

    Attributes:
        vectors: numbers, shape ``(num_points, size)``; float32 once :meth:`checked`
        sample_ids: the sample of each
        label_ids: the label of each, or ``None`` if they are of samples
        files: size and time of change of the file that each was computed from, where
            known; ``None`` if the vectors were given
    """

    vectors: Any
    sample_ids: list[str]
    label_ids: list[str] | None = None
    files: list[points.FileState | None] | None = None

    @classmethod
    def of(cls, vectors: Any, sample_ids: Any, label_ids: Any = None) -> Batch:
        """Returns what FiftyOne gives, whatever it has the ids in."""
        labels = None if label_ids is None else to_list(label_ids)
        return cls(vectors, to_list(sample_ids), labels)

    @classmethod
    def none(cls, patches: bool) -> Batch:
        """Returns a batch of nothing."""
        return cls(np.empty((0, 0)), [], [] if patches else None)

    @property
    def ids(self) -> list[str]:
        """The ids of the points: the label ids, else the sample ids."""
        return self.sample_ids if self.label_ids is None else self.label_ids

    def checked(self, patches: bool, keep: str = "last") -> Batch:
        """Checks what a user gives; of an id that is given twice one point counts.

        Args:
            patches: whether it is for an index of patches
            keep ("last"): which of its points counts, ``"first"`` or ``"last"``

        Raises:
            VectorError: if vectors have a wrong shape or values float32 cannot hold
            ConfigError: if the ids do not fit the embeddings or the index
            MissingIDs: if an id is no FiftyOne id
        """
        none = isinstance(self.vectors, Sized) and np.iterable(self.vectors)
        none = none and not len(self.vectors)
        given = np.empty((0, 0)) if none else self.vectors
        vectors = to_matrix(given, name=self._namer())
        if patches and self.label_ids is None and self.sample_ids:
            raise ConfigError("This index holds patches: give label_ids as well")

        if self.label_ids is not None and not patches:
            raise ConfigError(NO_LABELS)

        for name in ("sample_ids", "label_ids"):
            ids = getattr(self, name)
            if ids is not None and len(ids) != len(vectors):
                raise ConfigError(
                    f"There are {len(vectors)} embeddings but {len(ids)} {name}"
                )

        points.to_point_ids(self.sample_ids)
        if self.label_ids is not None:
            points.to_point_ids(self.label_ids)

        batch = replace(self, vectors=vectors)
        rows = list(enumerate(self.ids))
        chosen = {i: row for row, i in (rows if keep == "last" else rows[::-1])}
        return batch if len(chosen) == len(rows) else batch._take(chosen.values())

    def without(self, ids: set[str]) -> Batch:
        """Returns the batch without the given ids."""
        return self._take(row for row, i in enumerate(self.ids) if i not in ids)

    def joined(self, more: Batch) -> Batch:
        """Returns both as one."""
        if not (self.sample_ids and more.sample_ids):
            return self if self.sample_ids else more

        labels = None
        if self.label_ids is not None and more.label_ids is not None:
            labels = self.label_ids + more.label_ids

        vectors = np.concatenate([np.asarray(b.vectors) for b in (self, more)])
        files = None
        if self.files or more.files:
            files = [f for b in (self, more) for f in b.files or [None] * len(b.ids)]

        return Batch(vectors, self.sample_ids + more.sample_ids, labels, files)

    def _take(self, rows: Iterable[int]) -> Batch:
        rows, labels = sorted(rows), self.label_ids
        return Batch(
            self.vectors[rows],
            [self.sample_ids[i] for i in rows],
            None if labels is None else [labels[i] for i in rows],
            None if self.files is None else [self.files[i] for i in rows],
        )

    def _namer(self) -> Name:
        """Returns what gives a vector its name in errors: that of its sample."""
        samples, labels = self.sample_ids, self.label_ids

        def name(row: int) -> str:
            if row >= len(samples):  # there are more vectors than ids
                return f"number {row + 1}"

            if labels is None or row >= len(labels):
                return f"sample {samples[row]}"

            return f"label {labels[row]} of sample {samples[row]}"

        return name


def to_list(ids: Any) -> list[str]:
    """Returns one id or several as a list of ``str``."""
    return [str(ids)] if isinstance(ids, (str, ObjectId)) else [str(i) for i in ids]
