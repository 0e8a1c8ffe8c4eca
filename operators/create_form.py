"""The form of Create Qdrant Index: from which vectors, where, with what settings."""

from pathlib import Path
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant import plan_capacity
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.ingest.preflight import preflight
from fiftyone_qdrant.ingest.sources import NO_COLLECTION, NO_SOURCE
from fiftyone_qdrant.parameters.table import PARAMETERS
from fiftyone_qdrant.points import DISTANCES
from fiftyone_qdrant.qdrant.connection import KEYWORDS
from fiftyone_qdrant.quality.capacity import MOST_VECTORS

from .forms import (
    dropdown,
    given_settings,
    mark_invalid,
    mark_problem,
    settings_inputs,
)
from .place_form import (
    collection_inputs,
    engine_of,
    may_ask,
    place_arguments,
    place_inputs,
)
from .source_form import (
    ALLOWED_MODELS,
    ASKS_FOR,
    allowed_models,
    chosen_source,
    proposed_key,
    source_inputs,
    text_model_input,
    to_index,
)

_TABS = {"basic": "Basic", "advanced": "Advanced"}
_ARGUMENTS = ("brain_key", "embeddings", "model", "patches_field", "from_brain_key")
_CONFIG = ("collection_name", "metric", "vector_name")
_OF_THE_FORM = (
    *("tab", "preflight", "source", "text_model", "slices", "where", "ask"),
    *("quantization", "connect", "dry_run", "view_target", "prompt", "problem"),
    "expected",
)
_PARAMS = {*_ARGUMENTS, *_CONFIG, *PARAMETERS, *KEYWORDS, *_OF_THE_FORM}
_ELSEWHERE = {"model": "text_model", "url": "where", "path": "where"}


def create_inputs(ctx: Any, inputs: Any) -> None:
    """Adds all fields of the form, and what its choices would do and take."""
    tabs = types.TabsView()
    for name, label in _TABS.items():
        tabs.add_choice(name, label=label)

    inputs.enum("tab", tabs.values(), default="basic", view=tabs)
    inputs.str("preflight")  # its place; what it says comes last
    if ctx.params.get("tab", "basic") == "basic":
        _basic(ctx, inputs)
    else:
        _advanced(ctx, inputs)

    if not ctx.params.get("dry_run"):
        card = _card(ctx, inputs)
        inputs.get_property("preflight").view = card


def creation_arguments(ctx: Any) -> dict[str, Any]:
    """Returns the keywords of ``create_index()`` that the params give.

    A form sends empty fields as ``None`` or ``""``, and those that its choices hide.

    Raises:
        ConfigError: if a parameter is unknown, or an API key is among them
    """
    params = ctx.params
    unknown = sorted(set(params) - _PARAMS)
    if unknown:
        raise ConfigError(f"Unknown parameter {', '.join(map(repr, unknown))}")

    given = {name: params.get(name) for name in _ARGUMENTS}
    given |= {name: params.get(name) for name in _CONFIG}
    given |= given_settings(params)
    given |= place_arguments(ctx)

    source = chosen_source(ctx)
    if "source" in params:
        given.update(dict.fromkeys(_hidden(source)))
        if source in ("embeddings", "collection"):
            given["model"] = params.get("text_model")

        given["brain_key"] = given["brain_key"] or proposed_key(ctx, given)

    given["connect"] = source == "collection"
    return {name: value for name, value in given.items() if value not in (None, "")}


def _hidden(source: str) -> tuple[str, ...]:
    """Returns what the form does not show for a source, whatever it still sends."""
    hidden = {
        "embeddings": ("from_brain_key", "vector_name"),
        "model": ("embeddings", "from_brain_key", "vector_name"),
        "run": ("embeddings", "model", "patches_field", "metric", "vector_name"),
        "collection": ("embeddings", "from_brain_key", "metric", *PARAMETERS),
    }
    return hidden[source]


