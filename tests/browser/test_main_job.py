"""A person indexes, searches and cleans up in the App."""

import re

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest
from playwright.sync_api import expect

from fiftyone_qdrant.runs import load_index
from tests.browser.app import Form

KEY = "near"
COUNT = 60


@pytest.fixture
def dataset(make_shown):
    """60 digits, not indexed."""
    return make_shown(COUNT)


def index_of(dataset, samples=None):
    """Indexes some samples, all by default, by their pixels."""
    return fob.compute_similarity(
        dataset if samples is None else samples,
        embeddings="embedding",
        backend="qdrant",
        brain_key=KEY,
    )


def by_similarity(digits, number, count=COUNT):
    """The numbers of the first digits, the nearest to one of them first."""
    vectors = digits.vectors[:count]
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.argsort(-(units @ units[number]), kind="stable").tolist()


# --- create ---------------------------------------------------------------------


def test_two_clicks_create_an_index_of_every_sample(app, dataset):
    app.open_dataset(dataset.name)
    form = app.run_operator("Create Qdrant Index")
    expect(form.box.get_by_text("Ready to create 'embedding_sim'")).to_be_visible()
    form.execute()

    app.expect_told(f"Creating 'embedding_sim' is done: {COUNT} points")
    dataset.reload()
    index = load_index(dataset, "embedding_sim")
    assert index.total_index_size == COUNT
    app.page.get_by_role("button", name="Search it now").click()
    expect(Form(app.page).box.get_by_text("Query Similar").first).to_be_visible()


def test_create_index_keeps_what_was_entered_on_each_tab(app, dataset):
    app.open_dataset(dataset.name)
    form = app.run_operator("Create Qdrant Index")
    form.fill("Brain key", "tuned")
    form.choose("Embeddings field", "embedding")
    form.open_tab("Advanced")
    form.choose("Metric", "euclidean")
    form.fill("Edges per node (m)", "24")
    form.open_tab("Basic")
    form.execute()

    app.expect_told(f"Creating 'tuned' is done: {COUNT} points")
    dataset.reload()
    config = load_index(dataset, "tuned").collection.info().config
    assert config.hnsw_config.m == 24
    assert config.params.vectors.distance == "Euclid"


# --- change ---------------------------------------------------------------------


def test_add_selected_adds_what_is_new_and_replaces_the_rest(app, dataset):
    index = index_of(dataset, dataset[:20])
    app.open_dataset(dataset.name)
    app.select("number", 0, 22, 23)
    form = app.run_operator("Add Selected to Index")
    form.execute()

    app.expect_told(f"Adding to '{KEY}' is done: 2 new, 1 replaced")
    assert index.total_index_size == 22


def test_remove_selected_removes_from_the_index_only(app, dataset):
    index_of(dataset)
    app.open_dataset(dataset.name)
    app.select("number", 1, 4)
    form = app.run_operator("Remove Selected")
    form.execute()

    assert form.result("Removed from the index") == {
        "Removed points": "2",
        "Not in the index": "0",
        "Points in the index": str(COUNT - 2),
    }
    numbers = load_index(dataset, KEY).view.values("number")
    assert numbers == list(range(COUNT))

    form.box.get_by_role("button", name="Undo").click()
    expect(app.toast.first).to_contain_text(f"2 put back into '{KEY}'")
    assert load_index(dataset, KEY).total_index_size == COUNT


def test_with_nothing_selected_the_whole_dataset_must_be_confirmed(app, dataset):
    index = index_of(dataset, dataset[:20])
    app.open_dataset(dataset.name)
    form = app.run_operator("Remove Selected")
    form.expect_refused("Tick this, or select samples first")
    form.tick(f"All {COUNT} samples (nothing is selected)")
    form.execute()
    assert form.result("Removed from the index")["Removed points"] == "20"
    assert index.total_index_size == 0


# --- query ----------------------------------------------------------------------


def test_query_similar_shows_the_nearest_in_order(app, dataset, digits):
    index_of(dataset)
    app.open_dataset(dataset.name)
    app.select("number", 3)
    form = app.run_operator("Query Similar")
    form.fill("Number of matches", "5")
    form.execute()
    app.expect_shown("number", by_similarity(digits, 3)[:5])


def test_query_similar_shows_the_least_similar_first(app, dataset, digits):
    index_of(dataset)
    app.open_dataset(dataset.name)
    app.select("number", 3)
    form = app.run_operator("Query Similar")
    form.fill("Number of matches", "5")
    form.tick("Least similar first")
    form.execute()
    app.expect_shown("number", by_similarity(digits, 3)[::-1][:5])


def test_query_similar_in_a_patches_view_shows_the_nearest_patches(
    app, make_dataset, digits
):
    scenes = make_dataset(20, patches=True)
    ids = scenes.values("detections.detections.id", unwind=True)
    vectors = dict(zip(ids, digits.vectors, strict=False))
    scenes.set_label_values("detections.detections.embedding", vectors, dynamic=True)
    fob.compute_similarity(
        scenes,
        patches_field="detections",
        embeddings="embedding",
        backend="qdrant",
        brain_key=KEY,
    )
    scenes.app_config.active_fields = fo.ActiveFields(paths=["id"])
    scenes.save_view("patches", scenes.to_patches("detections"))

    app.open_dataset(scenes.name, view="patches")
    app.select("id", ids[2])
    form = app.run_operator("Query Similar")
    form.fill("Number of matches", "4")
    form.execute()
    nearest = by_similarity(digits, 2, len(ids))[:4]
    app.expect_shown("id", [ids[number] for number in nearest])


def test_query_of_a_dropped_collection_is_refused_and_the_app_lives_on(app, dataset):
    index = index_of(dataset)
    app.open_dataset(dataset.name)
    index.collection.drop()
    app.select("number", 3)
    form = app.run_operator("Query Similar")
    form.expect_refused(f"There is no collection '{index.config.collection_name}'")
    form.box.get_by_role("button", name="Cancel").click()
    app.select("number", 3, 4)


# --- clean up -------------------------------------------------------------------


def test_cleanup_needs_the_name_and_deletes_collection_and_run(app, dataset):
    index = index_of(dataset)
    name = index.config.collection_name
    app.open_dataset(dataset.name)
    form = app.run_operator("Cleanup Collection")
    form.fill("Confirm", name + "x")
    form.expect_refused(re.compile("^Type the collection's name to confirm"))
    assert index.collection.exists()

    form.fill("Confirm", name)
    form.execute()
    result = form.result("Cleanup Collection")
    assert f"'{name}' with {COUNT} points" in result["Result"]
    dataset.reload()
    assert not index.collection.exists()
    assert dataset.list_brain_runs() == []
