"""Cancel Ingest: end a running create, add or sync, in whatever process it runs."""

from typing import Any

import fiftyone.operators.types as types
from fiftyone.core.collections import SampleCollection
from fiftyone.operators.executor import ExecutionResult

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.status.jobs import cancel, running_jobs

from .forms import dropdown, mark_invalid
from .qdrant_operator import QdrantOperator


class CancelIngest(QdrantOperator):
    """Ends a running ingest after the batch under way; it can be gone on with."""

    name = "cancel_ingest"
    label = "Cancel Qdrant Indexing"
    description = "Stop a running create, add or sync after its current batch"
    can_be_scheduled = False
    on_views = False

    def form(self, ctx: Any, inputs: Any) -> None:
        jobs = {job.id: job for job in running_jobs(ctx.dataset)}
        if not jobs and not ctx.params.get("job_id"):
            words = "Nothing is being indexed"
            inputs.str("job_id", view=types.Notice(label=words))
            mark_invalid(inputs, "job_id", words)
            return

        labels = {i: f"{j.kind} '{j.brain_key}': {j.label}" for i, j in jobs.items()}
        view = dropdown(jobs, labels)
        default = next(iter(jobs), None)
        inputs.str("job_id", default=default, label="Ingest", view=view)

    def run(self, ctx: Any) -> dict[str, Any]:
        job_id = ctx.params.get("job_id")
        if not job_id:
            raise ConfigError("Give the job_id of a running ingest")

        cancel(ctx.dataset, job_id)
        return {"job_id": job_id}

    def __call__(self, samples: SampleCollection, job_id: str) -> ExecutionResult:
        """Asks a running ingest to end after the batch under way.

        Args:
            samples: the dataset
            job_id: the ``id`` of one of
                ``fiftyone_qdrant.status.jobs.running_jobs(dataset)``

        Returns:
            a :class:`fiftyone.operators.executor.ExecutionResult` with the job's id
        """
        return self._run(samples, {"job_id": job_id})
