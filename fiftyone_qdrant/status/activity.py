"""What is under way on a dataset: ingests, delegated operations, HNSW builds."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bson import ObjectId
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionRunState

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.status import jobs
from fiftyone_qdrant.status.indexes import IndexStatus

PLUGIN = "@community/qdrant/"
_WAITING = (ExecutionRunState.QUEUED, ExecutionRunState.SCHEDULED)
_WRITERS = {
    "create_qdrant_index",
    "add_selected_to_index",
    "sync_index",
    "remove_selected",
}
_SILENT_AFTER = datetime.timedelta(minutes=5)
_VERBS = {"create": "Creating", "add": "Adding to", "sync": "Syncing"}


@dataclass(frozen=True)
class Work:
    """One thing that is under way, or waits to be.

    Attributes:
        id: of it; ``None`` if it cannot be cancelled
        title: what is done
        label: how far it is, in words
        progress: the same as a fraction in ``[0, 1]``, or ``None`` if nobody knows
        waiting: whether it has not begun
        brain_key: the index it is about, if known
        writes: whether it changes what the index holds
        silent: whether it began, and nothing was heard of it for minutes
    """

    id: str | None
    title: str
    label: str
    progress: float | None = None
    waiting: bool = False
    brain_key: str | None = None
    writes: bool = True
    silent: bool = False


def work_under_way(dataset: Any, statuses: Sequence[IndexStatus] = ()) -> list[Work]:
    """Returns what runs or waits on a dataset, in whatever process.

    Args:
        dataset: the dataset
        statuses (): the states of its indexes, for those that are being built
    """
    running = jobs.running_jobs(dataset)
    return [
        *map(_of_job, running),
        *_delegated(dataset, {job.brain_key for job in running}),
        *(_of_build(s) for s in statuses if s.state == "building"),
    ]


def cancel_work(dataset: Any, work_id: str) -> None:
    """Stops an ingest after its batch under way, or takes an operation off the queue.

    Raises:
        ConfigError: if it has ended meanwhile, or cannot be cancelled
    """
    if ObjectId.is_valid(work_id):
        _dequeue(dataset, ObjectId(work_id))
    else:
        jobs.cancel(dataset, work_id)


def _of_job(job: jobs.Job) -> Work:
    title = f"{_VERBS.get(job.kind, job.kind)} '{job.brain_key}'"
    progress = job.done / job.total if job.total else None
    work = Work(job.id, title, job.label, progress, brain_key=job.brain_key)
    if job.cancelling:
        return replace(work, id=None, label="stops after the batch under way")

    return work


def _of_build(status: IndexStatus) -> Work:
    points = status.points or 0
    return Work(
        None,
        f"Building the HNSW graph of '{status.brain_key}'",
        f"{points:,} points; searches work meanwhile",
        status.built,
        brain_key=status.brain_key,
        writes=False,
    )


def _delegated(dataset: Any, reported: set[str]) -> list[Work]:
    """Delegated operations of this plugin, but those that report as a job as well."""
    found = []
    for operation in _operations(dataset):
        waiting = operation.run_state in _WAITING
        params = (operation.context.request_params or {}).get("params", {})
        key = params.get("brain_key")
        if waiting or key not in reported:
            found.append(_of_operation(operation, key, waiting))

    return found


def _of_operation(operation: Any, key: str | None, waiting: bool) -> Work:
    operator = operation.operator.removeprefix(PLUGIN)
    name = operation.label or operator
    title = name.replace("_", " ").capitalize() + (f" '{key}'" if key else "")
    writes = operator in _WRITERS
    if waiting:
        words = "waits for a worker (fiftyone delegated launch)"
        return Work(str(operation.id), title, words, None, True, key, writes)

    status = operation.status
    progress = None if status is None else status.progress
    heard = _last_news(operation)
    if heard is not None and _now() - heard > _SILENT_AFTER:
        heard = heard.astimezone(datetime.timezone.utc)
        words = (
            f"no news since {heard:%Y-%m-%d %H:%M} UTC. If its worker died, end it: "
            f"fiftyone delegated fail {operation.id}"
        )
        return Work(None, title, words, progress, False, key, writes, silent=True)

    label = None if status is None else status.label
    return Work(None, title, label or "runs in a worker", progress, False, key, writes)


def _last_news(operation: Any) -> datetime.datetime | None:
    """When a running operation began, got on or was looked after, the latest."""
    progressed = getattr(operation.status, "updated_at", None)
    told = [operation.started_at, operation.updated_at, progressed]
    utc = datetime.timezone.utc
    return max((t.replace(tzinfo=t.tzinfo or utc) for t in told if t), default=None)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _operations(dataset: Any) -> list[Any]:
    states = [*_WAITING, ExecutionRunState.RUNNING]
    service, dataset_id = DelegatedOperationService(), dataset._doc.id
    return [
        operation
        for state in states
        for operation in service.list_operations(dataset_id=dataset_id, run_state=state)
        if operation.operator.startswith(PLUGIN)
    ]


def _dequeue(dataset: Any, operation_id: ObjectId) -> None:
    service = DelegatedOperationService()
    waiting = {o.id for o in _operations(dataset) if o.run_state in _WAITING}
    if operation_id not in waiting:
        raise ConfigError(
            "The operation has begun or ended meanwhile: it cannot be taken off the "
            "queue any more"
        )

    service.delete_operation(operation_id)
