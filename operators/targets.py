"""What Add Selected and Remove Selected work on: the selection, else the view."""

import fiftyone.operators.types as types

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.sources import ids_in, selected_samples

from .forms import mark_invalid
from .qdrant_operator import selected_ids

_SELECTIONS = (None, "SELECTED_SAMPLES", "SELECTED_LABELS")
WHOLE_DATASET = (
    "Nothing is selected and no view is open. Select samples or labels, or confirm "
    "that the whole dataset is meant (confirm=True)"
)


def target_samples(ctx, index):
    """Returns the samples, or labels, that are selected, else those of the view.

    Raises:
        ConfigError: if that is the whole dataset, and was not confirmed
        MissingIDs: if the dataset does not have what is selected
    """
    if _is_selection(ctx):
        return selected_samples(index, **selected_ids(ctx, index))

    _check_confirmed(ctx)
    return ctx.target_view()


def target_ids(ctx, index):
    """Returns the same as ``sample_ids`` or ``label_ids`` of an index.

    Raises:
        ConfigError: if that is the whole dataset, and was not confirmed
    """
    if _is_selection(ctx):
        return selected_ids(ctx, index)

    _check_confirmed(ctx)
    return ids_in(index, ctx.target_view())


def target_inputs(ctx, inputs):
    """Says what the operator will work on; the whole dataset must be confirmed."""
    samples = ctx.target_view()
    if _is_selection(ctx):
        count = len(ctx.selected_labels or []) or len(ctx.selected)
        inputs.view("target", types.Notice(label=f"{count:,} selected"))
    elif not _is_whole(ctx):
        words = f"The current view: {samples.count():,} samples"
        inputs.view("target", types.Notice(label=words))
    else:
        words = f"This means the whole dataset: {samples.count():,} samples"
        inputs.view("target", types.Warning(label=words))
        inputs.bool(
            "confirm",
            default=False,
            label="The whole dataset",
            description="Nothing is selected and no view is open: tick if you mean it",
        )
        if not ctx.params.get("confirm"):
            mark_invalid(inputs, "confirm", WHOLE_DATASET)


def _chosen(ctx):
    return ctx.params.get("view_target") or ctx.request_params.get("view_target")


def _is_selection(ctx):
    return _chosen(ctx) in _SELECTIONS and bool(ctx.selected or ctx.selected_labels)


def _is_whole(ctx):
    return _chosen(ctx) in ("DATASET", "BASE_VIEW") or not ctx.has_custom_view


def _check_confirmed(ctx):
    if _is_whole(ctx) and ctx.params.get("confirm") is not True:
        raise ConfigError(WHOLE_DATASET)
