"""Sync and removal touch nothing of others, and nothing before they can finish."""

import fiftyone as fo
import fiftyone.brain as fob
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant.errors import (
    CollectionShared,
    ConfigError,
    IngestInterrupted,
    MissingIDs,
)
from fiftyone_qdrant.ingest import batches, ingest, removal
from fiftyone_qdrant.ingest.ingest import create_index
from fiftyone_qdrant.ingest.preflight import preflight
from fiftyone_qdrant.ingest.removal import Removed, remove
from fiftyone_qdrant.ingest.sync import find_drift, sync
from fiftyone_qdrant.runs import is_unfinished, list_indexes, load_index
from fiftyone_qdrant.status.indexes import index_status


def run(name, samples, key="index", **params):
    return foo.get_operator(f"@community/qdrant/{name}")(samples, key, **params).result


@pytest.fixture
def new_dataset():
    made = []

    def new(samples):
        dataset = fo.Dataset()
        dataset.add_samples(samples)
        made.append(dataset)
        return dataset

    yield new
    for dataset in made:
        dataset.reload()
        for key in list_indexes(dataset):
            load_index(dataset, key).collection.drop()

        dataset.delete()


@pytest.fixture
def samples(new_dataset, rng):
    return new_dataset(
        [fo.Sample(f"{i}.png", vector=v) for i, v in enumerate(rng.normal(size=(9, 4)))]
    )


def test_a_removal_through_a_clone_is_refused_unless_it_is_forced(samples):
    index, _ = create_index(samples, "index", embeddings="vector")
    clone = samples.clone()
    try:
        theirs, ids = load_index(clone, "index"), clone.values("id")
        words = f"'index' of dataset '{samples.name}'.*force=True"
        with pytest.raises(CollectionShared, match=words):
            theirs.remove_from_index(sample_ids=ids[:1])

        with pytest.raises(CollectionShared, match=words):
            remove(theirs, ids[:1])

        with pytest.raises(ExecutionError, match="force=True"):
            run("remove_selected", clone, selected=ids[:1])

        assert index.total_index_size == 9
        remove(theirs, ids[:1], force=True)
        run("remove_selected", clone, selected=ids[1:2], force=True)
        assert index.total_index_size == 7
        index.remove_from_index(sample_ids=ids[2:3])  # its own: no clone forbids it
        assert index.total_index_size == 6
    finally:
        clone.delete()


def test_nothing_is_removed_if_one_of_the_ids_is_none(samples, monkeypatch):
    monkeypatch.setattr(removal, "_BATCH", 2)
    index, _ = create_index(samples, "index", embeddings="vector")
    with pytest.raises(MissingIDs, match="no-id"):
        remove(index, [*samples.values("id")[:4], "no-id"])

    assert index.total_index_size == 9
    ids = samples.values("id")
    assert remove(index, ids[:5]) == Removed(removed=5)


def test_nothing_is_removed_while_what_is_missing_cannot_be_embedded(samples, rng):
    index = fob.compute_similarity(
        samples,
        embeddings=rng.normal(size=(9, 4)),
        brain_key="index",
        backend="qdrant",
    )
    samples.delete_samples(samples.first().id)
    sync(index, samples)  # orphans alone can be removed
    assert index.total_index_size == 8
    samples.delete_samples(samples.first().id)
    samples.add_samples([fo.Sample("new.png")])
    drift = find_drift(index, samples)
    assert (len(drift.missing), len(drift.orphans)) == (1, 1)
    with pytest.raises(ConfigError, match=r"Nothing was changed.*add_to_index"):
        sync(index, samples, drift)

    assert index.total_index_size == 8
    with pytest.raises(ExecutionError, match="given vectors"):
        run("sync_index", samples)


def test_an_embeddings_field_that_is_gone_stops_a_sync_before_it_removes(samples):
    index, _ = create_index(samples, "index", embeddings="vector")
    samples.delete_samples(samples.first().id)
    samples.add_samples([fo.Sample("new.png")])
    samples.delete_sample_field("vector")
    with pytest.raises(ConfigError, match=r"Nothing was changed.*'vector', which is"):
        sync(load_index(samples, "index"), samples)

    assert index.total_index_size == 9
    assert index_status(samples, "index").state == "ready"


