"""Create Qdrant Index, called from Python with nothing but what it needs."""

from __future__ import annotations

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionContext

from tests.plugin.calls import call, labels_of, operator, snapshot

CREATED = {
    "brain_key",
    "collection_name",
    "engine",
    "location",
    "points",
    "skipped",
    "ignored",
}
PIXELS = {"brain_key": "pixels", "embeddings": "pixels"}


def test_create_from_a_field(dataset, digits, store):
    made = call("create_qdrant_index", dataset, brain_key="mine", embeddings="pixels")
    assert set(made) >= CREATED
    assert made["brain_key"] == "mine"
    assert (made["engine"], made["location"]) == ("embedded", str(store))
    assert (made["points"], made["skipped"], made["ignored"]) == (40, 0, None)
    index = dataset.load_brain_results("mine")
    assert index.config.collection_name == made["collection_name"]
    stored, _, _ = index.get_embeddings(dataset.values("id"))
    np.testing.assert_allclose(stored, digits.vectors[:40], rtol=1e-5)


def test_create_with_a_model(prompted, documented_models):
    index = prompted.load_brain_results("prompted")
    expected = prompted.compute_embeddings(documented_models)
    stored, _, _ = index.get_embeddings(prompted.values("id"))
    np.testing.assert_allclose(stored, expected, atol=1e-5)
    assert index.config.supports_prompts


def test_create_of_patches(indexed_patches):
    index = indexed_patches.load_brain_results("objects")
    assert sorted(index.label_ids) == sorted(labels_of(indexed_patches))
    assert index.total_index_size == 40


def test_create_of_patches_with_a_model(patches, digits_model):
    made = call(
        "create_qdrant_index",
        patches,
        brain_key="objects",
        model=digits_model,
        patches_field="detections",
    )
    assert made["points"] == 40
    assert made["skipped"] == 4  # pictures without any label


def test_create_of_a_view_indexes_the_view(dataset):
    view = dataset.limit(7)
    made = call(
        "create_qdrant_index", {"view": view}, brain_key="some", embeddings="pixels"
    )
    assert made["points"] == 7
    index = dataset.load_brain_results("some")
    assert sorted(index.sample_ids) == sorted(view.values("id"))


def test_create_counts_samples_without_an_embedding(dataset):
    dataset.limit(3).clear_sample_field("pixels")
    made = call("create_qdrant_index", dataset, brain_key="mine", embeddings="pixels")
    assert (made["points"], made["skipped"]) == (37, 3)


def test_create_connects_to_an_existing_collection(indexed, client):
    name = indexed.load_brain_results("pixels").config.collection_name
    before = snapshot(client)["collections"]
    made = call(
        "create_qdrant_index",
        indexed,
        brain_key="again",
        connect=True,
        collection_name=name,
    )
    assert (made["collection_name"], made["points"]) == (name, 40)
    assert snapshot(client)["collections"] == before
    found = indexed.sort_by_similarity(indexed.first().id, k=3, brain_key="again")
    assert len(found) == 3


def test_create_gives_the_parameters_to_the_collection(dataset, client):
    made = call(
        "create_qdrant_index",
        dataset,
        brain_key="mine",
        embeddings="pixels",
        collection_name="by_parameters",
        metric="euclidean",
        hnsw_config={"m": 24, "ef_construct": 77, "payload_m": None},
        optimizers_config={"indexing_threshold": 30000, "flush_interval_sec": 7},
        shard_number=3,
    )
    config = client.get_collection("by_parameters").config
    assert config.params.vectors.distance == "Euclid"
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (24, 77)
    assert config.optimizer_config.indexing_threshold == 30000
    assert "shard_number" in made["ignored"]
    assert "optimizers_config.flush_interval_sec" in made["ignored"]


@pytest.mark.parametrize("kind", ["binary", "scalar"])
def test_create_gives_the_quantization_to_the_collection(dataset, client, kind):
    """``{"binary": {}}`` is Qdrant's way to say: with all defaults."""
    made = call(
        "create_qdrant_index",
        dataset,
        brain_key="mine",
        embeddings="pixels",
        quantization_config={kind: {}},
    )
    config = client.get_collection(made["collection_name"]).config
    assert config.quantization_config is not None
    assert getattr(config.quantization_config, kind) is not None


def test_create_equals_compute_similarity(indexed):
    library = fob.compute_similarity(
        indexed, embeddings="pixels", backend="qdrant", brain_key="library"
    )
    ours = indexed.load_brain_results("pixels")
    for a, b in zip(library.get_embeddings(), ours.get_embeddings(), strict=True):
        np.testing.assert_array_equal(a, b)
    ignored = {"collection_name"}
    configs = [i.config.serialize() for i in (library, ours)]
    a, b = ({k: v for k, v in c.items() if k not in ignored} for c in configs)
    assert a == b


def test_create_as_a_typed_call(dataset):
    create = operator("create_qdrant_index")
    made = create(dataset, "mine", embeddings="pixels", metric="manhattan").result
    assert set(made) >= CREATED
    assert dataset.load_brain_results("mine").metric == "manhattan"


def test_typed_create_on_a_view_indexes_the_view(dataset):
    create = operator("create_qdrant_index")
    made = create(dataset.limit(5), "mine", embeddings="pixels").result
    assert made["points"] == 5


def test_connecting_says_so_and_counts_what_is_not_there(indexed):
    name = indexed.load_brain_results("pixels").config.collection_name
    indexed.add_sample(fo.Sample("new.png"))
    arguments = {"brain_key": "b", "connect": True, "collection_name": name}
    made = call("create_qdrant_index", indexed, **arguments)
    assert (made["connected"], made["missing"]) == (True, 1)
    shown = {"dataset_name": indexed.name, "params": {}, "results": made}
    output = operator("create_qdrant_index").resolve_output(ExecutionContext(shown))
    assert output.to_json()["view"]["label"] == "Connected"
    assert output.type.get_property("missing") is not None
