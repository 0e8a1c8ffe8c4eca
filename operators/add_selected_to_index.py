"""Add Selected to Index: embed the selection and write it to an index."""

import fiftyone.operators as foo
import fiftyone.operators.types as types

from fiftyone_qdrant.ingest import add_samples
from fiftyone_qdrant.sources import selected_samples

from .forms import brain_key_input, selection_notice
from .qdrant_operator import ICONS, QdrantOperator, chosen_index, progress, selected_ids


class AddSelectedToIndex(QdrantOperator):
    """Adds the selected samples, or the selected labels, to an index."""

    @property
    def config(self):
        return foo.OperatorConfig(
            name="add_selected_to_index",
            label="Add Selected to Index",
            description="Embed the selected samples or labels and add them",
            dynamic=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.MEDIUM,
            view_target=False,
            **ICONS,
        )

    def form(self, ctx, inputs):
        brain_key_input(ctx, inputs)
        selection_notice(ctx, inputs)

    def execute(self, ctx):
        index = chosen_index(ctx)
        samples = selected_samples(index, **selected_ids(ctx, index))
        ingested = add_samples(index, samples, progress(ctx))
        return {
            "new": ingested.new,
            "replaced": ingested.replaced,
            "skipped": ingested.skipped,
            "points": index.total_index_size,
        }

    def resolve_output(self, ctx):
        outputs = types.Object()
        outputs.int("new", label="New points")
        outputs.int("replaced", label="Replaced points")
        outputs.int("skipped", label="Samples without an embedding")
        outputs.int("points", label="Points in the index")
        return types.Property(outputs, view=types.View(label="Added to the index"))

    def __call__(self, samples, brain_key, selected=None, labels=None, delegate=False):
        """Adds samples or labels to an index.

        Args:
            samples: the dataset
            brain_key: the index
            selected (None): the ids of the samples to add
            labels (None): the ids of the labels to add, for an index of patches
            delegate (False): run it in a delegated worker

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the numbers
            of new, replaced and skipped points
        """
        return self._run(samples, {"brain_key": brain_key}, delegate, selected, labels)
