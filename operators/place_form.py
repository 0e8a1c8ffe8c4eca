"""Where a new index goes: part of the form of Create Qdrant Index."""

from pathlib import Path
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.errors import QdrantPluginError
from fiftyone_qdrant.index.naming import described_names
from fiftyone_qdrant.qdrant.configured import ENVIRONMENT, default_path
from fiftyone_qdrant.qdrant.connection import SERVER, resolve
from fiftyone_qdrant.status.indexes import impatient

from .forms import dropdown
from .qdrant_operator import connection_keywords

_PLACES = {"embedded": "Another embedded store", "server": "A Qdrant server"}


def place_arguments(ctx: Any) -> dict[str, Any]:
    """Returns the connection keywords that the form's choice leaves."""
    params = ctx.params
    where = params.get("where", None)
    if where == "configured":
        return connection_keywords(ctx, url=None, path=None)

    if where == "embedded":
        path = params.get("path") or default_path()
        return connection_keywords(ctx, url=None, path=path)

    chosen = {"path": None} if where == "server" else {}
    return connection_keywords(ctx, **chosen)


def collection_inputs(ctx: Any, inputs: Any) -> None:
    """Offers the collections there are, or a name to type while Qdrant is away."""
    names = {}
    if may_ask(ctx):
        try:
            names = described_names(impatient(resolve(place_arguments(ctx))))
        except QdrantPluginError:  # the card says it
            names = {}

    choices = [
        types.Choice(name, label=name, description=whose)
        for name, whose in names.items()
    ]
    inputs.str(
        "collection_name",
        label="Collection",
        description=_whose(names, ctx.params.get("collection_name")),
        view=types.AutocompleteView(choices=choices, allow_user_input=True),
    )
    inputs.str(
        "vector_name",
        label="Vector name",
        description="Which vectors to use, if a point has several",
    )


def _whose(names: dict[str, str], name: str) -> str:
    if name in names:
        return names[name]

    return f"Choose one of {len(names):,}, or type its name" if names else "Its name"


def place_inputs(ctx: Any, inputs: Any) -> None:
    """Adds the choice of the engine and its place."""
    configured, why = _configured(ctx)
    places = {"configured": configured, **_PLACES}
    inputs.enum(
        "where",
        list(places),
        default="configured",
        label="Where",
        description=why,
        view=dropdown(places, places),
    )
    where = ctx.params.get("where")
    if where == "embedded" or (where is None and ctx.params.get("path")):
        inputs.str(
            "path",
            label="Directory",
            description="Empty means the default",
            view=types.TextFieldView(placeholder=default_path()),
        )
    elif where == "server" or (where is None and ctx.params.get("url")):
        inputs.str(
            "url",
            label="URL",
            description=(
                f"The API key of the secret {ENVIRONMENT['api_key']} goes to the url "
                f"of {ENVIRONMENT['url']} only"
            ),
            view=types.TextFieldView(placeholder="http://localhost:6333"),
        )
        inputs.bool(
            "ask",
            default=False,
            label="Test connection",
            description="Turn on when the URL is complete: shows what is there",
            view=types.SwitchView(),
        )


def _configured(ctx: Any) -> tuple[str, str]:
    """Returns where an index goes by default, and what says so."""
    try:
        place = resolve(connection_keywords(ctx, url=None, path=None))
    except QdrantPluginError as e:
        return "As configured", str(e)

    name = "url" if place.engine == SERVER else "path"
    kind = "Qdrant server" if place.engine == SERVER else "Embedded store"
    location = place.location.replace(str(Path.home()), "~", 1)
    secret = ENVIRONMENT[name]
    return f"{kind} ({location})", f"Set by {secret}" if ctx.secrets.get(secret) else ""


def engine_of(ctx: Any) -> str | None:
    """Returns the engine of the place that is chosen, or ``None`` if that is none."""
    try:
        return resolve(place_arguments(ctx)).engine
    except QdrantPluginError:
        return None


def may_ask(ctx: Any) -> bool:
    """Whether Qdrant may be asked: not each URL on the way to a whole one."""
    return ctx.params.get("where") != "server" or bool(ctx.params.get("ask"))
