"""What an index holds, in FiftyOne's terms: samples, patches, frames or clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import fiftyone.core.dataset as fod
import fiftyone.core.media as fom
from bson import ObjectId
from fiftyone import ViewField as F

from fiftyone_qdrant.dataset.indexable import home_of
from fiftyone_qdrant.dataset.samples import (
    are_sampled,
    dataset_id,
    dataset_of,
    documents_of,
    frame_documents_of,
    is_clips,
    is_frames,
    is_generated,
    label_path,
    labels_by_sample,
    largest,
    made_of,
    root_of,
    source_of,
    stages_of,
)
from fiftyone_qdrant.dataset.terms import Terms, present
from fiftyone_qdrant.errors import MissingIDs


@dataclass(frozen=True)
class Held(Terms):
    """What one index holds, as the dataset has it now."""

    def following(self, view: Any) -> Held:
        """Returns the same of a view, if that is of clips.

        What FiftyOne knows of clips is in the view alone, and may be newer there.
        """
        if is_clips(self.home) and is_clips(view) and not is_frames(view):
            return Held(home_of(view), self.patches_field)

        return self

    def up_to_date(self, field: str | None) -> Held:
        """Returns the same, made again if it has copies of a field."""
        if is_frames(self.home) and field is not None:
            return Held(self.made_again(), self.patches_field)

        return self

    def existing(self) -> Iterable[str]:
        """Returns the ids of all that the dataset has now, whatever the view."""
        dataset = root_of(self.home)
        if is_frames(self.home):
            return self._in_frames(_videos(dataset))

        if is_clips(self.home):
            clips = self._clips_of(_videos(dataset))
            return self.each(self.home) if clips is None else clips

        return self.each(self.flat(dataset))

    def means_all(self, samples: Any) -> bool:
        """Whether samples are all that the dataset has now, each of them once."""
        dataset = root_of(self.home)
        if is_frames(self.home) or is_clips(self.home):
            return False

        same = isinstance(samples, fod.Dataset) and dataset_id(samples) == dataset_id(
            dataset
        )
        return same and self.flat(dataset) is dataset

    def still_there(
        self, ids: Sequence[str], sample_ids: Sequence[str] | None = None
    ) -> set[str]:
        """Returns those of some ids that the dataset has now.

        Args:
            ids: ids of the index
            sample_ids (None): the frame of each, if known, of labels in frames
        """
        documents, path = self._documents
        query = {path: {"$in": [ObjectId(i) for i in ids]}}
        if sample_ids is not None and self.patches_field is not None:
            query = {"_id": {"$in": [ObjectId(i) for i in sample_ids]}}

        return set(map(str, documents.distinct(path, query))).intersection(ids)

    def state(self, samples: Any) -> str | None:
        """Returns what is something else once samples, or which they are, changed.

        Args:
            samples: the dataset or a view

        Returns:
            ``None`` if nothing tells, as of frames and clips
        """
        if is_frames(self.home) or is_clips(self.home) or is_generated(samples):
            return None

        dataset = root_of(self.home)
        dataset.reload()  # or it does not know what others deleted
        newest = largest(dataset, "last_modified_at")
        stages = None if isinstance(samples, fod.Dataset) else stages_of(samples)
        known = (dataset_id(dataset), newest, dataset.last_deletion_at, stages)
        return str((*known, samples.group_slice))

    def signs(self) -> str:
        """Returns what is something else once the dataset was written to.

        It tells of samples all, of frames and clips what can be had in a moment: that
        one was added, or its video written.
        """
        dataset = root_of(self.home)
        state = Held(dataset, None).state(dataset)
        if is_frames(self.home):
            frames = frame_documents_of(dataset)
            newest = frames.find_one({}, {"_id": 1}, sort=[("_id", -1)])
            return str((state, frames.estimated_document_count(), newest))

        return str(state)

    @property
    def tells_all(self) -> bool:
        """Whether samples are dated for each of what is held, as they are no parts."""
        return not (is_frames(self.home) or is_clips(self.home))

    def written_until(self) -> tuple[float, float]:
        """Returns when samples were last written, and when last deleted.

        In seconds since the epoch; 0 for never. See :meth:`state` for what it tells of.
        """
        dataset = root_of(self.home)
        written = largest(dataset, "last_modified_at")
        return _to_seconds(written), _to_seconds(dataset.last_deletion_at)

    def written_since(self, when: float, made: bool = False) -> Any:
        """Returns a view of the samples that were written, or made, after a time."""
        time = datetime.fromtimestamp(when, timezone.utc)
        field = "created_at" if made else "last_modified_at"
        return root_of(self.home).match(F(field) > time)

    @property
    def _documents(self) -> tuple[Any, str]:
        """Where MongoDB has them, and at which path of a document their ids."""
        dataset = root_of(self.home)
        if self._times is not None:
            path = self._clips_path(dataset).removesuffix("id") + "_id"
            return documents_of(dataset), path

        path = "_id"
        if self.patches_field is not None:
            path = label_path(self.home, self.patches_field, "_id")

        if is_frames(self.home):
            return frame_documents_of(dataset), path

        if is_clips(self.home):
            dataset = dataset_of(self.home)

        return documents_of(dataset), path

    def number(self, view: Any, having: str | None = None) -> int:
        """Returns how many a view shows that have something in a field, if given."""
        view = self._having(view, having)
        if self.patches_field is None:
            return int(view.count())

        return int(view.count(label_path(view, self.patches_field, "id")))

    def wanted(self, samples: Any, having: str | None = None) -> list[str]:
        """Returns the ids of what should be indexed of samples.

        Args:
            samples: as of :meth:`each_wanted`
            having (None): likewise

        Raises:
            ConfigError: if it is a view of something else
        """
        return list(self.each_wanted(samples, having))

    def each_wanted(self, samples: Any, having: str | None = None) -> Iterable[str]:
        """Returns the ids of what should be indexed of samples, one by one.

        Args:
            samples: a dataset or view. Of the videos of an index of frames or clips,
                these are meant, as they are now
            having (None): leave out what has nothing in this field

        Raises:
            ConfigError: if it is a view of something else
        """
        if self._why_not(samples) is None or not self.stands_for_parts(samples):
            return self.each(self._having(samples, having))

        source = self._source(samples)
        if is_frames(self.home) and not are_sampled(self.home):
            return self._in_frames(source, having)

        # A field of clips is in their own documents alone
        clips = None if having is not None else self._clips_of(source)
        if clips is not None:
            return clips

        return self.each(self._having(self.of(samples), having))

    def of(self, videos: Any) -> Any:
        """Returns the frames or clips of a dataset's or view's videos."""
        if isinstance(videos, fod.Dataset):
            return self.home

        ids = [ObjectId(i) for i in videos.values("id")]
        return self.home.match(F("_sample_id").is_in(ids))

    def count(self) -> int:
        """Returns how many the dataset has; of groups, the active slice."""
        if is_frames(self.home) or is_clips(self.home):
            return len(self.wanted(root_of(self.home)))

        if self.patches_field is None:
            return len(self.home)

        return int(self.home.count(label_path(self.home, self.patches_field, "id")))

    def select(self, ids: list[str]) -> Any:
        """Returns a view of just these.

        Raises:
            MissingIDs: if the dataset does not have some of them
        """
        view = self.some(ids)
        missing = set(ids).difference(self.ids(view))
        if missing:
            raise MissingIDs(
                f"{len(missing)} of the selected ids (such as {min(missing)}) are not "
                f"in dataset '{root_of(self.home).name}'"
            )

        return view

    def some(self, ids: list[str]) -> Any:
        """Returns a view of just these, as far as they are there."""
        return self._selected(self.flat(self.home), ids)

    @property
    def remakes(self) -> bool:
        """Whether making its home again gives what is there already the same ids."""
        return bool(is_frames(self.home) or self._times)

    def renewed(self, ids: Sequence[str]) -> Any:
        """Returns a home that has ids, as far as the dataset has them now.

        FiftyOne copies frames and clips when a view of them is made. Making it again
        leaves the view that others have open as it is.
        """
        if not self.remakes or self._has(self.home, ids):
            return self.home

        source = source_of(self.home)
        source.reload()
        again = made_of(source, self.home)
        if self._has(again, ids):
            return again

        return made_of(root_of(self.home), self.home)

    def made_again(self) -> Any:
        """Returns the home as it is when made of the dataset as it is now."""
        return made_of(source_of(self.home), self.home)

    def _has(self, home: Any, ids: Sequence[str]) -> bool:
        wanted = {ObjectId(i) for i in ids}
        path = "_id"
        if self.patches_field is not None:
            path = label_path(home, self.patches_field, "_id")

        query = {path: {"$in": list(wanted)}}
        found = documents_of(home).distinct(path, query)
        return wanted.issubset(found)

    def has_field(self, field: str) -> bool:
        """Whether there is a field of this name, of the labels if it holds these."""
        return bool(self.home.has_field(self._path(field)) or self.has_any(field))

    def has_any(self, field: str) -> bool:
        """Whether the field, declared or not, has an embedding of anything."""
        documents = documents_of(self.home)
        query = {self._path(field): {"$type": ["binData", "array"]}}
        return documents.find_one(query, {"_id": 1}) is not None

    def _path(self, field: str) -> str:
        if self.patches_field is None:
            return field

        return label_path(self.home, self.patches_field, field)

    def store(self, ids: Sequence[str], vectors: Any, field: str) -> None:
        """Writes a vector to a field of each sample or label that there is."""
        home = self.flat(self.home)
        known = set(self.ids(self._selected(home, list(ids))))
        values = {i: v for i, v in zip(ids, vectors, strict=True) if i in known}
        if self.patches_field is None:
            home.set_values(field, values, key_field="id")
            return

        path = label_path(home, self.patches_field, field)
        home.set_label_values(path, values, dynamic=True)

    def parents(self, sample_ids: list[str], label_ids: list[str]) -> list[str]:
        """Returns what labels are in, in ids of the home.

        A view of patches in frames tells FiftyOne the video of each.
        """
        home = self.home
        if not sample_ids or not is_frames(home):
            return sample_ids

        videos = documents_of(root_of(home))
        if videos.find_one({"_id": ObjectId(sample_ids[0])}, {"_id": 1}) is None:
            return sample_ids

        view = self._selected(home, label_ids)
        rows = labels_by_sample(view, str(self.patches_field))
        frame_of = {label: frame for frame, labels in rows for label in labels}
        return [
            frame_of.get(label, s)
            for label, s in zip(label_ids, sample_ids, strict=True)
        ]

    def _source(self, samples: Any) -> Any:
        """What the home is made of, as far as it is among samples."""
        source = source_of(self.home)
        if isinstance(samples, fod.Dataset) or is_clips(source):
            return source

        return source.select(list(samples.values("id")))

    def _in_frames(self, videos: Any, having: str | None = None) -> list[str]:
        if having is not None and self.patches_field is None:
            videos = videos.match_frames(F(having) != None)  # noqa: E711
        elif having is not None:
            path = f"frames.{self.patches_field}"
            videos = videos.filter_labels(path, F(having) != None)  # noqa: E711

        return present(videos.values(self._frames_path, unwind=True))

    @property
    def _frames_path(self) -> str:
        if self.patches_field is None:
            return "frames.id"

        return "frames." + label_path(self.home, self.patches_field, "id")

    def _clips_of(self, videos: Any) -> list[str] | None:
        if self._times is None:
            return None

        return present(videos.values(self._clips_path(videos), unwind=True))

    def _clips_path(self, videos: Any) -> str:
        return label_path(videos, self._times, "id")

    def _having(self, samples: Any, field: str | None) -> Any:
        """Leaves out what a field has nothing for."""
        if field is None:
            return samples

        if self.patches_field is not None:
            self.check(samples)
            return samples.filter_labels(
                self.patches_field,
                F(field) != None,  # noqa: E711
            )

        return self.whole(samples).exists(field)


def _videos(dataset: Any) -> Any:
    if dataset.media_type != fom.GROUP:
        return dataset

    return dataset.select_group_slices(media_type=fom.VIDEO)


def _to_seconds(time: datetime | None) -> float:
    return 0.0 if time is None else time.replace(tzinfo=timezone.utc).timestamp()
