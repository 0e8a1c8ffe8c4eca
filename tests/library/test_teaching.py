"""A ranking that is learnt from likes and dislikes, and what it reads."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from benchmarks.overlapping import overlapping_classes
from benchmarks.teaching import average_precision, by_averaging, by_teaching
from fiftyone_qdrant.errors import ConfigError, MissingIDs
from fiftyone_qdrant.explore import teaching as module
from fiftyone_qdrant.explore.teaching import Teaching
from fiftyone_qdrant.index.contents import Contents
from tests.library.conftest import ONE_ENGINE

pytestmark = ONE_ENGINE
METRICS = ["cosine", "dotproduct", "euclidean", "manhattan"]


@pytest.fixture(params=METRICS)
def index(request, make_dataset, make_index, rng):
    """60 samples, every third of a kind of its own."""
    centres = 3 * rng.normal(size=(3, 8))
    vectors = centres[np.arange(60) % 3] + rng.normal(size=(60, 8))
    return make_index(make_dataset(60), embeddings=vectors, metric=request.param)


@pytest.fixture
def ids(index):
    return index.samples.values("id")


def of_kind(ids, found):
    return [ids.index(i) % 3 == 0 for i in found]


def test_what_is_liked_comes_first_and_each_sample_once(index, ids):
    teaching = Teaching(index)
    teaching.mark(likes=ids[:9:3], dislikes=[ids[1], ids[2], ids[4]])
    found = teaching.ranking().ids
    assert sorted(found) == sorted(ids)
    assert np.mean(of_kind(ids, found[:20])) >= 0.9
    assert teaching.ranking(7).ids == found[:7]


def test_distances_say_where_liking_ends(index, ids):
    teaching = Teaching(index)
    teaching.mark(likes=ids[:9:3], dislikes=[ids[1], ids[2]])
    hits = teaching.ranking()
    assert (np.diff(hits.distances) >= 0).all()
    by_id = hits.by_id()
    assert max(by_id[i] for i in ids[:9:3]) < 0.5 < min(by_id[i] for i in ids[1:3])


def test_unsure_ones_are_unmarked_and_at_the_end_of_liking(index, ids):
    teaching = Teaching(index)
    teaching.mark(likes=ids[:9:3], dislikes=[ids[1]])
    unsure = teaching.unsure(5)
    assert not {*teaching.likes, *teaching.dislikes} & set(unsure.ids)
    ranked = teaching.ranking().without({*teaching.likes, *teaching.dislikes})
    farness = np.abs(ranked.scores - teaching._rank()[1])
    expected = np.sort(farness)[:5]
    by_id = dict(zip(ranked.ids, farness, strict=True))
    assert [by_id[i] for i in unsure.ids] == pytest.approx(expected)


def test_a_view_is_all_that_is_ranked(index, ids):
    index.use_view(index.samples.select(ids[10:40]))
    teaching = Teaching(index)
    teaching.mark(likes=[ids[0]])
    assert sorted(teaching.ranking().ids) == sorted(ids[10:40])


def test_a_mark_can_be_changed_and_must_be_clear(index, ids):
    teaching = Teaching(index)
    with pytest.raises(ConfigError, match="Mark what you like"):
        teaching.mark()

    with pytest.raises(ConfigError, match="at once"):
        teaching.mark(likes=[ids[0]], dislikes=[ids[0]])

    with pytest.raises(MissingIDs):
        teaching.mark(likes=["0" * 24])

    assert (teaching.likes, teaching.rounds) == ([], 0)
    teaching.mark(dislikes=[ids[0]])
    with pytest.raises(ConfigError, match="Like something first"):
        teaching.ranking()

    teaching.mark(likes=[ids[0]])
    assert (teaching.likes, teaching.dislikes) == ([ids[0]], [])
    assert teaching.rounds == 2
    assert teaching.ranking().ids[0] == ids[0]


def test_one_sample_that_is_liked_is_the_ranking(make_dataset, make_index):
    index = make_index(make_dataset(1), embeddings=np.ones((1, 4)))
    teaching = Teaching(index)
    teaching.mark(likes=index.samples.values("id"))
    assert teaching.ranking().ids == index.samples.values("id")
    assert teaching.unsure().ids == []


def test_few_embeddings_are_read_and_each_once(
    make_dataset, make_index, rng, monkeypatch
):
    monkeypatch.setattr(module, "MOST_CANDIDATES", 50)
    monkeypatch.setattr(module, "_NEAR_ONE", 10)
    monkeypatch.setattr(module, "_AT_RANDOM", 30)
    read = []
    vectors = Contents.vectors

    def counted(self, ids):
        read.extend(ids)
        return vectors(self, ids)

    index = make_index(make_dataset(600), embeddings=rng.normal(size=(600, 8)))
    ids = index.samples.values("id")
    monkeypatch.setattr(Contents, "vectors", counted)
    teaching = Teaching(index)
    for turn in range(3):
        teaching.mark(likes=[ids[turn]], dislikes=[ids[turn + 100]])
        assert len(teaching.ranking().ids) == 50

    assert len(read) == len(set(read)) <= 6 + 30 + 3 * 50


SETS = {
    "digits": lambda rng: load_digits(return_X_y=True),
    "overlapping": lambda rng: overlapping_classes(rng, 1500),
}


@pytest.mark.parametrize(("name", "gain"), [("digits", 0.1), ("overlapping", 0.05)])
def test_five_rounds_teach_more_than_averaging_likes(
    name, gain, make_dataset, make_index, rng
):
    vectors, labels = SETS[name](rng)
    index = make_index(make_dataset(len(vectors)), embeddings=vectors)
    ids = np.array(index.samples.values("id"))
    gains = []
    for label in rng.choice(np.unique(labels), 3, replace=False):
        wanted = dict(zip(ids, (labels == label).tolist(), strict=True))
        first = rng.choice(ids[labels == label])
        taught, averaged = (
            average_precision(list(how(index, wanted, first))[-1], wanted)
            for how in (by_teaching, by_averaging)
        )
        gains.append(taught - averaged)

    assert np.mean(gains) >= gain
