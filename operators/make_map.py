"""Make Map: the 2-D map of the Embeddings panel, from an index."""

from __future__ import annotations

from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant import make_map

from .forms import brain_key_input, message
from .in_background import start_in_background
from .qdrant_operator import QdrantOperator, chosen_index
from .scanning import PANEL, at_work

_KIND = "map"


class MakeMap(QdrantOperator):
    """Makes the map of an index; Qdrant Curate opens it."""

    name = "make_map"
    label = "Make Map"
    description = "Lay out an index for the Embeddings panel of FiftyOne"
    risk_level = types.RiskLevel.LOW
    on_views = False
    unlisted = True
    title = "Map made"
    outputs = (("run_key", "In the Embeddings panel"),)

    def form(self, ctx: Any, inputs: Any) -> None:
        if brain_key_input(ctx, inputs) is not None:
            words = "The embeddings are read once and laid out in 2-D"
            about = "That takes half a minute; of many, a sample is laid out"
            message(inputs, "about", words, [about])

    def run(self, ctx: Any) -> dict[str, Any]:
        key = str(chosen_index(ctx).key)
        started = start_in_background(self, ctx, _KIND, key, PANEL)
        if started is not None:
            return started

        with at_work(self, ctx, _KIND, key) as progress:
            made = make_map(ctx.dataset, key, progress=progress)

        return {"brain_key": key, "run_key": made}

    def in_words(self, result: dict[str, Any]) -> str:
        return f"it is '{result['run_key']}' in the Embeddings panel"
