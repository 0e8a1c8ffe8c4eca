"""Questions to the index of another dataset."""

from __future__ import annotations

import numpy as np
import pytest

from fiftyone_qdrant.errors import ConfigError, MissingIDs
from fiftyone_qdrant.explore.across import (
    add_here,
    check_comparable,
    find_across,
    find_lacking,
    save_there,
)
from tests.library.conftest import ONE_ENGINE

pytestmark = ONE_ENGINE
MODEL = "one-model"


@pytest.fixture
def pair(make_dataset, make_index, rng):
    """Two indexes of 30 and 20 samples; the last five of the one are far from all."""
    one, two = make_dataset(30), make_dataset(20)
    vectors = rng.normal(size=(30, 8))
    vectors[25:] += 10
    made = [
        make_index(dataset, embeddings=v, metric="euclidean")
        for dataset, v in ((one, vectors), (two, rng.normal(size=(20, 8))))
    ]
    for index in made:
        index.config.model = MODEL

    return made


@pytest.fixture
def vectors(pair):
    return [i.contents.vectors(i.samples.values("id")) for i in pair]


def test_what_another_dataset_has_that_is_alike(pair, vectors):
    one, two = pair
    ids = one.samples.values("id")
    hits = find_across(one, ids[2:4], two, k=5)
    far = np.linalg.norm(vectors[1] - vectors[0][2:4].mean(axis=0), axis=1)
    order = np.argsort(far)[:5]
    assert hits.ids == [two.samples.values("id")[row] for row in order]
    assert hits.distances == pytest.approx(far[order], rel=1e-4)


def test_what_one_has_that_the_other_lacks(pair, vectors):
    one, two = pair
    ids = one.samples.values("id")
    far = np.linalg.norm(vectors[0][:, np.newaxis] - vectors[1], axis=2).min(axis=1)
    told = []
    lacking = find_lacking(one, two, k=7, progress=lambda *how: told.append(how))
    order = np.argsort(-far)[:7]
    assert lacking.ids == lacking.sample_ids == [ids[row] for row in order]
    assert set(ids[25:]) < set(lacking.ids)
    assert lacking.distances == pytest.approx(far[order], rel=1e-4)
    assert (lacking.asked, lacking.of, told[-1]) == (30, 30, (30, 30))


def test_of_a_large_dataset_some_are_compared_and_of_a_view_its_own(pair):
    lacking = find_lacking(*pair, k=100, most=10)
    assert (len(set(lacking.ids)), lacking.asked, lacking.of) == (10, 10, 30)

    view = pair[0].samples.limit(4)
    pair[0].use_view(view)
    lacking = find_lacking(*pair)
    assert set(lacking.ids) == set(view.values("id"))


def test_other_models_are_refused_unless_forced_and_other_sizes_always(
    pair, make_dataset, make_index, rng
):
    one, two = pair
    check_comparable(one, two)
    two.config.model = "another"
    with pytest.raises(ConfigError, match=r"'one-model', and .*'another'.*force it"):
        find_across(one, one.samples.values("id")[:1], two)

    two.config.model = None
    with pytest.raises(ConfigError, match="Nobody knows which model"):
        find_lacking(one, two)

    assert len(find_lacking(one, two, force=True).ids) == 25
    small = make_index(make_dataset(5), embeddings=rng.normal(size=(5, 4)))
    with pytest.raises(ConfigError, match=r"of 8 numbers.*of 4"):
        check_comparable(one, small, force=True)


def test_nothing_and_what_is_not_indexed_cannot_be_asked_with(pair):
    with pytest.raises(ConfigError, match="Select samples"):
        find_across(pair[0], [], pair[1])

    with pytest.raises(MissingIDs):
        find_across(pair[0], ["0" * 24], pair[1])


def test_an_empty_index_cannot_be_compared_with(pair):
    one, two = pair
    two.use_view(two.samples.match_tags("nothing"))
    with pytest.raises(ConfigError, match="nothing to compare with"):
        find_lacking(one, two)


def test_hits_are_kept_there_as_a_view(pair):
    one, two = pair
    hits = find_across(one, one.samples.values("id")[:1], two, k=5)
    path = save_there(two, hits, "From A: 1 & more")
    view = two.samples.load_saved_view("From A: 1 & more")
    assert view.values("id") == hits.ids
    assert path == f"/datasets/{two.samples.name}?view=from-a-1-more"
    with pytest.raises(ConfigError, match="already"):
        save_there(two, hits, "From A: 1 & more")


def test_hits_are_added_here_with_where_they_are_from(pair, make_dataset):
    one, two = pair
    here = make_dataset(5)
    hits = find_across(one, one.samples.values("id")[:1], two, k=20)
    added = add_here(here, two, hits)
    theirs = two.samples.values(["filepath", "id"])
    expected = set(zip(*theirs, strict=True)) - {
        pair
        for pair in zip(*theirs, strict=True)
        if pair[0] in here[:5].values("filepath")
    }
    new = here.select(added, ordered=True)
    assert set(zip(*new.values(["filepath", "found_id"]), strict=True)) == expected
    assert set(new.values("found_in")) == {two.samples.name}
    assert len(here) == 5 + 15
    assert add_here(here, two, hits) == []
