"""Sync Index: bring an index in step with its dataset."""

from typing import Any

import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import find_drift, load_index, sync
from fiftyone_qdrant.errors import ConfigError, QdrantPluginError
from fiftyone_qdrant.ingest.pictures import are_compared
from fiftyone_qdrant.ingest.sources import why_not_embed
from fiftyone_qdrant.ingest.sync import Drift, recent_drift
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

from .forms import brain_key_input, message
from .in_background import start_in_background
from .qdrant_operator import QdrantOperator, chosen_index, progress
from .reopening import is_shown
from .targets import FEW, count_wanted

_CHANGED = {False: "whose embeddings changed", True: "whose picture changed on disk"}


class SyncIndex(QdrantOperator):
    """Adds what is missing, removes orphans, updates changed embeddings."""

    name = "sync_index"
    label = "Sync Qdrant Index"
    description = "Bring a Qdrant index up to date with its dataset"
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
        key = brain_key_input(ctx, inputs)
        if key is None:
            return

        try:
            index = load_index(ctx.dataset, key)
            _plan_inputs(ctx, inputs, index)
        except ConfigError as e:
            message(inputs, "drift", str(e), (), is_shown(ctx), types.Error)
        except QdrantPluginError as e:
            inputs.view("drift", types.Error(label=str(e)))

    def run(self, ctx: Any) -> dict[str, Any]:
        index, dry_run = chosen_index(ctx), ctx.params.get("dry_run", False)
        if not dry_run:
            started = start_in_background(self, ctx, "sync", index.key)
            if started is not None:
                return started

        samples = ctx.target_view()
        compare = bool(ctx.params.get("compare", True))
        if compare and are_compared(index):  # what is in MongoDB does not tell of files
            drift = find_drift(index, samples)
        else:
            drift = recent_drift(index, samples, compare)

        done = {
            "missing": len(drift.missing),
            "orphans": len(drift.orphans),
            "changed": len(drift.changed),
            "summary": drift.summary,
        }
        if not dry_run:
            _, ingested = sync(index, samples, drift, progress(ctx))
            done.update(
                added=ingested.new,
                updated=ingested.replaced,
                removed=len(drift.orphans),
                skipped=ingested.skipped,
            )

        return {**done, "points": index.total_index_size}

    def in_words(self, result: dict[str, Any]) -> str:
        return (
            f"{result['added']:,} added, {result['updated']:,} updated, "
            f"{result['removed']:,} removed"
        )

    def __call__(
        self,
        samples: SampleCollection,
        brain_key: str,
        dry_run: bool = False,
        delegate: bool = False,
        compare: bool = True,
    ) -> ExecutionResult:
        """Brings an index in step with a dataset.

        Args:
            samples: the dataset, or the view that should be indexed
            brain_key: the index
            dry_run (False): only say what drifted
            delegate (False): run it in a delegated worker
            compare (True): whether to compare the embeddings, or the files that a model
                embedded, as well; else only what is missing, or no longer there, is
                found

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the numbers
            of missing, orphan and changed points, and of those added, updated and
            removed
        """
        params = {"brain_key": brain_key, "dry_run": dry_run, "compare": compare}
        return self._run(samples, params, delegate)


def _plan_inputs(ctx: Any, inputs: Any, index: QdrantSimilarityIndex) -> None:
    """Says what would be done, as far as that takes no reading, or was asked for."""
    samples, points = ctx.target_view(), index.total_index_size
    from_field = bool(index.config.embeddings_field)
    from_files = are_compared(index)
    compares = bool(ctx.params.get("compare", False)) and (from_field or from_files)
    wanted = count_wanted(index, samples, points)
    small = wanted is not None and max(wanted, points) <= FEW
    if is_shown(ctx):
        looks = small or compares or bool(ctx.params.get("look"))
        drift = recent_drift(index, samples, compares) if looks else None
        surplus = None if wanted is None else wanted - points
        words, notes, stops = _plan(index, drift, surplus)
        idle = drift is not None and drift.obstacle is None
        message(inputs, "drift", words, notes, stops, types.Notice if idle else None)

    if not small:
        inputs.bool(
            "look",
            default=False,
            label="Compare all ids now",
            description="To see here what would be done; this may take a minute",
        )

    if from_field:
        inputs.bool(
            "compare",
            default=False,
            label=f"Also compare the {points:,} embeddings (slower)",
            description="To write those again that changed in the dataset",
        )
    elif from_files:
        inputs.bool(
            "compare",
            default=False,
            label=f"Also compare the {points:,} pictures on disk (slower)",
            description="To embed those again whose file has changed",
        )


def _plan(
    index: QdrantSimilarityIndex, drift: Drift | None, surplus: int | None
) -> tuple[str, list[str | None], bool]:
    """Returns what would be done, more words on that, and whether it cannot be.

    Args:
        index: the index
        drift: how it differs from the dataset, if that is known
        surplus: how many more the dataset has, if that is known
    """
    if drift is None:
        reason = why_not_embed(index) if surplus and surplus > 0 else None
        words = "Sync finds out which are missing, and which the dataset no longer has"
        if surplus:
            more = "more" if surplus > 0 else "fewer"
            words = f"The dataset has {abs(surplus):,} {more} than the index"

        return words, [reason], reason is not None

    tasks = (
        ("add", drift.missing, str(index.held)),
        ("remove", drift.orphans, "that the dataset no longer has"),
        ("update", drift.changed, _CHANGED[are_compared(index)]),
        ("repair", drift.behind, "that are not the same on all replicas"),
    )
    listed = [f"{verb} {len(ids):,} {what}" for verb, ids, what in tasks if ids]
    left = drift.shared and f"Points of others in the collection stay: {drift.shared}"
    if listed:
        obstacle = drift.obstacle
        return f"Will {', '.join(listed)}", [obstacle, left], obstacle is not None

    about = None
    if not drift.compared and (index.config.embeddings_field or are_compared(index)):
        what = "pictures on disk" if are_compared(index) else "embeddings"
        about = f"Their {what} were not compared"

    return "Up to date: nothing to add or remove", [about, left], True
