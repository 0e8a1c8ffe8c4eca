"""The form of Create Qdrant Index: from which vectors, where, with what settings."""

import fiftyone as fo
import fiftyone.operators.types as types
import fiftyone.zoo as foz

from fiftyone_qdrant.dataset.indexable import vector_fields
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.ingest.origins import find_origin, similarity_runs
from fiftyone_qdrant.ingest.preflight import preflight
from fiftyone_qdrant.ingest.sources import NO_COLLECTION, NO_SOURCE
from fiftyone_qdrant.parameters.table import CLUSTER, GROUPS, PARAMETERS, STORAGE
from fiftyone_qdrant.points import DISTANCES
from fiftyone_qdrant.qdrant.connection import KEYWORDS

from .forms import (
    dropdown,
    mark_invalid,
    mark_problem,
    parameter_inputs,
    quantization_inputs,
    without_empty,
)
from .place_form import collection_inputs, may_ask, place_arguments, place_inputs

ALLOWED_MODELS = "FIFTYONE_ZOO_ALLOWED_MODEL_NAMES"

_SOURCES = {
    "embeddings": "An embeddings field",
    "model": "A zoo model",
    "run": "Another similarity index",
    "collection": "An existing collection",
}
_FIELDS = {
    "embeddings": "embeddings",
    "model": "model",
    "run": "from_brain_key",
    "collection": "collection_name",
}
_TABS = {
    "basic": "Basic",
    **{group.name: group.label for group in GROUPS},
    "storage": "Quantization & storage",
    "cluster": "Cluster",
}
_ARGUMENTS = ("brain_key", "embeddings", "model", "patches_field", "from_brain_key")
_CONFIG = ("collection_name", "metric", "vector_name", *PARAMETERS)
_OF_THE_FORM = (
    *("tab", "preflight", "source", "where", "ask", "quantization"),
    *("connect", "dry_run", "view_target", "prompt", "problem"),
)
_PARAMS = {*_ARGUMENTS, *_CONFIG, *KEYWORDS, *_OF_THE_FORM}
_PATCHES = (fo.Detection, fo.Detections, fo.Polyline, fo.Polylines)


def create_inputs(ctx, inputs):
    """Adds all fields of the form, and what its choices would do and take."""
    samples = ctx.target_view()
    tabs = types.TabsView()
    for name, label in _TABS.items():
        tabs.add_choice(name, label=label)

    inputs.enum("tab", tabs.values(), default="basic", view=tabs)
    inputs.str("preflight")  # its place; what it says comes last
    tab = ctx.params.get("tab", "basic")
    if tab == "basic":
        _basic(ctx, inputs)
    elif tab == "storage":
        parameter_inputs(inputs, STORAGE)
        quantization_inputs(ctx, inputs)
    elif tab == "cluster":
        parameter_inputs(inputs, CLUSTER)
    else:
        group = next(g for g in GROUPS if g.name == tab)
        parameter_inputs(inputs.obj(tab, label=group.label).type, group.parameters)

    card = types.Notice(label="Give a brain key, and say where the vectors come from")
    if not ctx.params.get("dry_run"):
        card = _card(ctx, inputs, samples) or card

    inputs.get_property("preflight").view = card


def creation_arguments(ctx):
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
    given |= {name: without_empty(params.get(name)) for name in _CONFIG}
    given |= place_arguments(ctx)
    kind = params.get("quantization")  # the form's choice; Python gives the dict
    if kind is not None:
        settings = (given["quantization_config"] or {}).get(kind) or {}
        given["quantization_config"] = None if kind == "none" else {kind: settings}

    source = _source(ctx)
    if "source" in params:
        given.update(dict.fromkeys(_hidden(source)))

    given["connect"] = source == "collection"
    return {name: value for name, value in given.items() if value not in (None, "")}


def _source(ctx):
    """Returns the chosen source, or the one that Python's arguments mean."""
    params = ctx.params
    if params.get("source"):
        return params["source"]

    if params.get("connect"):
        return "collection"

    if params.get("from_brain_key"):
        return "run"

    if params.get("embeddings"):
        return "embeddings"

    if params.get("model"):
        return "model"

    return "embeddings" if vector_fields(ctx.target_view()) else "model"


def _hidden(source):
    """Returns what the form does not show for a source, whatever it still sends."""
    hidden = {
        "embeddings": ("from_brain_key", "vector_name"),
        "model": ("embeddings", "from_brain_key", "vector_name"),
        "run": ("embeddings", "model", "patches_field", "metric", "vector_name"),
        "collection": ("embeddings", "from_brain_key", "metric"),
    }
    return hidden[source]


