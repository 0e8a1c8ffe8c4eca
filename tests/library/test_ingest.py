"""Streaming ingest: in batches, going on where it stopped; and syncing afterwards."""

import multiprocessing
import os
import signal
import time

import fiftyone as fo
import fiftyone.zoo as foz
import fiftyone.zoo.models as fozm
import numpy as np
import pytest

from fiftyone_qdrant.embedded.files import read_json
from fiftyone_qdrant.embedded.sidecar import directory_name
from fiftyone_qdrant.errors import ConfigError, IngestInterrupted
from fiftyone_qdrant.ingest import batches
from fiftyone_qdrant.ingest.ingest import add_samples, create_index
from fiftyone_qdrant.ingest.sync import find_drift, sync
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.runs import load_index

N, BATCH = 60, 7


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(batches, "_BATCH", BATCH)


@pytest.fixture
def samples(make_embedded):
    return make_embedded(N)


def vectors_of(samples):
    return np.array(samples.values("vector"), dtype=np.float32)


def assert_in_step(index, samples):
    ids = samples.values("id")
    found, sample_ids, _ = index.get_embeddings(sample_ids=ids)
    assert list(sample_ids) == ids
    assert index.total_index_size == len(ids)
    np.testing.assert_allclose(found, vectors_of(samples), rtol=1e-4, atol=1e-6)


def test_a_field_is_indexed_batch_by_batch(samples, place):
    bars = []
    index, ingested = create_index(
        samples,
        "index",
        embeddings="vector",
        progress=lambda bar: bars.append((bar.iteration, bar.total)),
        **place,
    )
    assert (ingested.new, ingested.kept, ingested.skipped) == (N, 0, 0)
    assert [done for done, _ in bars] == [*range(BATCH, N, BATCH), N]
    assert {total for _, total in bars} == {N}
    assert_in_step(index, samples)


def test_what_was_ingested_is_flushed_once_at_the_end(samples, place, monkeypatch):
    flushed = []
    monkeypatch.setattr(Collection, "flush", lambda self: flushed.append(self.count()))

    index, _ = create_index(samples, "index", embeddings="vector", **place)
    assert flushed == [N]
    add_samples(index, samples[:9])
    assert flushed == [N, N]


def test_what_was_ingested_survives_a_power_failure(samples):
    path = os.environ["FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"]
    index, _ = create_index(samples, "index", embeddings="vector", path=path)
    sealed = f"{path}/collections/{directory_name(index.collection.name)}/seal.json"
    assert read_json(sealed)["points"] == N
    index.collection.drop()


def fail_at(monkeypatch, number):
    """The batch with this number fails when it is written."""
    given = batches._add_batch
    calls = []

    def add_batch(*args):
        calls.append(args)
        if len(calls) == number:
            raise ConfigError("the disk is full")

        given(*args)

    monkeypatch.setattr(batches, "_add_batch", add_batch)


def test_a_failure_at_once_leaves_nothing(samples, place, monkeypatch):
    fail_at(monkeypatch, 1)
    with pytest.raises(ConfigError, match="disk is full"):
        create_index(samples, "index", embeddings="vector", **place)

    assert samples.list_brain_runs() == []


def test_a_failure_midway_is_said_and_gone_on_from(samples, place, monkeypatch):
    fail_at(monkeypatch, 4)
    words = f"{3 * BATCH} are in index 'index'.*disk is full.*Run it again"
    with pytest.raises(IngestInterrupted, match=words):
        create_index(samples, "index", embeddings="vector", **place)

    index, ingested = create_index(samples, "index", embeddings="vector", **place)
    assert (ingested.new, ingested.replaced, ingested.kept) == (
        N - 3 * BATCH,
        0,
        3 * BATCH,
    )
    assert_in_step(index, samples)
    with pytest.raises(ConfigError, match="already"):
        create_index(samples, "index", embeddings="vector", **place)


def test_going_on_with_another_source_is_refused(samples, place, monkeypatch):
    fail_at(monkeypatch, 2)
    with pytest.raises(IngestInterrupted):
        create_index(samples, "index", embeddings="vector", **place)

    with pytest.raises(ConfigError, match="embeddings='vector'"):
        create_index(samples, "index", embeddings="other", **place)


