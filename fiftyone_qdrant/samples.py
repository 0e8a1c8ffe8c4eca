"""What an index holds, in FiftyOne's terms: samples, patches, frames or clips.

The one place that asks of a view which kind it is. A *home* is the collection of
samples that the ids of an index are of: the dataset; or, as FiftyOne makes documents
of their own for frames and clips, the view of these that the index was made of.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fiftyone.core.collections as foc
import fiftyone.core.dataset as fod
import fiftyone.core.fields as fof
import fiftyone.core.labels as fol
import fiftyone.core.media as fom
import fiftyone.core.patches as fop
from bson import ObjectId
from fiftyone import ViewField as F

from .errors import ConfigError, MissingIDs

_OF_LABELS = ("bounding_box", "mask", "points", "filled", "closed", "tags")
TIMES = (fol.TemporalDetection, fol.TemporalDetections)


def home_of(samples: Any) -> Any:
    """Returns the home of an index of ``samples``."""
    if samples._is_frames:
        frames = samples._source_collection if samples._is_patches else samples
        return frames._base_view

    return samples._base_view if samples._is_clips else samples._root_dataset


def given_to_compute_similarity(home: Any) -> Any:
    """Returns the view that ``fob.compute_similarity()`` was called with.

    It hands a backend no more than the dataset. Of what kind the view is decides what
    the ids are, though, so that the caller is asked; if it is another one, the home.
    """
    frame = inspect.currentframe()
    while frame is not None:
        given = frame.f_locals.get("samples")
        if frame.f_code.co_name == "compute_similarity":
            return given if isinstance(given, foc.SampleCollection) else home

        frame = frame.f_back

    return home


def check_indexable(
    samples: Any, patches_field: str | None = None, embeddings: Any = None
) -> None:
    """Checks that samples can be indexed.

    Args:
        samples: the dataset or view to index
        patches_field (None): the label field whose patches to index
        embeddings (None): the field that holds the embeddings, if one does

    Raises:
        ConfigError: if not, with what can be instead
    """
    for name, path in (("embeddings", embeddings), ("patches_field", patches_field)):
        if isinstance(path, str) and path.startswith("frames."):
            rest = path.removeprefix("frames.")
            raise ConfigError(
                f"'{path}' is in the frames of videos. Index a view of frames: "
                f"dataset.to_frames(), with {name}='{rest}'"
            )

    if patches_field is None:
        _check_no_patches(samples)
        return

    if isinstance(samples, fop.PatchesView) and patches_field != samples.patches_field:
        raise ConfigError(
            f"This view shows patches of '{samples.patches_field}', not "
            f"'{patches_field}'. Give patches_field='{samples.patches_field}'"
        )

    field = samples.get_field(patches_field)
    if not is_label(field):
        raise ConfigError(
            f"'{patches_field}' is no label field of '{samples._root_dataset.name}'. "
            "Give the label field whose patches to index as patches_field="
        )

    if issubclass(field.document_type, TIMES):
        raise ConfigError(
            f"'{patches_field}' holds clips of videos, not patches. Index a view of "
            f"them: dataset.to_clips('{patches_field}'), without patches_field"
        )

    if samples.media_type == fom.VIDEO:
        raise ConfigError(
            "Videos have no patches. Index a view of frames: dataset.to_frames(), with "
            "a label field of the frames as patches_field"
        )


def _check_no_patches(samples: Any) -> None:
    if not samples._is_patches:
        return

    fields = [
        getattr(samples, name)
        for name in ("patches_field", "gt_field", "pred_field")
        if getattr(samples, name, None) is not None
    ]
    ways = " or ".join(f"patches_field='{field}'" for field in fields)
    raise ConfigError(
        f"This is a view of patches. Give {ways} to index these, or index the dataset "
        "to have its samples"
    )


def vector_fields(samples: Any, patches_field: str | None = None) -> list[str]:
    """Returns the declared fields that may hold embeddings of samples, or of labels.

    Args:
        samples: the dataset or view
        patches_field (None): the label field whose labels are meant
    """
    prefix = ""
    if patches_field is not None:
        if not is_label(samples.get_field(patches_field)):
            return []

        _, root = samples._get_label_field_path(patches_field)
        prefix = f"{root}."

    schema = samples.get_field_schema(flat=True)
    paths = [p for p, f in schema.items() if p.startswith(prefix) and _is_vector(f)]
    return [p.removeprefix(prefix) for p in paths if not _in_list(schema, p, prefix)]


@dataclass(frozen=True)
class Held:
    """What one index holds.

    Attributes:
        home: the collection that its ids are of; see :func:`home_of`
        patches_field: the label field, if its ids are those of labels
    """

    home: Any
    patches_field: str | None

    def __str__(self) -> str:
        if self.home._is_frames:
            what = "frames"
        elif self.home._is_clips:
            what = "clips"
        else:
            what = "samples"

        if self.patches_field is None:
            return what

        return f"patches of '{self.patches_field}'" + (
            " in frames" if self.home._is_frames else ""
        )

    def named(self, ids: list[str]) -> dict[str, Any]:
        """Returns ids of the index as the argument that they are for its methods."""
        return {"sample_ids" if self.patches_field is None else "label_ids": ids}

    def following(self, view: Any) -> Held:
        """Returns the same of a view, if that is of clips.

        What FiftyOne knows of clips is in the view alone, and may be newer there.
        """
        if self.home._is_clips and view._is_clips and not view._is_frames:
            return Held(home_of(view), self.patches_field)

        return self

    def up_to_date(self, field: str | None) -> Held:
        """Returns the same, made again if it has copies of a field."""
        if self.home._is_frames and field is not None:
            return Held(self.made_again(), self.patches_field)

        return self

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

    def slices(self, dataset: Any, ids: Sequence[str]) -> list[str]:
        """Returns the group slices of a dataset that have some of the ids, if any."""
        if self.flat(dataset) is dataset:
            return []

        path = "_id"
        if self.patches_field is not None:
            path = self._label_path(dataset, "_id")

        query = {path: {"$in": [ObjectId(i) for i in ids]}}
        name = f"{dataset.group_field}.name"
        found: list[str] = dataset._sample_collection.distinct(name, query)
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

        return samples.select_group_slices(slices, _allow_mixed=True)

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

        if home._is_clips and not self._times and view._dataset != home._dataset:
            return (
                "This index holds clips that FiftyOne gives new ids each time it makes "
                "them, and this view shows later ones. Use that which "
                "dataset.load_brain_view() gives for its brain key"
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
            view._is_patches
            or (view._is_clips and not home._is_clips)
            or (view._is_frames and not home._is_frames)
        )

    def flat(self, view: Any) -> Any:
        """Returns what a view holds as one collection; of groups, all slices."""
        if view.media_type != fom.GROUP or view._is_dynamic_groups:
            return view

        return view.select_group_slices(_allow_mixed=True)

    def ids(self, view: Any) -> list[str]:
        """Returns what a view shows, in ids of the index; of groups the active slice.

        Raises:
            ConfigError: if it is a view of something else
        """
        self.check(view)
        if self.patches_field is not None:
            _, path = view._get_label_field_path(self.patches_field, "id")
            return _present(view.values(path, unwind=True))

        if self.in_parts(view):
            parent = "frame_id" if self.home._is_frames else "sample_id"
            return list(dict.fromkeys(view.values(parent)))

        # as values("id"), whose making of 100,000 ObjectIds takes most of its time
        ids_only = {"$project": {"_id": False, "id": {"$toString": "$_id"}}}
        return [d["id"] for d in view._aggregate(post_pipeline=[ids_only])]

    def existing(self) -> set[str]:
        """Returns the ids of all that the dataset has now, whatever the view."""
        dataset = self.home._root_dataset
        if self.home._is_frames:
            return set(self._in_frames(_videos(dataset)))

        if self.home._is_clips:
            clips = self._clips_of(_videos(dataset))
            return set(self.ids(self.home) if clips is None else clips)

        return set(self.ids(self.flat(dataset)))

    def among(self, existing: set[str], ids: list[str]) -> list[str]:
        """Leaves out ids of copies, of frames or clips, whose original is gone."""
        return [i for i in ids if i in existing] if self.remakes else ids

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

    @property
    def _documents(self) -> tuple[Any, str]:
        """Where MongoDB has them, and at which path of a document their ids."""
        dataset = self.home._root_dataset
        if self._times is not None:
            path = self._clips_path(dataset).removesuffix("id") + "_id"
            return dataset._sample_collection, path

        path = "_id"
        if self.patches_field is not None:
            path = self._label_path(self.home, "_id")

        if self.home._is_frames:
            return dataset._frame_collection, path

        if self.home._is_clips:
            dataset = self.home._dataset

        return dataset._sample_collection, path

    def number(self, view: Any, having: str | None = None) -> int:
        """Returns how many a view shows that have something in a field, if given."""
        view = self._having(view, having)
        if self.patches_field is None:
            return int(view.count())

        return int(view.count(self._label_path(view, "id")))

    def in_lists(self, view: Any) -> bool:
        """Whether what is held are labels, of which a sample of a view has a list."""
        if self.patches_field is None:
            return False

        kind, _ = view._get_label_field_path(self.patches_field)
        return bool(issubclass(kind, fol._LABEL_LIST_FIELDS))

    def wanted(self, samples: Any, having: str | None = None) -> list[str]:
        """Returns the ids of what should be indexed of samples.

        Args:
            samples: a dataset or view. Of the videos of an index of frames or clips,
                these are meant, as they are now
            having (None): leave out what has nothing in this field

        Raises:
            ConfigError: if it is a view of something else
        """
        if self._why_not(samples) is None or not self.stands_for_parts(samples):
            return self.ids(self._having(samples, having))

        source = self._source(samples)
        if self.home._is_frames and not self._sampled:
            return self._in_frames(source, having)

        # A field of clips is in their own documents alone
        clips = None if having is not None else self._clips_of(source)
        if clips is not None:
            return clips

        return self.ids(self._having(self.of(samples), having))

    def of(self, videos: Any) -> Any:
        """Returns the frames or clips of a dataset's or view's videos."""
        if isinstance(videos, fod.Dataset):
            return self.home

        ids = [ObjectId(i) for i in videos.values("id")]
        return self.home.match(F("_sample_id").is_in(ids))

    def count(self) -> int:
        """Returns how many the dataset has; of groups, the active slice."""
        if self.home._is_frames or self.home._is_clips:
            return len(self.wanted(self.home._root_dataset))

        if self.patches_field is None:
            return len(self.home)

        return int(self.home.count(self._label_path(self.home, "id")))

    def select(self, ids: list[str]) -> Any:
        """Returns a view of just these.

        Raises:
            MissingIDs: if the dataset does not have some of them
        """
        view = self._selected(self.flat(self.home), ids)
        missing = set(ids).difference(self.ids(view))
        if missing:
            raise MissingIDs(
                f"{len(missing)} of the selected ids (such as {min(missing)}) are not "
                f"in dataset '{self.home._root_dataset.name}'"
            )

        return view

    def _selected(self, home: Any, ids: list[str]) -> Any:
        if self.patches_field is None:
            return home.select(ids)

        return home.select_labels(ids=ids, fields=self.patches_field)

    @property
    def remakes(self) -> bool:
        """Whether making its home again gives what is there already the same ids."""
        return bool(self.home._is_frames or self._times)

    def renewed(self, ids: Sequence[str]) -> Any:
        """Returns a home that has ids, as far as the dataset has them now.

        FiftyOne copies frames and clips when a view of them is made. Making it again
        leaves the view that others have open as it is.
        """
        if not self.remakes or self._has(self.home, ids):
            return self.home

        source = self.home._source_collection
        source.reload()
        again = self._made_of(source)
        if self._has(again, ids):
            return again

        return self._made_of(self.home._root_dataset)

    def made_again(self) -> Any:
        """Returns the home as it is when made of the dataset as it is now."""
        return self._made_of(self.home._source_collection)

    def _made_of(self, source: Any) -> Any:
        home = self.home
        stage = home._frames_stage if home._is_frames else home._clips_stage
        arguments = [v for name, v in stage._kwargs() if not name.startswith("_")]
        return source.add_stage(type(stage)(*arguments))

    def _has(self, home: Any, ids: Sequence[str]) -> bool:
        wanted = {ObjectId(i) for i in ids}
        path = "_id"
        if self.patches_field is not None:
            path = self._label_path(home, "_id")

        query = {path: {"$in": list(wanted)}}
        found = home._dataset._sample_collection.distinct(path, query)
        return wanted.issubset(found)

    def has_field(self, field: str) -> bool:
        """Whether there is a field of this name, of the labels if it holds these."""
        return bool(self.home.has_field(self._path(field)) or self.has_any(field))

    def has_any(self, field: str) -> bool:
        """Whether the field, declared or not, has an embedding of anything."""
        documents = self.home._dataset._sample_collection
        query = {self._path(field): {"$type": ["binData", "array"]}}
        return documents.find_one(query, {"_id": 1}) is not None

    def _path(self, field: str) -> str:
        if self.patches_field is None:
            return field

        return self._label_path(self.home, field)

    def store(self, ids: Sequence[str], vectors: Any, field: str) -> None:
        """Writes a vector to a field of each sample or label that there is."""
        home = self.flat(self.home)
        known = set(self.ids(self._selected(home, list(ids))))
        values = {i: v for i, v in zip(ids, vectors, strict=True) if i in known}
        if self.patches_field is None:
            home.set_values(field, values, key_field="id")
            return

        path = self._label_path(home, field)
        home.set_label_values(path, values, dynamic=True)

    def parents(self, sample_ids: list[str], label_ids: list[str]) -> list[str]:
        """Returns what labels are in, in ids of the home.

        A view of patches in frames tells FiftyOne the video of each.
        """
        home = self.home
        if not sample_ids or not home._is_frames:
            return sample_ids

        videos = home._root_dataset._sample_collection
        if videos.find_one({"_id": ObjectId(sample_ids[0])}, {"_id": 1}) is None:
            return sample_ids

        view = self._selected(home, label_ids)
        rows = zip(*view.values(["id", self._label_path(view, "id")]), strict=True)
        frame_of = {label: frame for frame, labels in rows for label in listed(labels)}
        return [
            frame_of.get(label, s)
            for label, s in zip(label_ids, sample_ids, strict=True)
        ]

    def stands_for_parts(self, samples: Any) -> bool:
        """Whether samples are the videos of an index of frames or clips."""
        home = self.home
        plain = not (samples._is_frames or samples._is_clips or samples._is_patches)
        return plain and bool(home._is_frames or home._is_clips)

    def _source(self, samples: Any) -> Any:
        """What the home is made of, as far as it is among samples."""
        source = self.home._source_collection
        if isinstance(samples, fod.Dataset) or source._is_clips:
            return source

        return source.select(list(samples.values("id")))

    def _in_frames(self, videos: Any, having: str | None = None) -> list[str]:
        if having is not None and self.patches_field is None:
            videos = videos.match_frames(F(having) != None)  # noqa: E711
        elif having is not None:
            path = f"frames.{self.patches_field}"
            videos = videos.filter_labels(path, F(having) != None)  # noqa: E711

        return _present(videos.values(self._frames_path, unwind=True))

    @property
    def _sampled(self) -> bool:
        """Whether the home has only some frames of the videos, by their number."""
        return bool((self.home._frames_stage._config or {}).get("sample_frames"))

    @property
    def _frames_path(self) -> str:
        if self.patches_field is None:
            return "frames.id"

        return "frames." + self._label_path(self.home, "id")

    @property
    def _times(self) -> str | None:
        """The field whose labels' ids the clips have, if they are such clips."""
        if not self.home._is_clips:
            return None

        field: str | None = self.home._classification_field
        return field

    def _clips_of(self, videos: Any) -> list[str] | None:
        if self._times is None:
            return None

        return _present(videos.values(self._clips_path(videos), unwind=True))

    def _clips_path(self, videos: Any) -> str:
        return str(videos._get_label_field_path(self._times, "id")[1])

    def _label_path(self, samples: Any, name: str) -> str:
        return str(samples._get_label_field_path(self.patches_field, name)[1])

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