def _basic(ctx, inputs):
    inputs.str(
        "brain_key",
        required=True,
        label="Brain key",
        description="A name for the index: letters, digits and underscores",
    )
    source = _source(ctx)
    inputs.enum(
        "source",
        list(_SOURCES),
        default=source,
        label="Vectors from",
        view=dropdown(_SOURCES, _SOURCES),
    )
    if source == "run":
        _run_input(ctx, inputs)
    elif source == "collection":
        place_inputs(ctx, inputs)
        collection_inputs(ctx, inputs)

    if source != "run":
        _patches_input(ctx, inputs)

    if source == "embeddings":
        _field_input(ctx, inputs)

    if source != "run":
        _model_input(ctx, inputs, source)

    if source in ("embeddings", "model"):
        metrics = list(DISTANCES)
        inputs.enum(
            "metric", metrics, default="cosine", label="Metric", view=dropdown(metrics)
        )

    if source != "collection":
        inputs.str(
            "collection_name",
            label="Collection",
            description="Empty makes a new name from the dataset's",
        )
        place_inputs(ctx, inputs)


def _run_input(ctx, inputs):
    runs = similarity_runs(ctx.dataset)
    origins = {key: find_origin(ctx.dataset, key) for key in runs}
    labels = {key: f"{key} ({origin.backend})" for key, origin in origins.items()}
    inputs.enum(
        "from_brain_key",
        runs,
        label="Similarity index",
        description="Its vectors are copied, nothing is embedded again",
        view=dropdown(runs, labels),
    )
    origin = origins.get(ctx.params.get("from_brain_key"))
    if origin is not None:
        inputs.view("origin", types.Notice(label=origin.summary))


def _patches_input(ctx, inputs):
    fields = _with_given(ctx, "patches_field", _label_fields(ctx.target_view()))
    if not fields:
        return

    inputs.enum(
        "patches_field",
        fields,
        view=dropdown(fields),
        label="Patches",
        description="A label field whose patches to index; empty indexes samples",
    )


def _field_input(ctx, inputs):
    found = vector_fields(ctx.target_view(), ctx.params.get("patches_field"))
    fields = _with_given(ctx, "embeddings", found)
    inputs.enum(
        "embeddings",
        fields,
        view=dropdown(fields),
        label="Embeddings field",
        description="Take the embeddings from this field",
    )


def _model_input(ctx, inputs, source):
    about = "The zoo model that made them: needed to search by text"
    if source == "model":
        about = "The zoo model that embeds the samples: choose or type its name"

    allowed = _allowed_models(ctx)
    names = allowed or foz.list_zoo_models(tags="embeddings")
    choices = [types.Choice(name, label=name) for name in names]
    inputs.str(
        "model",
        label="Model",
        description=about,
        view=types.AutocompleteView(choices=choices, allow_user_input=not allowed),
    )


def _allowed_models(ctx):
    names = ctx.secrets.get(ALLOWED_MODELS) or ""
    return [name.strip() for name in names.split(",") if name.strip()]


def _card(ctx, inputs, samples):
    """Returns what would happen, or why it cannot; then the form cannot be sent."""
    try:
        arguments = creation_arguments(ctx)
    except ConfigError as e:
        return _refuse(inputs, [(str(e), None)])

    wrong = _not_given(ctx, arguments) or _not_allowed(ctx, arguments)
    if wrong:
        return _refuse(inputs, [wrong])

    if not any(name in arguments for name in _FIELDS.values()):
        return None  # nothing is chosen yet: that it must be is said with the key

    found = preflight(samples, **arguments, ask=may_ask(ctx))
    if not found.ok:
        return _refuse(inputs, [(p.text, p.where) for p in found.problems])

    return types.AlertView(
        severity="warning" if found.warnings else "success",
        label="Ready" if "brain_key" in arguments else "Give it a brain key",
        description=" · ".join(found.lines),
    )


def _not_given(ctx, arguments):
    """Returns what must be given yet, and the field for it."""
    if ctx.params.get("where") == "server" and not arguments.get("url"):
        return "Give the url of the server", "url"

    source = _source(ctx)
    if "brain_key" in arguments and _FIELDS[source] not in arguments:
        words = NO_COLLECTION if source == "collection" else NO_SOURCE
        return words, _FIELDS[source]

    return None


def _not_allowed(ctx, arguments):
    allowed, model = _allowed_models(ctx), arguments.get("model")
    if allowed and model and model not in allowed:
        return f"Model '{model}' is none of {ALLOWED_MODELS}", "model"

    return None


def _refuse(inputs, problems):
    """Marks the fields that are wrong; returns a card of what no field here shows."""
    elsewhere = [
        text
        for text, where in problems
        if where is None or not mark_problem(inputs, where, text)
    ]
    if not elsewhere:
        return types.Error(label="Something below is missing or wrong")

    mark_invalid(inputs, "preflight", ". ".join(elsewhere))
    return types.Error(label=". ".join(elsewhere))


def _with_given(ctx, name, choices):
    """Adds a path that Python gives: it may be longer, or of a field not declared."""
    given = ctx.params.get(name)
    return choices if given in (None, "", *choices) else [*choices, given]


def _label_fields(samples):
    schema = samples.get_field_schema(ftype=fo.EmbeddedDocumentField)
    return [n for n, f in schema.items() if issubclass(f.document_type, _PATCHES)]
