"""Running ingests, seen and stopped from any process of the same database.

An ingest says how far it is in FiftyOne's execution store of its dataset, once a
second, from a thread of its own: one slow batch does not make it look dead. Whether
to stop is asked after each batch, which takes well under a millisecond.
"""

from __future__ import annotations

import datetime
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

import fiftyone.core.odm as foo
from fiftyone.operators.store import ExecutionStore
from pymongo.errors import PyMongoError

from fiftyone_qdrant.dataset.samples import dataset_id
from fiftyone_qdrant.errors import ConfigError, IngestCancelled
from fiftyone_qdrant.words import seconds_in_words

logger = logging.getLogger(__name__)

_STORE = "fiftyone_qdrant_jobs"
_CANCEL = "cancel-"
_BEAT = 1.0  # seconds between two reports
_DEAD_AFTER = 20.0  # seconds without one
_STARTS_WITHIN = 300.0  # seconds, likewise, of a process that imports or loads a model
_KEPT = 24 * 3600  # seconds until MongoDB forgets what a killed process left
_RATE_OF = 30.0  # seconds of the past that the rate is measured on

Progress = Callable[[Any], None]


@dataclass(frozen=True)
class Job:
    """A running ingest, as it was when it last said so.

    Attributes:
        id: of this job
        kind: ``"create"``, ``"add"`` or ``"sync"``
        brain_key: the index it writes to
        done: samples that were gone through
        total: samples to go through; 0 while that is not known
        started_at: seconds since the epoch, by MongoDB's clock
        updated_at: when its process was last known to be alive, likewise
        cancelling: whether it was asked to stop, and will after the batch under way
        recent_rate: samples a second of late; ``None`` means on the whole
        waiting: what it waits for, such as a server that is restarted, or ``None``
    """

    id: str
    kind: str
    brain_key: str
    done: int
    total: int
    started_at: float
    updated_at: float
    cancelling: bool = False
    recent_rate: float | None = None
    waiting: str | None = None

    @property
    def rate(self) -> float:
        """Samples a second; 0 while none is done."""
        if self.recent_rate is not None:
            return self.recent_rate

        return self.done / max(self.updated_at - self.started_at, 1e-6)

    @property
    def label(self) -> str:
        """Such as ``"1,024 of 5,000 · 800 a second · 5 s left"``."""
        if not self.total:
            return "starting"

        return progress_label(self.done, self.total, self.rate, self.waiting)


class Pace:
    """Measures how fast something goes, on its last half minute.

    An ingest that goes on where another stopped skips what is there in no time:
    an average over all would promise too much.
    """

    def __init__(self) -> None:
        self._marks = deque([(time.monotonic(), 0)])

    def advance(self, done: int) -> None:
        """Notes that ``done`` of all are done now."""
        now = time.monotonic()
        self._marks.append((now, done))
        while len(self._marks) > 2 and self._marks[1][0] < now - _RATE_OF:
            self._marks.popleft()

    @property
    def rate(self) -> float:
        """How many a second; 0 before the first."""
        (start, before), (end, done) = self._marks[0], self._marks[-1]
        return (done - before) / max(end - start, 1e-6)


def progress_label(
    done: int, total: int, rate: float, waiting: str | None = None
) -> str:
    """Returns counts, rate and time left in words, or what is waited for."""
    label = f"{done:,} of {total:,}"
    if waiting:
        return f"{label} · waiting: {waiting}"

    left = _seconds_left(done, total, rate)
    if not left:
        return label

    speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
    return f"{label} · {speed} a second · {seconds_in_words(left)} left"


def _seconds_left(done: int, total: int, rate: float) -> float | None:
    return (total - done) / rate if done and rate > 0 else None


def running_jobs(dataset: Any) -> list[Job]:
    """Returns the ingests that run on a dataset in any process, the oldest first.

    A process that died has none after 20 seconds, or 5 minutes while it starts.
    """
    store = _store(dataset)
    keys = store.list_keys()
    now = now_by_mongodb()
    jobs = []
    for key in keys:
        values = None if key.startswith(_CANCEL) else store.get(key)
        if values is None:
            continue

        patience = _DEAD_AFTER if values["total"] else _STARTS_WITHIN
        if now - values["updated_at"] <= patience:
            jobs.append(Job(**{**values, "cancelling": _CANCEL + key in keys}))

    return sorted(jobs, key=lambda job: job.started_at)


def why_busy(dataset: Any, brain_keys: Iterable[str | None]) -> str | None:
    """Returns in words what is being written to indexes of a dataset, or ``None``."""
    keys = set(brain_keys)
    for job in running_jobs(dataset):
        if job.brain_key in keys:
            return f"an ingest into index '{job.brain_key}' is running ({job.label})"

    return None


def cancel(dataset: Any, job_id: str) -> None:
    """Asks an ingest to stop after the batch under way.

    It then raises :class:`fiftyone_qdrant.errors.IngestCancelled` where it runs.

    Raises:
        ConfigError: if no such ingest runs
    """
    if job_id not in {job.id for job in running_jobs(dataset)}:
        raise ConfigError(
            f"No ingest '{job_id}' runs on dataset '{dataset.name}'. It may have ended"
        )

    _store(dataset).set(_CANCEL + job_id, True, ttl=_KEPT)


