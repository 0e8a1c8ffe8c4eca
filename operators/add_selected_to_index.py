"""Add Selected to Index: embed the selection, or the view, and write it."""

from collections.abc import Sequence
from typing import Any

from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant.ingest.ingest import add_samples

from .forms import brain_key_input
from .qdrant_operator import QdrantOperator, chosen_index, progress
from .targets import target_inputs, target_samples


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
        target_inputs(ctx, inputs, key)
        inputs.bool(
            "skip_existing",
            default=False,
            label="Only what is missing",
            description="Leave what the index has as it is, rather than embed it again",
        )

    def run(self, ctx: Any) -> dict[str, Any]:
        index = chosen_index(ctx)
        samples = target_samples(ctx, index)
        skip_existing = bool(ctx.params.get("skip_existing"))
        ingested = add_samples(index, samples, progress(ctx), skip_existing)
        return {
            "new": ingested.new,
            "replaced": ingested.replaced,
            "kept": ingested.kept,
            "skipped": ingested.skipped,
            "points": index.total_index_size,
        }

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
