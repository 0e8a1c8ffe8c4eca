"""What Add Selected and Remove Selected work on: the selection, else the view."""

import fiftyone.operators.types as types

from fiftyone_qdrant import load_index
from fiftyone_qdrant.errors import ConfigError, QdrantPluginError
from fiftyone_qdrant.ingest.sources import ids_in, selected_samples

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
        return selected_samples(index, **selected_ids(ctx, index, _chosen(ctx)))

    _check_confirmed(ctx)
    return ctx.target_view()


def target_ids(ctx, index):
    """Returns the same as ``sample_ids`` or ``label_ids`` of an index.

    Raises:
        ConfigError: if that is the whole dataset, and was not confirmed
    """
    if _is_selection(ctx):
        return selected_ids(ctx, index, _chosen(ctx))

    _check_confirmed(ctx)
    return ids_in(index, ctx.target_view())


def target_inputs(ctx, inputs, key):
    """Says what the operator will work on; the whole dataset must be confirmed.

    Args:
        ctx: the execution context
        inputs: the form
        key: the brain key of the chosen index, or ``None`` while there is none
    """
    if _is_selection(ctx):
        if key is not None:
            _selection_input(ctx, inputs, key)

        return

    samples = ctx.target_view()
    if not _is_whole(ctx):
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


def _selection_input(ctx, inputs, key):
    try:
        index = load_index(ctx.dataset, key)
        ((kind, ids),) = selected_ids(ctx, index, _chosen(ctx)).items()
    except QdrantPluginError as e:
        inputs.str("target", view=types.Warning(label=str(e)))
        mark_invalid(inputs, "target", str(e))
    else:
        what = "sample" if kind == "sample_ids" else "label"
        words = f"{len(ids):,} {what}{'' if len(ids) == 1 else 's'} selected"
        inputs.view("target", types.Notice(label=words))


def _chosen(ctx):
    return ctx.params.get("view_target") or ctx.request_params.get("view_target")


def _is_selection(ctx):
    return _chosen(ctx) in _SELECTIONS and bool(ctx.selected or ctx.selected_labels)


def _is_whole(ctx):
    return _chosen(ctx) in ("DATASET", "BASE_VIEW") or not ctx.has_custom_view


def _check_confirmed(ctx):
    if _is_whole(ctx) and ctx.params.get("confirm") is not True:
        raise ConfigError(WHOLE_DATASET)
