"""Stores that moved, datasets that were deleted: one way each, and it is said."""

from __future__ import annotations

import os
import shutil

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest

from fiftyone_qdrant.cleanup import clean_up
from fiftyone_qdrant.embedded import EmbeddedClient
from fiftyone_qdrant.errors import (
    CollectionNotFound,
    CollectionShared,
    StoreUnavailable,
)
from fiftyone_qdrant.index.naming import base_name
from fiftyone_qdrant.qdrant import clients
from fiftyone_qdrant.qdrant.connection import ENVIRONMENT
from fiftyone_qdrant.runs import load_index
from fiftyone_qdrant.status.indexes import survey
from tests.conftest import SEED, WORLD, stop_store


@pytest.fixture(scope="module")
def original():
    """A dataset whose index's store was moved; its old place and its new one."""
    old, new = WORLD.root / "old", WORLD.root / "new"
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"{i}.png") for i in range(30)])
    vectors = np.random.default_rng(SEED).normal(size=(30, 8))
    fob.compute_similarity(
        dataset,
        embeddings=vectors,
        backend="qdrant",
        brain_key="index",
        path=str(old),
    )
    stop_store(old)
    shutil.move(old, new)
    yield dataset, str(old), str(new)
    dataset.delete()
    stop_store(new)
    shutil.rmtree(new)


@pytest.fixture
def moved(original, monkeypatch):
    """The same, for a test to change what the run says."""
    monkeypatch.setattr(clients, "_clients", {})
    dataset, old, new = original
    clone = dataset.clone()
    yield clone, old, new
    clone.delete()


def query(dataset):
    return dataset.sort_by_similarity(dataset.first().id, k=5, brain_key="index")


USES = {
    "query": query,
    "load": lambda d: d.load_brain_results("index").total_index_size,
    "count": lambda d: load_index(d, "index").collection.count(),
    "read": lambda d: load_index(d, "index").get_embeddings(),
    "cleanup": lambda d: load_index(d, "index").cleanup(),
    "plan": lambda d: clean_up(load_index(d, "index"), dry_run=True),
}


@pytest.mark.parametrize("use", USES)
def test_a_moved_store_is_not_made_anew_at_its_old_place(moved, use):
    dataset, old, _ = moved
    with pytest.raises(StoreUnavailable, match=f"no embedded store at {old}") as caught:
        USES[use](dataset)

    assert "load_brain_results(brain_key, path='" in str(caught.value)
    assert not os.path.exists(old)


def test_a_moved_store_is_a_problem_in_words_in_the_status(moved):
    dataset, old, _ = moved
    (engine,), (row,) = survey(dataset)
    assert "If it was moved, say once where it is now" in engine.problem
    assert row.state == "unreachable"
    assert not os.path.exists(old)


@pytest.mark.parametrize("configured", [None, "the new place", "the old place"])
def test_a_moved_store_is_named_once(moved, configured, monkeypatch):
    dataset, old, new = moved
    if configured is not None:
        place = new if configured == "the new place" else old
        monkeypatch.setenv(ENVIRONMENT["path"], place)

    with pytest.raises(StoreUnavailable):
        query(dataset)

    index = dataset.load_brain_results("index", path=new)
    assert index.total_index_size == 30
    dataset.clear_cache()
    assert fo.load_dataset(dataset.name).get_brain_info("index").config.path == new
    assert len(query(dataset)) == 5
    assert not os.path.exists(old)


@pytest.mark.slow
def test_a_session_that_had_it_open_does_the_same(moved):
    dataset, old, new = moved
    dataset.load_brain_results("index", path=new)
    stop_store(new)
    shutil.move(new, old)
    try:
        with pytest.raises(StoreUnavailable):
            query(dataset)

        dataset.load_brain_results("index", path=old)
        assert len(query(dataset)) == 5
    finally:
        stop_store(old)
        shutil.move(old, new)


