"""Delete Near-Duplicates: those that Qdrant Curate shows, but the kept ones."""

from __future__ import annotations

from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.curate.duplicates import delete_duplicates, duplicates_to_delete
from fiftyone_qdrant.errors import QdrantPluginError

from .forms import brain_key_input, mark_invalid
from .qdrant_operator import QdrantOperator, chosen_index


class DeleteDuplicates(QdrantOperator):
    """Deletes the samples of near-duplicates from the dataset, never their files."""

    name = "delete_duplicates"
    label = "Delete Near-Duplicates"
    description = "Delete near-duplicates that were found; files and kept ones stay"
    risk_level = types.RiskLevel.HIGH
    can_be_scheduled = False
    on_views = False
    unlisted = True
    title = "Near-duplicates deleted"
    outputs = (("deleted", "Deleted"),)

    def form(self, ctx: Any, inputs: Any) -> None:
        key = brain_key_input(ctx, inputs)
        if key is None:
            return

        inputs.float("threshold", required=True, label="Largest distance")
        threshold = ctx.params.get("threshold")
        if threshold is None:
            return

        try:
            ids = duplicates_to_delete(ctx.dataset, key, threshold)
        except QdrantPluginError as e:
            mark_invalid(inputs, "threshold", str(e))
            return

        what = chosen_index(ctx).held
        warning = types.Warning(
            label=f"{len(ids):,} {what} will be deleted from the dataset",
            description=(
                "With their labels and tags. Their files stay, and so does one of each "
                "group. This cannot be undone"
            ),
        )
        inputs.view("warning", warning)
        inputs.int(
            "confirm",
            required=True,
            label=f"Type {len(ids)} to delete {'it' if len(ids) == 1 else 'them'}",
        )
        confirm = ctx.params.get("confirm")
        if confirm is not None and confirm != len(ids):
            mark_invalid(inputs, "confirm", f"That is not {len(ids)}")

    def run(self, ctx: Any) -> dict[str, Any]:
        params = ctx.params
        deleted = delete_duplicates(
            ctx.dataset,
            str(chosen_index(ctx).key),
            params.get("threshold"),
            confirm=params.get("confirm"),
        )
        ctx.ops.reload_dataset()
        return {"deleted": deleted}
