"""From which vectors a new index is made: part of the form of Create Qdrant Index."""

import re
from typing import Any

import fiftyone as fo
import fiftyone.core.media as fom
import fiftyone.operators.types as types

from fiftyone_qdrant import runs
from fiftyone_qdrant.dataset import zoo
from fiftyone_qdrant.dataset.indexable import vector_fields
from fiftyone_qdrant.dataset.samples import is_dynamic_groups
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.ingest.origins import find_origin, similarity_runs

from .forms import dropdown

ALLOWED_MODELS = "FIFTYONE_ZOO_ALLOWED_MODEL_NAMES"

SOURCES = {
    "embeddings": "An embeddings field",
    "model": "A zoo model",
    "run": "Another similarity index",
    "collection": "An existing collection",
}
ASKS_FOR = {
    "embeddings": ("embeddings", "Choose a field"),
    "model": ("model", "Choose a model"),
    "run": ("from_brain_key", "Choose an index"),
    "collection": ("collection_name", "Choose a collection"),
}
_PATCHES = (fo.Detection, fo.Detections, fo.Polyline, fo.Polylines)


def to_index(ctx: Any) -> Any:
    """Returns the samples that the form is about: of groups, the slices chosen."""
    samples = ctx.target_view()
    if ctx.params.get("slices") != "all" or samples.media_type != fom.GROUP:
        return samples

    kind = samples.group_media_types[samples.group_slice]
    return samples.select_group_slices(media_type=kind)


def chosen_source(ctx: Any) -> str:
    """Returns the chosen source, or the one that Python's arguments mean."""
    params = ctx.params
    if params.get("source"):
        return str(params["source"])

    if params.get("connect"):
        return "collection"

    given = (("run", "from_brain_key"), ("embeddings", "embeddings"), ("model",) * 2)
    for source, name in given:
        if params.get(name):
            return source

    if vector_fields(ctx.target_view()):
        return "embeddings"

    return "run" if _others(ctx) else "model"


def proposed_key(ctx: Any, arguments: dict[str, Any]) -> str:
    """Returns a free brain key that says where the vectors come from."""
    source = chosen_source(ctx)
    name = str(arguments.get(ASKS_FOR[source][0]) or "qdrant")
    if source == "embeddings":
        name = f"{name}_sim"
    elif source == "model":
        name = re.sub(r"-(torch|tf1|tf2)$", "", name)
    elif source == "run":
        name = f"{name}_qdrant"

    if arguments.get("patches_field"):
        name = f"{arguments['patches_field']}_{name}"

    return runs.free_key(ctx.dataset, name)


def source_inputs(ctx: Any, inputs: Any) -> None:
    """Adds the choice of the source, and what that asks for but a collection."""
    source = chosen_source(ctx)
    inputs.enum(
        "source",
        list(SOURCES),
        default=source,
        label="Vectors from",
        view=dropdown(SOURCES, SOURCES),
    )
    if source == "run":
        _run_input(ctx, inputs)
        return

    if source == "embeddings":
        _field_input(ctx, inputs)
    elif source == "model":
        _model_input(ctx, inputs)

    _patches_input(ctx, inputs)
    _slices_input(ctx, inputs)


def text_model_input(ctx: Any, inputs: Any) -> None:
    """Adds the choice of a model for text, where another one may not have embedded."""
    offers = zoo.offers(fom.IMAGE, text=True)
    inputs.str(
        "text_model",
        label="Model for text search",
        description="The model that made the vectors, to search them by text",
        view=_model_view(ctx, offers),
    )


def allowed_models(ctx: Any) -> list[str]:
    """Returns the only models that may be used, or nothing if all may."""
    names = ctx.secrets.get(ALLOWED_MODELS) or ""
    return [name.strip() for name in names.split(",") if name.strip()]


def _others(ctx: Any) -> list[str]:
    """The runs of other backends, whose vectors nothing of ours has yet."""
    ours = set(runs.list_indexes(ctx.dataset))
    return [key for key in similarity_runs(ctx.dataset) if key not in ours]


def _run_input(ctx: Any, inputs: Any) -> None:
    keys = similarity_runs(ctx.dataset)
    origins = {key: find_origin(ctx.dataset, key) for key in keys}
    labels = {key: f"{key} ({origin.backend})" for key, origin in origins.items()}
    only = _others(ctx) if len(_others(ctx)) == 1 else keys
    default = only[0] if len(only) == 1 else None
    inputs.enum(
        "from_brain_key",
        keys,
        default=default,
        label="Similarity index",
        description="Its vectors are copied, nothing is embedded again",
        view=dropdown(keys, labels),
    )
    origin = origins.get(ctx.params.get("from_brain_key", default))
    if origin is not None:
        inputs.view("origin", types.Notice(label=origin.summary))


def _field_input(ctx: Any, inputs: Any) -> None:
    found = vector_fields(ctx.target_view(), ctx.params.get("patches_field"))
    fields = _with_given(ctx, "embeddings", found)
    inputs.enum(
        "embeddings",
        fields,
        default=found[0] if len(found) == 1 else None,
        view=dropdown(fields),
        label="Embeddings field",
        description="" if fields else "There is none here. Choose another source",
    )


def _model_input(ctx: Any, inputs: Any) -> None:
    offers = zoo.offers(_kind_of(ctx.target_view()))
    allowed = allowed_models(ctx)
    inputs.str(
        "model",
        default=_first_model(offers) if not allowed else None,
        label="Model",
        description="Embeds the samples: choose one, or type its name in the zoo",
        view=_model_view(ctx, offers),
    )


def _model_view(ctx: Any, offers: Any) -> types.View:
    allowed = allowed_models(ctx)
    about = {offer.name: offer.about for offer in offers}
    names = allowed or list(about)
    choices = [types.Choice(n, label=n, description=about.get(n)) for n in names]
    return types.AutocompleteView(choices=choices, allow_user_input=not allowed)


def _first_model(offers: Any) -> str | None:
    """The first one that can be used as it is, or after a download."""
    for offer in [o for o in offers if o.here] or offers[:1]:
        try:
            zoo.check_packages(offer.name)
        except ConfigError:
            continue

        return str(offer.name)

    return None


def _kind_of(samples: Any) -> Any:
    if samples.media_type == fom.GROUP:
        return samples.group_media_types.get(samples.group_slice)

    return samples.media_type


def _patches_input(ctx: Any, inputs: Any) -> None:
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


def _slices_input(ctx: Any, inputs: Any) -> None:
    samples = ctx.target_view()
    if samples.media_type != fom.GROUP or is_dynamic_groups(samples):
        return

    kind = samples.group_media_types.get(samples.group_slice)
    labels = {
        "active": f"The active one ('{samples.group_slice}')",
        "all": f"All that are {kind}s",
    }
    inputs.enum(
        "slices",
        list(labels),
        default="active",
        label="Group slices",
        view=dropdown(labels, labels),
    )


def _with_given(ctx: Any, name: str, choices: list[str]) -> list[str]:
    """Adds a path that Python gives: it may be longer, or of a field not declared."""
    given = ctx.params.get(name)
    return choices if given in (None, "", *choices) else [*choices, given]


def _label_fields(samples: Any) -> list[str]:
    schema = samples.get_field_schema(ftype=fo.EmbeddedDocumentField)
    return [n for n, f in schema.items() if issubclass(f.document_type, _PATCHES)]
