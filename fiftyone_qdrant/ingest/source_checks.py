"""What can be seen of samples and their embeddings before an index is made of them.

Counts, and a look at a few samples: what :func:`.preflight.preflight` says before, and
what :func:`.ingest.create_index` checks before it makes anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import fiftyone as fo
import fiftyone.core.media as fom
import fiftyone.core.storage as fos
import numpy as np
from PIL import Image

from fiftyone_qdrant.dataset import scope, zoo
from fiftyone_qdrant.dataset.held import Held
from fiftyone_qdrant.dataset.samples import (
    dataset_of,
    estimated_count,
    is_dynamic_groups,
    label_path,
    values_as,
)
from fiftyone_qdrant.errors import ConfigError, VectorError
from fiftyone_qdrant.ingest.sources import Source
from fiftyone_qdrant.search.matrices import to_matrix

LOOKED_AT = 50
"""Samples whose embeddings or files are looked at, at most."""
COUNTED = 20_000
"""Samples that are gone through one by one to count; of more, some are."""
_PROBED = 1_000  # those of them

Check = Callable[[], None]


@dataclass(frozen=True)
class Look:
    """A look at what is to be indexed; each thing is looked up once.

    Attributes:
        samples: the dataset or view
        source: where the embeddings come from
        among (None): of how many first samples to look for values, by default of all.
            What takes long to count is then told as the most that it can be
    """

    samples: Any
    source: Source
    among: int | None = None

    @cached_property
    def held(self) -> Held:
        """What is to be indexed, in FiftyOne's terms."""
        return Held(self.samples, self.source.patches_field)

    @cached_property
    def total(self) -> int:
        """How many samples or labels there are; of many labels an estimate."""
        labels, many = self.source.patches_field, self._samples_in_all
        if labels is None:
            return many

        if not self.estimated:
            return self.held.number(self.samples)

        mean = self.held.number(self.samples.limit(_PROBED)) / _PROBED
        return round(many * mean)

    @property
    def estimated(self) -> bool:
        """Whether :attr:`total` is an estimate."""
        return self.source.patches_field is not None and self._samples_in_all > COUNTED

    @cached_property
    def _samples_in_all(self) -> int:
        samples = self.samples
        if isinstance(samples, fo.Dataset) and samples.media_type != fom.GROUP:
            return int(estimated_count(samples))

        if self.among is None:
            return int(samples.count())

        counted = scope.count(samples)
        most = estimated_count(dataset_of(samples))
        return int(most if counted is None else counted)

    @cached_property
    def with_vectors(self) -> tuple[int, bool]:
        """About how many have a value in the field, and whether that is estimated."""
        having, many = self.samples, self.total > COUNTED
        if many:
            having = having.limit(_PROBED)

        field = str(self.source.embeddings_field)
        share = self.held.number(having, field) / max(1, self.held.number(having))
        return round(self.total * share), many

    @property
    def vectors(self) -> list[Any]:
        """Up to :data:`LOOKED_AT` values of the field, if there is one."""
        return [value for _, value in self._values]

    @cached_property
    def _values(self) -> list[tuple[str, Any]]:
        """The same with the ids of their samples."""
        field, labels = self.source.embeddings_field, self.source.patches_field
        if field is None:
            return []

        samples, path = self.samples, field
        some: dict[str, Any] = {"$ne": None}
        if labels is not None:
            path = label_path(samples, labels, field)
            some = {"$exists": True}  # in one label of the list

        if not samples.has_field(path.split(".")[0]):
            return []  # a model is to make them, or the values are not declared

        if self.among is not None:
            samples = samples.limit(self.among)

        there = samples.match({path: some}).limit(LOOKED_AT)
        declared = None if there.has_field(path) else fo.VectorField()
        rows = there.values("id"), values_as(there, path, declared)
        found = [
            (of, value)
            for of, own in zip(*rows, strict=True)
            for value in ((own or ()) if self.held.in_lists(samples) else [own])
        ]
        return [(of, value) for of, value in found if value is not None][:LOOKED_AT]

    @property
    def size(self) -> int | None:
        """Dimensions of the field's vectors, or of the model's where that is known."""
        if self.vectors:
            return np.size(self.vectors[0])

        return zoo.known_size(self.source.model) if self.embeds else None

    @property
    def embeds(self) -> bool:
        """Whether a model is to embed the samples: also to fill an empty field."""
        return self.source.computes or (
            self.source.model_to_load is not None and not self.vectors
        )

    @property
    def media_type(self) -> str:
        """What a model would be given: of groups, that of the active slice."""
        samples = self.samples
        if samples.media_type == fom.GROUP and not is_dynamic_groups(samples):
            return str(samples.group_media_types.get(samples.group_slice))

        return str(samples.media_type)

    @cached_property
    def files(self) -> tuple[list[str], list[str]]:
        """The first files, and those of them that are missing."""
        paths = [str(p) for p in self.samples.limit(LOOKED_AT).values("filepath")]
        local = [p for p in paths if fos.is_local(p)]
        return paths, [p for p in local if not os.path.isfile(p)]

    def checks(self) -> Iterator[tuple[str | None, Check]]:
        """Yields what must be so for an index to be made: the argument, its check.

        Each check raises an error if it is not so; the next ones mean nothing then.
        """
        yield "patches_field" if self.source.patches_field else None, self._check_any
        model = self.source.model_to_load
        if self.source.origin is not None:
            return

        if self.source.embeddings_field is not None:
            yield "embeddings", self._check_field

        if model is not None:
            yield "model", lambda: zoo.check_packages(model)
            if self.embeds:
                yield "model", lambda: zoo.check_media(model, self.media_type)
                yield None, self._check_files

            yield "model", lambda: self._check_sizes(zoo.known_size(model))

    def check(self) -> None:
        """Makes all checks, and those that only a loaded model allows.

        Raises:
            ConfigError: if there is nothing to index, or the model cannot embed it, or
                makes other vectors than those of the field
            VectorError: if the field's first values are no vectors of one size
        """
        for _, check in self.checks():
            check()

        model = self.model
        if self.vectors and getattr(model, "can_embed_prompts", False):
            self._check_sizes(np.size(model.embed_prompt("a photo")))

    @cached_property
    def model(self) -> Any:
        """The loaded model, if there is one; the zoo forgets what nobody keeps."""
        name = self.source.model_to_load
        if name is None:
            return None

        return zoo.load(name, self.media_type if self.embeds else None)

    def doubtful_files(self) -> str | None:
        """Returns how many of the first files are missing or no images, in words."""
        paths, missing = self.files
        broken = []
        if self.media_type == fom.IMAGE:
            there = set(paths).difference(missing)
            broken = [p for p in paths if p in there and _is_broken(p)]

        words = [
            f"{len(found):,} of the first {len(paths):,} files {what}, such as "
            f"{found[0]}"
            for found, what in ((missing, "are missing"), (broken, "are no images"))
            if found
        ]
        return ". ".join(words) or None

    def _check_any(self) -> None:
        if not self.total:
            where = "view" if isinstance(self.samples, fo.DatasetView) else "dataset"
            raise ConfigError(f"Nothing to index: this {where} has no {self.held}")

    def _check_field(self) -> None:
        field = self.source.embeddings_field
        if not self.vectors:
            if self.source.model is None and not self.held.has_field(str(field)):
                raise ConfigError(
                    f"There is no field '{field}' to take embeddings from"
                )

            whole = self.among is None or self._samples_in_all <= self.among
            if whole and self.source.model is None:
                raise ConfigError(
                    f"Nothing to index: field '{field}' gave no embeddings"
                )

            return

        try:
            to_matrix(self.vectors, name=lambda row: f"sample {self._values[row][0]}")
        except VectorError as e:
            why, _, _ = str(e).partition(". None of the ")
            raise VectorError(
                f"Field '{field}' cannot be indexed. {why}. Mend these values, or set "
                "them to None to leave them out"
            ) from e

    def _check_files(self) -> None:
        paths, missing = self.files
        if paths and len(missing) == len(paths):
            raise ConfigError(
                f"The files are missing: none of the first {len(paths):,} exists, such "
                f"as {missing[0]}"
            )

    def _check_sizes(self, size: int | None) -> None:
        if size is not None and self.vectors and size != np.size(self.vectors[0]):
            raise ConfigError(
                f"Field '{self.source.embeddings_field}' has vectors of {self.size:,} "
                f"dimensions, and model '{self.source.model}' makes {size:,}: no text "
                "would find them. Give the model that made them, or none"
            )


def _is_broken(path: str) -> bool:
    try:
        Image.open(path).close()
    except OSError:
        return bool(fos.is_local(path))

    return False
