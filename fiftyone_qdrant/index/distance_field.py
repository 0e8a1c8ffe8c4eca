"""The field that the distances of a query are stored in: its name, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import fiftyone as fo
import fiftyone.core.odm as foo

from fiftyone_qdrant.dataset.held import Held
from fiftyone_qdrant.dataset.samples import (
    dataset_of,
    documents_of,
    frame_documents_of,
    frame_path,
    is_clips,
    is_frames,
    is_patches,
    label_path,
    label_type,
    one_of,
    root_of,
)
from fiftyone_qdrant.errors import ConfigError

MARK = {"fiftyone_qdrant": "distances"}
"""What ``field.info`` of a field has that was made for the distances of queries."""

_DESCRIPTION = "Distances to a query of a Qdrant index; the next query replaces them"
_SHOWN = ("distance", "qdrant_distance")  # names of the field that only views fill
_MOST_SHOWN = 5_000  # MongoDB looks each of them up among all
_OF_VIEWS = (  # fields that FiftyOne makes itself: in views, videos and groups
    "frame_id",
    "frame_number",
    "frames",
    "groups",
    "sample_id",
    "support",
)


class DistanceField:
    """One field of samples, frames or labels that holds the distances of one query.

    A field that is made here is known by :data:`MARK` in its ``info``: the next query
    replaces all that it holds. Other fields are not written to, unless told so.

    Args:
        samples: the dataset, or the view, that a query is restricted to
        name: the field, or the attribute of the labels
        patches_field (None): the label field whose labels it belongs to
    """

    def __init__(self, samples: Any, name: str, patches_field: str | None = None):
        self.name = name
        self._patches_field = patches_field
        self._dataset = root_of(samples)
        self._samples = samples
        if patches_field is not None or is_patches(samples) or is_clips(samples):
            self._samples = self._dataset  # FiftyOne cannot set the values of parts

        self._owners: tuple[Any, ...] = (fo.Sample, foo.DatasetSampleDocument)
        self._path = f"frames.{name}" if is_frames(samples) else name
        if patches_field is not None:
            self._path = label_path(self._dataset, patches_field, name)
            kind = label_type(self._dataset, patches_field)
            self._owners = (one_of(kind),)

    @classmethod
    def of(cls, held: Held, view: Any, name: str) -> DistanceField:
        """Returns that for the hits of a query within a view.

        Args:
            held: what the index holds
            view: the view
            name: the field, or the attribute of the labels
        """
        field = held.patches_field
        if field is None and held.in_parts(view):
            view = held.flat(held.home)
        elif field is not None and is_frames(held.home):
            field = f"frames.{field}"

        return cls(view, name, field)

    @property
    def replaces(self) -> bool:
        """Whether it exists, and was not made for the distances of queries."""
        return self._field() is not None and not self._is_ours()

    def check(self, overwrite: bool = False) -> None:
        """Makes sure that distances may be stored in it.

        Args:
            overwrite (False): whether that may replace the values of a float field
                that was not made for the distances of queries

        Raises:
            ConfigError: if it cannot be, or may not be, such a field
        """
        self._check_name()
        field = self._field()
        if field is None:
            self._check_undeclared()
        elif not isinstance(field, fo.FloatField) or field.read_only:
            kind = "is read-only" if field.read_only else f"is a {_kind(field)}"
            raise ConfigError(
                f"Distances cannot be stored in '{self._path}', which {kind}: choose "
                "another name"
            )
        elif not (overwrite or self._is_ours()):
            raise ConfigError(
                f"Field '{self._path}' exists and was not made for distances: use "
                "another name, or let its values go (overwrite=True)"
            )

    def store(self, distances: Mapping[str, float], overwrite: bool = True) -> None:
        """Stores the distances of one query, in place of those of the one before.

        Args:
            distances: by the ids of samples, of frames or of labels
            overwrite (True): whether all values of a field that was not made for the
                distances of queries go, else only those of the given ids
        """
        if self._field() is None:
            self._declare()
        elif overwrite or self._is_ours():
            self._clear()
            self._mark()

        if not distances:
            return

        if self._patches_field is None:
            self._samples.set_values(self.name, distances, key_field="id")
        else:
            self._dataset.set_label_values(self._path, distances)

    def _field(self) -> Any:
        return self._dataset.get_field(self._path)

    def _declare(self) -> None:
        path, of_frames = frame_path(self._dataset, self._path)
        dataset = self._dataset
        add = dataset.add_frame_field if of_frames else dataset.add_sample_field
        add(path, fo.FloatField, description=_DESCRIPTION, info=dict(MARK))

    def _clear(self) -> None:
        path, of_frames = frame_path(self._dataset, self._path)
        dataset = self._dataset
        clear = dataset.clear_frame_field if of_frames else dataset.clear_sample_field
        clear(path)
        shown = dataset_of(self._samples)  # a view of frames has a copy of them
        if shown is not dataset and shown.has_field(self.name):
            shown.clear_sample_field(self.name)

    def _is_ours(self) -> bool:
        return MARK.items() <= (self._field().info or {}).items()

    def _mark(self) -> None:
        field = self._field()
        if not self._is_ours():
            field.info = {**(field.info or {}), **MARK}
            field.description = _DESCRIPTION
            field.save()

    def _check_name(self) -> None:
        check_field_name(self.name)
        if self.name in _OF_VIEWS or any(hasattr(o, self.name) for o in self._owners):
            what = "samples" if self._patches_field is None else "labels"
            raise ConfigError(
                f"'{self.name}' is FiftyOne's own name for something of {what}: choose "
                "another for the distances"
            )

    def _check_undeclared(self) -> None:
        """Labels may have attributes that the dataset's schema does not tell."""
        if self._patches_field is None:
            return

        path, of_frames = frame_path(self._dataset, self._path)
        documents = frame_documents_of if of_frames else documents_of
        collection = documents(self._dataset)
        if collection.find_one({path: {"$exists": True}}, {"_id": 1}) is not None:
            raise ConfigError(
                f"Labels have an attribute '{self.name}' that is not declared: choose "
                "another name, or declare it (dataset.add_dynamic_sample_fields())"
            )


def with_distances(view: Any, distances: Mapping[str, float]) -> tuple[Any, str | None]:
    """Shows distances in a view without storing them: only its schema gets a field.

    Args:
        view: a view of samples, patches, frames or clips
        distances: the distance of each that it shows, by its id

    Returns:
        the view, and the field; the same view and ``None`` if there are very many, or
        if all names are taken
    """
    if len(distances) > _MOST_SHOWN:
        return view, None

    name = next((n for n in _SHOWN if _may_show(view, n)), None)
    if name is None:
        return view, None

    of = {"$indexOfArray": [list(distances), {"$toString": "$_id"}]}
    values = {name: {"$arrayElemAt": [list(distances.values()), of]}}
    return view.mongo([{"$addFields": values}], False, []), name


def _may_show(view: Any, name: str) -> bool:
    shown = dataset_of(view)
    field = shown.get_field(name)
    if field is None:
        add = shown.add_sample_field
        add(name, fo.FloatField, description=_DESCRIPTION, info=dict(MARK))
        return True

    return MARK.items() <= (field.info or {}).items()


def check_field_name(name: Any) -> None:
    """Makes sure that FiftyOne can read what is stored under a name.

    Raises:
        ConfigError: if it cannot
    """
    if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
        raise ConfigError(
            f"{str(name)[:100]!r} cannot be the name of a field: use letters, digits "
            "and underscores, a letter first"
        )


def _kind(field: Any) -> str:
    document = getattr(field, "document_type", None)
    return str(getattr(document, "__name__", type(field).__name__))
