"""Sync Index: bring an index in step with its dataset."""

from typing import Any

import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import find_drift, load_index, sync
from fiftyone_qdrant.errors import QdrantPluginError

from .forms import brain_key_input, mark_invalid
from .qdrant_operator import QdrantOperator, chosen_index, progress

_CHANGED_MEDIA = (
    "A model makes these embeddings, so pictures that changed in place go unnoticed: "
    "select them and use Add Selected to Index"
)


class SyncIndex(QdrantOperator):
    """Adds what is missing, removes orphans, updates changed embeddings."""

    name = "sync_index"
    label = "Sync Index"
    description = "Bring a Qdrant index in step with its dataset"
    title = "Index synced"
    outputs = (
        ("summary", "Found"),
        ("added", "Added points"),
        ("updated", "Updated points"),
        ("removed", "Removed points"),
        ("skipped", "Samples without an embedding"),
        ("points", "Points in the index"),
    )

    def form(self, ctx: Any, inputs: Any) -> None:
        samples = ctx.target_view()
        key = brain_key_input(ctx, inputs)
        if key is None:
            return

        try:
            index = load_index(ctx.dataset, key)
            drift = find_drift(index, samples)
        except QdrantPluginError as e:
            inputs.view("failure", types.Error(label=str(e)))
            return

        if drift.obstacle is not None:
            warning = types.Warning(label=drift.summary, description=drift.obstacle)
            inputs.str("drift", view=warning)
            if not ctx.params.get("dry_run"):
                mark_invalid(inputs, "drift", drift.obstacle)

            return

        about = "" if drift.compared or not index.config.model else _CHANGED_MEDIA
        notice = types.Notice(label=drift.summary, description=about)
        inputs.view("drift", notice)

    def run(self, ctx: Any) -> dict[str, Any]:
        index = chosen_index(ctx)
        samples = ctx.target_view()
        drift = find_drift(index, samples)
        done = {
            "missing": len(drift.missing),
            "orphans": len(drift.orphans),
            "changed": len(drift.changed),
            "summary": drift.summary,
        }
        if not ctx.params.get("dry_run", False):
            _, ingested = sync(index, samples, drift, progress(ctx))
            done.update(
                added=ingested.new,
                updated=ingested.replaced,
                removed=len(drift.orphans),
                skipped=ingested.skipped,
            )

        return {**done, "points": index.total_index_size}

    def __call__(
        self,
        samples: SampleCollection,
        brain_key: str,
        dry_run: bool = False,
        delegate: bool = False,
    ) -> ExecutionResult:
        """Brings an index in step with a dataset.

        Args:
            samples: the dataset, or the view that should be indexed
            brain_key: the index
            dry_run (False): only say what drifted
            delegate (False): run it in a delegated worker

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the numbers
            of missing, orphan and changed points, and of those added, updated and
            removed
        """
        params = {"brain_key": brain_key, "dry_run": dry_run}
        return self._run(samples, params, delegate)
