"""Select Examples: tick what was the query again once the App shows its matches."""

from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.dataset import scope

from .qdrant_operator import QdrantOperator

_TRIES = 40  # each is a request of the App's


def select_examples(ctx: Any, view: Any, ids: Any) -> None:
    """Has the App select ids as soon as it shows a view: what it shows now is reset.

    Args:
        ctx: the execution context
        view: a view that :func:`.scope.mark` marked
        ids: ids of what it shows
    """
    _trigger(ctx, {"result": scope.mark_of(view), "ids": ids, "tries": _TRIES})


class SelectExamples(QdrantOperator):
    """Started by Query Similar only: FiftyOne tells nobody that a view is shown."""

    name = "select_examples"
    label = "Select Examples"
    description = "Select what was looked for, among what was found"
    risk_level = types.RiskLevel.LOW
    can_be_scheduled = False
    unlisted = True

    def form(self, ctx: Any, inputs: Any) -> None:
        pass

    def run(self, ctx: Any) -> None:
        params = ctx.params
        if ctx.has_custom_view and scope.mark_of(ctx.view) == params["result"]:
            ctx.ops.set_selected_samples(params["ids"])
        elif params["tries"] > 0:
            _trigger(ctx, {**params, "tries": params["tries"] - 1})


def _trigger(ctx: Any, params: dict[str, Any]) -> None:
    ctx.trigger("@community/qdrant/select_examples", params=params)