def test_going_on_with_patches_embeds_only_what_is_left(
    make_dataset, place, digits_model, monkeypatch
):
    dataset = make_dataset(40, patches=True)
    source = {"model": digits_model, "patches_field": "detections", **place}
    fail_at(monkeypatch, 4)
    with pytest.raises(IngestInterrupted):
        create_index(dataset, "index", **source)

    index, ingested = create_index(dataset, "index", **source)
    labels = dataset.values("detections.detections.id", unwind=True)
    assert sorted(index.label_ids) == sorted(labels)
    assert ingested.replaced == 0
    index.collection.drop()


def test_sync_mends_just_what_drifted(samples, place, digit_images):
    index, _ = create_index(samples, "index", embeddings="vector", **place)
    ids = samples.values("id")
    samples.delete_samples(ids[:5])
    added = samples.add_samples(
        [fo.Sample(str(p), vector=np.arange(8.0)) for p in digit_images[-10:]]
    )
    samples.add_samples([fo.Sample(str(digit_images[-11]))])  # has no embedding
    samples[ids[20]].set_field("vector", np.ones(8))
    changed = samples[ids[20]]
    changed["vector"] = np.ones(8)
    changed.save()

    drift = find_drift(index, samples)
    assert drift.missing == added
    assert drift.orphans == sorted(ids[:5])
    assert drift.changed == [ids[20]]
    assert drift.summary == ("10 missing, 5 orphans (to be removed), 1 changed")

    _, ingested = sync(index, samples, drift)
    assert (ingested.new, ingested.replaced) == (10, 1)
    assert find_drift(index, samples).summary == ("Up to date")
    assert_in_step(index, samples.exists("vector"))


def test_sync_of_patches_goes_by_label(make_dataset, place, digits_model):
    dataset = make_dataset(20, patches=True)
    source = {"model": digits_model, "patches_field": "detections", **place}
    index, _ = create_index(dataset, "index", **source)
    labels = dataset.values("detections.detections.id", unwind=True)
    index.remove_from_index(label_ids=labels[:3])
    dataset.delete_labels(ids=labels[-2:], fields="detections")

    drift, ingested = sync(index, dataset)
    assert (drift.missing, drift.orphans) == (labels[:3], sorted(labels[-2:]))
    assert (ingested.new, ingested.replaced) == (3, 0)
    assert sorted(index.label_ids) == sorted(labels[:-2])
    index.collection.drop()


def test_adding_again_replaces(samples, place):
    index, _ = create_index(samples, "index", embeddings="vector", **place)
    ingested = add_samples(index, samples[:10])
    assert (ingested.new, ingested.replaced) == (0, 10)


KILLS = 20


def ingest_in_child(name, model, path, log):
    """Runs in a forked process that will be killed: notes each embedded image."""
    loaded = foz.load_zoo_model(model)
    given = loaded.embed_all

    def embed_all(images):
        with open(log, "a") as f:
            f.write("1\n" * len(images))

        time.sleep(0.004 * len(images))
        return given(images)

    loaded.embed_all = embed_all
    fozm._MODELS[model] = loaded  # where the zoo finds what it has loaded
    dataset = fo.load_dataset(name)
    dataset.reload()
    create_index(dataset, "index", model=model, path=path)


@pytest.mark.slow
def test_a_killed_ingest_goes_on_and_embeds_at_most_one_batch_twice(
    make_dataset, digits_model, rng, tmp_path
):
    dataset = make_dataset(6 * N)
    dataset.persistent = True
    path, log = os.environ["FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"], tmp_path / "log"
    log.touch()
    kills = runs = 0
    context = multiprocessing.get_context("fork")
    while True:
        child = context.Process(
            target=ingest_in_child, args=(dataset.name, digits_model, path, str(log))
        )
        before = len(log.read_text().split())
        child.start()
        runs += 1
        if kills < KILLS:  # kill it a random number of images later
            target = before + int(rng.integers(0, 2 * BATCH + 1))
            while child.is_alive() and len(log.read_text().split()) < target:
                time.sleep(0.002)

            time.sleep(float(rng.uniform(0, 0.03)))
            if child.is_alive():
                os.kill(child.pid, signal.SIGKILL)
                kills += 1

        child.join(60)
        if child.exitcode == 0:
            break

        assert child.exitcode == -signal.SIGKILL

    dataset.reload()
    index = load_index(dataset, "index")
    embedded = len(log.read_text().split())
    print(
        f"{kills} kills, {runs} runs, {embedded} embeddings of {len(dataset)} samples"
    )
    assert not index.config.unfinished
    assert sorted(index.sample_ids) == sorted(dataset.values("id"))
    assert kills >= KILLS
    assert embedded <= len(dataset) + kills * BATCH
    index.collection.drop()
