"""The field that a query's distances go to: whose it is, and what it may be called.

On the embedded engine only: nothing of it depends on where the points are.
"""

from __future__ import annotations

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.matches import find_similar

COUNT = 6
LABELS = "things.detections."
OF_BOTH = ("_cls", "_id", "_d", "", "a.b", "my field", "x$y", "7", "d\0", "id", "copy")
OF_SAMPLES = (
    "save",
    "filepath",
    "tags",
    "metadata",
    "created_at",
    "media_type",
    "frames",
    "sample_id",
    "support",
    "dataset",
    "metadata.width",
    "things",
    "number",
    "words",
)
OF_LABELS = (
    "confidence",
    "index",
    "label",
    "bounding_box",
    "mask",
    "tags",
    "attributes",
    "number",
    "undeclared",
)


@pytest.fixture(scope="module")
def dataset():
    def thing(i):
        things = [fo.Detection(label="a", bounding_box=[0, 0, 1, 1], confidence=0.9)]
        things[0]["number"] = i
        things[0]["undeclared"] = 0.5
        return fo.Detections(detections=things)

    dataset = fo.Dataset()
    samples = [fo.Sample(f"{i}.png", things=thing(i)) for i in range(COUNT)]
    dataset.add_samples(samples)
    dataset.set_values("number", list(range(COUNT)))
    dataset.set_values("words", ["no"] * COUNT)
    dataset.add_sample_field(f"{LABELS}number", fo.IntField)
    yield dataset
    dataset.delete()


@pytest.fixture(scope="module")
def indexes(dataset):
    """An index of the samples and one of their labels; both hold unit vectors."""
    vectors, how = np.eye(COUNT, 8) + 0.1, {"backend": "qdrant"}
    of_labels = dict(zip(dataset.values("id"), vectors[:, None], strict=True))
    made = {
        "samples": fob.compute_similarity(
            dataset, brain_key="samples", embeddings=vectors, **how
        ),
        "labels": fob.compute_similarity(
            dataset,
            brain_key="labels",
            patches_field="things",
            embeddings=of_labels,
            **how,
        ),
    }
    yield made
    for index in made.values():
        index.collection.drop()


@pytest.fixture(params=["samples", "labels"])
def kind(request):
    return request.param


@pytest.fixture
def index(indexes, kind):
    return indexes[kind]


@pytest.fixture
def field(dataset, kind):
    """``field(name)`` -> the path of a field of what the index holds."""
    known = set(dataset.get_field_schema(flat=True))
    yield lambda name: name if kind == "samples" else LABELS + name
    made = set(dataset.get_field_schema(flat=True)) - known
    for path in made:
        dataset.delete_sample_field(path)


@pytest.fixture
def ids(dataset, kind):
    path = "id" if kind == "samples" else f"{LABELS}id"
    return dataset.values(path, unwind=True)


def everything(dataset):
    return list(dataset._sample_collection.find({}, {"last_modified_at": 0}))


def stored(dataset, ids, path):
    """The values of a field that are there, by id."""
    values = zip(ids, dataset.values(path, unwind=True), strict=True)
    return {i: v for i, v in values if v is not None}


def test_a_name_of_something_else_is_refused(dataset, index, ids, kind):
    before = everything(dataset), dataset.get_field_schema(flat=True)
    for name in OF_BOTH + (OF_SAMPLES if kind == "samples" else OF_LABELS):
        how = {"k": 2, "dist_field": name}
        with pytest.raises(ConfigError):
            find_similar(index, ids[0], overwrite=True, **how)
        with pytest.raises(ConfigError):
            index.sort_by_similarity(ids[0], **how)
    assert (everything(dataset), dataset.get_field_schema(flat=True)) == before


def test_fields_of_duplicates_have_names_that_can_be_read(dataset, indexes):
    index = indexes["samples"]
    index.find_duplicates(thresh=10)
    for argument in ("type_field", "id_field", "dist_field"):
        for name in ("_cls", "_d", "", "a.b", "x$y"):
            with pytest.raises(ConfigError, match="cannot be the name of a field"):
                index.duplicates_view(**{argument: name})


