"""What is under way on a dataset: ingests, delegated operations, HNSW builds."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bson import ObjectId
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionRunState

from fiftyone_qdrant.dataset.samples import dataset_id, stages_of
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.runs import is_unfinished, list_indexes
from fiftyone_qdrant.status import background, jobs
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
        cancelling: whether it was asked to stop, and will after the batch under way
        ended: whether it ended too early, so that it is not under way any more
        resumable: whether it can then be gone on with
        asked: whether that is known as it was asked for in the App
    """

    id: str | None
    title: str
    label: str
    progress: float | None = None
    waiting: bool = False
    brain_key: str | None = None
    writes: bool = True
    silent: bool = False
    cancelling: bool = False
    ended: bool = False
    resumable: bool = False
    asked: bool = False


def work_under_way(dataset: Any, statuses: Sequence[IndexStatus] = ()) -> list[Work]:
    """Returns what runs, waits or was left unfinished on a dataset, by any process.

    Args:
        dataset: the dataset
        statuses (): the states of its indexes, for those that are being built
    """
    running = jobs.running_jobs(dataset)
    return [
        *map(_of_job, running),
        *_delegated(dataset, {job.brain_key for job in running}),
        *(_of_build(s) for s in statuses if s.state == "building"),
        *_left(dataset, statuses, {job.brain_key for job in running}),
    ]


def signs_of_work(dataset: Any) -> list[str]:
    """Returns what changes whenever something begins or ends, read in no time."""
    return [
        *sorted(job.id for job in jobs.running_jobs(dataset)),
        *sorted(f"{t.id} {t.state}" for t in background.tasks(dataset)),
    ]


def resume_work(dataset: Any, brain_key: str) -> None:
    """Goes on with what was left unfinished, in a process of its own.

    What was asked for in the App is asked again. The creation of an index by others is
    gone on with by what its run says, which is not of which view it was.

    Raises:
        ConfigError: if there is nothing to go on with, or it goes on already
    """
    asked = {task.brain_key for task in background.tasks(dataset) if task.resumable}
    if brain_key in asked or not is_unfinished(dataset, brain_key):
        background.resume(dataset, brain_key)
    else:
        uri, request = PLUGIN + "create_qdrant_index", _request(dataset, brain_key)
        background.start(dataset, "create", brain_key, uri, request)


def dismiss_work(dataset: Any, brain_key: str) -> None:
    """Forgets what was asked for and ended too early; its index stays as it is."""
    background.forget(dataset, brain_key)


def _request(dataset: Any, brain_key: str) -> dict[str, Any]:
    config = dataset.get_brain_info(brain_key).config
    home = dataset.load_brain_view(brain_key)
    params = {
        "brain_key": brain_key,
        "embeddings": config.embeddings_field,
        "model": config.model,
        "patches_field": config.patches_field,
    }
    given = {name: value for name, value in params.items() if value is not None}
    return {"params": given, "view": stages_of(home.view())}


def _left(
    dataset: Any, statuses: Sequence[IndexStatus], running: set[str]
) -> list[Work]:
    """What ended too early: as it was asked for, or else as its index shows."""
    indexes, found = set(list_indexes(dataset)), {}
    for status in statuses:
        if status.state == "unfinished":
            found[status.brain_key] = Work(
                None,
                f"Creating '{status.brain_key}' has not ended",
                "Resume goes on where it stopped, with all of the dataset",
                brain_key=status.brain_key,
                ended=True,
                resumable=True,
            )

    for task in background.tasks(dataset):
        there = task.brain_key in indexes
        if task.state in background.ENDED_EARLY and (there or task.kind == "create"):
            found[task.brain_key] = Work(
                None,
                task.title,
                task.words,
                brain_key=task.brain_key,
                ended=True,
                resumable=task.resumable,
                asked=True,
            )

    return [work for key, work in found.items() if key not in running]


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
    title = f"{background.VERBS.get(job.kind, job.kind)} '{job.brain_key}'"
    progress = job.done / job.total if job.total else None
    writes = job.kind not in background.READERS
    work = Work(
        job.id, title, job.label, progress, brain_key=job.brain_key, writes=writes
    )
    if job.cancelling:
        words = "cancelled: it ends after the batch under way"
        return replace(work, id=None, label=words, cancelling=True)

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
    words = name.replace("_", " ").title() if name.islower() else name
    title = words + (f" '{key}'" if key else "")
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
    service, of = DelegatedOperationService(), dataset_id(dataset)
    return [
        operation
        for state in states
        for operation in service.list_operations(dataset_id=of, run_state=state)
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
