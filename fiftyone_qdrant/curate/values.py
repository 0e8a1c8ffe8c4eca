"""Values of samples and labels by the ids of an index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fiftyone_qdrant.dataset.samples import label_path, listed
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

_FEW = 50_000  # ids that one question to MongoDB holds with ease


def values_of(
    index: QdrantSimilarityIndex, ids: Sequence[str], *paths: str
) -> list[list[Any]]:
    """Returns the values at paths for each of some ids, ``None`` where it has none.

    Args:
        index: the index
        ids: ids of the index
        *paths: fields of samples; if the index is of patches, those of labels first

    Raises:
        ConfigError: if there is no such field
    """
    held, field = index.held, index.config.patches_field
    home = held.some(list(ids)) if len(ids) <= _FEW else held.flat(held.home)

    wanted, of_labels = [], []
    for path in paths:
        full = path if field is None else label_path(home, field, path)
        of_labels.append(field is not None and home.has_field(full))
        wanted.append(full if of_labels[-1] else path)
        if not home.has_field(wanted[-1]):
            raise ConfigError(f"There is no field '{path}'. Choose one that is there")

    if field is None:
        columns = home.values(["id", *wanted])
        rows = dict(zip(columns[0], zip(*columns[1:], strict=True), strict=True))
    else:
        columns = home.values([label_path(home, field, "id"), *wanted])
        rows = {}
        for labels, *values in zip(*columns, strict=True):
            spread = [
                v if of and isinstance(labels, list) else [v] * len(listed(labels))
                for v, of in zip(values, of_labels, strict=True)
            ]
            rows.update(zip(listed(labels), zip(*spread, strict=True), strict=True))

    none = (None,) * len(paths)
    found = [rows.get(i, none) for i in ids]
    return [list(column) for column in zip(*found, strict=True)] or [[] for _ in paths]


def has_attribute(index: QdrantSimilarityIndex, name: str) -> bool:
    """Whether the labels of an index of patches have an attribute."""
    home, field = index.held.home, index.config.patches_field
    return field is not None and bool(home.has_field(label_path(home, field, name)))
