"""Running ingests: seen by every process of the database, and stopped from there."""

import multiprocessing
import os
import signal
import threading
import time

import fiftyone as fo
import fiftyone.core.odm as foo
import numpy as np
import pytest
from fiftyone.operators.store import ExecutionStore
from pymongo.errors import OperationFailure

from fiftyone_qdrant.cleanup import clean_up, clean_up_collection
from fiftyone_qdrant.errors import (
    CollectionNotFound,
    CollectionShared,
    ConfigError,
    IndexNotFound,
    IngestCancelled,
    IngestInterrupted,
)
from fiftyone_qdrant.ingest import batches
from fiftyone_qdrant.ingest.ingest import add_samples, create_index
from fiftyone_qdrant.ingest.sync import sync
from fiftyone_qdrant.runs import load_index
from fiftyone_qdrant.status import jobs
from fiftyone_qdrant.status.jobs import Job, cancel, running_jobs

N, BATCH = 40, 10


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(batches, "_BATCH", BATCH)


@pytest.fixture
def samples(make_embedded):
    return make_embedded(N)


def stored(dataset):
    store = ExecutionStore.create("fiftyone_qdrant_jobs", dataset._doc.id)
    return store.list_keys()


def wait_for(condition):
    until = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.01)

    return found


def test_an_ingest_is_seen_while_it_runs_and_not_after(samples):
    seen = []

    def look(bar):
        if bar.iteration == 2 * BATCH:
            seen.extend(wait_for(lambda: with_progress(samples)))

    create_index(samples, "index", embeddings="vector", progress=look)
    (job,) = seen
    assert (job.kind, job.brain_key, job.total) == ("create", "index", N)
    assert job.done == 2 * BATCH
    assert job.label.startswith(f"{2 * BATCH} of {N} · ")
    assert job.started_at <= job.updated_at <= time.time()
    assert not job.cancelling
    assert stored(samples) == []


def with_progress(dataset):
    return [job for job in running_jobs(dataset) if job.done]


def cancel_at(dataset, number):
    """A progress function that cancels whatever runs at the batch of a number."""

    def tell(bar):
        if bar.iteration == number * BATCH:
            (job,) = wait_for(lambda: running_jobs(dataset))
            cancel(dataset, job.id)
            (job,) = running_jobs(dataset)
            assert job.cancelling

    return tell


def test_a_cancelled_create_says_so_and_is_gone_on_with(samples):
    progress = cancel_at(samples, 2)
    words = f"{2 * BATCH} are in index 'index'. Run it again to resume"
    with pytest.raises(IngestCancelled, match=words):
        create_index(samples, "index", embeddings="vector", progress=progress)

    assert stored(samples) == []
    index, ingested = create_index(samples, "index", embeddings="vector")
    assert (ingested.new, ingested.kept) == (N - 2 * BATCH, 2 * BATCH)
    assert sorted(index.sample_ids) == sorted(samples.values("id"))


def test_add_and_sync_are_cancelled_likewise(samples):
    index, _ = create_index(samples[:5], "index", embeddings="vector")
    with pytest.raises(IngestCancelled, match="to add the rest"):
        add_samples(index, samples, cancel_at(samples, 1))

    assert index.total_index_size == BATCH
    with pytest.raises(IngestCancelled, match="Run it again to resume"):
        sync(index, samples, progress=cancel_at(samples, 2))

    assert index.total_index_size == 3 * BATCH
    sync(index, samples)
    assert index.total_index_size == N


def at_batch(number, act):
    """A progress function that does something after the batch of a number."""
    return lambda bar: act() if bar.iteration == number * BATCH else None


def test_an_index_that_is_being_filled_is_not_cleaned_up(samples):
    refused = []

    def clean():
        wait_for(lambda: running_jobs(samples))
        index = load_index(samples, "index")
        place, name = index.collection.connection, index.collection.name
        for attempt in (
            lambda: clean_up(index, name),
            lambda: clean_up_collection(place, name, samples, name),
        ):
            with pytest.raises(CollectionShared, match="ingest into index 'index'"):
                attempt()

            refused.append(name)

    progress = at_batch(2, clean)
    index, _ = create_index(samples, "index", embeddings="vector", progress=progress)
    assert len(refused) == 2
    assert index.total_index_size == N


def test_a_collection_deleted_by_force_is_not_made_again(samples):
    collections = []

    def clean():
        index = load_index(samples, "index")
        collections.append(index.collection)
        clean_up(index, index.collection.name, force=True)

    progress = at_batch(2, clean)
    with pytest.raises(CollectionNotFound, match="somebody deleted it while"):
        create_index(samples, "index", embeddings="vector", progress=progress)

    assert not collections[0].exists()
    assert samples.list_brain_runs() == []


def test_a_run_deleted_while_it_is_filled_is_told(samples):
    collections = []

    def delete():
        collections.append(load_index(samples, "index").collection)
        foo.get_db_conn().runs.delete_many({"key": "index"})  # another process

    progress = at_batch(2, delete)
    with pytest.raises(IndexNotFound, match="somebody deleted its run"):
        create_index(samples, "index", embeddings="vector", progress=progress)

    samples.reload()
    samples._doc.brain_methods.pop("index", None)
    samples.save()
    collections[0].drop()


