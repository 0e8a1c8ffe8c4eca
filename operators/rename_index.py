"""Rename Index: give an index another brain key."""

from typing import Any

import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import rename_index
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.runs import check_new_key

from .forms import brain_key_input, mark_invalid
from .qdrant_operator import QdrantOperator, chosen_index


class RenameIndex(QdrantOperator):
    """Changes the brain key of an index; its collection stays as it is."""

    name = "rename_index"
    label = "Rename Qdrant Index"
    description = "Give a Qdrant index another brain key"
    risk_level = types.RiskLevel.LOW
    can_be_scheduled = False
    on_views = False
    title = "Index renamed"
    outputs = (("summary", "Result"),)

    def form(self, ctx: Any, inputs: Any) -> None:
        if brain_key_input(ctx, inputs) is None:
            return

        inputs.str(
            "new_brain_key",
            required=True,
            label="New brain key",
            description="Letters, digits, underscores. The collection keeps its name",
        )
        new = ctx.params.get("new_brain_key")
        if new:
            try:
                check_new_key(ctx.dataset, new, may_go_on=False)
            except ConfigError as e:
                mark_invalid(inputs, "new_brain_key", str(e))

    def run(self, ctx: Any) -> dict[str, Any]:
        key = chosen_index(ctx).key
        new = ctx.params.get("new_brain_key")
        rename_index(ctx.dataset, key, new)
        ctx.ops.reload_dataset()
        return {"brain_key": new, "summary": f"'{key}' is now '{new}'"}

    def __call__(
        self, samples: SampleCollection, brain_key: str, new_brain_key: str
    ) -> ExecutionResult:
        """Gives an index another brain key.

        Args:
            samples: the dataset
            brain_key: the index
            new_brain_key: the key it gets

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the new
            ``brain_key``
        """
        params = {"brain_key": brain_key, "new_brain_key": new_brain_key}
        return self._run(samples, params)
