"""What FiftyOne can be asked to index, and what the ids of it are of.

A *home* is the collection of samples that the ids of an index are of: the dataset; or,
as FiftyOne makes documents of their own for frames and clips, the view of these that
the index was made of.
"""

from __future__ import annotations

import inspect
from typing import Any

import fiftyone.core.collections as foc
import fiftyone.core.fields as fof
import fiftyone.core.labels as fol
import fiftyone.core.media as fom
import fiftyone.core.patches as fop

from fiftyone_qdrant.dataset.samples import (
    base_of,
    is_clips,
    is_frames,
    is_patches,
    label_path,
    root_of,
    source_of,
)
from fiftyone_qdrant.errors import ConfigError

_OF_LABELS = ("bounding_box", "mask", "points", "filled", "closed", "tags")
TIMES = (fol.TemporalDetection, fol.TemporalDetections)


def home_of(samples: Any) -> Any:
    """Returns the home of an index of ``samples``."""
    if is_frames(samples):
        frames = source_of(samples) if is_patches(samples) else samples
        return base_of(frames)

    return base_of(samples) if is_clips(samples) else root_of(samples)


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
            f"'{patches_field}' is no label field of '{root_of(samples).name}'. "
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
    if not is_patches(samples):
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

        root = label_path(samples, patches_field)
        prefix = f"{root}."

    schema = samples.get_field_schema(flat=True)
    paths = [p for p, f in schema.items() if p.startswith(prefix) and _is_vector(f)]
    return [p.removeprefix(prefix) for p in paths if not _in_list(schema, p, prefix)]


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
