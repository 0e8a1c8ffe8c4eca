"""Remove Selected: take the selection, or the view, out of an index."""

from collections.abc import Sequence
from typing import Any

import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant.errors import CollectionShared, QdrantPluginError
from fiftyone_qdrant.ingest.removal import remove
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status.indexes import load_impatient

from .forms import brain_key_input, mark_invalid
from .qdrant_operator import QdrantOperator, chosen_index
from .targets import target_ids, target_inputs

UNDO = "@community/qdrant/undo_remove"


class RemoveSelected(QdrantOperator):
    """Removes the selected samples or labels, or those of the view, from an index."""

    name = "remove_selected"
    label = "Remove Selected"
    description = "Take the selection, or else the current view, out of an index"
    risk_level = types.RiskLevel.HIGH
    title = "Removed from the index"
    outputs = (
        ("removed", "Removed points"),
        ("missing", "Not in the index"),
        ("points", "Points in the index"),
    )

    def form(self, ctx: Any, inputs: Any) -> None:
        key = brain_key_input(ctx, inputs)
        index = None if key is None else load_impatient(ctx.dataset, key)
        target_inputs(ctx, inputs, index, indexed=True)
        if index is not None:
            _shared_input(ctx, inputs, index)

    def run(self, ctx: Any) -> dict[str, Any]:
        index = chosen_index(ctx)
        force = ctx.params.get("force") is True
        chosen = target_ids(ctx, index)
        done = remove(index, **chosen, force=force, keep=not ctx.delegated)
        return {
            "removed": done.removed,
            "missing": done.missing,
            "points": index.total_index_size,
        }

    def resolve_output(self, ctx: Any) -> types.Property:
        shown, key = super().resolve_output(ctx), ctx.params.get("brain_key")
        if (ctx.results or {}).get("removed") and not ctx.delegated:
            undo = {"label": "Undo", "operator": UNDO, "params": {"brain_key": key}}
            shown.type.view("undo", types.Button(**undo))

        return shown

    def __call__(
        self,
        samples: SampleCollection,
        brain_key: str,
        selected: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        confirm: bool = False,
        force: bool = False,
        delegate: bool = False,
    ) -> ExecutionResult:
        """Removes samples or labels from an index; the dataset keeps them.

        Args:
            samples: the dataset, or a view that is removed if nothing is selected
            brain_key: the index
            selected (None): the ids of the samples to remove
            labels (None): the ids of the labels to remove, for an index of patches
            confirm (False): remove the whole dataset, if nothing else is given
            force (False): remove them also if the collection is another dataset's, as
                that of a clone is
            delegate (False): run it in a delegated worker

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the numbers
            of removed points and of samples or labels that had none
        """
        params = {"brain_key": brain_key, "confirm": confirm, "force": force}
        return self._run(samples, params, delegate, selected, labels)


def _shared_input(ctx: Any, inputs: Any, index: QdrantSimilarityIndex) -> None:
    """Asks once more where the vectors are another dataset's, too."""
    try:
        index.check_removable()
    except CollectionShared as e:
        inputs.bool(
            "force",
            default=False,
            label="Take them from the other dataset as well",
            description=str(e),
        )
        if not ctx.params.get("force"):
            mark_invalid(inputs, "force", str(e))
    except QdrantPluginError as e:
        inputs.view("unreachable", types.Warning(label=str(e)))
