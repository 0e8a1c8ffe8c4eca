"""Swap Indexes: two indexes change their brain keys, in one step."""

from typing import Any

from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import swap_indexes
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.status.jobs import why_busy

from .compare_indexes import two_keys, two_keys_inputs
from .forms import message
from .qdrant_operator import QdrantOperator


class SwapIndexes(QdrantOperator):
    """Has an index, as that of a new model, take the place of another."""

    name = "swap_indexes"
    label = "Swap Indexes"
    description = "Have two Qdrant indexes change their brain keys, in one step"
    can_be_scheduled = False
    on_views = False
    title = "Swap Indexes"
    outputs = (("summary", "Result"),)

    def form(self, ctx: Any, inputs: Any) -> None:
        keys = two_keys_inputs(ctx, inputs)
        if keys is not None:
            words = f"'{keys[0]}' becomes '{keys[1]}', and '{keys[1]}' '{keys[0]}'"
            message(inputs, "plan", words, ["Nothing is copied. Swap again to undo it"])

    def run(self, ctx: Any) -> dict[str, Any]:
        keys = two_keys(ctx)
        busy = why_busy(ctx.dataset, keys)
        if busy is not None:
            raise ConfigError(f"Not now: {busy}. Wait until it is done, or cancel it")

        swap_indexes(ctx.dataset, *keys)
        ctx.ops.reload_dataset()
        return {"summary": f"'{keys[0]}' and '{keys[1]}' have changed places"}

    def __call__(
        self, samples: SampleCollection, brain_key: str, other_key: str
    ) -> ExecutionResult:
        """Has two indexes change their brain keys.

        Args:
            samples: the dataset
            brain_key: an index
            other_key: another one, of the same samples or patches

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with a ``summary``
        """
        return self._run(samples, {"brain_key": brain_key, "other_key": other_key})
