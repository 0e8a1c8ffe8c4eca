"""Preflight: what creating an index would do, and the words of what would stop it."""

import json
import os
import socket
import time

import fiftyone.brain as fob
import fiftyone.zoo as foz
import numpy as np
import pytest

from fiftyone_qdrant.errors import QdrantPluginError
from fiftyone_qdrant.ingest.ingest import create_index
from fiftyone_qdrant.ingest.preflight import preflight
from fiftyone_qdrant.parameters.estimates import estimate
from fiftyone_qdrant.qdrant import clients, connection
from fiftyone_qdrant.qdrant.connection import ENVIRONMENT
from fiftyone_qdrant.runs import list_indexes, load_index
from tests import isolation

N = 40


@pytest.fixture(autouse=True)
def _store(monkeypatch):  # undone after the indexes are dropped
    """The embedded store of these tests is there already."""
    clients.connect(connection.resolve({}))


@pytest.fixture
def samples(make_dataset, digits):
    dataset = make_dataset(N)
    dataset.set_values("vector", list(digits.vectors[:N]))
    dataset.set_values("short", list(digits.vectors[:N, :8]))
    yield dataset
    for key in list_indexes(dataset):
        load_index(dataset, key).collection.drop()


def problem(found):
    (only,) = found.problems
    return only.where, only.text


def test_what_will_be_made_is_told(samples, place):
    found = preflight(samples, "new", embeddings="vector", **place)
    assert found.ok
    assert (found.vectors, found.size, found.metric) == (N, 64, "cosine")
    assert found.engine.version
    assert found.estimate.memory == N * 64 * 4 * 1.5
    assert (found.free_disk is not None) == ("path" in place)
    assert found.lines[1] == f"New collection '{found.collection_name}'"
    assert found.lines[2] == "Up to 40 vectors of 64 dimensions, cosine"
    assert json.loads(json.dumps(found.to_dict()))["ok"] is True
    index, _ = create_index(samples, "new", embeddings="vector", **place)
    assert index.collection.name == found.collection_name


def test_nothing_is_changed(samples, place, digits_model, monkeypatch):
    monkeypatch.setattr(foz, "load_zoo_model", lambda *a, **k: pytest.fail("loaded"))
    found = preflight(samples, "new", model=digits_model, **place)
    assert found.ok
    assert (found.size, found.estimate) == (None, None)
    assert found.notes[-1] == "Size of the vectors and time depend on the model"
    assert samples.list_brain_runs() == []


def test_patches_of_a_view_are_counted(make_dataset, digits):
    dataset = make_dataset(20, patches=True)
    labels = dataset.values("detections.detections.id", unwind=True)
    vectors = dict(zip(labels, digits.vectors, strict=False))
    dataset.set_label_values("detections.detections.pixels", vectors, dynamic=True)
    view = dataset[5:]
    found = preflight(view, "new", embeddings="pixels", patches_field="detections")
    assert found.vectors == view.count("detections.detections")
    assert (found.size, found.about) == (64, False)


def test_what_another_run_gives_is_known_without_reading_it(samples, place):
    create_index(samples, "ours", embeddings="vector", metric="euclidean", **place)
    fob.compute_similarity(
        samples,
        embeddings=np.array(samples.values("short")),
        backend="sklearn",
        brain_key="old",
    )
    samples.clear_cache()
    found = preflight(samples, "new", from_brain_key="ours", **place)
    assert (found.size, found.metric) == (64, "euclidean")
    found = preflight(samples, "new", from_brain_key="old", **place)
    assert (found.ok, found.size) == (True, None)
    assert found.notes == ["The size of the vectors is known when 'old' is read"]


def refusals(samples):
    ours = samples.load_brain_results("ours").config.collection_name
    return {
        "key": ("brain_key", {"brain_key": "my index"}),
        "taken": ("brain_key", {"brain_key": "ours"}),
        "size": ("collection_name", {"embeddings": "short", "collection_name": ours}),
        "metric": ("collection_name", {"metric": "euclidean", "collection_name": ours}),
        "no metric": ("metric", {"metric": "hamming"}),
        "source": (None, {"embeddings": None}),
        "model": ("model", {"embeddings": None, "model": "no-such-model"}),
        "empty": ("embeddings", {"embeddings": "empty"}),
        "run": ("from_brain_key", {"embeddings": None, "from_brain_key": "gone"}),
        "missing": ("collection_name", {"connect": True, "collection_name": "gone"}),
        "unnamed": (None, {"connect": True}),
        "parameter": ("hnsw_config.m", {"hnsw_config": {"m": -1}}),
        "unknown": (None, {"speed": 9}),
    }