def test_the_message_names_the_store_that_is_configured(moved, monkeypatch):
    dataset, _, new = moved
    monkeypatch.setenv(ENVIRONMENT["path"], new)
    with pytest.raises(StoreUnavailable, match=f"path='{new}'"):
        query(dataset)


def test_another_store_is_not_taken_for_the_moved_one(moved):
    dataset, old, _ = moved
    EmbeddedClient(WORLD.store).close()
    with pytest.raises(CollectionNotFound, match="has no collection"):
        dataset.load_brain_results("index", path=str(WORLD.store))

    assert fo.load_dataset(dataset.name).get_brain_info("index").config.path == old


def test_a_dataset_that_was_exported_finds_its_vectors(moved, tmp_path):
    dataset, old, new = moved
    dataset.export(
        str(tmp_path), dataset_type=fo.types.FiftyOneDataset, export_media=False
    )
    other = fo.Dataset.from_dir(str(tmp_path), fo.types.FiftyOneDataset)
    try:
        with pytest.raises(StoreUnavailable, match="no embedded store at"):
            query(other)

        other.load_brain_results("index", path=new)
        assert len(query(other)) == 5
    finally:
        other.delete()

    assert not os.path.exists(old)


@pytest.mark.parametrize("stopped", [True, False], ids=["stopped", "in use"])
def test_where_a_store_was_deleted_a_new_index_makes_one(
    make_dataset, rng, store_path, stopped
):
    dataset, vectors = make_dataset(20), rng.normal(size=(20, 8))
    given = {"embeddings": vectors, "backend": "qdrant", "path": str(store_path)}
    fob.compute_similarity(dataset, brain_key="gone", **given)
    if stopped:
        stop_store(store_path)

    shutil.rmtree(store_path)
    index = fob.compute_similarity(dataset, brain_key="index", **given)
    assert index.total_index_size == 20
    assert len(query(dataset)) == 5
    with pytest.raises(CollectionNotFound, match="no collection"):
        load_index(dataset, "gone").get_embeddings()


# --- deleted datasets, and clones -----------------------------------------------


def test_an_index_of_a_deleted_dataset_is_cleaned_up_by_force(make_dataset, rng):
    dataset, vectors = make_dataset(20), rng.normal(size=(20, 8))
    index = fob.compute_similarity(
        dataset, embeddings=vectors, backend="qdrant", brain_key="index"
    )
    other = fo.Dataset()  # the fixture reloads its dataset
    dataset.clone(dataset.name + "-copy").delete()
    other.delete()
    dataset.delete()
    with pytest.raises(CollectionShared, match=r"was deleted.*cleanup\(force=True\)"):
        index.cleanup()

    assert index.collection.exists()
    index.cleanup(force=True)
    assert not index.collection.exists()


def test_a_clone_cleans_up_after_its_original_is_deleted(make_dataset, rng):
    dataset, vectors = make_dataset(20), rng.normal(size=(20, 8))
    fob.compute_similarity(
        dataset, embeddings=vectors, backend="qdrant", brain_key="index"
    )
    clone = dataset.clone()
    try:
        index = load_index(clone, "index")
        with pytest.raises(CollectionShared, match="also used by"):
            index.cleanup()

        dataset.delete()
        index.cleanup()
        assert not index.collection.exists()
    finally:
        clone.delete()


# --- names ----------------------------------------------------------------------

NAMES = ["x" * 246, "x" * 300, "y" * 1000, "a-" * 300, "Grüße 日本 & co", "_.+-a"]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: f"{name[:5]} {len(name)}")
def test_a_dataset_of_any_name_gets_a_collection_of_its_own(
    name, make_dataset, make_index, rng
):
    vectors = rng.normal(size=(3, 4))
    dataset = make_dataset(3, name=name)
    one = make_index(dataset, embeddings=vectors, brain_key="one")
    two = make_index(dataset, embeddings=vectors, brain_key="two")
    assert one.collection.name.startswith(base_name(dataset))
    assert len({one.collection.name, two.collection.name}) == 2
    assert max(len(i.collection.name) for i in (one, two)) < 255
    assert one.total_index_size == two.total_index_size == 3
