"""Where embeddings come from: any field that can hold them, a model, another run."""

import fiftyone as fo
import fiftyone.brain as fob
import fiftyone.operators as foo
import numpy as np
import pytest

from fiftyone_qdrant.dataset.indexable import vector_fields
from fiftyone_qdrant.ingest.ingest import add_samples, create_index
from fiftyone_qdrant.ingest.preflight import preflight
from fiftyone_qdrant.ingest.sync import find_drift, sync
from fiftyone_qdrant.runs import list_indexes, load_index
from tests.library import kinds
from tests.plugin.calls import delegate


def run(name, samples, key="index", **params):
    return foo.get_operator(f"@community/qdrant/{name}")(samples, key, **params).result


@pytest.fixture
def owned():
    """``owned(dataset)`` -> the dataset, which is deleted with its indexes."""
    made = []

    def own(dataset):
        made.append(dataset)
        return dataset

    yield own
    for dataset in made:
        dataset.reload()
        for key in list_indexes(dataset):
            load_index(dataset, key).collection.drop()

        dataset.delete()


@pytest.fixture
def fields(owned, rng):
    """Samples with the same vectors in fields of each type that can hold them."""
    vectors = rng.normal(size=(5, 4))
    dataset = owned(fo.Dataset())
    dataset.add_samples(
        [
            fo.Sample(
                f"{i}.png",
                listed=v.tolist(),
                nested=fo.DynamicEmbeddedDocument(vector=v),
                things=fo.Detections(
                    detections=[
                        fo.Detection(bounding_box=[0, 0, 1, 1], vector=v.tolist())
                    ]
                ),
            )
            for i, v in enumerate(vectors)
        ]
    )
    dataset.add_sample_field("array", fo.ArrayField)
    dataset.set_values("array", list(vectors))
    dataset.add_sample_field("nested.vector", fo.VectorField)
    dataset.add_sample_field(
        "things.detections.vector", fo.ListField, subfield=fo.FloatField
    )
    return dataset, vectors.astype(np.float32)


@pytest.mark.parametrize(
    ("embeddings", "patches_field"),
    [
        ("listed", None),
        ("array", None),
        ("nested.vector", None),
        ("vector", "things"),
        ("things.vector", "things"),
        ("things.detections.vector", "things"),
    ],
)
def test_every_field_that_can_hold_vectors_is_taken(fields, embeddings, patches_field):
    dataset, vectors = fields
    arguments = {"embeddings": embeddings, "patches_field": patches_field}
    planned = run("create_qdrant_index", dataset, dry_run=True, **arguments)
    assert (planned["problems"], planned["warnings"]) == ([], [])
    assert (planned["vectors"], planned["size"]) == (5, 4)
    assert run("create_qdrant_index", dataset, **arguments)["points"] == 5
    dataset.reload()
    index = load_index(dataset, "index")
    ids = dataset.values("things.detections.id", unwind=True)
    named = {"sample_ids": dataset.values("id")}
    if patches_field is not None:
        named = {"label_ids": ids}

    np.testing.assert_allclose(index.get_embeddings(**named)[0], vectors, rtol=1e-5)


def test_the_form_offers_the_fields_of_the_view_that_is_open(fields, owned, rng):
    dataset, _ = fields
    assert set(vector_fields(dataset)) == {"listed", "array", "nested.vector"}
    assert vector_fields(dataset, "things") == ["vector"]
    world = kinds.frames()
    videos = owned(world.dataset)
    frames = world.fill(rng)
    assert vector_fields(videos) == []
    assert vector_fields(frames) == ["vector"]
    world = kinds.clips()
    owned(world.dataset)
    assert vector_fields(world.fill(rng)) == ["vector"]


