"""Query Similar: show the nearest samples or patches to a query, best first."""

import fiftyone.operators as foo
import fiftyone.operators.types as types

from fiftyone_qdrant.matches import find_similar, ids_of_selection

from .forms import brain_key_input, selection_notice
from .qdrant_operator import ICONS, QdrantOperator, chosen_index, selected_ids

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
        # FiftyOne draws one icon on both themes here: the brighter one
        icon = ICONS["dark_icon"]
        button = types.Button(label="Query Similar", icon=icon, prompt=True)
        return types.Placement(types.Places.SAMPLES_GRID_SECONDARY_ACTIONS, button)

    def form(self, ctx, inputs):
        key = brain_key_input(ctx, inputs)
        query = ctx.params.get("query")
        listed = isinstance(query, list)  # ids or a vector, from Python
        if key is not None and not listed and _supports_prompts(ctx, key):
            inputs.str(
                "query",
                label="Text",
                description="What to look for; empty uses the selection",
            )

        if not query:
            selection_notice(ctx, inputs)

        inputs.int(
            "k",
            default=_DEFAULT_K,
            min=0,
            label="Number of matches",
            description="0 ranks everything",
        )
        inputs.bool("reverse", default=False, label="Least similar first")
        inputs.str(
            "dist_field",
            label="Distance field",
            description="Store the distances in this field of the samples or labels",
        )

    def execute(self, ctx):
        params = ctx.params
        samples = ctx.view if ctx.has_custom_view else ctx.dataset
        index = chosen_index(ctx, samples)
        query = params.get("query")
        if query is None or query == "":
            query = ids_of_selection(index, **selected_ids(ctx, index))

        matches = find_similar(
            index,
            query,
            k=params.get("k", _DEFAULT_K) or None,
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
            k (25): the number of matches; 0 for all
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


def _supports_prompts(ctx, key):
    return ctx.dataset.get_brain_info(key).config.supports_prompts
