"""The form of Query Similar: what to look for, where, and how."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant import load_index
from fiftyone_qdrant.errors import ConfigError, QdrantPluginError
from fiftyone_qdrant.index.distance_field import DistanceField
from fiftyone_qdrant.matches import (
    check_ids,
    ids_of_selection,
    ids_with_tag,
    missing_ids,
    parse_vector,
    tags,
)
from fiftyone_qdrant.search.images import check as check_image
from fiftyone_qdrant.search.options import QueryOptions
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

from .forms import brain_key_input, dropdown, mark_invalid, selection_notice
from .last_query import recall
from .qdrant_operator import selected_ids
from .query_scope import scope_input, searched

DEFAULT_K = 25

_TABS = {"selected": "Selected", "text": "Text", "image": "Image", "vector": "Vector"}
_UNLIKE = {
    "nothing": "Nothing",
    "tag": "What has a tag",
    "selection": "The selection",
    "ids": "IDs",
}
_IMAGES = ".png,.jpg,.jpeg,.webp,.bmp,.tif,.tiff"
_MAX_BYTES = 10_000_000  # in base64, within MongoDB's limit if it is scheduled


def query_inputs(ctx: Any, inputs: Any) -> None:
    """Adds all fields of the form."""
    last = recall(ctx)
    key = brain_key_input(ctx, inputs, last.get("brain_key"))
    if key is None:
        return

    try:
        index = load_index(ctx.dataset, key)
    except QdrantPluginError as e:
        inputs.view("failure", types.Error(label=str(e)))
        return

    opened = _opened(ctx, index)
    tab = _tab(ctx.params, opened)
    if tab is not None:
        tabs = types.TabsView()
        for name, label in _TABS.items():
            tabs.add_choice(name, label=label)

        inputs.enum("tab", tabs.values(), default=opened, view=tabs)
        if tab in _TABS:
            _WHAT[tab](ctx, inputs, index)
        else:
            mark_invalid(inputs, "tab", _no_tab(tab))

    inputs.int(
        "k",
        default=last.get("k", DEFAULT_K),
        min=0,
        label="Number of matches",
        description="0 ranks everything",
    )
    scope_input(ctx, inputs)
    reverse = last.get("reverse", False)
    inputs.bool("reverse", default=reverse, label="Least similar first")
    _distances(ctx, inputs, index, last)
    refine = last.get("refine", False)
    inputs.bool("refine", default=refine, label="More options", view=types.SwitchView())
    if ctx.params.get("refine", refine):
        _unlike(ctx, inputs, index, tab)
        _refinements(inputs, last)

    for option, sentence in QueryOptions(**_options(ctx.params)).problems().items():
        name = "negatives_from" if option == "negatives" else option
        if inputs.get_property(name) is not None:
            mark_invalid(inputs, name, sentence)


def arguments(ctx: Any, index: QdrantSimilarityIndex) -> dict[str, Any]:
    """Returns what the params ask for, as arguments of ``find_similar()``.

    Raises:
        QdrantPluginError: if the tab, the selection, the tag, the ids or the vector
            are no query
    """
    params = ctx.params
    options = _options(params)
    del options["negatives"]
    return {
        **_looked_for(ctx, index),
        "negatives": _negatives(ctx, index),
        "dist_field": params.get("dist_field") or None,
        "overwrite": params.get("overwrite") is True,
        **options,
    }


def _tab(params: dict[str, Any], opened: str = "selected") -> Any:
    """Returns the open tab, or ``None`` if Python gives the query."""
    if "tab" in params:
        return params["tab"]

    query = params.get("query")
    given = query is not None and len(query) > 0
    return None if given or params.get("image") is not None else opened


def _opened(ctx: Any, index: QdrantSimilarityIndex) -> str:
    """Returns the tab that the form opens on."""
    if ctx.selected or ctx.selected_labels or ctx.current_sample:
        return "selected"

    return "text" if index.config.supports_prompts else "selected"


def is_open_sample(ctx: Any, index: QdrantSimilarityIndex) -> bool:
    """Whether the sample that is open in the App is the query: nothing is selected."""
    labels = ctx.selected_labels and index.config.patches_field is not None
    return bool(ctx.current_sample) and not (ctx.selected or labels)


def _examples(ctx: Any, index: QdrantSimilarityIndex) -> list[str]:
    """Returns the ids of what is selected, else of the sample that is open."""
    opened = [ctx.current_sample] if ctx.current_sample else []
    return ids_of_selection(index, **selected_ids(ctx, index, otherwise=opened))


def _looked_for(ctx: Any, index: QdrantSimilarityIndex) -> dict[str, Any]:
    params = ctx.params
    tab = _tab(params)
    if tab == "selected":
        return {"query": _examples(ctx, index)}

    if tab == "vector":
        return {"query": parse_vector(index, params.get("vector") or "")}

    if tab not in (None, *_FIELDS):
        raise ConfigError(_no_tab(tab))

    wanted = ("query", "image") if tab is None else (_FIELDS[tab],)
    return {name: params.get(name) for name in wanted}


def _negatives(ctx: Any, index: QdrantSimilarityIndex) -> Any:
    params = ctx.params
    if "tab" not in params:
        return params.get("negatives")

    unlike = params.get("negatives_from") if params.get("refine") else None
    if unlike == "tag":
        return ids_with_tag(index, params.get("negatives_tag"))

    if unlike == "selection":
        return _examples(ctx, index)

    if unlike != "ids":
        return None

    ids = _split(params.get("negatives_ids"))
    check_ids(index, ids)
    return ids


def _options(params: dict[str, Any]) -> dict[str, Any]:
    """Returns the arguments of :class:`QueryOptions`; empty fields are the defaults."""
    k = params.get("k")
    k = DEFAULT_K if k is None else k
    options = {"k": k or None, "reverse": params.get("reverse", False)}
    if "tab" in params and not params.get("refine"):
        return {**options, "negatives": False}

    for name in ("max_distance", "diversity", "hnsw_ef"):
        value = params.get(name)
        options[name] = None if value == "" else value

    unlike = params.get("negatives_from", "nothing")
    return {
        **options,
        "exact": params.get("exact", False),
        "negatives": unlike != "nothing",
    }


# --- what to look for -----------------------------------------------------------


def _no_tab(tab: Any) -> str:
    return f"There is no tab {str(tab)[:40]!r}. There are {', '.join(_TABS)}"


def _selected(ctx: Any, inputs: Any, index: QdrantSimilarityIndex) -> None:
    if is_open_sample(ctx, index):
        inputs.view("selection", types.Notice(label="The open sample"))
    else:
        selection_notice(ctx, inputs)
        if not (ctx.selected or ctx.selected_labels):
            return

    try:
        ids = _examples(ctx, index)
        problem = _not_indexed(len(missing_ids(index, ids)), len(ids), index)
    except QdrantPluginError as e:
        problem = str(e)

    if problem:
        inputs.str("selection", view=types.Warning(label=problem))
        mark_invalid(inputs, "selection", problem)


def _not_indexed(lacking: int, total: int, index: QdrantSimilarityIndex) -> str | None:
    if not lacking:
        return None

    which = f"{lacking:,} of the {total:,} examples" if total > 1 else "The example"
    verb, them = ("is", "it") if lacking == 1 else ("are", "them")
    return (
        f"{which} {verb} not in index '{index.key}'. Add {them} first, or choose others"
    )


def _text(ctx: Any, inputs: Any, index: QdrantSimilarityIndex) -> None:
    inputs.str("query", label="Text", description="What to look for")
    if not index.config.supports_prompts:
        words = "The model of this index does not embed text, or it has none"
        mark_invalid(inputs, "query", words)
    elif not ctx.params.get("query"):
        mark_invalid(inputs, "query", "Type what to look for")


def _image(ctx: Any, inputs: Any, index: QdrantSimilarityIndex) -> None:
    image = ctx.params.get("image")
    inputs.uploaded_file(
        "image",
        label="Image",
        description="A picture to look for; it does not become part of the dataset",
    )
    if index.config.model is None:
        mark_invalid(inputs, "image", "This index has no model to embed the image with")
    elif not image:
        mark_invalid(inputs, "image", "Choose a file")
    elif not isinstance(image, dict) or image.get("content"):
        with _said_at(inputs, "image"):
            check_image(image)

    field = inputs.get_property("image")
    field.view = types.FileView(
        types=_IMAGES,
        max_size=_MAX_BYTES,
        max_size_error_message="The file is larger than 10 MB",
        lite=bool(image) and not field.invalid,  # what was read is not sent again
    )


def _vector(ctx: Any, inputs: Any, index: QdrantSimilarityIndex) -> None:
    inputs.str(
        "vector",
        label="Vector",
        description="An embedding: numbers with commas between them, or a JSON list",
    )
    with _said_at(inputs, "vector"):
        parse_vector(index, ctx.params.get("vector") or "")


_WHAT = {"selected": _selected, "text": _text, "image": _image, "vector": _vector}
_FIELDS = {"text": "query", "image": "image"}


# --- what it should be unlike, and how to search --------------------------------


def _unlike(ctx: Any, inputs: Any, index: QdrantSimilarityIndex, tab: Any) -> None:
    names = {n: v for n, v in _UNLIKE.items() if (n, tab) != ("selection", "selected")}
    inputs.enum(
        "negatives_from",
        list(names),
        default="nothing",
        label="Unlike",
        description="Push results away from these examples",
        view=dropdown(names, names),
    )
    unlike = ctx.params.get("negatives_from", "nothing")
    if unlike not in names:
        words = "The selection is what you look for: choose other examples"
        mark_invalid(inputs, "negatives_from", words)
    elif unlike == "tag":
        known = tags(index)
        inputs.enum("negatives_tag", known, label="Tag", view=dropdown(known))
        if ctx.params.get("negatives_tag") not in known:
            words = "Choose a tag" if known else "Nothing has a tag yet"
            mark_invalid(inputs, "negatives_tag", words)
    elif unlike == "ids":
        inputs.str(
            "negatives_ids",
            label="IDs",
            description="Ids of samples, or of labels, with spaces or commas between",
        )
        ids = _split(ctx.params.get("negatives_ids"))
        if not ids:
            mark_invalid(inputs, "negatives_ids", "Paste at least one id")
        else:
            with _said_at(inputs, "negatives_ids"):
                check_ids(index, ids)
    elif unlike == "selection":
        selection_notice(ctx, inputs)


def _split(text: Any) -> Any:
    return [i for i in re.split(r"[\s,;\"'\[\]]+", str(text or "")) if i]


def _distances(ctx: Any, inputs: Any, index: QdrantSimilarityIndex, last: Any) -> None:
    inputs.bool(
        "show_distances",
        default=last.get("show_distances", True),
        label="Show distances in the grid",
        description="Without storing them in the dataset",
    )
    inputs.str(
        "dist_field",
        default=last.get("dist_field"),
        label="Distance field",
        description=(
            "Store the distances in this field of the samples or labels, in place of "
            "those of the query before"
        ),
    )
    name = ctx.params.get("dist_field")
    if not name:
        return

    field = DistanceField(searched(ctx), name, index.config.patches_field)
    with _said_at(inputs, "dist_field"):
        field.check(overwrite=True)
        if field.replaces:
            inputs.bool(
                "overwrite",
                default=False,
                label=f"'{name}' may lose its values",
                description="The field exists, and was not made for distances",
            )
            with _said_at(inputs, "overwrite"):
                field.check(ctx.params.get("overwrite") is True)


@contextmanager
def _said_at(inputs: Any, name: str) -> Iterator[Any]:
    """Says at a field what is wrong with it."""
    try:
        yield
    except QdrantPluginError as e:
        mark_invalid(inputs, name, str(e))


def _refinements(inputs: Any, last: Any) -> None:
    inputs.float(
        "max_distance",
        default=last.get("max_distance"),
        label="Largest distance",
        description="Hide matches farther than this",
    )
    inputs.float(
        "diversity",
        default=last.get("diversity"),
        label="Diversity",
        description="0 = most similar, 1 = most varied. Empty: most similar",
    )
    inputs.bool(
        "exact",
        default=last.get("exact", False),
        label="Exact",
        description="Compare with every point instead of using the HNSW graph",
    )
    inputs.int(
        "hnsw_ef",
        default=last.get("hnsw_ef"),
        label="Search effort (hnsw_ef)",
        description=(
            "Candidates kept while the HNSW graph is searched. More: slower, misses "
            "less. Empty: as many as matches"
        ),
    )