class Report:
    """What a running ingest tells the world, and hears from it."""

    def __init__(self, dataset: Any, job: Job) -> None:
        self._dataset = dataset
        self._job = job
        self._done = 0
        self._waiting: str | None = None
        self._pace = Pace()
        self._ended = threading.Event()
        self._complained = False

    @cached_property
    def _store(self) -> ExecutionStore:
        return _store(self._dataset)

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked the ingest to stop."""
        with self._not_fatal():
            return bool(self._store.has(_CANCEL + self._job.id))

        return False

    def begin(self, total: int) -> None:
        """Notes how many samples there are to go through."""
        self._job = replace(self._job, total=total)
        self._pace = Pace()

    def begin_once(self, total: int) -> None:
        """The same, unless that is known already."""
        if self._job.total != total:
            self.begin(total)

    def advance(self, done: int, kept: int = 0) -> None:
        """Notes that ``done`` samples are done, of which ``kept`` were left as is.

        The latter take next to no time: the others tell how fast it goes.
        """
        self._done = done
        self._pace.advance(done - kept)

    def wait_for(self, what: str | None) -> None:
        """Notes what is waited for, or with ``None`` that it is over."""
        self._waiting = what

    def beat(self) -> None:
        """Reports once a second until :meth:`end`."""
        while True:
            self._write()
            if self._ended.wait(_BEAT):
                return

    def end(self, beating: threading.Thread) -> None:
        """Leaves nothing of the job in the store."""
        self._ended.set()
        beating.join()  # or it could write once more
        with self._not_fatal():
            for key in (self._job.id, _CANCEL + self._job.id):
                self._store.delete(key)

    def _write(self) -> None:
        values = asdict(self._job)
        values.update(
            done=self._done, updated_at=now_by_mongodb(), waiting=self._waiting
        )
        if self._done:
            values["recent_rate"] = self._pace.rate

        with self._not_fatal():
            self._store.set(self._job.id, values, ttl=_KEPT)

    @contextmanager
    def _not_fatal(self) -> Iterator[None]:
        """An ingest does not need the store; that it goes unseen is said once."""
        try:
            yield
        except PyMongoError as e:
            level = logging.DEBUG if self._complained else logging.WARNING
            self._complained = True
            logger.log(
                level, "This ingest cannot be seen or cancelled elsewhere: %s", e
            )


_mine: ContextVar[Report | None] = ContextVar("the job of this call", default=None)


def current_report() -> Report | None:
    """Returns what reports the job that the caller is a part of, if it is of one."""
    return _mine.get()


def announce(dataset: Any, kind: str, brain_key: str) -> str:
    """Makes an ingest visible that another process is about to begin.

    Returns:
        the id for its :func:`job`
    """
    job = _new_job(kind, brain_key)
    _store(dataset).set(job.id, asdict(job), ttl=_KEPT)
    return job.id


def withdraw(dataset: Any, job_id: str) -> None:
    """Takes back what was announced, as nobody does it."""
    store = _store(dataset)
    for key in (job_id, _CANCEL + job_id):
        store.delete(key)


@contextmanager
def job(
    dataset: Any, kind: str, brain_key: str, total: int = 0, job_id: str | None = None
) -> Iterator[Report]:
    """Makes an ingest visible while it runs; within another it is a part of that.

    Args:
        dataset: the dataset
        kind: ``"create"``, ``"add"`` or ``"sync"``
        brain_key: the index it writes to
        total (0): samples to go through; 0 while that is not known
        job_id (None): of :func:`announce`
    """
    outer = _mine.get()
    if outer is not None:
        outer.begin(total)
        yield outer
        return

    report = Report(dataset, _new_job(kind, brain_key, total, job_id))
    beating = threading.Thread(target=report.beat, daemon=True, name="qdrant-ingest")
    beating.start()
    token = _mine.set(report)
    try:
        yield report
    finally:
        _mine.reset(token)
        report.end(beating)


@contextmanager
def watched(
    dataset: Any, kind: str, brain_key: str, progress: Progress | None = None
) -> Iterator[Progress]:
    """Makes a call that tells a progress bar how far it is visible, and cancellable.

    Args:
        dataset: the dataset
        kind: a key of :data:`fiftyone_qdrant.status.background.VERBS`
        brain_key: the index that it is about
        progress (None): who else is to be told

    Yields:
        what to give the call as its ``progress``: a function of a bar with ``total``
        and ``iteration``, which raises IngestCancelled if somebody cancelled it
    """
    with job(dataset, kind, brain_key) as report:

        def tell(bar: Any) -> None:
            report.begin_once(int(bar.total))
            report.advance(int(bar.iteration))
            if report.cancelled:
                raise IngestCancelled("Cancelled. Run it again to go on")

            if progress is not None:
                progress(bar)

        yield tell


@contextmanager
def not_needed(what_then: str) -> Iterator[None]:
    """Within it FiftyOne's execution store is used by what goes on without it."""
    try:
        yield
    except PyMongoError as e:
        logger.warning("%s: %s", what_then, e)


def _new_job(
    kind: str, brain_key: str, total: int = 0, job_id: str | None = None
) -> Job:
    now = now_by_mongodb()
    return Job(job_id or uuid.uuid4().hex, kind, brain_key, 0, total, now, now)


def now_by_mongodb() -> float:
    """Returns MongoDB's time, the same for all machines; without it, this one's."""
    with suppress(PyMongoError, KeyError):
        told = foo.get_db_conn().command("hello")["localTime"]
        return float(told.replace(tzinfo=datetime.timezone.utc).timestamp())

    return time.time()


def _store(dataset: Any) -> ExecutionStore:
    return ExecutionStore.create(_STORE, dataset_id=dataset_id(dataset))
