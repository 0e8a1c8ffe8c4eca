"""What is asked for in the App goes on in a process of its own.

The App's server starts it and answers at once. The process runs the same operator with
the same request, as a delegated worker would, and outlives the browser and the server.
What was asked, and how it ended, is kept in FiftyOne's execution store of the dataset,
one :class:`Task` for each index, so that it can be gone on with by one click.

The new process has its environment, and so all secrets, from the server. Nothing secret
is in the request: operators refuse secrets as params.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import fiftyone as fo
from bson import json_util
from fiftyone.operators.executor import ExecutionResult, prepare_operator_executor
from fiftyone.operators.store import ExecutionStore

from fiftyone_qdrant.dataset.samples import dataset_id
from fiftyone_qdrant.errors import ConfigError, IngestCancelled, QdrantPluginError
from fiftyone_qdrant.status.jobs import (
    Report,
    announce,
    current_report,
    job,
    running_jobs,
    withdraw,
)

logger = logging.getLogger(__name__)

RUNNING, DONE, CANCELLED, FAILED = "running", "done", "cancelled", "failed"
DIED = "died"
ENDED_EARLY = (CANCELLED, FAILED, DIED)

_STORE = "fiftyone_qdrant_tasks"
_KEPT = 7 * 24 * 3600  # seconds that what has ended well is kept, to be told
_LARGEST = 12_000_000  # bytes of a request: MongoDB's documents end at 16 MB
_ASKED = (
    "active_fields",
    "current_sample",
    "dataset_name",
    "extended",
    "extended_selection",
    "filters",
    "group_slice",
    "params",
    "query_performance",
    "sample_selection_style",
    "selected",
    "selected_labels",
    "selected_samples",
    "view",
    "view_name",
)
VERBS = {
    "create": "Creating",
    "add": "Adding to",
    "sync": "Syncing",
    "move": "Moving",
    "duplicates": "Finding near-duplicates in",
    "audit": "Auditing labels with",
    "select": "Selecting samples with",
    "map": "Making the map of",
    "measure": "Measuring",
}
"""What is done, by the kind of a job."""

READERS = ("duplicates", "audit", "select", "map")
"""The kinds that change nothing of an index."""

_ENDS = {
    RUNNING: "goes on",
    DONE: "is done",
    CANCELLED: "was cancelled",
    FAILED: "failed",
    DIED: "broke off",
}
_SEVERITIES = {DONE: "success", CANCELLED: "warning"}
_START = (
    "import os, sys; "
    "hasattr(os, 'nice') and os.nice(5); "  # the App's server goes first
    "sys.path[:] = [*sys.path[1:], sys.argv[1]]; "
    "from fiftyone_qdrant.status.background import main; main()"
)
_DIED = "Its process ended in the middle"


@dataclass(frozen=True)
class Task:
    """Something that was asked for in the App.

    Attributes:
        id: of its job while it runs
        kind: one of :data:`VERBS`
        brain_key: the index it is about
        operator: the URI of the operator that does it
        request: FiftyOne's request as JSON; ``None`` if it was too long to be kept
        state: ``"running"``, ``"done"``, ``"cancelled"``, ``"failed"`` or ``"died"``
        words: how it ended, for people
        told: whether a person has been told that it ended
    """

    id: str
    kind: str
    brain_key: str
    operator: str
    request: str | None
    state: str = RUNNING
    words: str = ""
    told: bool = False

    @property
    def title(self) -> str:
        """Such as ``"Creating 'digits' was cancelled"``."""
        return f"{VERBS[self.kind]} '{self.brain_key}' {_ENDS[self.state]}"

    @property
    def message(self) -> str:
        """Title and words."""
        return f"{self.title}: {self.words}" if self.words else self.title

    @property
    def severity(self) -> str:
        """How bad that is: ``"success"``, ``"warning"`` or ``"error"``."""
        return _SEVERITIES.get(self.state, "error")

    @property
    def resumable(self) -> bool:
        """Whether it ended too early, and can be gone on with."""
        return self.state in ENDED_EARLY and self.request is not None


def start(
    dataset: Any, kind: str, brain_key: str, operator: str, request: dict[str, Any]
) -> Task:
    """Runs an operator in a process of its own.

    Args:
        dataset: the dataset
        kind: one of :data:`VERBS`
        brain_key: the index it is about
        operator: its URI
        request: the request that FiftyOne gave the operator

    Returns:
        the task, which has just begun

    Raises:
        ConfigError: if something else writes to that index now
    """
    asked = _asked(dataset, request)
    return _start(dataset, kind, brain_key, operator, asked)


@contextmanager
def followed(
    dataset: Any, kind: str, brain_key: str, operator: str, request: dict[str, Any]
) -> Iterator[Report]:
    """Makes what a delegated worker does visible, and resumable if the worker dies.

    In a process of :func:`start` it is a part of the task there.

    Args:
        dataset: the dataset
        kind: one of :data:`VERBS`
        brain_key: the index it is about
        operator: its URI
        request: the request that FiftyOne gave the operator
    """
    if current_report() is not None:
        with job(dataset, kind, brain_key) as report:
            yield report

        return

    asked = _asked(dataset, request)
    job_id = announce(dataset, kind, brain_key)
    task = Task(job_id, kind, brain_key, operator, _if_short(asked))
    _write(dataset, task)
    with job(dataset, kind, brain_key, job_id=job_id) as report:
        try:
            yield report
        except BaseException as e:
            state = CANCELLED if isinstance(e, IngestCancelled) else FAILED
            end(dataset, task, state, str(e) or type(e).__name__)
            raise

        end(dataset, task, DONE, "")


def resume(dataset: Any, brain_key: str) -> Task:
    """Asks once more for what has not ended well.

    Raises:
        ConfigError: if there is nothing to go on with, or it goes on already
    """
    found = {t.brain_key: t for t in tasks(dataset)}.get(brain_key)
    if found is None or not found.resumable:
        raise ConfigError(
            f"There is nothing to go on with for index '{brain_key}'. It may go on, "
            "or have been finished, already"
        )

    asked = {**json_util.loads(str(found.request)), "dataset_name": dataset.name}
    request = json_util.dumps(asked)
    return _start(dataset, found.kind, brain_key, found.operator, request)


def _start(
    dataset: Any, kind: str, brain_key: str, operator: str, request: str
) -> Task:
    for running in running_jobs(dataset):
        if running.brain_key == brain_key:
            raise ConfigError(
                f"Index '{brain_key}' is being written to ({running.label}). Wait "
                "until that is done, or cancel it"
            )

    job_id = announce(dataset, kind, brain_key)
    task = Task(job_id, kind, brain_key, operator, _if_short(request))
    _write(dataset, task)
    try:
        process, log = _spawn()
    except OSError as e:
        withdraw(dataset, job_id)
        forget(dataset, brain_key)
        raise ConfigError(f"No process could be started for it: {e}") from e

    told = json.dumps({**asdict(task), "request": request, "name": dataset.name})
    threading.Thread(
        target=_look_after, args=(dataset, task, process, log, told), daemon=True
    ).start()
    return task


def _asked(dataset: Any, request: dict[str, Any]) -> str:
    asked = {name: request[name] for name in _ASKED if name in request}
    return str(json_util.dumps({**asked, "dataset_name": dataset.name}))


def _if_short(request: str) -> str | None:
    return request if len(request) < _LARGEST else None


def _spawn() -> tuple[Any, Path]:
    fd, log = tempfile.mkstemp(prefix="fiftyone-qdrant-", suffix=".log")
    home = str(Path(__file__).resolve().parents[2])
    with os.fdopen(fd, "wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _START, home],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    return process, Path(log)


def _look_after(dataset: Any, task: Task, process: Any, log: Path, told: str) -> None:
    """Tells the process what to do and, if it dies, says so before its lease ends."""
    process.communicate(told.encode())
    said = log.read_text(errors="replace").strip()
    log.unlink(missing_ok=True)
    code = process.returncode
    if code:
        logger.warning("Indexing into '%s' died (%s): %s", task.brain_key, code, said)
        end(dataset, task, DIED, f"{_DIED} (exit status {code})")
        withdraw(dataset, task.id)


def tasks(dataset: Any) -> list[Task]:
    """Returns what was asked for on a dataset, each as it is now.

    What has ended well is among it for a week, what has not until it is finished.
    """
    store = _store(dataset)
    alive = {running.id for running in running_jobs(dataset)}
    for key in store.list_keys():
        value = store.get(key)
        if value and value["state"] == RUNNING and value["id"] not in alive:
            end(dataset, Task(**value), DIED, _DIED)

    return [Task(**value) for key in store.list_keys() if (value := store.get(key))]


def end(dataset: Any, task: Task, state: str, words: str) -> None:
    """Notes how a task ended, unless another has taken its place."""
    store = _store(dataset)
    now = store.get(task.brain_key)
    if now is None or now["id"] != task.id:
        return

    if now["state"] == RUNNING or state != DIED:  # it may have ended in between
        ended = {**now, "state": state, "words": words}
        kept = _KEPT if state == DONE else None
        store.compare_and_set(task.brain_key, now, ended, ttl=kept)


def news(dataset: Any, watched: Iterable[str] = ()) -> list[Task]:
    """Returns what ended and has not been told yet; from then on it counts as told.

    Args:
        dataset: the dataset
        watched (()): the ids of tasks that the caller saw running: it tells their end
            even if others did, too
    """
    store, found = _store(dataset), []
    for task in tasks(dataset):
        told = asdict(replace(task, told=True))
        if task.state != RUNNING and (task.id in watched or not task.told):
            found.append(task)
            store.compare_and_set(task.brain_key, asdict(task), told)

    return found


def forget(dataset: Any, brain_key: str) -> None:
    """Forgets what was asked for of an index, as it was finished or is not wanted."""
    store = _store(dataset)
    value = store.get(brain_key)
    if value and value["id"] not in {job.id for job in running_jobs(dataset)}:
        store.delete(brain_key)


def follow_rename(dataset: Any, brain_key: str, new_brain_key: str) -> None:
    """Keeps what was asked for of an index that has another key now."""
    store = _store(dataset)
    value = store.get(brain_key)
    if value is not None:
        asked = None
        if value["request"] is not None:
            asked = json_util.loads(value["request"])
            asked["params"]["brain_key"] = new_brain_key
            asked = json_util.dumps(asked)

        store.delete(brain_key)
        store.set(
            new_brain_key, {**value, "brain_key": new_brain_key, "request": asked}
        )


def main() -> None:
    """Runs the task that is told on the standard input."""
    run(json.loads(sys.stdin.read()))


def run(told: dict[str, Any]) -> None:
    """Runs a task in this process, and notes how it ended."""
    dataset = fo.load_dataset(told.pop("name"))
    task = Task(**told)
    with job(dataset, task.kind, task.brain_key, job_id=task.id):
        end(dataset, task, *_outcome(task))


def _outcome(task: Task) -> tuple[str, str]:
    try:
        return DONE, _execute(task)
    except IngestCancelled as e:
        return CANCELLED, str(e)
    except QdrantPluginError as e:
        return FAILED, str(e)
    except Exception as e:
        logger.exception("The operator failed")
        return FAILED, f"{type(e).__name__}: {e}"


def _execute(task: Task) -> str:
    request = {**json_util.loads(str(task.request)), "delegated": True}
    prepared = asyncio.run(prepare_operator_executor(task.operator, request))
    if isinstance(prepared, ExecutionResult):
        raise ConfigError(str(prepared.to_exception()))

    operator, _, ctx, _ = prepared
    with ctx:
        return str(operator.in_words(operator.execute(ctx)))


def _write(dataset: Any, task: Task) -> None:
    store = _store(dataset)
    store.delete(task.brain_key)  # and when MongoDB would have forgotten it
    store.set(task.brain_key, asdict(task))


def _store(dataset: Any) -> ExecutionStore:
    return ExecutionStore.create(_STORE, dataset_id=dataset_id(dataset))
