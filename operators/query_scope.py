"""Where Query Similar searches: the dataset, the view, or the last result."""

from typing import Any

from fiftyone_qdrant.dataset import scope
from fiftyone_qdrant.dataset.scope import count_in_words

from .forms import dropdown


def scope_input(ctx: Any, inputs: Any) -> None:
    """Adds the choice of where to search, if there is one.

    It is what was looked at before the last query, so that queries do not nest.
    """
    if not ctx.has_custom_view:
        return

    searched = scope.before(ctx.view)
    places = {"dataset": f"Entire dataset ({count_in_words(ctx.dataset)})"}
    if searched is ctx.view:
        places["view"] = f"This view ({count_in_words(searched)})"
    else:
        if searched is not ctx.dataset:
            places["view"] = f"The view before ({count_in_words(searched)})"

        places["results"] = f"Within these {count_in_words(ctx.view)}"

    inputs.enum(
        "within",
        list(places),
        default="view" if "view" in places else "dataset",
        label="Search in",
        view=dropdown(places, places),
    )


def searched(ctx: Any) -> Any:
    """Returns what the form says to search in; without it, the dataset or view."""
    within = ctx.params.get("within")
    if within == "dataset" or not ctx.has_custom_view:
        return ctx.dataset

    return scope.before(ctx.view) if within == "view" else ctx.view
