"""The map of FiftyOne's Embeddings panel, from what an index holds."""

import numpy as np
import pytest

from fiftyone_qdrant.curate import map as maps
from fiftyone_qdrant.curate.map import color_map, make_map
from fiftyone_qdrant.errors import ConfigError


@pytest.fixture
def place(monkeypatch):
    """What is worked out from the points is the same whoever holds them."""
    from tests.library.conftest import put_on

    return put_on("embedded", monkeypatch)


@pytest.fixture
def mapped(make_dataset, make_index, digits, monkeypatch):
    """200 digits with a map, of which 60 were laid out and the others put there."""
    monkeypatch.setattr(maps, "FITTED", 60)
    dataset = make_dataset()
    make_index(dataset, embeddings=digits.vectors[:200])
    make_map(dataset, "index")
    return dataset


def test_what_is_near_in_the_index_is_near_on_the_map(mapped, digits):
    results = mapped.load_brain_results("index_map")
    assert results.sample_ids.tolist() == mapped.values("id")
    near = np.linalg.norm(results.points[:, np.newaxis] - results.points, axis=-1)
    np.fill_diagonal(near, np.inf)
    labels = digits.labels[:200]
    assert np.mean(labels[near.argmin(axis=1)] == labels) > 0.7


def test_a_map_is_made_once_for_what_the_index_holds(mapped, monkeypatch):
    def read(*_):
        raise AssertionError("the vectors were read again")

    with monkeypatch.context() as patch:
        patch.setattr(maps, "vectors_of", read)
        assert make_map(mapped, "index") == "index_map"

    first = mapped.first().id
    mapped.load_brain_results("index").remove_from_index(sample_ids=[first])
    make_map(mapped, "index")
    mapped.reload()
    assert first not in mapped.load_brain_results("index_map").sample_ids


def test_each_result_has_colors_of_its_own_and_the_last_go(mapped):
    first, second = mapped.limit(2).values("id")
    assert color_map(mapped, "index", {first: 0.5}, "doubt") == "doubt_1"
    assert color_map(mapped, "index", {second: 1}, "doubt") == "doubt_2"
    mapped.reload()
    assert not mapped.has_sample_field("doubt_1")
    assert mapped.limit(3).values("doubt_2") == [None, 1.0, None]


def test_patches_have_a_map_and_colors(make_dataset, make_index, rng):
    dataset = make_dataset(10, patches=True)
    labels = dataset.values("detections.detections.id", unwind=True)
    vectors = {
        s.id: rng.normal(size=(len(s.detections.detections), 4))
        for s in dataset
        if s.detections is not None and s.detections.detections
    }
    make_index(dataset, patches_field="detections", embeddings=vectors)
    assert make_map(dataset, "index") == "index_map"
    results = dataset.load_brain_results("index_map")
    assert set(results.label_ids) == {i for i in labels if i is not None}
    path = color_map(dataset, "index", {results.label_ids[0]: "odd"}, "found")
    assert dataset.values(path, unwind=True).count("odd") == 1


def test_the_key_of_another_run_is_left_alone(make_dataset, make_index, rng):
    dataset = make_dataset(10)
    for key in ("index", "index_map"):
        make_index(dataset, key, embeddings=rng.normal(size=(10, 4)))

    with pytest.raises(ConfigError, match="another run"):
        make_map(dataset, "index")