def _is_vector(field: Any) -> bool:
    if type(field) is fof.ListField:
        return type(field.field) in (type(None), fof.FloatField, fof.IntField)

    return isinstance(field, (fof.VectorField, fof.ArrayField))


def _in_list(schema: Any, path: str, prefix: str) -> bool:
    """Whether a path is of a label, or within a list, below a prefix."""
    parents = path.removeprefix(prefix).split(".")[:-1]
    if not parents:
        return path.removeprefix(prefix) in _OF_LABELS if prefix else False

    above = [prefix + ".".join(parents[: n + 1]) for n in range(len(parents))]
    return any(
        isinstance(schema[p], fof.ListField) or is_label(schema[p]) for p in above
    )


def is_label(field: Any) -> bool:
    """Whether a field, if there is one, is of labels."""
    kind = getattr(field, "document_type", None)
    return kind is not None and issubclass(kind, fol.Label)


def _videos(dataset: Any) -> Any:
    if dataset.media_type != fom.GROUP:
        return dataset

    return dataset.select_group_slices(media_type=fom.VIDEO)


def _present(ids: list[Any]) -> list[str]:
    return [i for i in ids if i is not None]


def listed(labels: Any) -> list[str]:
    """Returns the ids of one sample's labels as a list, whatever their field."""
    return labels if isinstance(labels, list) else [labels] if labels else []
