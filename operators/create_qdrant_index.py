"""Create Qdrant Index: embed samples or patches into a new Qdrant index."""

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import create_index
from fiftyone_qdrant.ingest.origins import find_origin
from fiftyone_qdrant.ingest.preflight import preflight

from .create_form import create_inputs, creation_arguments
from .qdrant_operator import ICONS, QdrantOperator, progress


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
        create_inputs(ctx, inputs)

    def execute(self, ctx):
        samples, arguments = ctx.target_view(), creation_arguments(ctx)
        if ctx.params.get("dry_run"):
            return preflight(samples, **arguments).to_dict()

        taken_over = None
        if "from_brain_key" in arguments:
            taken_over = find_origin(samples, arguments["from_brain_key"]).summary

        arguments.setdefault("brain_key", None)
        index, ingested = create_index(samples, **arguments, progress=progress(ctx))
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
            "taken_over": taken_over,
            "ignored": ", ".join(index.ignored_parameters) or None,
        }

    def resolve_output(self, ctx):
        outputs, results = types.Object(), ctx.results or {}
        if "problems" in results:
            outputs.list("lines", types.String(), label="What it would do")
            outputs.list("problems", types.Object(), label="What would stop it")
            return types.Property(outputs, view=types.View(label="Nothing was done"))

        outputs.str("brain_key", label="Brain key")
        outputs.int("points", label="Points in the index")
        if results.get("kept"):
            outputs.int("kept", label="Already indexed when it went on")

        outputs.int("skipped", label="Samples without an embedding")
        if results.get("taken_over"):
            outputs.str("taken_over", label="Taken over")

        outputs.str("collection_name", label="Collection")
        outputs.str("engine", label="Engine")
        outputs.str("location", label="Location")
        if results.get("ignored"):
            outputs.str("ignored", label="Parameters this engine does not have")

        return types.Property(outputs, view=types.View(label="Index created"))

    def __call__(
        self,
        samples: SampleCollection,
        brain_key: str,
        embeddings: str | None = None,
        model: str | None = None,
        patches_field: str | None = None,
        from_brain_key: str | None = None,
        connect: bool = False,
        dry_run: bool = False,
        delegate: bool = False,
        **config: Any,
    ) -> ExecutionResult:
        """Creates an index of ``samples``.

        Args:
            samples: a dataset or view
            brain_key: the key of the new run
            embeddings (None): the field that holds the embeddings
            model (None): the name of the zoo model that makes them
            patches_field (None): the label field whose patches to index
            from_brain_key (None): a similarity run of any backend whose vectors,
                model and patches to take over, without embedding again
            connect (False): connect to the existing collection
                ``collection_name`` instead of writing one
            dry_run (False): only say what would be done, what it would take, and
                what would stop it
            delegate (False): run it in a delegated worker
            **config: ``collection_name``, ``metric`` and the other parameters of
                ``compute_similarity(backend="qdrant")`` but the API key

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the brain
            key, collection, place and number of points; or, of a dry run, the
            attributes of :class:`fiftyone_qdrant.ingest.preflight.Preflight`
        """
        params = {
            "brain_key": brain_key,
            "embeddings": embeddings,
            "model": model,
            "patches_field": patches_field,
            "from_brain_key": from_brain_key,
            "connect": connect,
            "dry_run": dry_run,
            **config,
        }
        return self._run(samples, params, delegate)
