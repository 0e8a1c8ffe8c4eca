"""Where embeddings come from: a field, a model, or another index of the dataset."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import fiftyone as fo
import fiftyone.brain.internal.core.utils as fbu
import fiftyone.core.media as fom
from fiftyone import ViewField as F

from fiftyone_qdrant import points
from fiftyone_qdrant.dataset.files import paths_of, state_of
from fiftyone_qdrant.dataset.held import Held
from fiftyone_qdrant.dataset.indexable import home_of, is_label
from fiftyone_qdrant.dataset.samples import (
    is_generated,
    is_patches,
    label_path,
    root_of,
    values_as,
)
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.index.batch import Batch
from fiftyone_qdrant.ingest.origins import Origin, OtherIndex, find_origin
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

NO_SOURCE = (
    "Give the embeddings field or the model to index with, or the brain key of another "
    "similarity run to take vectors from"
)
NO_COLLECTION = "Give the collection_name of the collection to connect to"

_SOME = 1_000  # ids that tell what another index is of


def _with_new_names(
    samples: Any, origin: Origin, embeddings: str | None, patches_field: str | None
) -> Origin:
    """Returns a run as it is called now: fields may have got other names since.

    Raises:
        ConfigError: if its label field is gone, and no new name is given
    """
    dataset, labels = root_of(samples), origin.patches_field

    def gone(field: str) -> bool:
        return not (
            samples.has_field(field)
            or dataset.has_field(field)
            or dataset.has_frame_field(field)
        )

    if labels is not None and gone(labels):
        if patches_field is None:
            raise ConfigError(
                f"Label field '{labels}' of similarity run '{origin.brain_key}' is "
                "gone. If it was renamed, give its new name as patches_field"
            )

        origin = replace(origin, patches_field=patches_field)

    path = origin.embeddings_field
    if embeddings is None or path in (None, embeddings):
        return origin

    if origin.patches_field is not None:
        path = label_path(samples, origin.patches_field, path)

    return replace(origin, embeddings_field=embeddings) if gone(str(path)) else origin


@dataclass(frozen=True)
class Source:
    """Where the embeddings of a new index come from.

    Attributes:
        embeddings_field: the field that holds them
        model: the zoo model that makes them, or that made them
        patches_field: the label field of whose patches they are
        origin: the run that they are taken from
    """

    embeddings_field: str | None = None
    model: str | None = None
    patches_field: str | None = None
    origin: Origin | None = None

    @classmethod
    def parse(
        cls,
        samples: Any,
        embeddings: str | None,
        model: str | None,
        patches_field: str | None,
        from_brain_key: str | None,
    ) -> Source:
        """Checks what a user gives.

        Raises:
            ConfigError: if the run does not exist, or is of something else
        """
        if embeddings and patches_field and is_label(samples.get_field(patches_field)):
            embeddings = _of_label(samples, patches_field, embeddings)

        if from_brain_key is None:
            return cls(embeddings, model, patches_field)

        origin = _with_new_names(
            samples, find_origin(samples, from_brain_key), embeddings, patches_field
        )
        for name, given, has in (
            ("embeddings", embeddings, origin.embeddings_field),
            ("model", model, origin.model or model),
            ("patches_field", patches_field, origin.patches_field),
        ):
            if given not in (None, has):
                raise ConfigError(
                    f"{name}={given!r} contradicts similarity run '{from_brain_key}', "
                    f"which has {has!r}. Leave it out to take over the run's"
                )

        model = origin.model or model
        return cls(origin.embeddings_field, model, origin.patches_field, origin)

    @property
    def given(self) -> bool:
        """Whether there is any."""
        return bool(self.embeddings_field or self.model or self.origin)

    @property
    def computes(self) -> bool:
        """Whether the model must embed the samples."""
        return self.model is not None and not (self.embeddings_field or self.origin)

    @property
    def model_to_load(self) -> str | None:
        """The model, unless the run that had it told whether it embeds text."""
        return self.model if self.origin is None or not self.origin.model else None

    def samples(self, given: Any) -> Any:
        """Returns what to index: what is given, or what the other run is of.

        Args:
            given: the dataset or view. A dataset does not show that the other run is of
                its frames, its clips or another group slice

        Raises:
            ConfigError: if the run has nothing of the dataset
        """
        if self.origin is None or is_generated(given):
            return given

        view = root_of(given).load_brain_view(self.origin.brain_key)
        if is_generated(view):
            return Held(home_of(view), self.patches_field).of(given)

        if given.media_type not in (fom.VIDEO, fom.GROUP):
            return given

        return OtherIndex(root_of(given), self.origin).indexed_of(given)

    def open(self, dataset: Any) -> OtherIndex | None:
        """Opens the other run, if there is one.

        Raises:
            ConfigError: if it cannot be opened
        """
        return None if self.origin is None else OtherIndex(dataset, self.origin)


def _of_label(samples: Any, patches_field: str, path: str) -> str:
    """A field of labels by its name, however much of its path is given."""
    root = label_path(samples, patches_field)
    for prefix in (f"{root}.", f"{patches_field}."):
        if path.startswith(prefix):
            return path.removeprefix(prefix)

    return path


def known_points(held: Held, collection: Collection) -> tuple[int, int]:
    """Looks up some points of a collection in the dataset.

    Returns:
        how many were looked up, and how many of them the dataset has

    Raises:
        ConfigError: if that is none
    """
    page = next(iter(collection.scroll(payload=False)), points.Page.of([]))
    ids = page.ids[:_SOME]
    known = len(held.still_there(ids))
    if ids and not known:
        raise ConfigError(
            f"Collection '{collection.name}' is of something else: none of the "
            f"{len(ids):,} points looked up is one of the {held} of dataset "
            f"'{root_of(held.home).name}'"
        )

    return len(ids), known


def why_not_embed(index: QdrantSimilarityIndex) -> str | None:
    """Returns why an index cannot embed samples that are new, or ``None`` if it can."""
    field, model = index.config.embeddings_field, index.config.model
    if field is not None and not (model and index.config.stores_embeddings):
        if index.held.has_field(field):
            return None

        return (
            f"The embeddings of index '{index.key}' came from field '{field}', which "
            "is gone, so it cannot embed. If it was renamed, say so once: "
            f"fiftyone_qdrant.runs.follow_rename(dataset, '{index.key}', "
            "embeddings_field='...'). Else make it again, or another index"
        )

    if model is not None:
        return None

    return (
        f"Index '{index.key}' was made from given vectors, so it cannot embed new "
        f"{index.held}. Add them with index.add_to_index(embeddings, sample_ids)"
    )


def embed(index: QdrantSimilarityIndex, samples: Any) -> Batch:
    """Returns embeddings from the index's own source.

    What its embeddings field has nothing for is embedded by its model, if that was
    made to fill the field.

    Raises:
        ConfigError: if the index knows neither an embeddings field nor a model
    """
    reason = why_not_embed(index)
    if reason is not None:
        raise ConfigError(reason)

    field = index.config.embeddings_field
    if field is None:
        return _computed(index, samples)

    stored = from_field(index, samples)
    if not index.config.stores_embeddings:
        return stored

    rest = _without(index, samples, set(stored.ids))
    if not len(rest):
        return stored

    return stored.joined(_computed(index, rest))


def _computed(index: QdrantSimilarityIndex, samples: Any) -> Batch:
    """Returns what the model makes of samples, with the state of their files.

    That is read before: a file that changes meanwhile is found to have changed.
    """
    files = {i: state_of(path) for i, path in paths_of(samples).items()}
    batch = Batch.of(*index.compute_embeddings(samples, progress=False))
    return replace(batch, files=[files.get(i) for i in batch.sample_ids])


def from_field(index: QdrantSimilarityIndex, samples: Any) -> Batch:
    """Returns what the index's embeddings field has of samples, as :func:`embed`."""
    config = index.config
    if config.stores_embeddings and not index.held.has_any(config.embeddings_field):
        return Batch.none(patches=config.patches_field is not None)

    if config.patches_field is not None and not index.held.in_lists(samples):
        return _from_single_labels(index, samples)

    try:
        found = fbu.get_embeddings(
            samples,
            patches_field=config.patches_field,
            embeddings_field=config.embeddings_field,
        )
    except ValueError:  # numpy's, of vectors of several sizes
        return _one_by_one(index, samples)

    return Batch.of(*found)


