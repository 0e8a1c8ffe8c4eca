"""Indexes made from the vectors of another similarity run."""

import os

import fiftyone.brain as fob
import numpy as np
import pytest

from fiftyone_qdrant.errors import ConfigError, IngestInterrupted, QdrantPluginError
from fiftyone_qdrant.ingest import batches
from fiftyone_qdrant.ingest.ingest import create_index
from fiftyone_qdrant.ingest.origins import find_origin, similarity_runs
from fiftyone_qdrant.ingest.sync import find_drift

N, BATCH = 30, 7


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(batches, "_BATCH", BATCH)


@pytest.fixture
def samples(make_embedded):
    return make_embedded(N)


def sklearn(samples, **arguments):
    return fob.compute_similarity(
        samples, backend="sklearn", brain_key="old", **arguments
    )


def assert_same(index, vectors, sample_ids):
    found, ids, _ = index.get_embeddings(sample_ids=sample_ids)
    assert list(ids) == list(sample_ids)
    assert index.total_index_size == len(sample_ids)
    np.testing.assert_allclose(found, vectors, rtol=1e-4, atol=1e-6)


def test_vectors_of_a_sklearn_run_are_taken_over(samples, place, rng):
    vectors, ids = rng.normal(size=(N, 8)), samples.values("id")
    sklearn(samples, embeddings=vectors, metric="euclidean")
    index, ingested = create_index(samples, "new", from_brain_key="old", **place)
    assert (ingested.new, ingested.skipped) == (N, 0)
    assert index.metric == "euclidean"
    assert_same(index, vectors, ids)


def test_a_run_without_results_is_told(samples, monkeypatch):
    sklearn(samples, embeddings="vector")
    monkeypatch.setattr(type(samples), "load_brain_results", lambda *_, **__: None)
    with pytest.raises(ConfigError, match="'old' has no results to take vectors from"):
        create_index(samples, "new", from_brain_key="old")


def test_a_given_metric_wins(samples, place):
    sklearn(samples, embeddings="vector", metric="euclidean")
    arguments = {"from_brain_key": "old", "metric": "cosine", **place}
    index, _ = create_index(samples, "new", **arguments)
    assert index.metric == "cosine"
    assert index.config.embeddings_field == "vector"
    assert find_drift(index, samples).changed == []


def test_what_the_run_lacks_is_skipped(samples, place):
    part = samples[5:20]
    sklearn(part, embeddings=np.array(part.values("vector")))
    index, ingested = create_index(samples, "new", from_brain_key="old", **place)
    assert (ingested.new, ingested.skipped) == (15, 15)
    assert_same(index, part.values("vector"), part.values("id"))


def test_a_view_takes_over_its_own_part(samples, place):
    sklearn(samples, embeddings="vector")
    index, ingested = create_index(samples[3:9], "new", from_brain_key="old", **place)
    assert ingested.new == 6
    assert sorted(index.sample_ids) == sorted(samples[3:9].values("id"))


def test_patches_with_their_model_are_taken_over_without_embedding(
    make_dataset, place, digits_model, monkeypatch
):
    dataset = make_dataset(20, patches=True)
    sklearn(dataset[2:], patches_field="detections", model=digits_model)
    old = dataset.load_brain_results("old")
    labels = old.label_ids.tolist()

    def embed(*args, **kwargs):
        raise AssertionError("was embedded again")

    monkeypatch.setattr("fiftyone.zoo.load_zoo_model", embed)
    index, ingested = create_index(dataset, "new", from_brain_key="old", **place)
    assert ingested.new == len(labels)
    config = index.config
    assert (config.patches_field, config.model) == ("detections", digits_model)
    assert config.supports_prompts
    found, sample_ids, _ = index.get_embeddings(label_ids=labels)
    np.testing.assert_allclose(
        found, old.get_embeddings(label_ids=labels)[0], atol=1e-5
    )
    assert sample_ids.tolist() == old.sample_ids.tolist()
    index.collection.drop()


def test_an_index_of_ours_is_converted_from_one_engine_to_the_other(samples, place):
    path = os.environ["FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"]
    old, _ = create_index(samples, "old", embeddings="vector", path=path)
    old.remove_from_index(sample_ids=samples.values("id")[:3])
    index, ingested = create_index(samples, "new", from_brain_key="old", **place)
    assert (ingested.new, ingested.skipped) == (N - 3, 3)
    ids = samples.values("id")[3:]
    assert_same(index, old.get_embeddings(sample_ids=ids)[0], ids)


def test_an_interrupted_conversion_goes_on(samples, place, monkeypatch):
    sklearn(samples, embeddings=np.array(samples.values("vector")))
    given, calls = batches._add_batch, []

    def add_batch(*args):
        calls.append(args)
        if len(calls) == 3:
            raise ConfigError("the disk is full")

        given(*args)

    monkeypatch.setattr(batches, "_add_batch", add_batch)
    with pytest.raises(IngestInterrupted, match=f"{2 * BATCH} are in"):
        create_index(samples, "new", from_brain_key="old", **place)

    index, ingested = create_index(samples, "new", from_brain_key="old", **place)
    assert (ingested.kept, ingested.new) == (2 * BATCH, N - 2 * BATCH)
    assert_same(index, samples.values("vector"), samples.values("id"))


def test_only_similarity_runs_are_offered(samples):
    sklearn(samples, embeddings="vector")
    fob.compute_visualization(
        samples,
        embeddings="vector",
        method="manual",
        points=np.zeros((N, 2)),
        brain_key="picture",
    )
    assert similarity_runs(samples) == ["old"]
    words = "no similarity run 'picture' to take vectors from. It has 'old'"
    with pytest.raises(ConfigError, match=words):
        find_origin(samples, "picture")


def test_the_summary_says_what_is_taken(samples):
    sklearn(samples, embeddings="vector", metric="euclidean")
    assert find_origin(samples, "old").summary == (
        "From 'old' (sklearn): its vectors, embeddings field 'vector', metric "
        "'euclidean'"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"embeddings": "other"}, "embeddings='other' contradicts .* has 'vector'"),
        ({"patches_field": "detections"}, "patches_field='detections' contradicts"),
    ],
)
def test_what_contradicts_the_run_is_refused(samples, arguments, words):
    sklearn(samples, embeddings="vector")
    with pytest.raises(ConfigError, match=words):
        create_index(samples, "new", from_brain_key="old", **arguments)

    assert samples.list_brain_runs() == ["old"]


def test_a_run_that_cannot_be_loaded_is_said(samples, monkeypatch):
    sklearn(samples, embeddings=np.array(samples.values("vector")))

    def fail(*args, **kwargs):
        raise OSError("file is gone")

    monkeypatch.setattr(type(samples), "load_brain_results", fail)
    words = r"'old' \(sklearn\) could not be opened: file is gone"
    with pytest.raises(ConfigError, match=words):
        create_index(samples, "new", from_brain_key="old")

    assert samples.list_brain_runs() == ["old"]


def test_a_run_without_vectors_of_the_view_is_said(samples, place):
    sklearn(samples[:5], embeddings=np.array(samples[:5].values("vector")))
    words = "Nothing to index: similarity run 'old' gave no embeddings"
    with pytest.raises(QdrantPluginError, match=words):
        create_index(samples[10:], "new", from_brain_key="old", **place)

    assert samples.list_brain_runs() == ["old"]