def test_a_delegated_worker_takes_them_too(fields):
    from fiftyone.operators.delegated import DelegatedOperationService

    dataset, _ = fields
    delegate("create_qdrant_index", dataset, brain_key="index", embeddings="listed")
    (done,) = DelegatedOperationService().execute_queued_operations(
        operator="@community/qdrant/create_qdrant_index", dataset_name=dataset.name
    )
    assert done.error is None
    dataset.reload()
    assert load_index(dataset, "index").total_index_size == 5


def by_brain(samples, **arguments):
    fob.compute_similarity(samples, brain_key="index", backend="qdrant", **arguments)


def by_library(samples, **arguments):
    create_index(samples, "index", **arguments)


@pytest.mark.parametrize("door", [by_brain, by_library])
@pytest.mark.parametrize("patches_field", [None, "detections"])
def test_a_model_fills_a_new_field_and_what_is_new_in_it(
    make_dataset, digits_model, door, patches_field
):
    dataset = make_dataset(12, patches=True)
    path = "made" if patches_field is None else "detections.detections.made"
    first = dataset.limit(8)
    door(first, model=digits_model, embeddings="made", patches_field=patches_field)
    dataset.reload()
    index = load_index(dataset, "index")
    values = dataset.values(path)
    if patches_field is not None:
        values = [value for labels in values for value in labels or ()]

    stored = [value for value in values if value is not None]
    assert len(stored) == index.total_index_size > 0
    assert find_drift(index, first).missing == []
    held = index.held.wanted(dataset)
    assert (
        set(find_drift(index, dataset).missing)
        == set(held) - index.contents.point_ids()
    )
    sync(index, dataset)
    assert index.contents.point_ids() == set(held)
    drift = find_drift(index, dataset)
    assert (drift.missing, drift.changed, drift.compared) == ([], [], True)
    index.cleanup()


def test_a_model_fills_a_new_field_of_frames(owned, digits_model, digit_images):
    video = fo.Sample("v.mp4")
    for number in range(1, 7):
        video.frames[number] = fo.Frame(filepath=str(digit_images[number]))

    dataset = owned(fo.Dataset())
    dataset.add_samples([video])
    frames = dataset.to_frames()
    create_index(frames.limit(4), "index", model=digits_model, embeddings="made")
    assert len([v for v in dataset.values("frames.made")[0] if v is not None]) == 4
    index = load_index(dataset, "index")
    add_samples(index, dataset.to_frames())
    assert len([v for v in dataset.values("frames.made")[0] if v is not None]) == 6
    assert load_index(dataset, "index").total_index_size == 6


@pytest.mark.parametrize(
    "kind", ["frames", "clips", "other_slice", "frame_patches", "all_slices"]
)
def test_a_run_that_was_made_of_a_view_is_taken_over_from_the_dataset(owned, rng, kind):
    world = kinds.KINDS[kind]()
    dataset = owned(world.dataset)
    view = world.fill(rng)
    ids = world.ids(view)
    vectors = [world.vectors[i] for i in ids]
    if world.patches_field is None:
        vectors = np.array(vectors)
    else:
        vectors = [np.array(vectors[i : i + 2]) for i in range(0, len(vectors), 2)]

    fob.compute_similarity(
        view,
        patches_field=world.patches_field,
        embeddings=vectors,
        brain_key="theirs",
        backend="sklearn",
    )
    dataset.reload()
    planned = preflight(dataset, "index", from_brain_key="theirs")
    assert (planned.ok, planned.vectors) == (True, len(ids))
    index, _ = create_index(dataset, "index", from_brain_key="theirs")
    assert index.contents.point_ids() == set(ids)
    drift = find_drift(load_index(dataset, "index"), dataset)
    if kind != "all_slices":
        assert (drift.missing, drift.orphans) == ([], [])


def test_a_group_says_which_of_its_slices_is_indexed(owned, rng):
    world = kinds.active_slice()
    dataset = owned(world.dataset)
    world.fill(rng)
    planned = run("create_qdrant_index", dataset, embeddings="vector", dry_run=True)
    (line,) = [text for text in planned["lines"] if "slice" in text]
    assert "slice 'left': 7 of 14 samples" in line
