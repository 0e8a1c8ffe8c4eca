"""Query Similar: show the nearest samples or patches to a query, best first."""

import fiftyone.operators as foo
import fiftyone.operators.types as types

from fiftyone_qdrant.matches import find_similar
from fiftyone_qdrant.runs import load_index

from .forms import brain_key_input, selection_notice
from .qdrant_operator import ICONS, QdrantOperator, selected_ids

_DEFAULT_K = 25


class QuerySimilar(QdrantOperator):
    """Finds the samples or patches most (or least) similar to a query."""

    @property
    def config(self):
        return foo.OperatorConfig(
            name="query_similar",
            label="Query Similar",
            description="Find what is most similar to the selection or a text",
            dynamic=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.LOW,
            **ICONS,
        )

    def resolve_placement(self, ctx):
        button = types.Button(label="Query Similar", icon=ICONS["icon"], prompt=True)
        return types.Placement(types.Places.SAMPLES_GRID_SECONDARY_ACTIONS, button)

    def resolve_input(self, ctx):
        inputs = types.Object()
        key = brain_key_input(ctx, inputs)
        if key is not None and _prompts(ctx, key):
            inputs.str(
                "query",
                label="Text",
                description="What to look for; empty uses the selection",
            )

        if not ctx.params.get("query"):
            selection_notice(ctx, inputs)

        inputs.int("k", default=_DEFAULT_K, min=1, label="Number of matches")
        inputs.bool("reverse", default=False, label="Least similar first")
        inputs.str(
            "dist_field",
            label="Distance field",
            description="Store the distances in this field of the samples or labels",
        )
        return types.Property(inputs, view=types.View(label="Query Similar"))

    def execute(self, ctx):
        params = ctx.params
        samples = ctx.view if ctx.has_custom_view else ctx.dataset
        index = load_index(samples, params["brain_key"])
        query = params.get("query")
        if query is None or query == "":
            (query,) = selected_ids(ctx, index).values()

        matches = find_similar(
            index,
            query,
            k=params.get("k", _DEFAULT_K),
            reverse=params.get("reverse", False),
            dist_field=params.get("dist_field") or None,
        )
        ctx.ops.set_view(view=matches.view)
        return matches.to_dict()

    def __call__(
        self,
        samples,
        brain_key,
        query=None,
        k=_DEFAULT_K,
        reverse=False,
        dist_field=None,
        selected=None,
        delegate=False,
    ):
        """Finds the samples or labels most similar to a query.

        Args:
            samples: the dataset or view to search in
            brain_key: the index
            query (None): an id or ids, a vector (list of floats) or a text prompt
            k (25): the number of matches
            reverse (False): return the least similar, least similar first
            dist_field (None): a field to store the distances in
            selected (None): the ids to query with, when there is no ``query``
            delegate (False): run it in a delegated worker

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with ``ids``,
            ``sample_ids``, ``distances`` (smaller is nearer) and ``scores``
            (Qdrant's own), best first, and ``label_ids`` for an index of patches
        """
        params = {
            "brain_key": brain_key,
            "query": query,
            "k": k,
            "reverse": reverse,
            "dist_field": dist_field,
        }
        return self._run(samples, params, delegate, selected)


def _prompts(ctx, key):
    return ctx.dataset.get_brain_info(key).config.supports_prompts
