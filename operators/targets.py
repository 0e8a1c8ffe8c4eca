"""What Add Selected and Remove Selected work on: the selection, else the view."""

from __future__ import annotations

from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.dataset import scope
from fiftyone_qdrant.errors import ConfigError, QdrantPluginError
from fiftyone_qdrant.ingest.sources import ids_in, selected_samples
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status import coverage

from .forms import mark_invalid, message
from .qdrant_operator import selected_ids
from .reopening import is_shown

_SELECTIONS = (None, "SELECTED_SAMPLES", "SELECTED_LABELS")
FEW = 20_000  # ids that a form looks up unasked
WHOLE_DATASET = (
    "Nothing is selected and no view is open. Select samples or labels, or confirm "
    "that the whole dataset is meant (confirm=True)"
)


def target_samples(ctx: Any, index: QdrantSimilarityIndex) -> Any:
    """Returns the samples, or labels, that are selected, else those of the view.

    Raises:
        ConfigError: if that is the whole dataset, and was not confirmed
        MissingIDs: if the dataset does not have what is selected
    """
    if is_selection(ctx):
        return selected_samples(index, **selected_ids(ctx, index, _chosen(ctx)))

    _check_confirmed(ctx)
    return ctx.target_view()


def target_ids(ctx: Any, index: QdrantSimilarityIndex) -> dict[str, list[str]]:
    """Returns the same as ``sample_ids`` or ``label_ids`` of an index.

    Raises:
        ConfigError: if that is the whole dataset, and was not confirmed
    """
    if is_selection(ctx):
        return selected_ids(ctx, index, _chosen(ctx))

    _check_confirmed(ctx)
    return ids_in(index, ctx.target_view())


def target_inputs(
    ctx: Any, inputs: Any, index: QdrantSimilarityIndex | None, indexed: bool = False
) -> None:
    """Says what the operator will work on; the whole dataset must be confirmed.

    Args:
        ctx: the execution context
        inputs: the form
        index: the chosen index, or ``None`` while there is none
        indexed (False): whether something of what is selected must be indexed
    """
    if is_selection(ctx):
        if index is not None:
            _selection_input(ctx, inputs, index, indexed)

        return

    count = scope.count_in_words(ctx.target_view())
    if not _is_whole(ctx):
        words = f"The current view: {count} samples"
        inputs.view("target", types.Notice(label=words))
        return

    inputs.bool(
        "confirm", default=False, label=f"All {count} samples (nothing is selected)"
    )
    if not ctx.params.get("confirm"):
        short = "Tick this, or select samples first"
        mark_invalid(inputs, "confirm", short if is_shown(ctx) else WHOLE_DATASET)


def is_selection(ctx: Any) -> bool:
    """Whether what is selected is meant, and not a view or the dataset."""
    return _chosen(ctx) in _SELECTIONS and bool(ctx.selected or ctx.selected_labels)


def count_wanted(index: QdrantSimilarityIndex, samples: Any, points: int) -> int | None:
    """Returns how many of what an index holds are in samples.

    Args:
        index: the index
        samples: the dataset or a view
        points: how many it holds

    Returns:
        ``None`` if that takes more than a moment: of many labels, frames or clips

    Raises:
        ConfigError: if they are of something else
    """
    if index.held.stands_for_parts(samples):
        return index.held.count() if points <= FEW else None

    index.held.check(samples)
    count = scope.count(samples)
    if index.config.patches_field is None or count is None:
        return count

    return index.held.number(samples) if count <= FEW else None


def selection(ctx: Any, index: QdrantSimilarityIndex) -> list[str]:
    """Returns the ids, of an index, of what is selected, as far as a look tells.

    Returns:
        none of samples that stand for their labels, nor of very many

    Raises:
        ConfigError: if nothing that the index can hold is selected
    """
    ((kind, ids),) = selected_ids(ctx, index, _chosen(ctx)).items()
    by_sample = kind == "sample_ids" and index.config.patches_field is not None
    return [] if by_sample or len(ids) > FEW else ids


def _selection_input(
    ctx: Any, inputs: Any, index: QdrantSimilarityIndex, must_be: bool
) -> None:
    try:
        ((kind, ids),) = selected_ids(ctx, index, _chosen(ctx)).items()
        looked_up = selection(ctx, index) if is_shown(ctx) else []
        indexed = coverage.of_ids(index, looked_up)
    except QdrantPluginError as e:
        message(inputs, "target", str(e), stops=True)
        return

    what = "sample" if kind == "sample_ids" else "label"
    words = f"{len(ids):,} {what}{'' if len(ids) == 1 else 's'} selected"
    if looked_up:
        words += f", {indexed:,} of them indexed"

    message(inputs, "target", words, stops=must_be and bool(looked_up) and not indexed)


def _chosen(ctx: Any) -> Any:
    return ctx.params.get("view_target") or ctx.request_params.get("view_target")


def _is_whole(ctx: Any) -> bool:
    return _chosen(ctx) in ("DATASET", "BASE_VIEW") or not ctx.has_custom_view


def _check_confirmed(ctx: Any) -> None:
    if _is_whole(ctx) and ctx.params.get("confirm") is not True:
        raise ConfigError(WHOLE_DATASET)
