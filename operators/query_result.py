"""What the App shows of the answer to a query: the view, the selection, a sentence."""

from typing import Any

from fiftyone_qdrant.index.distance_field import with_distances
from fiftyone_qdrant.matches import find_similar
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.words import distance_in_words

from .query_form import is_open_sample
from .select_examples import select_examples

_LONG = 60  # letters of a query that a sentence quotes


def show(ctx: Any, index: QdrantSimilarityIndex, asked: Any, matches: Any) -> None:
    """Shows matches in the grid and says what they are.

    Args:
        ctx: the execution context
        index: the index
        asked: the arguments of ``find_similar()``
        matches: its answer
    """
    if not matches.ids:
        ctx.ops.notify(_nothing(index, asked), variant="warning")
        return

    view, field = matches.view, None if matches.patches else asked["dist_field"]
    if field is None and ctx.params.get("show_distances"):
        view, field = with_distances(view, matches.shown)

    shown = ctx.active_fields or []
    if field is not None and field not in shown:
        ctx.ops.reload_dataset()  # the App may not know the field yet

    ctx.ops.set_view(view=view)
    if field is not None and field not in shown:
        ctx.ops.set_active_fields([*shown, field])

    if ctx.current_sample:
        ctx.ops.close_sample()  # it covers the grid

    examples = _examples(ctx, asked, matches)
    if examples:
        select_examples(ctx, view, examples)

    ctx.ops.notify(_sentence(ctx, index, asked, matches), variant="success")


def _examples(ctx: Any, asked: dict[str, Any], matches: Any) -> list[str]:
    """Returns which of the shown samples or patches were the query."""
    if ctx.params["tab"] != "selected":
        return []

    looked_for = [*asked["query"], *(ctx.selected or [])]
    return [i for i in dict.fromkeys(looked_for) if i in matches.shown]


def _sentence(ctx: Any, index: QdrantSimilarityIndex, asked: Any, matches: Any) -> str:
    kind = "least similar" if asked["reverse"] else "nearest"
    ends = [
        distance_in_words(d) for d in (min(matches.distances), max(matches.distances))
    ]
    distances = " to ".join(dict.fromkeys(ends))
    return (
        f"{len(matches.ids):,} {kind} to {_query(ctx, index, asked)} ({index.key}), "
        f"{distances}"
    )


def _query(ctx: Any, index: QdrantSimilarityIndex, asked: dict[str, Any]) -> str:
    tab = ctx.params["tab"]
    query: Any = asked.get("query")
    if tab == "text":
        quoted = query if len(query) <= _LONG else f"{query[:_LONG]}…"
        return f"'{quoted}'"

    if tab == "image":
        image = ctx.params.get("image")
        return (image.get("name") if isinstance(image, dict) else None) or "the image"

    if tab == "vector":
        return "the vector"

    if is_open_sample(ctx, index):
        return "the open sample"

    what = "sample" if index.config.patches_field is None else "label"
    if len(query) == 1:
        return f"the selected {what}"

    return f"{len(query):,} selected {what}s"


def _nothing(index: QdrantSimilarityIndex, asked: Any) -> str:
    if asked.get("max_distance") is None:
        return "Nothing matches the query"

    nearest = find_similar(index, **{**asked, "max_distance": None, "k": 1})
    if not nearest.ids:
        return "Nothing matches the query"

    return (
        f"Nothing is within {distance_in_words(asked['max_distance'])}: the nearest "
        f"is at {distance_in_words(nearest.distances[0])}"
    )