def _one_by_one(index: QdrantSimilarityIndex, samples: Any) -> Batch:
    """The same as a list, so that an error can say which vectors are the odd ones."""
    held, config = index.held, index.config
    patches, field = config.patches_field, config.embeddings_field
    if patches is None:
        there = samples.match(F(field) != None)  # noqa: E711
        return Batch(there.values(field), held.ids(there))

    there = samples.filter_labels(patches, F(field) != None)  # noqa: E711
    path = label_path(there, patches, field)
    values, sample_ids = there.values([path, "id"])
    of = [i for i, found in zip(sample_ids, values, strict=True) for _ in found or ()]
    return Batch([v for found in values for v in found or ()], of, held.ids(there))


def _from_single_labels(index: QdrantSimilarityIndex, samples: Any) -> Batch:
    """The same of labels that are no list, which FiftyOne 1.22 mistakes for lists."""
    held, config = index.held, index.config
    path = label_path(samples, config.patches_field, config.embeddings_field)
    there = samples.match(F(path) != None)  # noqa: E711
    sample_ids = there.values("sample_id" if is_patches(there) else "id")
    field = None if there.has_field(path) else fo.VectorField()
    return Batch(values_as(there, path, field), sample_ids, held.ids(there))


def _without(index: QdrantSimilarityIndex, samples: Any, ids: set[str]) -> Any:
    if index.config.patches_field is None:
        return samples.select([i for i in samples.values("id") if i not in ids])

    rest = [i for i in index.held.ids(samples) if i not in ids]
    return samples.select_labels(ids=rest, fields=index.config.patches_field)


def selected_samples(
    index: QdrantSimilarityIndex,
    sample_ids: list[str] | None = None,
    label_ids: list[str] | None = None,
) -> Any:
    """Returns the view of an index's dataset that holds just these samples or labels.

    Raises:
        MissingIDs: if the dataset does not have some of them
    """
    wanted = (sample_ids if label_ids is None else label_ids) or []
    points.to_point_ids(wanted)
    held = index.held
    if label_ids is None and held.patches_field is not None:  # samples of patches
        held = Held(held.home, None)

    index.use_home(held.renewed(wanted))
    return Held(index.samples, held.patches_field).select(wanted)


def ids_in(index: QdrantSimilarityIndex, samples: Any) -> dict[str, list[str]]:
    """Returns what samples hold that an index can: ``sample_ids`` or ``label_ids``.

    Of groups that is the active slice, as everywhere, unless the view has others. Of
    videos it is their frames or clips, if the index holds these.

    Raises:
        ConfigError: if it is a view of something else
    """
    return index.held.named(index.held.wanted(samples))
