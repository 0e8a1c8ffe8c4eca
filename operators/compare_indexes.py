"""Compare Indexes: how far two indexes give the same neighbors."""

from typing import Any

import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import compare_indexes, list_indexes
from fiftyone_qdrant.errors import ConfigError

from .forms import brain_key_input, dropdown, mark_invalid
from .qdrant_operator import QdrantOperator

_MOST = {"queries": 2000, "k": 1000}


class CompareIndexes(QdrantOperator):
    """Asks two indexes the same, and says how much of the answers both have."""

    name = "compare_indexes"
    label = "Compare Indexes"
    description = "Compare the neighbors that two Qdrant indexes give the same samples"
    risk_level = types.RiskLevel.LOW
    on_views = False
    title = "Compare Indexes"
    outputs = (("summary", "Overlap"), ("least", "Least alike"))

    def form(self, ctx: Any, inputs: Any) -> None:
        if two_keys_inputs(ctx, inputs) is None:
            return

        inputs.int(
            "queries",
            default=200,
            min=1,
            max=_MOST["queries"],
            label="Queries",
            description="How many of the first index's points to ask for",
        )
        inputs.int(
            "k", default=25, min=1, max=_MOST["k"], label="Neighbors of each query"
        )

    def run(self, ctx: Any) -> dict[str, Any]:
        keys = two_keys(ctx)
        given = {name: ctx.params[name] for name in _MOST if name in ctx.params}
        found = compare_indexes(ctx.dataset, *keys, **given)
        order = found.overlaps.argsort(kind="stable")
        least = [found.queries[row] for row in order]
        asked, share = len(found.queries), f"{found.overlap:.1%}"
        return {
            "overlap": found.overlap,
            "queries": least,
            "overlaps": [float(found.overlaps[row]) for row in order],
            "hits": [found.hits[row] for row in order],
            "other_hits": [found.other_hits[row] for row in order],
            "summary": f"{share} of the neighbors of {asked:,} points are the same",
            "least": ", ".join(least[:3]),
        }

    def __call__(
        self,
        samples: SampleCollection,
        brain_key: str,
        other_key: str,
        queries: int = 200,
        k: int = 25,
        delegate: bool = False,
    ) -> ExecutionResult:
        """Compares the neighbors that two indexes give the same ids.

        Args:
            samples: the dataset
            brain_key: an index
            other_key: another one, of the same samples or patches
            queries (200): how many ids to ask for
            k (25): how many neighbors to compare
            delegate (False): run it in a delegated worker

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the
            ``overlap``, from 0 to 1, and of each query, the least alike first, its id
            in ``queries``, its share in ``overlaps``, and its ``hits`` and
            ``other_hits``
        """
        params = {"brain_key": brain_key, "other_key": other_key}
        return self._run(samples, {**params, "queries": queries, "k": k}, delegate)


def two_keys(ctx: Any) -> tuple[str, str]:
    """Returns the two brain keys that the params name; raises ConfigError if not."""
    keys = ctx.params.get("brain_key"), ctx.params.get("other_key")
    if not all(keys):
        raise ConfigError("Give the brain keys of two indexes: brain_key and other_key")

    return str(keys[0]), str(keys[1])


def two_keys_inputs(ctx: Any, inputs: Any) -> tuple[str, str] | None:
    """Adds the choice of two indexes; returns their keys, or ``None`` without two."""
    first = brain_key_input(ctx, inputs)
    if first is None:
        return None

    others = [key for key in list_indexes(ctx.dataset) if key != first]
    if not others:
        warning = types.Warning(label=f"'{first}' is the only index of this dataset")
        inputs.str("other_key", view=warning)
        mark_invalid(inputs, "other_key", "A second index is needed")
        return None

    inputs.enum(
        "other_key",
        others,
        default=others[0],
        label="Other index",
        view=dropdown(others),
    )
    second = ctx.params.get("other_key") or others[0]
    if second in others:
        return first, second

    mark_invalid(inputs, "other_key", f"'{second}' is no other Qdrant index")
    return None
