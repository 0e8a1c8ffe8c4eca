"""Nothing of others is deleted or overwritten; odd calls get a sentence."""

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId

from fiftyone_qdrant.errors import CollectionShared, ConfigError
from fiftyone_qdrant.index import ownership
from fiftyone_qdrant.ingest.sync import find_drift, sync
from fiftyone_qdrant.matches import find_similar
from fiftyone_qdrant.runs import load_index
from fiftyone_qdrant.similarity import QdrantSimilarityConfig
from fiftyone_qdrant.status.indexes import index_status, index_statuses
from tests.library.conftest import ONE_ENGINE

N, SIZE = 40, 8
BOX = {"bounding_box": [0.1, 0.1, 0.5, 0.5]}


@pytest.fixture
def samples():
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"{i}.png", number=i) for i in range(N)])
    yield dataset
    dataset.delete()


@pytest.fixture
def ids(samples):
    return np.array(samples.values("id"))


@pytest.fixture
def vectors(rng):
    return rng.normal(size=(N, SIZE)).astype(np.float32)


def test_syncing_a_clone_leaves_the_points_of_the_original(
    make_index, samples, vectors, ids
):
    index = make_index(samples, embeddings=vectors)
    clone = samples.clone()
    try:
        clone.delete_samples(list(ids[:30]))
        theirs = load_index(clone, "index")
        drift, _ = sync(theirs, clone)
        assert drift.orphans == []
        assert f"'{samples.name}'" in drift.summary
        assert index.total_index_size == N
    finally:
        clone.delete()


@pytest.fixture
def video_index(make_index, rng):
    video = fo.Sample("video.mp4")
    for number in range(1, 11):
        video.frames[number] = fo.Frame(filepath=f"{number}.png")

    dataset = fo.Dataset()
    dataset.add_samples([video])
    make_index(dataset.to_frames(), embeddings=rng.normal(size=(10, SIZE)))
    yield dataset
    dataset.delete()


def test_frames_are_neither_orphans_nor_uncovered(video_index):
    status = index_status(video_index, "index")
    assert (status.indexed, status.total, status.orphans) == (10, 10, 0)
    drift = find_drift(load_index(video_index, "index"), video_index)
    assert (drift.missing, drift.orphans) == ([], [])


def test_a_collection_of_another_database_is_not_deleted(
    make_index, samples, vectors, monkeypatch
):
    given = ownership.to_metadata
    monkeypatch.setattr(
        ownership,
        "to_metadata",
        lambda *args: {
            **given(*args),
            "dataset_id": str(ObjectId()),
            "database_id": str(ObjectId()),
        },
    )
    index = make_index(samples, embeddings=vectors)
    with pytest.raises(CollectionShared, match="belongs to dataset"):
        index.cleanup()

    assert index.total_index_size == N


def test_two_creations_at_the_same_time_take_two_collections(
    samples, vectors, ids, place
):
    first, second = (
        QdrantSimilarityConfig(metric="euclidean", **place)
        .build()
        .initialize(samples, key)
        for key in ("first", "second")
    )
    first.add_to_index(vectors, ids)
    second.add_to_index(vectors + 1, ids)
    try:
        assert first.collection.name != second.collection.name
        found, _, _ = first.get_embeddings(sample_ids=ids)
        np.testing.assert_allclose(found, vectors, rtol=1e-5)
    finally:
        first.collection.drop()
        second.collection.drop()


@pytest.mark.parametrize("k", [1, 5])
def test_a_query_is_its_own_first_hit_however_many_duplicates(
    make_index, samples, ids, k
):
    index = make_index(samples, embeddings=np.ones((N, SIZE)))
    for query in ids[[0, 20, N - 1]]:
        (hits,) = index.search(query, k=k)
        assert hits.ids[0] == query
        assert len(set(hits.ids)) == k


def test_hits_of_all_slices_of_groups_are_shown(make_index, rng):
    dataset = fo.Dataset()
    for i in range(10):
        group = fo.Group()
        dataset.add_samples(
            [fo.Sample(f"{s}{i}.png", group=group.element(s)) for s in ("l", "r")]
        )

    flat = dataset.select_group_slices(_allow_mixed=True)
    make_index(flat, embeddings=rng.normal(size=(20, SIZE)))
    matches = find_similar(load_index(dataset, "index"), flat.first().id, k=6)
    assert matches.view.values("id") == matches.ids
    assert len(matches.ids) == 6
    dataset.delete()