def test_what_does_not_run_cannot_be_cancelled(samples):
    with pytest.raises(ConfigError, match="No ingest 'gone' runs"):
        cancel(samples, "gone")


def test_a_slow_batch_does_not_look_dead(samples, monkeypatch):
    monkeypatch.setattr(jobs, "_BEAT", 0.01)
    given = batches._add_batch
    beats = set()

    def add_batch(*args):
        wait_for(lambda: len(beats.update(j.updated_at for j in seen()) or beats) > 2)
        given(*args)

    def seen():
        return running_jobs(samples)

    monkeypatch.setattr(batches, "_add_batch", add_batch)
    create_index(samples[:BATCH], "index", embeddings="vector")
    assert len(beats) > 2


def test_an_ingest_of_a_machine_whose_clock_is_behind_is_seen(samples, monkeypatch):
    monkeypatch.setattr(jobs, "_BEAT", 60)
    given = time.time
    with monkeypatch.context() as behind:
        behind.setattr(jobs.time, "time", lambda: given() - 3600)
        with jobs.job(samples, "add", "index", N):
            wait_for(lambda: stored(samples))
            behind.undo()
            (job,) = running_jobs(samples)

    assert abs(job.updated_at - time.time()) < 60


def run_until_killed(name, path):
    dataset = fo.load_dataset(name)
    create_index(
        dataset,
        "index",
        embeddings="vector",
        path=path,
        progress=lambda bar: threading.Event().wait(60 * (bar.iteration == BATCH)),
    )


def in_child(dataset):
    dataset.persistent = True
    path = os.environ["FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"]
    context = multiprocessing.get_context("fork")
    child = context.Process(target=run_until_killed, args=(dataset.name, path))
    child.start()
    return child


def test_a_job_of_a_killed_process_vanishes(samples, monkeypatch):
    child = in_child(samples)
    (job,) = wait_for(lambda: with_progress(samples))
    os.kill(child.pid, signal.SIGKILL)
    child.join(30)
    monkeypatch.setattr(jobs, "_DEAD_AFTER", 0.1)
    wait_for(lambda: not running_jobs(samples))
    assert stored(samples) == [job.id]  # MongoDB forgets it a day later


def test_an_interrupt_leaves_no_job_and_an_index_to_go_on_with(samples):
    child = in_child(samples)
    wait_for(lambda: with_progress(samples))
    os.kill(child.pid, signal.SIGINT)
    child.join(30)
    assert child.exitcode == 1
    assert stored(samples) == []
    samples.reload()
    _, ingested = create_index(samples, "index", embeddings="vector")
    assert (ingested.new, ingested.kept) == (N - BATCH, BATCH)


def test_going_on_keeps_what_is_there_when_it_fails_at_once(samples, monkeypatch):
    progress = cancel_at(samples, 1)
    with pytest.raises(IngestCancelled):
        create_index(samples, "index", embeddings="vector", progress=progress)

    def fail(*args):
        raise ConfigError("the model is gone")

    with monkeypatch.context() as patch:
        patch.setattr(batches, "_add_batch", fail)
        with pytest.raises(IngestInterrupted, match=f"{BATCH} are in.*model is gone"):
            create_index(samples, "index", embeddings="vector")

    _, ingested = create_index(samples, "index", embeddings="vector")
    assert ingested.kept == BATCH


def test_an_ingest_goes_on_unseen_without_the_store(samples, monkeypatch, caplog):
    def refuse(*args, **kwargs):
        raise OperationFailure("not authorized on execution_store")

    for method in ("set", "has", "delete"):
        monkeypatch.setattr(ExecutionStore, method, refuse)

    with caplog.at_level("WARNING"):
        index, _ = create_index(samples, "index", embeddings="vector")

    assert index.total_index_size == N
    said = [r.message for r in caplog.records if "cannot be seen" in r.message]
    assert len(said) == 1
    assert "not authorized" in said[0]


@pytest.mark.parametrize(
    ("done", "total", "seconds", "label"),
    [
        (0, 5000, 1, "0 of 5,000"),
        (12_800, 40_000, 4, "12,800 of 40,000 · 3,200 a second · 8 s left"),
        (1024, 5000, 1.28, "1,024 of 5,000 · 800 a second · 5 s left"),
        (10, 5000, 10, "10 of 5,000 · 1 a second · 83 min left"),
        (10, 50_000, 10, "10 of 50,000 · 1 a second · 13.9 h left"),
        (5000, 5000, 3, "5,000 of 5,000"),
    ],
)
def test_label_says_counts_rate_and_time_left(done, total, seconds, label):
    assert Job("id", "add", "key", done, total, 100, 100 + seconds).label == label


def test_the_rate_is_that_of_the_last_half_minute(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(jobs.time, "monotonic", lambda: now[0])
    pace = jobs.Pace()
    pace.advance(100_000)  # skipped, in no time
    for second in range(1, 61):
        now[0] = second
        pace.advance(100_000 + 10 * second)

    np.testing.assert_allclose(pace.rate, 10)
