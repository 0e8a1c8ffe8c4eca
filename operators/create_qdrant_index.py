"""Create Qdrant Index: embed samples or patches into a new Qdrant index."""

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

from fiftyone_qdrant.connection import KEYWORDS
from fiftyone_qdrant.errors import ConfigError, QdrantPluginError
from fiftyone_qdrant.ingest import create_index
from fiftyone_qdrant.parameter_table import COLLECTION, GROUPS, PARAMETERS
from fiftyone_qdrant.points import DISTANCES
from fiftyone_qdrant.runs import check_new_key

from .forms import (
    dropdown,
    mark_invalid,
    parameter_inputs,
    quantization_inputs,
    without_empty,
)
from .qdrant_operator import ICONS, QdrantOperator, connection_keywords, progress

_PATCHES = (fo.Detection, fo.Detections, fo.Polyline, fo.Polylines)
_CONFIG = ("collection_name", "metric", "vector_name", *PARAMETERS)
_PARAMS = (
    *("brain_key", "embeddings", "model", "patches_field", "connect"),
    *("tab", "quantization", "view_target"),  # the form's
    *_CONFIG,
    *KEYWORDS,
)


class CreateQdrantIndex(QdrantOperator):
    """Creates a similarity index of a dataset or view."""

    @property
    def config(self):
        return foo.OperatorConfig(
            name="create_qdrant_index",
            label="Create Qdrant Index",
            description="Index samples or patches in Qdrant for similarity search",
            dynamic=True,
            allow_delegated_execution=True,
            risk_level=types.RiskLevel.MEDIUM,
            **ICONS,
        )

    def form(self, ctx, inputs):
        ctx.target_view()
        tab = _tabs(inputs, ctx)
        if tab == "basic":
            _basic(ctx, inputs)
        elif tab == "collection":
            parameter_inputs(inputs, COLLECTION)
        elif tab == "quantization":
            quantization_inputs(ctx, inputs)
        else:
            group = next(g for g in GROUPS if g.name == tab)
            parameter_inputs(inputs.obj(tab, label=group.label).type, group.parameters)

    def execute(self, ctx):
        params = ctx.params
        unknown = sorted(set(params) - set(_PARAMS))
        if unknown:
            raise ConfigError(f"Unknown parameter {', '.join(map(repr, unknown))}")

        index, ingested = create_index(
            ctx.target_view(),
            params.get("brain_key"),
            embeddings=params.get("embeddings") or None,
            model=params.get("model") or None,
            patches_field=params.get("patches_field") or None,
            connect=bool(params.get("connect")),
            progress=progress(ctx),
            **connection_keywords(ctx),
            **_config(params),
        )
        ctx.ops.reload_dataset()
        return {
            "brain_key": index.key,
            "collection_name": index.collection.name,
            "engine": index.config.engine,
            "location": index.collection.connection.location,
            "points": index.total_index_size,
            "new": ingested.new,
            "kept": ingested.kept,
            "skipped": ingested.skipped,
            "ignored": ", ".join(index.ignored_parameters) or None,
        }

    def resolve_output(self, ctx):
        outputs = types.Object()
        outputs.str("brain_key", label="Brain key")
        outputs.int("points", label="Points in the index")
        if (ctx.results or {}).get("kept"):
            outputs.int("kept", label="Already indexed when it went on")

        outputs.int("skipped", label="Samples without an embedding")
        outputs.str("collection_name", label="Collection")
        outputs.str("engine", label="Engine")
        outputs.str("location", label="Location")
        if (ctx.results or {}).get("ignored"):
            outputs.str("ignored", label="Parameters this engine does not have")

        return types.Property(outputs, view=types.View(label="Index created"))

    def __call__(
        self,
        samples,
        brain_key,
        embeddings=None,
        model=None,
        patches_field=None,
        connect=False,
        delegate=False,
        **config,
    ):
        """Creates an index of ``samples``.

        Args:
            samples: a dataset or view
            brain_key: the key of the new run
            embeddings (None): the field that holds the embeddings
            model (None): the name of the zoo model that makes them
            patches_field (None): the label field whose patches to index
            connect (False): connect to the existing collection
                ``collection_name`` instead of writing one
            delegate (False): run it in a delegated worker
            **config: ``collection_name``, ``metric`` and the other parameters of
                ``compute_similarity(backend="qdrant")`` but the API key

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the brain
            key, collection, place and number of points
        """
        params = {
            "brain_key": brain_key,
            "embeddings": embeddings,
            "model": model,
            "patches_field": patches_field,
            "connect": connect,
            **config,
        }
        return self._run(samples, params, delegate)


