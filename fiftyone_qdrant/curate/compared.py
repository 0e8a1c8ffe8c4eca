"""What is compared for near-duplicates: the points of a view, and maybe of another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.curate.values import has_attribute, values_of
from fiftyone_qdrant.dataset.samples import is_clips, is_frames, root_of
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.index.all_pairs import AllPairs, Progress
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.runs import load_index
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Compared:
    """The points that are compared; those of another dataset or view come first.

    Attributes:
        index: the index of the samples
        ids: their ids there
        other: the index of what they are compared against, if they are
        other_ids: the ids there
    """

    index: QdrantSimilarityIndex
    ids: list[str]
    other: QdrantSimilarityIndex | None
    other_ids: list[str]

    @classmethod
    def of(
        cls, samples: Any, brain_key: str, against: Any, against_key: str | None
    ) -> Compared:
        """Returns what is compared.

        Raises:
            ConfigError: if the two indexes cannot be compared
            IndexNotFound: if there is no such index
        """
        index = load_index(samples, brain_key)
        ids = _ids(index)
        if against is None:
            return cls(index, ids, None, [])

        other = load_index(against, against_key or brain_key)
        for what in ("size", "metric"):
            mine, theirs = (
                getattr(i.collection.schema(), what) for i in (index, other)
            )
            if mine != theirs:
                raise ConfigError(
                    f"Index '{index.key}' has {what} {mine}, and index '{other.key}' "
                    f"that it is compared against has {theirs}. Compare indexes of the "
                    "same model and metric"
                )

        other_ids = _ids(other)
        if root_of(samples) is root_of(against) and index.key == other.key:
            own = set(ids)
            other_ids = [i for i in other_ids if i not in own]

        return cls(index, ids, other, other_ids)

    @property
    def all_ids(self) -> list[str]:
        """The ids of all of them."""
        return [*self.other_ids, *self.ids]

    @property
    def fixed(self) -> npt.NDArray[np.bool_]:
        """Which of them are only compared against."""
        return np.arange(len(self.all_ids)) < len(self.other_ids)

    def all_pairs(self, progress: Progress) -> AllPairs:
        """Returns what compares them."""
        collection = self.index.collection
        schema = collection.schema()
        where = range(len(self.all_ids))
        return AllPairs(self, where, schema.size, schema.metric, progress)

    def vectors(self, rows: Sequence[int]) -> Matrix:
        """Returns the vectors of some of them, by their place among all."""
        fixed = len(self.other_ids)
        theirs = [self.other_ids[row] for row in rows if row < fixed]
        mine = [self.ids[row - fixed] for row in rows if row >= fixed]
        found = [self.other.contents.vectors(theirs)] if self.other and theirs else []
        if mine or not found:
            found.append(self.index.contents.vectors(mine))

        return np.concatenate(found)

    def values(self, rows: Codes, path: str) -> list[Any]:
        """Returns the values at a path of some of them, by their place among all."""
        fixed, found = len(self.other_ids), [None] * len(rows)
        sides = (self.other, self.other_ids, 0), (self.index, self.ids, fixed)
        for (index, ids, before), chosen in zip(
            sides, (rows < fixed, rows >= fixed), strict=True
        ):
            places = np.flatnonzero(chosen)
            if index is not None and places.size:
                wanted = [ids[row - before] for row in rows[places].tolist()]
                column = values_of(index, wanted, path)[0]
                for place, value in zip(places.tolist(), column, strict=True):
                    found[place] = value

        return found

    def boxes(self, rows: Codes) -> Any:
        """Returns the place of patches in their sample, float64 ``(num_rows, 4)``.

        That of what has no box is NaN, which is the same as no other one.
        """
        none = [math.nan] * 4
        if not has_attribute(self.index, "bounding_box"):
            return np.full((len(rows), 4), math.nan)

        return np.array([b or none for b in self.values(rows, "bounding_box")])

    def sets(self, by: str | None) -> Codes:
        """Returns a number for each of them that those of the same set have in common.

        Args:
            by: a field; or ``None`` for the group, the video, or of patches the sample

        Raises:
            ConfigError: if there is no such field, or nothing that samples are in
        """
        rows = np.arange(len(self.all_ids))
        values = self.values(rows, self._set_path() if by is None else by)
        codes: dict[Any, int] = {}
        none = len(values)  # what has no value is in no set with others
        return np.array(
            [
                none + row if v is None else codes.setdefault(v, len(codes))
                for row, v in enumerate(values)
            ],
            dtype=np.int64,
        )

    def _set_path(self) -> str:
        home = self.index.held.home
        if self.index.config.patches_field is not None:
            return "id" if not is_frames(home) else "sample_id"

        if is_frames(home) or is_clips(home):
            return "sample_id"

        group = root_of(home).group_field
        if group is None:
            raise ConfigError(
                "These samples are in no groups or videos. Give by=, a field that has "
                "the same value in those that belong together"
            )

        return f"{group}.id"


def _ids(index: QdrantSimilarityIndex) -> list[str]:
    patches = index.config.patches_field is not None
    ids = index.current_label_ids if patches else index.current_sample_ids
    return [str(i) for i in ids]
