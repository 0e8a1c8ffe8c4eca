"""What of a dataset is indexed: counted, compared, by value and of a view."""

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId

from fiftyone_qdrant.status import coverage
from fiftyone_qdrant.status.coverage import Share
from fiftyone_qdrant.status.details import index_details
from fiftyone_qdrant.status.indexes import index_status, index_statuses

N, SIZE = 30, 4


@pytest.fixture
def samples():
    dataset = fo.Dataset()
    dataset.add_samples(
        fo.Sample(
            f"{i}.png",
            tags=["train" if i < 20 else "val"],
            ground_truth=fo.Classification(label="even" if i % 2 == 0 else "odd"),
        )
        for i in range(N)
    )
    yield dataset
    dataset.delete()


@pytest.fixture
def vectors(rng):
    return rng.normal(size=(N, SIZE))


@pytest.fixture
def partial(make_index, samples, vectors):
    """An index of the first 15 samples, with two points of nobody's."""
    index = make_index(samples, embeddings=False)
    index.add_to_index(vectors[:15], samples.values("id")[:15])
    index.add_to_index(vectors[:2], [str(ObjectId()), str(ObjectId())])
    return index


def test_exact_figures_tell_missing_and_orphans(partial, samples):
    status = index_status(samples, "index")
    assert (status.points, status.total, status.indexed) == (17, N, 15)
    assert (status.missing, status.orphans) == (15, 2)
    assert (status.metric, status.size, status.patches_field) == ("cosine", SIZE, None)


def test_counted_figures_claim_nothing_they_do_not_know(partial, samples):
    (status,) = index_statuses(samples, exact=False)
    assert (status.points, status.total) == (17, N)
    assert (status.indexed, status.missing, status.orphans) == (None, None, None)
    assert status.coverage is None


def test_of_an_empty_collection_counts_are_exact(partial, samples):
    partial.remove_from_index(sample_ids=partial.sample_ids)
    (status,) = index_statuses(samples, exact=False)
    assert (status.indexed, status.missing, status.orphans) == (0, N, 0)


def test_labels_and_tags_have_their_shares(partial, samples):
    missing = coverage.compare(partial).missing
    assert coverage.groupings(partial) == ["ground_truth", "tags"]
    assert coverage.by_value(partial, "ground_truth", missing) == [
        Share("even", 8, 15),
        Share("odd", 7, 15),
    ]
    assert coverage.by_value(partial, "tags", missing) == [
        Share("train", 15, 20),
        Share("val", 0, 10),
    ]


def test_patches_have_shares_by_their_label(make_index, samples, rng):
    for sample in samples[:4].iter_samples(autosave=True):
        box = [0.1, 0.1, 0.5, 0.5]
        sample["things"] = fo.Detections(
            detections=[
                fo.Detection(label=label, bounding_box=box) for label in ("cat", "dog")
            ]
        )
    index = make_index(samples, patches_field="things", embeddings=False)
    ids, labels = samples[:2].values(["id", "things.detections.id"])
    index.add_to_index(
        rng.normal(size=(4, SIZE)), np.repeat(ids, 2), np.ravel(labels).tolist()
    )
    found = coverage.compare(index)
    assert (found.total, found.indexed, coverage.count(index)) == (8, 4, 8)
    assert coverage.by_value(index, "things", found.missing) == [
        Share("cat", 2, 4),
        Share("dog", 2, 4),
    ]


@pytest.mark.parametrize("few", [0, 20_000], ids=["compared", "looked up"])
def test_a_view_is_counted_whatever_its_size(partial, samples, monkeypatch, few):
    monkeypatch.setattr(coverage, "_FEW", few)
    assert coverage.of_view(partial, samples[10:25]) == (5, 15)


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_details_set_what_was_asked_for_beside_what_is(make_index, samples, vectors):
    make_index(samples, embeddings=vectors, hnsw_config={"m": 24})
    details = index_details(samples, "index")
    settings = {s.name: s for s in details.settings}
    assert settings["hnsw_config.m"].asked == settings["hnsw_config.m"].actual == 24
    assert settings["hnsw_config.ef_construct"].asked is None
    assert settings["hnsw_config.ef_construct"].actual
    assert not any(s.differs for s in details.settings)
    assert details.memory.vectors == N * SIZE * 4
    assert details.disk > details.memory.vectors
    assert (details.entry.kind, details.sharers) == ("this dataset", ())


def test_details_name_a_clone_that_shares_the_collection(make_index, samples, vectors):
    make_index(samples, embeddings=vectors)
    clone = samples.clone()
    try:
        (sharer,) = index_details(samples, "index").sharers
        assert (sharer.dataset, sharer.brain_key) == (clone.name, "index")
    finally:
        clone.delete()


def test_an_index_without_a_point_of_the_dataset_is_foreign(partial, samples):
    assert index_status(samples, "index").state == "ready"
    samples.delete_samples(samples.values("id"))
    samples.add_sample(fo.Sample("new.png"))
    status = index_status(samples, "index")
    assert status.state == "foreign"
    assert "None of its points is of this dataset" in status.problem
