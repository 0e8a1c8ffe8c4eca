"""Duplicates and unique points of an index, as FiftyOne asks for them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from numbers import Real
from typing import Any

import fiftyone.core.media as fom
import numpy as np
from fiftyone.brain.similarity import DuplicatesMixin

from fiftyone_qdrant.dataset.remade import Remade
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.index.all_pairs import AllPairs, Rows
from fiftyone_qdrant.index.contents import Contents
from fiftyone_qdrant.index.distance_field import check_field_name
from fiftyone_qdrant.points import Scores


class DuplicateIndex(DuplicatesMixin):
    """The part of an index that compares all points of the current view."""

    _contents: Contents
    _samples = Remade()
    _curr_view = Remade()

    def _radius_neighbors(
        self, query: Any = None, thresh: float | None = None, return_dists: bool = False
    ) -> Any:
        """See :class:`fiftyone.brain.similarity.DuplicatesMixin`.

        Only for all points at once, as finding duplicates asks.
        """
        if query is not None or thresh is None:
            raise ConfigError("Give thresh, and no query: all points are compared")

        rows, distances = self.all_pairs().within(thresh)
        return (rows, distances) if return_dists else rows

    def _neighbors_of_all(
        self, k: int | None, reverse: bool, aggregation: str | None
    ) -> tuple[list[Rows], list[Scores]]:
        if k is None or reverse or aggregation is not None:
            raise ConfigError(
                "To get the neighbors of all points give k, and nothing else"
            )

        return self.all_pairs().neighbors(k)

    def find_duplicates(
        self, thresh: float | None = None, fraction: float | None = None
    ) -> None:
        """See :class:`fiftyone.brain.similarity.DuplicatesMixin`."""
        check_limits(thresh, fraction)
        self.reload()  # others may have added or removed points
        with self._all_slices():
            super().find_duplicates(thresh=thresh, fraction=fraction)

    def find_unique(self, count: int) -> None:
        """See :class:`fiftyone.brain.similarity.DuplicatesMixin`."""
        self.reload()
        super().find_unique(count)

    def duplicates_view(
        self,
        type_field: str | None = None,
        id_field: str | None = None,
        dist_field: str | None = None,
        sort_by: str = "distance",
        reverse: bool = False,
    ) -> Any:
        """See :class:`fiftyone.brain.similarity.DuplicatesMixin`.

        Raises:
            ConfigError: if a field's name is none that FiftyOne could read again
        """
        fields = [type_field, id_field, dist_field]
        for name in fields:
            if name is not None:
                check_field_name(name)

        if not self.neighbors_map:
            fields = [None, None, None]  # FiftyOne cannot make them of nothing

        with self._all_slices():
            return super().duplicates_view(*fields, sort_by, reverse)

    def unique_view(self) -> Any:
        """See :class:`fiftyone.brain.similarity.DuplicatesMixin`."""
        with self._all_slices():
            return super().unique_view()

    def plot_distances(self, *args: Any, **kwargs: Any) -> Any:
        """See :class:`fiftyone.brain.similarity.DuplicatesMixin`.

        Raises:
            ConfigError: if there are not two points, which have a distance
        """
        if self.index_size < 2:
            raise ConfigError(
                f"Of {self.index_size} points there are no distances to plot. Add some "
                "to the index, or choose another view"
            )

        return super().plot_distances(*args, **kwargs)

    def _remove_duplicates_count(
        self, num_keep: int, ids: Any, init_thresh: float | None = None
    ) -> tuple[Any, float | None]:
        """The mixin's search for a threshold, with an end for distances of any size."""
        if not 0 < num_keep < len(ids):
            return (set(ids) if num_keep > 0 else set()), None

        keep, thresh = self.all_pairs().unique_of(num_keep, init_thresh or 1.0)
        return list(np.asarray(ids)[keep]), thresh

    def _remove_duplicates_thresh(self, thresh: float, ids: Any) -> list[str]:
        """The mixin's greedy choice, without holding all pairs in memory."""
        return list(np.asarray(ids)[self.all_pairs().unique(thresh)])

    def all_pairs(self) -> AllPairs:
        """Returns what compares all points of the current view."""
        contents = self._contents
        ids = self.current_label_ids if contents.patches else self.current_sample_ids
        contents.collection.forget()
        schema = contents.collection.schema()
        return AllPairs(contents, ids, schema.size, schema.metric)

    @contextmanager
    def _all_slices(self) -> Iterator[None]:
        """Has FiftyOne find samples of other group slices than the active one."""
        samples, view = self._samples, self._curr_view
        self._samples, self._curr_view = self._flat(samples), self._flat(view)
        try:
            yield
        finally:
            self._samples, self._curr_view = samples, view

    def _flat(self, view: Any) -> Any:
        flat = self.held.flat(view)
        if self._contents.patches and flat.media_type == fom.MIXED:
            return view.select_group_slices(media_type=fom.IMAGE)

        return flat


def check_limits(thresh: float | None, fraction: float | None) -> None:
    """Raises :class:`ConfigError` unless these say what duplicates are."""
    given = [v for v in (thresh, fraction) if v is not None]
    if not given or any(not isinstance(v, Real) or math.isnan(v) for v in given):
        raise ConfigError(
            "find_duplicates() needs thresh=, the largest distance of duplicates, or "
            f"fraction=, from 0 to 1, as numbers; not {thresh!r} and {fraction!r}"
        )
