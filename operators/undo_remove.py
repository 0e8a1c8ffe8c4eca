"""Undo Remove: put back what was last removed from an index."""

from typing import Any

from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import list_indexes, load_index
from fiftyone_qdrant.ingest.removal import can_undo, undo

from .forms import dropdown, message
from .qdrant_operator import QdrantOperator, chosen_index


class UndoRemove(QdrantOperator):
    """Puts back what Remove Selected took out of an index in this process."""

    name = "undo_remove"
    label = "Undo Remove from Qdrant Index"
    description = "Put back what was last removed from a Qdrant index"
    can_be_scheduled = False
    on_views = False
    unlisted = True
    title = "Put back"
    outputs = (("restored", "Points put back"), ("points", "Points in the index"))

    def form(self, ctx: Any, inputs: Any) -> None:
        keys = [k for k in list_indexes(ctx.dataset) if _can_undo(ctx, k)]
        if not keys:
            words = "Nothing was removed from an index since the App was started"
            message(inputs, "brain_key", words, stops=not ctx.params.get("brain_key"))
            return

        view = dropdown(keys)
        inputs.str("brain_key", default=keys[0], label="Index", view=view)

    def run(self, ctx: Any) -> dict[str, Any]:
        index = chosen_index(ctx)
        restored = undo(index)
        ctx.ops.notify(f"{restored:,} put back into '{index.key}'", variant="success")
        return {"restored": restored, "points": index.total_index_size}

    def __call__(self, samples: SampleCollection, brain_key: str) -> ExecutionResult:
        """Puts back what was last removed from an index in this process.

        Args:
            samples: the dataset
            brain_key: the index

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the numbers of
            points that were put back, and that there are
        """
        return self._run(samples, {"brain_key": brain_key})


def _can_undo(ctx: Any, key: str) -> bool:
    return can_undo(load_index(ctx.dataset, key))
