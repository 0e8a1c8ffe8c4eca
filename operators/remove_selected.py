"""Remove Selected: take the selection out of an index."""

import fiftyone.operators as foo
import fiftyone.operators.types as types

from .forms import brain_key_input, selection_notice
from .qdrant_operator import ICONS, QdrantOperator, chosen_index, selected_ids


class RemoveSelected(QdrantOperator):
    """Removes the selected samples, or the selected labels, from an index."""

    @property
    def config(self):
        return foo.OperatorConfig(
            name="remove_selected",
            label="Remove Selected",
            description="Remove the selected samples or labels from a Qdrant index",
            dynamic=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.HIGH,
            view_target=False,
            **ICONS,
        )

    def form(self, ctx, inputs):
        brain_key_input(ctx, inputs)
        selection_notice(ctx, inputs)

    def execute(self, ctx):
        index = chosen_index(ctx)
        selected = selected_ids(ctx, index)
        before = index.total_index_size
        index.remove_from_index(**selected)
        points = index.total_index_size
        removed = before - points
        (ids,) = selected.values()
        return {
            "removed": removed,
            "missing": max(0, len(ids) - removed),
            "points": points,
        }

    def resolve_output(self, ctx):
        outputs = types.Object()
        outputs.int("removed", label="Removed points")
        outputs.int("missing", label="Not in the index")
        outputs.int("points", label="Points in the index")
        return types.Property(outputs, view=types.View(label="Removed from the index"))

    def __call__(self, samples, brain_key, selected=None, labels=None, delegate=False):
        """Removes samples or labels from an index; the dataset keeps them.

        Args:
            samples: the dataset
            brain_key: the index
            selected (None): the ids of the samples to remove
            labels (None): the ids of the labels to remove, for an index of patches
            delegate (False): run it in a delegated worker

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the numbers
            of removed and missing points
        """
        return self._run(samples, {"brain_key": brain_key}, delegate, selected, labels)
