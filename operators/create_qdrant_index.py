"""Create Qdrant Index: embed samples or patches into a new Qdrant index."""

from typing import Any

import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant import create_index
from fiftyone_qdrant.ingest.origins import find_origin
from fiftyone_qdrant.ingest.preflight import preflight
from fiftyone_qdrant.status import coverage

from .create_form import create_inputs, creation_arguments
from .in_background import start_in_background
from .qdrant_operator import QdrantOperator, progress
from .source_form import to_index


class CreateQdrantIndex(QdrantOperator):
    """Creates a similarity index of a dataset or view."""

    name = "create_qdrant_index"
    label = "Create Qdrant Index"
    description = "Index samples or patches in Qdrant for similarity search"
    title = "Index created"
    outputs = (
        ("brain_key", "Brain key"),
        ("points", "Points in the index"),
        ("kept", "Already indexed when it went on"),
        ("skipped", "Left out, without an embedding"),
        ("missing", "Samples that are not in it"),
        ("taken_over", "Taken over"),
        ("collection_name", "Collection"),
        ("engine", "Engine"),
        ("location", "Location"),
        ("ignored", "Parameters this engine does not have"),
    )

    def form(self, ctx: Any, inputs: Any) -> None:
        create_inputs(ctx, inputs)

    def run(self, ctx: Any) -> dict[str, Any]:
        samples, arguments = to_index(ctx), creation_arguments(ctx)
        if ctx.params.get("dry_run"):
            return preflight(samples, **arguments).to_dict()

        connects = arguments["connect"]
        key: Any = arguments.setdefault("brain_key", None)
        ctx.params["brain_key"] = key
        if not connects:
            started = start_in_background(self, ctx, "create", key)
            if started is not None:
                return started

        taken_over = None
        if "from_brain_key" in arguments:
            taken_over = find_origin(samples, arguments["from_brain_key"]).summary

        index, ingested = create_index(samples, **arguments, progress=progress(ctx))
        ctx.ops.reload_dataset()
        return {
            "connected": connects,
            "missing": len(coverage.compare(index).lacking) if connects else None,
            "brain_key": index.key,
            "collection_name": index.collection.name,
            "engine": index.config.engine,
            "location": index.collection.connection.location,
            "points": index.total_index_size,
            "new": ingested.new,
            "kept": ingested.kept,
            "skipped": ingested.skipped,
            "taken_over": taken_over,
            "ignored": ", ".join(index.config.ignored) or None,
        }

    def in_words(self, result: dict[str, Any]) -> str:
        words = f"{result['points']:,} points"
        skipped = result["skipped"]
        return f"{words}. {skipped:,} had no embedding" if skipped else words

    def resolve_output(self, ctx: Any) -> types.Property:
        results = ctx.results or {}
        if "problems" not in results:
            shown = super().resolve_output(ctx)
            if shown is None or not results.get("connected"):
                return shown

            return types.Property(shown.type, view=types.View(label="Connected"))

        outputs = types.Object()
        outputs.list("lines", types.String(), label="What it would do")
        outputs.list("problems", types.Object(), label="What would stop it")
        return types.Property(outputs, view=types.View(label="Nothing was done"))

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
