"""Query Similar: show the nearest samples or patches to a query, best first."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant import find_similar

from .last_query import remember
from .qdrant_operator import ICONS, QdrantOperator, chosen_index
from .query_form import DEFAULT_K, arguments, query_inputs
from .query_result import show
from .query_scope import searched


class QuerySimilar(QdrantOperator):
    """Finds the samples or patches most (or least) similar to a query."""

    name = "query_similar"
    label = "Query Similar"
    description = "Find what is similar to the selection, a text or an image"
    risk_level = types.RiskLevel.LOW

    def resolve_placement(self, ctx: Any) -> Any:
        # FiftyOne draws one icon on both themes here: the brighter one
        icon = ICONS["dark_icon"]
        button = types.Button(label="Query Similar", icon=icon, prompt=True)
        return types.Placement(types.Places.SAMPLES_GRID_SECONDARY_ACTIONS, button)

    def form(self, ctx: Any, inputs: Any) -> None:
        query_inputs(ctx, inputs)

    def run(self, ctx: Any) -> dict[str, Any]:
        index = chosen_index(ctx, searched(ctx))
        asked = arguments(ctx, index)
        matches = find_similar(index, **asked)
        if "tab" in ctx.params:
            remember(ctx)
            show(ctx, index, asked, matches)
        elif matches.ids:
            ctx.ops.set_view(view=matches.view)
        else:
            ctx.ops.notify("Nothing matches the query", variant="warning")

        return matches.to_dict()

    def __call__(
        self,
        samples: Any,
        brain_key: str,
        query: str | Sequence[Any] | None = None,
        k: int = DEFAULT_K,
        reverse: bool = False,
        dist_field: str | None = None,
        selected: Sequence[str] | None = None,
        delegate: bool = False,
        *,
        overwrite: bool = False,
        image: str | os.PathLike[str] | bytes | None = None,
        negatives: Sequence[Any] | None = None,
        max_distance: float | None = None,
        diversity: float | None = None,
        exact: bool = False,
        hnsw_ef: int | None = None,
    ) -> Any:
        """Finds the samples or labels most similar to a query.

        Args:
            samples: the dataset or view to search in
            brain_key: the index
            query (None): an id or ids, a vector (list of floats) or a text prompt
            k (25): the number of matches; 0 for all
            reverse (False): return the least similar, least similar first
            dist_field (None): a field to store the distances in, in place of those of
                the query before
            selected (None): the ids to query with, when there is no ``query``
            delegate (False): run it in a delegated worker
            overwrite (False): whether ``dist_field`` may be a float field that has
                other values, which are lost
            image (None): in place of ``query``, the path or the bytes of an image
            negatives (None): ids, vectors or prompts that matches should be unlike.
                Examples are no matches then, and distances are to the combination
            max_distance (None): the largest distance of a match
            diversity (None): from 0, the nearest, to 1, those among them that differ
                most from each other
            exact (False): compare with every point instead of using the HNSW graph
            hnsw_ef (None): how many candidates to keep while searching the graph

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with ``ids``,
            ``sample_ids``, ``distances`` (smaller is nearer) and ``scores``
            (Qdrant's own), best first, and ``label_ids`` for an index of patches
        """
        if isinstance(image, bytes):
            image = base64.b64encode(image).decode()

        params = {
            "brain_key": brain_key,
            "query": query,
            "image": None if image is None else os.fspath(image),
            "negatives": negatives,
            "k": k,
            "reverse": reverse,
            "dist_field": dist_field,
            "overwrite": overwrite,
            "max_distance": max_distance,
            "diversity": diversity,
            "exact": exact,
            "hnsw_ef": hnsw_ef,
        }
        return self._run(samples, params, delegate, selected)