def test_clips_stand_for_their_videos(make_index, rng):
    dataset = fo.Dataset()
    clip = {"support": [1, 3]}
    dataset.add_samples(
        [
            fo.Sample(f"{i}.mp4", event=fo.TemporalDetection(label=str(i % 2), **clip))
            for i in range(10)
        ]
    )
    vectors = rng.normal(size=(10, SIZE))
    index = make_index(dataset, embeddings=vectors)
    clips = dataset.filter_labels("event", fo.ViewField("label") == "1")
    with index.use_view(clips.to_clips("event")):
        (hits,) = index.search(vectors[0], k=3)

    assert len(hits.ids) == 3
    assert set(hits.ids) <= set(clips.values("id"))
    dataset.delete()


def test_label_ids_beside_sample_ids_remove_only_those_labels(make_index, rng):
    dataset = fo.Dataset()
    two = [fo.Detection(**BOX), fo.Detection(**BOX)]
    dataset.add_samples([fo.Sample("0.png", things=fo.Detections(detections=two))])
    index = make_index(dataset, patches_field="things", embeddings=False)
    labels = [d.id for d in two]
    sample_ids = [dataset.first().id] * 2
    index.add_to_index(rng.normal(size=(2, SIZE)), sample_ids, labels)
    index.remove_from_index(sample_ids=sample_ids[:1], label_ids=labels[:1])
    assert list(index.label_ids) == labels[1:]
    dataset.delete()


def test_points_removed_elsewhere_do_not_break_finding_duplicates(
    make_index, samples, vectors, ids
):
    index = make_index(samples, embeddings=vectors)
    assert index.index_size == N
    load_index(samples, "index").remove_from_index(sample_ids=ids[:2])
    index.find_duplicates(thresh=1e-6)
    assert len(index.unique_ids) == N - 2


def test_a_view_without_the_patches_field_is_refused(make_index, samples, rng):
    samples.add_sample_field("things", fo.EmbeddedDocumentField, fo.Detections)
    samples.add_sample_field("others", fo.EmbeddedDocumentField, fo.Detections)
    sample = samples.first()
    for field in ("things", "others"):
        sample[field] = fo.Detections(detections=[fo.Detection(**BOX)])

    sample.save()
    index = make_index(samples, patches_field="things", embeddings=False)
    label = samples.values("things.detections.id", unwind=True)
    index.add_to_index(rng.normal(size=(1, SIZE)), [sample.id], label)
    index.use_view(samples.to_patches("others"))
    with pytest.raises(ConfigError, match="patches of 'things'"):
        index.search(rng.normal(size=SIZE), k=1)


def test_a_renamed_label_field_degrades_the_status_of_its_index(make_index, samples):
    samples.add_sample_field("things", fo.EmbeddedDocumentField, fo.Detections)
    index = make_index(samples, patches_field="things", embeddings=False)
    sample = samples.first()
    sample["things"] = fo.Detections(detections=[fo.Detection(**BOX)])
    sample.save()
    index.add_to_index(
        np.ones((1, SIZE)), [sample.id], [sample.things.detections[0].id]
    )
    samples.rename_sample_field("things", "objects")
    (status,) = index_statuses(samples)
    assert (status.brain_key, status.state) == ("index", "degraded")


@pytest.mark.parametrize("k", [np.int64(5), 5.0, np.float32(5)])
def test_k_may_be_any_whole_number(make_index, samples, vectors, k):
    index = make_index(samples, embeddings=vectors)
    assert len(index.search(vectors[0], k=k)[0].ids) == 5


@pytest.mark.parametrize("k", ["abc", float("nan"), 2.5, [3]])
@ONE_ENGINE
def test_other_values_of_k_are_refused(make_index, samples, vectors, k):
    index = make_index(samples, embeddings=vectors)
    with pytest.raises(ConfigError, match="k must be a whole number"):
        index.search(vectors[0], k=k)


def test_plain_lists_are_vectors_and_ids_of_any_type_are_ids(
    make_index, samples, vectors, ids
):
    index = make_index(samples, embeddings=vectors)
    (hits,) = index.search(vectors[:2].tolist(), k=3)
    assert len(hits.ids) == 3
    found, _, _ = index.get_embeddings(sample_ids=ObjectId(ids[3]))
    np.testing.assert_allclose(found, vectors[3:4], rtol=1e-5)
    index.add_to_index([], [])
    assert index.total_index_size == N


def test_engine_is_not_for_users_to_give(tmp_path):
    for engine in ("embedded", "quantum"):
        with pytest.raises(ConfigError, match="follows from url or path"):
            QdrantSimilarityConfig(engine=engine)
