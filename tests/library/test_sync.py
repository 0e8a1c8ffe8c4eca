"""An index in step with its dataset, for every kind of data; and taking things out."""

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest
from fiftyone import ViewField as F

from fiftyone_qdrant.errors import MissingIDs
from fiftyone_qdrant.ingest import batches, removal, sync
from fiftyone_qdrant.ingest.ingest import create_index
from fiftyone_qdrant.ingest.removal import Removed, remove
from fiftyone_qdrant.ingest.sources import ids_in
from fiftyone_qdrant.ingest.sync import find_drift
from fiftyone_qdrant.runs import list_indexes, load_index
from fiftyone_qdrant.status.coverage import compare, count, of_view


@pytest.fixture
def new_dataset(monkeypatch):
    """``new_dataset(samples)``; its indexes are dropped with it."""
    made = []

    def new(samples):
        dataset = fo.Dataset()
        dataset.add_samples(samples)
        made.append(dataset)
        return dataset

    yield new
    for dataset in made:
        for key in list_indexes(dataset):
            load_index(dataset, key).collection.drop()

        dataset.delete()


@pytest.fixture
def samples(new_dataset, rng):
    vectors = rng.normal(size=(30, 8))
    return new_dataset([fo.Sample(f"{i}.png", vector=v) for i, v in enumerate(vectors)])


@pytest.fixture
def groups(new_dataset, rng):
    """Ten groups of a left and a right sample."""
    samples = []
    for i in range(10):
        group = fo.Group()
        samples += [
            fo.Sample(
                f"{side}{i}.png", group=group.element(side), vector=rng.normal(size=8)
            )
            for side in ("left", "right")
        ]

    return new_dataset(samples)


def index_of(samples, field="vector"):
    fob.compute_similarity(
        samples, embeddings=field, backend="qdrant", brain_key="index"
    )
    return load_index(samples._root_dataset, "index")


def counts(drift):
    return len(drift.missing), len(drift.orphans), len(drift.changed)


def test_all_slices_of_a_group_stay_though_one_is_active(groups):
    flat = groups.select_group_slices(_allow_mixed=True)
    index = index_of(flat)
    assert counts(find_drift(index, groups)) == (0, 0, 0)
    index.remove_from_index(sample_ids=flat.values("id")[:4])
    sync.sync(index, flat)
    assert sorted(index.sample_ids) == sorted(flat.values("id"))


def test_of_groups_the_active_slice_is_indexed_synced_counted_and_removed(groups):
    index, _ = create_index(groups, "index", embeddings="vector")
    assert sorted(index.sample_ids) == sorted(groups.values("id"))
    assert counts(find_drift(index, groups)) == (0, 0, 0)
    found = compare(index)
    assert (found.total, found.indexed, found.orphans) == (10, 10, set())
    assert (of_view(index, groups), count(index)) == ((10, 10), 10)

    flat = groups.select_group_slices(_allow_mixed=True)
    sync.sync(index, flat)
    assert (index.total_index_size, compare(index).total) == (20, 20)
    two = groups.limit(2)
    assert remove(index, **ids_in(index, two)) == Removed(removed=2)
    assert find_drift(index, groups).missing == two.values("id")
    assert compare(index).missing == set(two.values("id"))


def test_only_the_slice_itself_must_have_an_embedding(groups):
    left = groups.first()
    groups.select_group_slices("left").select(left.id).set_field("vector", None).save()
    index, ingested = create_index(groups, "index", embeddings="vector")
    assert ingested.new == 9
    assert counts(find_drift(index, groups)) == (0, 0, 0)
    flat = groups.select_group_slices(_allow_mixed=True)
    right = groups.select_group_slices("right").values("id")
    assert find_drift(index, flat).missing == right


@pytest.mark.parametrize(
    ("read", "name"),
    [(find_drift, "packed_ids"), (lambda index, _: compare(index), "packed_ids")],
    ids=["sync", "coverage"],
)
def test_what_is_added_and_indexed_meanwhile_is_no_orphan(
    samples, monkeypatch, rng, read, name
):
    index = index_of(samples)

    read_index = getattr(index.contents, name)

    def add_and_read():
        (new,) = samples.add_samples([fo.Sample("new.png")])
        index.add_to_index(rng.normal(size=(1, 8)), [new])
        return read_index()

    monkeypatch.setattr(index.contents, name, add_and_read)
    assert not list(read(index, samples).orphans)