def test_a_sync_that_fails_on_the_way_says_what_it_did(samples, monkeypatch):
    monkeypatch.setattr(batches, "_BATCH", 2)
    index, _ = create_index(samples[:3], "index", embeddings="vector")
    samples.delete_samples(samples.first().id)
    add, calls = batches._add_batch, []

    def fail(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise OSError("the disk is away")

        add(*arguments)

    monkeypatch.setattr(batches, "_add_batch", fail)
    words = r"4 of 6 were written.*nothing was removed.*the disk is away"
    with pytest.raises(IngestInterrupted, match=words):
        sync(index, samples)

    assert index.total_index_size == 7
    monkeypatch.setattr(batches, "_add_batch", add)
    sync(index, samples)
    assert index.contents.point_ids() == set(samples.values("id"))


def test_a_dry_run_of_sync_changes_nothing(samples):
    index, _ = create_index(samples[:6], "index", embeddings="vector")
    first = samples.first().id
    samples.delete_samples(first)
    second = samples.first()
    second["vector"] = np.ones(4)
    second.save()
    before = index.get_embeddings()
    found = run("sync_index", samples, dry_run=True)
    assert (found["missing"], found["orphans"], found["changed"]) == (3, 1, 1)
    assert "removed" not in found
    after = index.get_embeddings()
    assert list(after[1]) == list(before[1])
    np.testing.assert_array_equal(after[0], before[0])
    done = run("sync_index", samples)
    assert (done["added"], done["updated"], done["removed"]) == (3, 1, 1)


def test_what_has_no_embedding_is_missing_nowhere(samples):
    samples.limit(4).set_field("vector", None).save()
    index, _ = create_index(samples, "index", embeddings="vector")
    status = index_status(samples, "index")
    assert (status.missing, status.total, status.points) == (0, 5, 5)
    assert find_drift(index, samples).missing == []
    found = preflight(samples, "other", embeddings="vector")
    assert found.vectors == 5
    assert any("5 of 9 samples have a value" in line for line in found.lines)


def test_labels_without_an_embedding_are_missing_nowhere(new_dataset, rng):
    def sample(i):
        boxes = [fo.Detection(bounding_box=[0, 0, 1, 1]) for _ in range(2)]
        boxes[0]["vector"] = rng.normal(size=4)
        return fo.Sample(f"{i}.png", found=fo.Detections(detections=boxes))

    dataset = new_dataset([sample(i) for i in range(5)])
    index, _ = create_index(
        dataset, "index", embeddings="vector", patches_field="found"
    )
    assert index.total_index_size == 5
    assert find_drift(index, dataset).missing == []
    assert index_status(dataset, "index").missing == 0


def test_a_small_change_of_an_embedding_is_noticed(samples):
    index, _ = create_index(samples, "index", embeddings="vector")
    sample = samples.first()
    sample["vector"] = np.array(sample["vector"]) * 1.001
    sample.save()
    assert find_drift(index, samples).changed == [sample.id]


@pytest.mark.parametrize("finish", [sync, ingest.add_samples])
def test_whatever_finishes_an_index_ends_its_being_unfinished(
    samples, monkeypatch, finish
):
    monkeypatch.setattr(batches, "_BATCH", 4)
    add, calls = batches._add_batch, []

    def fail(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise OSError("away")

        add(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(batches, "_add_batch", fail)
        with pytest.raises(IngestInterrupted):
            create_index(samples, "index", embeddings="vector")

    assert is_unfinished(samples, "index")
    finish(load_index(samples, "index"), samples[:6])
    assert is_unfinished(samples, "index")
    finish(load_index(samples, "index"), samples)
    assert not is_unfinished(samples, "index")
    assert index_status(samples, "index").state == "ready"


def test_going_on_with_other_patches_is_refused(
    make_dataset, digits_model, monkeypatch
):
    monkeypatch.setattr(batches, "_BATCH", 7)
    dataset = make_dataset(20, patches=True)
    add, calls = batches._add_batch, []

    def fail(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise OSError("away")

        add(*arguments)

    monkeypatch.setattr(batches, "_add_batch", fail)
    with pytest.raises(IngestInterrupted):
        create_index(dataset, "index", model=digits_model, patches_field="detections")

    with pytest.raises(ConfigError, match="patches_field='detections'"):
        create_index(dataset, "index", model=digits_model)

    load_index(dataset, "index").cleanup()


def test_a_collection_of_other_samples_is_not_connected_to(samples, new_dataset, rng):
    index, _ = create_index(samples, "index", embeddings="vector")
    name = index.collection.name
    other = new_dataset([fo.Sample("a.png")])
    found = preflight(other, "theirs", connect=True, collection_name=name)
    assert "none of the 9 points" in found.problems[0].text
    with pytest.raises(ConfigError, match="none of the 9 points"):
        create_index(other, "theirs", connect=True, collection_name=name)

    assert other.list_brain_runs() == []
    assert index.total_index_size == 9
    samples.delete_samples(samples.values("id")[:6])
    found = preflight(samples, "theirs", connect=True, collection_name=name)
    assert any("3 of 9 points looked up" in line for line in found.lines)
    assert found.warnings


def test_what_the_dataset_does_not_have_cannot_be_added(samples):
    create_index(samples, "index", embeddings="vector")
    gone = samples.first().id
    samples.delete_samples(gone)
    with pytest.raises(ExecutionError, match=f"such as {gone}.*not in dataset"):
        run("add_selected_to_index", samples, selected=[gone, samples.first().id])