def test_a_view_of_patches_is_asked_with_a_name_that_can_be_read(dataset, indexes):
    view, index = dataset.to_patches("things"), indexes["labels"]
    with index.use_view(view), pytest.raises(ConfigError, match="name of a field"):
        index.sort_by_similarity(view.first().id, k=2, dist_field="_cls")


def test_one_field_holds_one_query(dataset, index, ids, field):
    for query, k in ((ids[0], 4), (ids[5], 2)):
        found = find_similar(index, query, k=k, dist_field="dist")
        expected = dict(zip(found.ids, found.distances, strict=True))
        assert stored(dataset, ids, field("dist")) == pytest.approx(expected)

    index.sort_by_similarity(ids[1], k=1, dist_field="dist")
    assert list(stored(dataset, ids, field("dist"))) == [ids[1]]


def test_a_field_is_made_also_if_nothing_is_found(dataset, index, ids, field):
    find_similar(index, ids[0], k=3, dist_field="dist")
    for name in ("dist", "new"):
        query = -np.ones(8)
        assert find_similar(index, query, dist_field=name, max_distance=0.1).ids == []
        assert isinstance(dataset.get_field(field(name)), fo.FloatField)
        assert stored(dataset, ids, field(name)) == {}


def test_a_field_of_others_is_overwritten_only_if_told(dataset, index, ids, field):
    dataset.add_sample_field(field("score"), fo.FloatField, info={"by": "me"})
    put = dataset.set_label_values if "." in field("") else dataset.set_values
    by_id = {} if "." in field("") else {"key_field": "id"}
    put(field("score"), dict.fromkeys(ids, 0.5), **by_id)

    with pytest.raises(ConfigError, match=r"score' exists.*overwrite=True"):
        find_similar(index, ids[0], k=2, dist_field="score")
    assert stored(dataset, ids, field("score")) == dict.fromkeys(ids, 0.5)

    index.sort_by_similarity(ids[0], k=1, dist_field="score")  # FiftyOne's contract
    after = {**dict.fromkeys(ids, 0.5), ids[0]: 0}
    assert stored(dataset, ids, field("score")) == pytest.approx(after, abs=1e-6)

    found = find_similar(index, ids[0], k=2, dist_field="score", overwrite=True)
    assert set(stored(dataset, ids, field("score"))) == set(found.ids)
    assert dataset.get_field(field("score")).info["by"] == "me"
    find_similar(index, ids[1], k=1, dist_field="score")
    assert set(stored(dataset, ids, field("score"))) == {ids[1]}


def test_a_field_is_known_in_another_process(dataset, index, ids, field):
    find_similar(index, ids[0], k=2, dist_field="dist")
    dataset.reload()
    found = find_similar(index, ids[1], k=1, dist_field="dist")
    assert set(stored(dataset, ids, field("dist"))) == set(found.ids)


def test_a_failed_query_leaves_the_field_as_it_was(dataset, index, ids, field):
    find_similar(index, ids[0], k=2, dist_field="dist")
    before = stored(dataset, ids, field("dist"))
    with pytest.raises(ValueError, match="not in the index"):
        find_similar(index, "0" * 24, k=2, dist_field="dist")
    assert stored(dataset, ids, field("dist")) == before


def test_frames_have_the_distances_of_one_query_too():
    dataset, video = fo.Dataset(), fo.Sample("v.mp4")
    for i in range(1, 5):
        video.frames[i] = fo.Frame(filepath=f"/{i}.png")
    dataset.add_sample(video)
    frames = dataset.to_frames(sample_frames=False)
    index = fob.compute_similarity(
        frames, backend="qdrant", brain_key="frames", embeddings=np.eye(4, 8)
    )
    first, second, *_ = frames.values("id")
    try:
        find_similar(index, -np.ones(8), dist_field="d", max_distance=0.1)
        assert isinstance(dataset.get_field("frames.d"), fo.FloatField)
        find_similar(index, first, k=3, dist_field="d")
        find_similar(index, second, k=1, dist_field="d")
        assert dataset.values("frames.d") == [[None, 0.0, None, None]]
        assert index.view.values("d") == [None, 0.0, None, None]
    finally:
        index.collection.drop()
        dataset.delete()