@pytest.mark.parametrize(
    "case",
    [
        *("key", "taken", "size", "metric", "no metric", "source", "model", "empty"),
        *("run", "missing", "unnamed", "parameter", "unknown"),
    ],
)
def test_what_would_stop_it_is_told_in_the_words_of_the_error(samples, case):
    create_index(samples, "ours", embeddings="vector")
    samples.clone_sample_field("short", "empty")
    samples.clear_sample_field("empty")
    where, change = refusals(samples)[case]
    arguments = {"brain_key": "new", "embeddings": "vector", **change}
    found = preflight(samples, **arguments)
    with pytest.raises((QdrantPluginError, ValueError)) as caught:
        create_index(samples, **arguments)

    assert problem(found) == (where, str(caught.value))


def test_an_existing_collection_is_described_with_its_users(samples):
    index, _ = create_index(samples, "ours", embeddings="vector")
    name = index.collection.name
    found = preflight(samples, "new", embeddings="vector", collection_name=name)
    used = f"used by 'ours' of dataset '{samples.name}'"
    assert found.collection == (
        f"Collection '{name}' has 40 points ({used}): vectors are added to it"
    )
    found = preflight(samples, "new", connect=True, collection_name=name)
    assert found.collection.endswith(f"({used}): it is used as it is")
    assert (found.ok, found.vectors, found.size) == (True, 40, 64)


def test_an_unfinished_index_is_gone_on_with(samples):
    index, _ = create_index(samples[:10], "ours", embeddings="vector")
    index.config.unfinished = True
    index.save_config()
    samples.reload()
    found = preflight(samples, "ours", embeddings="vector")
    assert found.ok
    assert "has 10 points" in found.collection
    assert found.collection.endswith("this goes on where it stopped")


def test_a_dead_server_is_told_quickly_and_in_words(samples):
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes calls, says nothing
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        start = time.monotonic()
        found = preflight(samples, "new", embeddings="vector", url=url)
        print(f"told after {time.monotonic() - start:.1f} s")
        where, text = problem(found)
        assert where == "url"
        assert url in text

    found = preflight(
        samples,
        "new",
        embeddings="vector",
        url=f"http://127.0.0.1:{isolation.free_port()}",
    )
    assert "does not answer" in problem(found)[1]


def test_no_store_is_made_to_look_at_it(samples, tmp_path, monkeypatch):
    path = tmp_path / "new"
    found = preflight(samples, "new", embeddings="vector", path=str(path))
    assert found.ok
    assert f"A new embedded store is made at {path}" in found.notes
    assert not path.exists()
    (tmp_path / "letter.txt").touch()
    found = preflight(samples, "new", embeddings="vector", path=str(tmp_path))
    assert problem(found)[0] == "path"
    assert "has other files in it" in problem(found)[1]
    assert os.listdir(tmp_path) == ["letter.txt"]


def test_it_never_raises(samples, monkeypatch, caplog):
    def fail(*args):
        raise RuntimeError("the moon is full")

    monkeypatch.setattr("fiftyone_qdrant.ingest.preflight._say_how_many", fail)
    found = preflight(samples, "new", embeddings="vector")
    assert "Not all could be checked: RuntimeError: the moon is full" in found.warnings
    assert found.ok
    assert "the moon is full" in caplog.text


def test_no_secret_is_told(samples, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT["api_key"], "planted-key")
    url = f"http://me:planted-pass@127.0.0.1:{isolation.free_port()}"
    told = str(preflight(samples, "new", embeddings="vector", url=url).to_dict())
    assert "planted" not in told


@pytest.mark.parametrize(
    ("parameters", "memory"),
    [
        ({}, 5280),
        ({"on_disk": True}, 1280),
        ({"on_disk": True, "quantization_config": {"scalar": {}}}, 2280),
        ({"quantization_config": {"binary": {}}}, 5405),
        ({"quantization_config": {"product": {"compression": "x8"}}}, 5780),
        ({"quantization_config": 3}, 5280),
        ({"hnsw_config": {"m": 8, "on_disk": False}}, 4640),
        ({"hnsw_config": {"on_disk": True}}, 4000),
    ],
)
def test_memory_follows_where_vectors_are_kept(parameters, memory):
    assert estimate(10, 100, parameters, timed=False).memory == memory


def test_time_is_told_only_where_it_is_known():
    assert estimate(1000, 64, {}, timed=False).seconds is None
    assert estimate(20_000, 512, {}, timed=True).seconds == pytest.approx(3.5, rel=0.1)
