"""Create Qdrant Index: embed samples or patches into a new Qdrant index."""

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.operators.types as types

from fiftyone_qdrant.errors import QdrantPluginError
from fiftyone_qdrant.ingest import create_index
from fiftyone_qdrant.parameters import COLLECTION, GROUPS, PARAMETERS, QUANTIZATIONS
from fiftyone_qdrant.points import DISTANCES
from fiftyone_qdrant.runs import check_new_key

from .forms import mark_invalid, parameter_inputs
from .qdrant_operator import ICONS, QdrantOperator, connection_keywords

_PATCHES = (fo.Detection, fo.Detections, fo.Polyline, fo.Polylines)
_CONFIG = ("collection_name", "metric", *PARAMETERS)


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

    def resolve_input(self, ctx):
        inputs = types.Object()
        ctx.target_view()
        tab = _tabs(inputs, ctx)
        if tab == "basic":
            _basic(ctx, inputs)
        elif tab == "collection":
            parameter_inputs(inputs, COLLECTION)
        elif tab == "quantization":
            _quantization(ctx, inputs)
        else:
            group = next(g for g in GROUPS if g.name == tab)
            parameter_inputs(inputs.obj(tab, label=group.label).type, group.parameters)

        return types.Property(inputs, view=types.View(label="Create Qdrant Index"))

    def execute(self, ctx):
        params = ctx.params
        config = {name: _given(params[name]) for name in _CONFIG if name in params}

        def progress(done, total):
            ctx.set_progress(done / total, label=f"Indexed {done:,} of {total:,}")

        index, ingested = create_index(
            ctx.target_view(),
            params["brain_key"],
            embeddings=params.get("embeddings") or None,
            model=params.get("model") or None,
            patches_field=params.get("patches_field") or None,
            connect=bool(params.get("connect")),
            progress=progress,
            **connection_keywords(ctx),
            **{name: value for name, value in config.items() if value is not None},
        )
        ctx.ops.reload_dataset()
        return {
            "brain_key": index.key,
            "collection_name": index.collection.name,
            "engine": index.config.engine,
            "location": index.collection.connection.location,
            "points": index.total_index_size,
            "skipped": ingested.skipped,
            "ignored": ", ".join(index.ignored_parameters) or None,
        }

    def resolve_output(self, ctx):
        outputs = types.Object()
        outputs.str("brain_key", label="Brain key")
        outputs.int("points", label="Points in the index")
        outputs.int("skipped", label="Samples without an embedding")
        outputs.str("collection_name", label="Collection")
        outputs.str("engine", label="Engine")
        outputs.str("location", label="Place")
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


def _given(value):
    """A form sends empty fields as None, and a group as a dict of such."""
    if not isinstance(value, dict):
        return value

    kept = {k: _given(v) for k, v in value.items()}
    return {k: v for k, v in kept.items() if v is not None} or None


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

    _fields(
        inputs,
        "patches_field",
        _label_fields(ctx.dataset),
        label="Patches",
        description="A label field whose patches to index; empty indexes samples",
    )
    _fields(
        inputs,
        "embeddings",
        _vector_fields(ctx.dataset, ctx.params.get("patches_field")),
        label="Embeddings field",
        description="Take the embeddings from this field",
    )
    inputs.str(
        "model",
        label="Model",
        description=(
            "Or compute them with this zoo model. Give the model as well if it made "
            "the embeddings and you want to search by text"
        ),
    )
    metrics = types.DropdownView()
    for metric in DISTANCES:
        metrics.add_choice(metric, label=metric)

    inputs.enum(
        "metric", metrics.values(), default="cosine", label="Metric", view=metrics
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


def _fields(inputs, name, fields, **about):
    choices = types.DropdownView()
    for field in fields:
        choices.add_choice(field, label=field)

    inputs.enum(name, choices.values(), view=choices, **about)


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


def _quantization(ctx, inputs):
    kinds = types.DropdownView()
    for kind, group in QUANTIZATIONS.items():
        kinds.add_choice(kind, label=group.label)

    chosen = inputs.obj("quantization_config", label="Quantization").type
    given = ctx.params.get("quantization_config") or {}
    for kind, group in QUANTIZATIONS.items():
        if given.get(kind) is not None or not given:
            parameter_inputs(chosen.obj(kind, label=group.label).type, group.parameters)
