"""Another similarity run, of any backend, as where embeddings come from."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import fiftyone as fo

from fiftyone_qdrant import points
from fiftyone_qdrant.dataset.held import Held
from fiftyone_qdrant.dataset.indexable import TIMES
from fiftyone_qdrant.dataset.samples import (
    label_path,
    labels_by_sample,
    listed,
    root_of,
    with_slices,
)
from fiftyone_qdrant.errors import ConfigError, QdrantPluginError
from fiftyone_qdrant.index.batch import Batch
from fiftyone_qdrant.runs import as_ours, is_builtin, list_indexes, load_index

_SOME = 1_000  # ids that tell what another index is of


@dataclass(frozen=True)
class Origin:
    """A similarity run of any backend, as something to make an index of ours from.

    Attributes:
        brain_key: its key
        backend: its backend, such as ``"sklearn"``
        embeddings_field: where its embeddings came from, if from a field
        model: the zoo model that made them, if known
        model_kwargs: that model's parameters
        patches_field: the label field of which it holds patches
        roi_field: the regions its embeddings are of
        supports_prompts: whether its model embeds text
        metric: its metric, if Qdrant has that
    """

    brain_key: str
    backend: str
    embeddings_field: str | None
    model: str | None
    model_kwargs: dict[str, Any] | None
    patches_field: str | None
    roi_field: str | None
    supports_prompts: bool | None
    metric: str | None

    @property
    def summary(self) -> str:
        """What is taken over from it, in words."""
        parts = [
            f"{what} '{value}'"
            for what, value in (
                ("embeddings field", self.embeddings_field),
                ("model", self.model),
                ("patches of", self.patches_field),
                ("regions of", self.roi_field),
                ("metric", self.metric),
            )
            if value is not None
        ]
        listed = ", ".join(["its vectors", *parts])
        return f"From '{self.brain_key}' ({self.backend}): {listed}"


def similarity_runs(dataset: Any) -> list[str]:
    """Returns the brain keys of a dataset's similarity runs, of any backend, sorted."""
    return sorted(dataset.list_brain_runs(type="similarity"))


def find_origin(samples: Any, brain_key: str) -> Origin:
    """Returns what is known of a similarity run without loading it.

    Raises:
        ConfigError: if the dataset has no similarity run of that key
    """
    dataset = root_of(samples)
    known = similarity_runs(dataset)
    if brain_key not in known:
        listed = ", ".join(map(repr, known)) or "none"
        raise ConfigError(
            f"Dataset '{dataset.name}' has no similarity run '{brain_key}' to take "
            f"vectors from. It has {listed}"
        )

    config = dataset.get_brain_info(brain_key).config

    def of(name: str) -> Any:
        return getattr(config, name, None)

    metric = of("metric")
    return Origin(
        brain_key=brain_key,
        backend=str(of("_method") or of("method")),
        embeddings_field=of("embeddings_field"),
        model=of("model"),
        model_kwargs=of("model_kwargs"),
        patches_field=of("patches_field"),
        roi_field=of("roi_field"),
        supports_prompts=of("supports_prompts"),
        metric=metric if metric in points.DISTANCES else None,
    )


class OtherIndex:
    """The embeddings of another similarity run, read page by page.

    Args:
        dataset: the dataset
        origin: the run

    Raises:
        ConfigError: if it cannot be opened
    """

    def __init__(self, dataset: Any, origin: Origin) -> None:
        self._origin = origin
        self._present: set[str] | None = None
        self._index: Any = None
        key = origin.brain_key
        try:
            if key in list_indexes(dataset):
                self._index = load_index(dataset, key)
            elif is_builtin(dataset, key):  # whose own reading is broken for patches
                self._index = as_ours(dataset, key)
            else:
                self._index = dataset.load_brain_results(key)
                self._present = self._ids()
        except QdrantPluginError:
            raise
        except Exception as e:
            raise self._failure("opened", e) from e

        if not hasattr(self._index, "get_embeddings"):
            raise ConfigError(
                f"Similarity run '{key}' has no results to take vectors from. Is the "
                f"package of its backend '{origin.backend}' installed?"
            )

    def _ids(self) -> set[str] | None:
        """All its ids, if it tells: some backends fail on ids that they lack."""
        if self._index is None:
            return None

        of_patches = self._origin.patches_field is not None
        ids = self._index.label_ids if of_patches else self._index.sample_ids
        return None if ids is None else set(map(str, ids))

    def indexed_of(self, samples: Any) -> Any:
        """Returns the samples, or those of the dataset that it has if it has others.

        From the dataset an index is not seen to be of another group slice, or of clips.

        Raises:
            ConfigError: if it has nothing of the dataset
        """
        known = self._present
        if known is None or not known or not isinstance(samples, fo.Dataset):
            return samples

        held = Held(samples, self._origin.patches_field)
        slices = held.slices(samples, list(known)[:_SOME])
        if set(slices) - {samples.group_slice}:
            return with_slices(samples, slices)

        if not known.isdisjoint(held.ids(samples)):
            return samples

        times = samples.get_field_schema(embedded_doc_type=TIMES)
        for field in times:
            clips = samples.values(label_path(samples, field, "id"))
            if not known.isdisjoint(itertools.chain.from_iterable(map(listed, clips))):
                return samples.to_clips(field)

        raise ConfigError(
            f"Nothing to index: similarity run '{self._origin.brain_key}' is of "
            f"nothing that dataset '{samples.name}' shows. Open the view that it was "
            "made of, and create the index from that"
        )

    def embed(self, samples: Any) -> Batch:
        """Returns what it has of samples.

        Raises:
            ConfigError: if it fails
        """
        field = self._origin.patches_field
        if field is None:
            sample_of = {i: i for i in samples.values("id")}
        else:
            sample_of = {
                label: sample
                for sample, labels in labels_by_sample(samples, field)
                for label in labels
            }

        wanted = [i for i in sample_of if self._present is None or i in self._present]
        if not wanted:
            return Batch.none(patches=field is not None)

        kind = "sample_ids" if field is None else "label_ids"
        try:
            found = Batch.of(*self._index.get_embeddings(**{kind: wanted}))
        except QdrantPluginError:
            raise
        except Exception as e:
            raise self._failure("read", e) from e

        return replace(found, sample_ids=[sample_of[i] for i in found.ids])

    def __str__(self) -> str:
        return f"similarity run '{self._origin.brain_key}'"

    def _failure(self, what: str, error: Exception) -> ConfigError:
        return ConfigError(
            f"Similarity run '{self._origin.brain_key}' ({self._origin.backend}) could "
            f"not be {what}: {error or type(error).__name__}"
        )