def _config(params):
    """Returns the config keywords; a form sends empty fields as ``None`` or ``""``."""
    config = {name: without_empty(params.get(name)) for name in _CONFIG}
    kind = params.get("quantization")  # the form's choice; Python gives the dict
    if kind is not None:
        settings = (config["quantization_config"] or {}).get(kind) or {}
        config["quantization_config"] = None if kind == "none" else {kind: settings}

    if params.get("connect") and "tab" in params:
        config["metric"] = None  # the form's default; the collection has its own

    return {name: value for name, value in config.items() if value not in (None, "")}


def _tabs(inputs, ctx):
    tabs = types.TabsView()
    tabs.add_choice("basic", label="Basic")
    tabs.add_choice("collection", label="Collection")
    for group in GROUPS:
        tabs.add_choice(group.name, label=group.label)

    tabs.add_choice("quantization", label="Quantization")
    inputs.enum("tab", tabs.values(), default="basic", view=tabs)
    return ctx.params.get("tab", "basic")


def _basic(ctx, inputs):
    inputs.str(
        "brain_key",
        required=True,
        label="Brain key",
        description="A name for the index: letters, digits and underscores",
    )
    key = ctx.params.get("brain_key")
    if key:
        try:
            check_new_key(ctx.dataset, key)
        except QdrantPluginError as e:
            mark_invalid(inputs, "brain_key", str(e))

    label_fields = _label_fields(ctx.dataset)
    inputs.enum(
        "patches_field",
        label_fields,
        view=dropdown(label_fields),
        label="Patches",
        description="A label field whose patches to index; empty indexes samples",
    )
    vector_fields = _vector_fields(ctx.dataset, ctx.params.get("patches_field"))
    inputs.enum(
        "embeddings",
        vector_fields,
        view=dropdown(vector_fields),
        label="Embeddings field",
        description="Take the embeddings from this field",
    )
    inputs.str(
        "model",
        label="Model",
        description=(
            "The zoo model that computes them, or that made those in the field: give "
            "it to search by text"
        ),
    )
    sources = ("embeddings", "model", "connect")
    if key and not any(ctx.params.get(name) for name in sources):
        words = "Choose the embeddings field or the model, or connect to a collection"
        mark_invalid(inputs, "embeddings", words)

    metrics = list(DISTANCES)
    inputs.enum(
        "metric", metrics, default="cosine", label="Metric", view=dropdown(metrics)
    )
    inputs.str(
        "collection_name",
        label="Collection",
        description="Empty makes a new name from the dataset's",
    )
    inputs.bool(
        "connect",
        default=False,
        label="Connect to an existing collection",
        description="Use the collection named above as it is, and write nothing",
    )


def _label_fields(dataset):
    schema = dataset.get_field_schema(ftype=fo.EmbeddedDocumentField)
    return [n for n, f in schema.items() if issubclass(f.document_type, _PATCHES)]


def _vector_fields(dataset, patches_field):
    if patches_field in _label_fields(dataset):
        _, root = dataset._get_label_field_path(patches_field)
        schema = dataset.get_field_schema(flat=True, ftype=fo.VectorField)
        prefix = f"{root}."
        return [n[len(prefix) :] for n in schema if n.startswith(prefix)]

    return list(dataset.get_field_schema(ftype=fo.VectorField))