def _basic(ctx: Any, inputs: Any) -> None:
    source = chosen_source(ctx)
    source_inputs(ctx, inputs)
    place_inputs(ctx, inputs)
    if source == "collection":
        collection_inputs(ctx, inputs)

    from_form, known = "source" in ctx.params, _known(ctx)
    proposal = known.get("brain_key") if ASKS_FOR[source][0] in known else None
    inputs.str(
        "brain_key",
        required=not from_form,
        label="Brain key",
        description="The name of the index: letters, digits and underscores",
        view=types.TextFieldView(placeholder=proposal),
    )
    if source in ("embeddings", "collection"):
        text_model_input(ctx, inputs)


def _known(ctx: Any) -> dict[str, Any]:
    """What the params have of that which a key is proposed from."""
    try:
        return creation_arguments(ctx)
    except ConfigError:  # the card says it
        return {}


def _advanced(ctx: Any, inputs: Any) -> None:
    source, engine = chosen_source(ctx), engine_of(ctx)
    if source == "collection":
        words = "The collection keeps its settings. Tune Qdrant Index changes them"
        inputs.view("kept", types.Notice(label=words))
        return

    if source != "run":
        inputs.enum(
            "metric",
            list(DISTANCES),
            default="cosine",
            label="Metric",
            view=dropdown(list(DISTANCES)),
        )

    inputs.str(
        "collection_name",
        label="Collection",
        description="Empty makes a new name from the dataset's",
    )
    inputs.int(
        "expected",
        min=1,
        max=MOST_VECTORS,
        label="How large will it get?",
        description="Vectors in the end: what that takes is said above, and not set",
    )
    settings_inputs(ctx, inputs, engine)


def _card(ctx: Any, inputs: Any) -> types.View:
    """Returns what would happen, or why it cannot; then the form cannot be sent."""
    try:
        arguments = creation_arguments(ctx)
    except ConfigError as e:
        return _refuse(inputs, [(str(e), None)])

    missing = _missing(ctx, arguments)
    if missing:
        mark_invalid(inputs, "preflight", missing)
        return types.Notice(label=missing)

    wrong = _not_allowed(ctx, arguments)
    if wrong:
        return _refuse(inputs, [wrong])

    found = preflight(to_index(ctx), **arguments, ask=may_ask(ctx))
    if not found.ok:
        return _refuse(inputs, [(p.text, p.where) for p in found.problems])

    verb = "connect" if arguments["connect"] else "create"
    lines = [*found.lines, *_planned(ctx, found.size)]
    return types.AlertView(
        severity="warning" if found.warnings else "success",
        label=f"Ready to {verb} '{arguments['brain_key']}'",
        description=" · ".join(lines).replace(str(Path.home()), "~"),
    )


def _planned(ctx: Any, size: int | None) -> list[str]:
    """What the vectors that are expected in the end will take, in sentences."""
    expected = ctx.params.get("expected")
    if not expected:
        return []

    if size is None:
        return ["How large it gets depends on the dimensions, which are not known yet"]

    return [f"{expected:,} vectors: {p}" for p in plan_capacity(int(expected), size)]


def _missing(ctx: Any, arguments: dict[str, Any]) -> str | None:
    """Returns what must be chosen yet, in words."""
    source, from_form = chosen_source(ctx), "source" in ctx.params
    name, words = ASKS_FOR[source]
    if name not in arguments:
        if from_form or not ctx.params:
            return words

        return NO_COLLECTION if source == "collection" else NO_SOURCE

    if ctx.params.get("where") == "server" and not arguments.get("url"):
        return "Type the URL of the server"

    return None if "brain_key" in arguments else "Give it a brain key"


def _not_allowed(ctx: Any, arguments: dict[str, Any]) -> tuple[str, str] | None:
    allowed, model = allowed_models(ctx), arguments.get("model")
    if allowed and model and model not in allowed:
        return f"Model '{model}' is none of {ALLOWED_MODELS}", "model"

    return None


def _refuse(inputs: Any, problems: list[Any]) -> types.View:
    """Marks the fields that are wrong; the card says all, whatever the tab shows."""
    for text, where in problems:
        if where is not None and not mark_problem(inputs, where, text):
            mark_problem(inputs, _ELSEWHERE.get(where, where), text)

    words = ". ".join(text for text, _ in problems)
    mark_invalid(inputs, "preflight", words)
    return types.Error(label="This cannot be created yet", description=words)
