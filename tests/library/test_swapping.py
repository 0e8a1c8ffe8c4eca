"""Two indexes of one dataset: compared, and then one in the place of the other."""

from __future__ import annotations

import threading

import fiftyone.brain as fob
import numpy as np
import pytest

from fiftyone_qdrant import compare_indexes, load_index, move_index, swap_indexes
from fiftyone_qdrant.errors import ConfigError
from tests.library.conftest import ONE_ENGINE

pytestmark = ONE_ENGINE


@pytest.fixture
def dataset(make_embedded, place):
    """40 digits with an index of a field, and one of the same vectors turned round."""
    dataset = make_embedded(40)
    dataset.set_values("turned", list(-np.array(dataset.values("vector"))[:, ::-1]))
    for key, field in (("old", "vector"), ("new", "turned")):
        fob.compute_similarity(
            dataset, embeddings=field, backend="qdrant", brain_key=key, **place
        )

    return dataset


def first_vector(dataset, key):
    return load_index(dataset, key).get_embeddings([dataset.first().id])[0][0]


def test_the_same_neighbors_are_an_overlap_of_one(dataset):
    found = compare_indexes(dataset, "old", "new", queries=10, k=5)
    assert found.overlap == 1
    assert len(found.queries) == 10
    assert found.hits == found.other_hits
    assert all(len(hits) == 5 for hits in found.hits)


def test_the_overlap_is_the_share_of_common_neighbors(dataset, rng):
    new = load_index(dataset, "new")
    new.add_to_index(rng.normal(size=(40, 8)), dataset.values("id"))
    found = compare_indexes(dataset, "old", "new", queries=40, k=10)

    for mine, theirs, overlap in zip(
        found.hits, found.other_hits, found.overlaps, strict=True
    ):
        assert overlap == pytest.approx(len(set(mine) & set(theirs)) / 10)

    assert 0 < found.overlap < 1
    assert found.overlap == pytest.approx(found.overlaps.mean())


@pytest.mark.parametrize("number", [{"queries": 0}, {"k": 0}, {"k": 2.5}])
def test_a_comparison_of_nothing_is_refused(dataset, number):
    with pytest.raises(ConfigError, match="a whole number of 1 or more"):
        compare_indexes(dataset, "old", "new", **number)


def test_two_indexes_change_places_and_back(dataset):
    old, new = (first_vector(dataset, key) for key in ("old", "new"))
    swap_indexes(dataset, "old", "new")
    np.testing.assert_array_equal(first_vector(dataset, "old"), new)
    assert load_index(dataset, "old").config.embeddings_field == "turned"
    assert dataset.load_brain_results("new").config.embeddings_field == "vector"

    swap_indexes(dataset, "new", "old")
    np.testing.assert_array_equal(first_vector(dataset, "old"), old)


def test_a_key_answers_at_every_moment_of_a_swap(dataset):
    first, errors, ended = dataset.first().id, [], threading.Event()
    known = [first_vector(dataset, key).tolist() for key in ("old", "new")]

    def ask():
        while not ended.is_set():
            try:
                index = load_index(dataset, "old")
                (vector,) = index.get_embeddings([first])[0].tolist()
                assert vector in known
            except Exception as e:  # noqa: BLE001
                errors.append(repr(e))

    asking = threading.Thread(target=ask)
    asking.start()
    for _ in range(6):
        swap_indexes(dataset, "old", "new")

    ended.set()
    asking.join()
    assert errors == []


def test_unlike_indexes_do_not_change_places(dataset, place, tmp_path):
    with pytest.raises(ConfigError, match="is one index"):
        swap_indexes(dataset, "old", "old")

    move_index(dataset, "old", hnsw_config={"m": 8})
    with pytest.raises(ConfigError, match="old copy is there yet"):
        swap_indexes(dataset, "new", "old")
