"""Add Selected to Index: embed the selection, or the view, and write it."""

from collections.abc import Sequence
from typing import Any

import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant.errors import QdrantPluginError
from fiftyone_qdrant.ingest.ingest import add_samples
from fiftyone_qdrant.ingest.sources import why_not_embed
from fiftyone_qdrant.ingest.sync import recent_drift
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status import coverage
from fiftyone_qdrant.status.indexes import load_impatient

from .forms import brain_key_input, message
from .in_background import start_in_background
from .qdrant_operator import QdrantOperator, chosen_index, progress
from .reopening import is_shown
from .targets import (
    FEW,
    count_wanted,
    is_selection,
    selection,
    target_inputs,
    target_samples,
)


class AddSelectedToIndex(QdrantOperator):
    """Adds the selected samples or labels, or those of the view, to an index."""

    name = "add_selected_to_index"
    label = "Add Selected to Index"
    description = "Embed the selection, or else the current view, and add it"
    title = "Added to the index"
    outputs = (
        ("new", "New points"),
        ("replaced", "Replaced points"),
        ("kept", "In the index already, left as they are"),
        ("skipped", "Samples without an embedding"),
        ("points", "Points in the index"),
    )

    def form(self, ctx: Any, inputs: Any) -> None:
        key = brain_key_input(ctx, inputs)
        index = None if key is None else load_impatient(ctx.dataset, key)
        target_inputs(ctx, inputs, index)
        inputs.bool(
            "skip_existing",
            default=not is_selection(ctx),
            label="Only what is missing",
            description="Leave what the index has as it is, rather than embed it again",
        )
        if index is not None and is_shown(ctx):
            _obstacle_input(ctx, inputs, index)

    def run(self, ctx: Any) -> dict[str, Any]:
        index = chosen_index(ctx)
        samples = target_samples(ctx, index)
        started = start_in_background(self, ctx, "add", index.key)
        if started is not None:
            return started

        skip_existing = bool(ctx.params.get("skip_existing"))
        ingested = add_samples(index, samples, progress(ctx), skip_existing)
        return {
            "new": ingested.new,
            "replaced": ingested.replaced,
            "kept": ingested.kept,
            "skipped": ingested.skipped,
            "points": index.total_index_size,
        }

    def in_words(self, result: dict[str, Any]) -> str:
        words = f"{result['new']:,} new, {result['replaced']:,} replaced"
        skipped = result["skipped"]
        return f"{words}. {skipped:,} had no embedding" if skipped else words

    def __call__(
        self,
        samples: SampleCollection,
        brain_key: str,
        selected: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        skip_existing: bool = False,
        confirm: bool = False,
        delegate: bool = False,
    ) -> ExecutionResult:
        """Adds samples or labels to an index.

        Args:
            samples: the dataset, or a view of which all is added if nothing is selected
            brain_key: the index
            selected (None): the ids of the samples to add
            labels (None): the ids of the labels to add, for an index of patches
            skip_existing (False): leave what the index has as it is
            confirm (False): add the whole dataset, if nothing else is given
            delegate (False): run it in a delegated worker

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the numbers
            of new, replaced, kept and skipped points
        """
        params = {
            "brain_key": brain_key,
            "skip_existing": skip_existing,
            "confirm": confirm,
        }
        return self._run(samples, params, delegate, selected, labels)


def _obstacle_input(ctx: Any, inputs: Any, index: QdrantSimilarityIndex) -> None:
    """Says why nothing can be added, if a look tells."""
    try:
        reason = why_not_embed(index) or _gone(ctx, index)
        if reason is not None:
            message(inputs, "obstacle", reason, stops=True)
        elif ctx.params.get("skip_existing") and _is_in(ctx, index):
            words = "All of it is in the index already"
            hint = "Untick 'Only what is missing' to embed it again"
            message(inputs, "obstacle", words, [hint], stops=True)
    except QdrantPluginError as e:
        inputs.view("obstacle", types.Error(label=str(e)))


def _gone(ctx: Any, index: QdrantSimilarityIndex) -> str | None:
    if not is_selection(ctx):
        return None

    ids = selection(ctx, index)
    gone = len(ids) - len(index.held.still_there(ids))
    return f"{gone:,} of the selected are no longer in the dataset" if gone else None


def _is_in(ctx: Any, index: QdrantSimilarityIndex) -> bool:
    if not is_selection(ctx):
        samples = ctx.target_view()
        points = index.total_index_size
        wanted = count_wanted(index, samples, points)
        small = wanted is not None and max(wanted, points) <= FEW
        return small and not recent_drift(index, samples, vectors=False).missing

    ids = selection(ctx, index)
    return bool(ids) and coverage.of_ids(index, ids) == len(ids)