def test_one_slice_is_synced_with_itself(groups):
    right = groups.select_group_slices("right")
    index = index_of(right)
    ids = right.values("id")
    index.remove_from_index(sample_ids=ids[:2])
    groups.delete_samples(ids[-1:])
    _, ingested = sync.sync(index, groups.select_group_slices("right"))
    assert ingested.new == 2
    assert sorted(index.sample_ids) == sorted(ids[:-1])


def test_frames_are_synced_with_the_frames_of_the_index(new_dataset, rng):
    video = fo.Sample("video.mp4")
    for number in range(1, 13):
        video.frames[number] = fo.Frame(filepath=f"{number}.png")

    frames = new_dataset([video]).to_frames()
    frames.set_values("vector", list(rng.normal(size=(12, 8))))
    index = index_of(frames)
    index.remove_from_index(sample_ids=frames.values("id")[:3])
    drift = find_drift(load_index(frames._root_dataset, "index"), frames._root_dataset)
    assert counts(drift) == (3, 0, 0)


def test_labels_are_synced_one_by_one(new_dataset, rng):
    def sample(i):
        boxes = [fo.Detection(bounding_box=[0, 0, 1, 1]) for _ in range(i % 3)]
        for box in boxes:
            box["vector"] = rng.normal(size=8)

        return fo.Sample(f"{i}.png", found=fo.Detections(detections=boxes))

    dataset = new_dataset([sample(i) for i in range(12)])
    arguments = {"embeddings": "vector", "patches_field": "found"}
    index, _ = create_index(dataset, "index", **arguments)
    labels = dataset.values("found.detections.id", unwind=True)
    index.remove_from_index(label_ids=labels[:2])
    dataset.delete_labels(ids=labels[-1:], fields="found")
    dataset.set_label_values("found.detections.vector", {labels[4]: np.ones(8)})
    drift, ingested = sync.sync(index, dataset)
    assert (drift.missing, drift.orphans, drift.changed) == (
        labels[:2],
        labels[-1:],
        [labels[4]],
    )
    assert (ingested.new, ingested.replaced) == (2, 1)
    assert sorted(index.label_ids) == sorted(labels[:-1])


def test_a_view_says_what_is_to_be_indexed_but_not_what_is_an_orphan(samples):
    index = index_of(samples[:20])
    drift = find_drift(index, samples[15:25])
    assert drift.missing == samples[20:25].values("id")
    assert drift.orphans == []


def test_no_view_of_all_that_is_missing_is_made(samples, monkeypatch):
    """MongoDB takes no view of a million ids: each batch has one of its own."""
    monkeypatch.setattr(batches, "_BATCH", 7)
    index = index_of(samples[:1])
    sizes = []
    select = batches.selected_samples

    def selected(index, **ids):
        sizes.extend(len(given) for given in ids.values())
        return select(index, **ids)

    monkeypatch.setattr(batches, "selected_samples", selected)
    sync.sync(index, samples)
    assert sizes == [7, 7, 7, 7, 1]
    assert index.total_index_size == 30


def test_it_says_whether_it_can_know_what_changed(samples, digits_model):
    index = index_of(samples)
    assert find_drift(index, samples).compared
    index.config.embeddings_field, index.config.model = None, digits_model
    assert find_drift(index, samples).compared
    index.config.model = None
    assert not find_drift(index, samples).compared


def test_removing_counts_what_was_there(samples, monkeypatch):
    monkeypatch.setattr(removal, "_BATCH", 4)
    index = index_of(samples[:20])
    ids = samples[15:25].values("id")
    assert remove(index, sample_ids=[*ids, ids[0]]) == Removed(removed=5, missing=5)
    assert index.total_index_size == 15
    with pytest.raises(MissingIDs, match="no-id"):
        remove(index, sample_ids=["no-id"])


def test_removing_samples_takes_all_their_labels(make_dataset, digits):
    dataset = make_dataset(20, patches=True)
    labels = dataset.values("detections.detections.id", unwind=True)
    vectors = dict(zip(labels, digits.vectors, strict=False))
    dataset.set_label_values("detections.detections.pixels", vectors, dynamic=True)
    arguments = {"embeddings": "pixels", "patches_field": "detections"}
    index, _ = create_index(dataset, "index", **arguments)
    some = dataset.match(F("detections.detections").length() > 1).limit(3)
    count = some.count("detections.detections")
    counts = dict(zip(*dataset.values(["id", "detections.detections.id"]), strict=True))
    empty = next(i for i, labels in counts.items() if not labels)
    removed = remove(index, sample_ids=[*some.values("id"), empty])
    assert removed == Removed(removed=count, missing=1)
    index.collection.drop()
