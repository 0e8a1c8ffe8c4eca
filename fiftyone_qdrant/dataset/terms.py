"""Views in the terms of an index: which of its ids a view shows.

The one place that asks of a view which kind it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone.core.dataset as fod
import fiftyone.core.media as fom
from bson import ObjectId

from fiftyone_qdrant.dataset.samples import (
    aggregated,
    dataset_of,
    documents_of,
    is_clips,
    is_dynamic_groups,
    is_frames,
    is_list,
    is_patches,
    label_path,
    label_type,
    times_of,
    with_slices,
)
from fiftyone_qdrant.errors import ConfigError


@dataclass(frozen=True)
class Terms:
    """The terms of one index: what its ids are of.

    Attributes:
        home: the collection that its ids are of; see :func:`.indexable.home_of`
        patches_field: the label field, if its ids are those of labels
    """

    home: Any
    patches_field: str | None

    def __str__(self) -> str:
        if is_frames(self.home):
            what = "frames"
        elif is_clips(self.home):
            what = "clips"
        else:
            what = "samples"

        if self.patches_field is None:
            return what

        return f"patches of '{self.patches_field}'" + (
            " in frames" if is_frames(self.home) else ""
        )

    def named(self, ids: list[str]) -> dict[str, Any]:
        """Returns ids of the index as the argument that they are for its methods."""
        return {"sample_ids" if self.patches_field is None else "label_ids": ids}

    def check(self, view: Any) -> None:
        """Checks that a view can be told in ids of the index.

        Raises:
            ConfigError: if it is a view of something else
        """
        reason = self._why_not(view)
        if reason is not None:
            raise ConfigError(reason)

    def _why_not(self, view: Any) -> str | None:
        field, home = self.patches_field, self.home
        for what in ("frames", "clips"):
            kind = f"_is_{what}"
            if getattr(home, kind) and not getattr(view, kind):
                return (
                    f"This index holds {self}, which the view does not show. Use a "
                    f"view of {what}, such as that which dataset.load_brain_view() "
                    "gives for its brain key"
                )

        if is_clips(home) and not self._times and dataset_of(view) != dataset_of(home):
            return (
                "This index holds clips that FiftyOne gives new ids each time it makes "
                "them, and this view shows later ones. Use that which "
                "dataset.load_brain_view() gives for its brain key"
            )

        if field is not None and not home.has_field(field):
            return (
                f"Label field '{field}', whose labels this index holds, is gone. If it "
                "was renamed, say so once: fiftyone_qdrant.runs.follow_rename("
                "dataset, brain_key, patches_field='...')"
            )

        if field is not None and not view.has_field(field):
            return (
                f"This index holds {self}, which the view does not have. Query a view "
                "of samples, or of those patches"
            )

        return None

    def in_parts(self, view: Any) -> bool:
        """Whether a view shows parts of what the index holds, as a patches view does.

        Then what it shows has ids of its own, and the index's are ``sample_id`` (or
        ``frame_id``).
        """
        home = self.home
        return bool(
            is_patches(view)
            or (is_clips(view) and not is_clips(home))
            or (is_frames(view) and not is_frames(home))
        )

    def flat(self, view: Any) -> Any:
        """Returns what a view holds as one collection; of groups, all slices."""
        if view.media_type != fom.GROUP or is_dynamic_groups(view):
            return view

        return with_slices(view)

    def ids(self, view: Any) -> list[str]:
        """Returns what a view shows, in ids of the index; of groups the active slice.

        Raises:
            ConfigError: if it is a view of something else
        """
        return list(self.each(view))

    def each(self, view: Any) -> Iterable[str]:
        """Returns the same one by one, of samples as MongoDB sends them.

        Raises:
            ConfigError: if it is a view of something else
        """
        self.check(view)
        if self.patches_field is not None:
            path = label_path(view, self.patches_field, "id")
            return present(view.values(path, unwind=True))

        if self.in_parts(view):
            parent = "frame_id" if is_frames(self.home) else "sample_id"
            return dict.fromkeys(view.values(parent))

        # as values("id"), whose making of 100,000 ObjectIds takes most of its time
        ids_only = {"$project": {"_id": False, "id": {"$toString": "$_id"}}}
        return (d["id"] for d in aggregated(view, [ids_only]))

    def whole(self, view: Any) -> Any:
        """Returns what a view shows, of which ids are to be read, embedded, written.

        That is the view, unless it shows parts of samples that are indexed whole.

        Raises:
            ConfigError: if it is a view of something else
        """
        self.check(view)
        if self.patches_field is None and self.in_parts(view):
            return self.flat(self.home).select(self.ids(view))

        return view

    def stands_for_parts(self, samples: Any) -> bool:
        """Whether samples are the videos of an index of frames or clips."""
        home = self.home
        plain = not (is_frames(samples) or is_clips(samples) or is_patches(samples))
        return plain and bool(is_frames(home) or is_clips(home))

    def slices(self, dataset: Any, ids: Sequence[str]) -> list[str]:
        """Returns the group slices of a dataset that have some of the ids, if any."""
        if self.flat(dataset) is dataset:
            return []

        path = "_id"
        if self.patches_field is not None:
            path = label_path(dataset, self.patches_field, "_id")

        query = {path: {"$in": [ObjectId(i) for i in ids]}}
        name = f"{dataset.group_field}.name"
        found: list[str] = documents_of(dataset).distinct(name, query)
        return found

    def as_indexed(self, samples: Any, ids: Sequence[str]) -> Any:
        """Returns a dataset of groups as the slices that an index is of.

        Args:
            samples: the dataset or view; a dataset stands for its active slice, unless
                the index has others only
            ids: some ids of the index
        """
        if not isinstance(samples, fod.Dataset):
            return samples

        slices = self.slices(samples, ids)
        if not slices or samples.group_slice in slices:
            return samples

        return with_slices(samples, slices)

    def in_lists(self, view: Any) -> bool:
        """Whether what is held are labels, of which a sample of a view has a list."""
        if self.patches_field is None:
            return False

        kind = label_type(view, self.patches_field)
        return is_list(kind)

    def _selected(self, home: Any, ids: list[str]) -> Any:
        if self.patches_field is None:
            return home.select(ids)

        return home.select_labels(ids=ids, fields=self.patches_field)

    @property
    def _times(self) -> str | None:
        """The field whose labels' ids the clips have, if they are such clips."""
        if not is_clips(self.home):
            return None

        return times_of(self.home)


def present(ids: list[Any]) -> list[str]:
    """Returns ids without the gaps that samples without labels leave."""
    return [i for i in ids if i is not None]
