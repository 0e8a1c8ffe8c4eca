"""Fields that were renamed: their index goes on, told once what they are called."""

from __future__ import annotations

import fiftyone as fo
import pytest

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.ingest.ingest import create_index
from fiftyone_qdrant.ingest.sync import find_drift, sync
from fiftyone_qdrant.runs import follow_rename, load_index


@pytest.fixture
def patches(make_dataset, rng):
    dataset = make_dataset(20, patches=True)
    sizes = [len(v or []) for v in dataset.values("detections.detections")]
    values = [list(rng.normal(size=(n, 4))) or None for n in sizes]
    dataset.set_values("detections.detections.emb", values, dynamic=True)
    return dataset


@pytest.fixture
def renamed(patches, place):
    """Pictures whose label field was renamed after their labels were indexed."""
    create_index(patches, "old", embeddings="emb", patches_field="detections", **place)
    patches.rename_sample_field("detections", "truth")
    yield patches
    for key in patches.list_brain_runs():
        index = load_index(patches, key)
        if index.collection.exists():
            index.collection.drop()


def nearest(dataset, key, field="truth"):
    query = dataset.values(f"{field}.detections.id", unwind=True)[0]
    view = dataset.to_patches(field).sort_by_similarity(query, k=5, brain_key=key)
    return query, view.values("id")


def test_a_renamed_label_field_is_named_with_the_way_out(renamed):
    with pytest.raises(ConfigError, match=r"'detections'.*is gone.*follow_rename\("):
        nearest(renamed, "old")


def test_an_index_follows_its_label_field(renamed):
    before = load_index(renamed, "old").total_index_size
    index = follow_rename(renamed, "old", patches_field="truth")
    query, found = nearest(renamed, "old")
    assert found[0] == query
    assert len(found) == 5
    assert index.total_index_size == before
    drift = find_drift(load_index(renamed, "old"), renamed)
    assert (len(drift.missing), len(drift.orphans)) == (0, 0)
    stored = fo.load_dataset(renamed.name).get_brain_info("old").config
    assert stored.patches_field == "truth"


def test_an_index_of_the_renamed_labels_is_made_from_the_old_one(renamed, place):
    index, done = create_index(
        renamed, "new", from_brain_key="old", patches_field="truth", **place
    )
    assert done.points == load_index(renamed, "old").total_index_size
    assert index.config.patches_field == "truth"
    query, found = nearest(renamed, "new")
    assert found[0] == query


def test_the_new_name_is_asked_for(renamed, place):
    with pytest.raises(ConfigError, match="give its new name as patches_field"):
        create_index(renamed, "new", from_brain_key="old", **place)


def test_labels_of_another_field_are_not_taken_for_it(renamed):
    renamed.clone_sample_field("truth", "others")
    for sample in renamed.iter_samples(autosave=True):
        for label in sample["others"].detections if sample["others"] else ():
            label.id = None or fo.Detection().id

    with pytest.raises(ConfigError, match="holds none of the labels of 'others'"):
        follow_rename(renamed, "old", patches_field="others")

    assert load_index(renamed, "old").config.patches_field == "detections"


def test_an_index_of_samples_has_no_label_field(make_embedded):
    dataset = make_embedded(10)
    create_index(dataset, "index", embeddings="vector")
    with pytest.raises(ConfigError, match="no label field to rename"):
        follow_rename(dataset, "index", patches_field="ground_truth")


def test_an_index_follows_its_embeddings_field(make_embedded, rng):
    dataset = make_embedded(10)
    create_index(dataset, "index", embeddings="vector")
    dataset.rename_sample_field("vector", "moved")
    dataset.add_sample(fo.Sample("new.png", moved=rng.normal(size=8)))
    with pytest.raises(ConfigError, match=r"'vector', which is gone.*follow_rename\("):
        sync(load_index(dataset, "index"), dataset)

    with pytest.raises(ConfigError, match="There is no field 'other'"):
        follow_rename(dataset, "index", embeddings_field="other")

    follow_rename(dataset, "index", embeddings_field="moved")
    sync(load_index(dataset, "index"), dataset)
    assert load_index(dataset, "index").total_index_size == 11


def test_vectors_are_taken_over_under_the_new_name_of_their_field(make_embedded):
    dataset = make_embedded(10)
    create_index(dataset, "old", embeddings="vector")
    dataset.rename_sample_field("vector", "moved")
    index, done = create_index(dataset, "new", from_brain_key="old", embeddings="moved")
    assert (index.config.embeddings_field, done.points) == ("moved", 10)
