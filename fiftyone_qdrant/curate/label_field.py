"""One label of each point of an index: read, and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import fiftyone.core.fields as fof
import fiftyone.core.labels as fol

from fiftyone_qdrant.dataset.held import Held
from fiftyone_qdrant.dataset.indexable import is_label
from fiftyone_qdrant.dataset.samples import is_frames, label_path, root_of
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

_AT_ONCE = 50_000  # ids in one question to MongoDB


class LabelField:
    """The field of labels that are of what an index holds.

    Args:
        index: the index
        field: a field of :class:`fiftyone.core.labels.Classification` or of text; of
            patches, the label field that the index is of

    Raises:
        ConfigError: if it is another one
    """

    def __init__(self, index: QdrantSimilarityIndex, field: str) -> None:
        self.index = index
        self.field = field
        self._held = index.held.up_to_date(field)
        self._patches = index.config.patches_field
        self._home = self._held.flat(self._held.home)
        self._check()
        self._whole = self._patches is None and is_label(self._home.get_field(field))

    def read(self) -> dict[str, str]:
        """Returns the label of each id that the index's current view shows."""
        held, view = self._held, self._home
        if self.index.has_view:
            view = held.whole(self.index.restriction().samples)

        return self._read(view)

    def read_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Returns the label of each of some ids that has one."""
        found: dict[str, str] = {}
        for view, _ in parts(self._held, ids):
            found.update(self._read(view))

        return {i: found[i] for i in ids if i in found}

    def write(self, labels: Mapping[str, str | None]) -> None:
        """Gives each id its label; ``None`` takes away that of a sample.

        All else of a label, such as its box, stays as it is. That of a patch cannot
        be taken away: it goes on without a name.
        """
        for view, part in parts(self._held, list(labels)):
            if self._patches is not None:
                values = {i: labels[i] for i in part}
                view.set_label_values(label_path(view, self._patches, "label"), values)
            elif self._whole:
                self._write_classifications(view, {i: labels[i] for i in part})
            else:
                view.set_values(self.field, [labels[i] for i in part])

    def _write_classifications(self, view: Any, labels: dict[str, str | None]) -> None:
        """Keeps the ids and attributes of those that are there."""
        now = dict(zip(*view.values(["id", self.field]), strict=True))
        for i, label in labels.items():
            if label is None or now[i] is None:
                now[i] = None if label is None else fol.Classification(label=label)
            else:
                now[i].label = label

        view.set_values(self.field, [now[i] for i in labels])

    def _read(self, view: Any) -> dict[str, str]:
        if self._patches is None:
            if not view.has_field(self.field):  # as clips that were made anew
                raise ConfigError(
                    f"This view has no field '{self.field}', which others of its kind "
                    "have. Use the view that has it"
                )

            path = f"{self.field}.label" if self._whole else self.field
            ids, labels = view.values(["id", path])
        else:
            paths = [label_path(view, self._patches, n) for n in ("id", "label")]
            ids, labels = view.values(paths, unwind=True)

        return {
            i: str(label)
            for i, label in zip(ids, labels, strict=True)
            if i is not None and label is not None
        }

    def _check(self) -> None:
        field, found = self.field, self._home.get_field(self.field)
        if self._patches is not None:
            if field != self._patches:
                raise ConfigError(
                    f"Index '{self.index.key}' holds patches of '{self._patches}', so "
                    f"that it can judge the labels of '{self._patches}', not of "
                    f"'{field}'"
                )

            return

        kind = getattr(found, "document_type", None)
        if kind is fol.Classification or isinstance(found, fof.StringField):
            return

        if kind is not None and is_label(found):
            raise ConfigError(
                f"'{field}' holds {kind.__name__}. Choose a field of Classification; "
                f"or make an index with patches_field='{field}', if it has boxes"
            )

        name = root_of(self._home).name
        what = "the frames of dataset" if is_frames(self._home) else "dataset"
        raise ConfigError(
            f"{what.capitalize()} '{name}' has no field '{field}' of Classification or "
            "text. Choose one that it has"
        )


def fields_of_one_label(index: QdrantSimilarityIndex) -> list[str]:
    """Returns the fields that have one label of each of what an index holds.

    Those of Classifications come first, then those of text.
    """
    if index.config.patches_field is not None:
        return [index.config.patches_field]

    found, texts = [], []
    for name, field in index.held.home.get_field_schema().items():
        if getattr(field, "document_type", None) is fol.Classification:
            found.append(name)
        elif isinstance(field, fof.StringField) and name != "filepath":
            texts.append(name)

    return [*found, *texts]


def parts(held: Held, ids: Sequence[str]) -> Iterator[tuple[Any, list[str]]]:
    """Yields views of just some samples or labels, and their ids, many at a time."""
    home = held.flat(held.home)
    for start in range(0, len(ids), _AT_ONCE):
        part = list(ids[start : start + _AT_ONCE])
        if held.patches_field is None:
            yield home.select(part, ordered=True), part
        else:
            yield home.select_labels(ids=part, fields=held.patches_field), part
