"""What to label next: chosen so that it covers, is typical, unusual, or balanced."""

import fiftyone as fo
import numpy as np
import pytest
from sklearn.metrics import pairwise_distances

from fiftyone_qdrant import select_samples
from fiftyone_qdrant.curate import choosing
from fiftyone_qdrant.errors import ConfigError, MissingIDs


@pytest.fixture
def place(monkeypatch):
    """What is worked out from the points is the same whoever holds them."""
    from tests.library.conftest import put_on

    return put_on("embedded", monkeypatch)


@pytest.fixture
def make_samples(make_index):
    """``make_samples(vectors, metric="euclidean", **fields)`` -> an indexed dataset."""

    def make(vectors, metric="euclidean", **fields):
        dataset = fo.Dataset()
        dataset.add_samples([fo.Sample(f"{i}.png") for i in range(len(vectors))])
        for name, values in fields.items():
            dataset.set_values(name, values)

        make_index(dataset, embeddings=np.asarray(vectors, np.float32), metric=metric)
        return dataset

    return make


def rows_of(dataset, ids):
    place = {i: row for row, i in enumerate(dataset.values("id"))}
    return [place[i] for i in ids]


def k_centers(vectors, first, n, metric):
    """The rows that a plain greedy chooses, and the radius after each."""
    far = pairwise_distances(vectors.astype(np.float64), metric=metric)
    rows, nearest = [first], far[first]
    radius = [nearest.max()]
    while len(rows) < n:
        rows.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, far[rows[-1]])
        radius.append(nearest.max())

    return rows, radius


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "manhattan", "dotproduct"])
def test_coverage_chooses_the_farthest_each_time(
    rng, make_samples, metric, monkeypatch
):
    """Also when few of the vectors are in memory at a time."""
    monkeypatch.setattr(choosing, "_POOL", 16)
    vectors = rng.normal(size=(300, 6)).astype(np.float32)
    dataset = make_samples(vectors, metric)
    found = select_samples(dataset, "index", 20, twins=0)
    rows = rows_of(dataset, found.ids)
    oracle = "cosine" if metric == "dotproduct" else metric
    expected, radius = k_centers(vectors, rows[0], 20, oracle)
    assert rows == expected
    np.testing.assert_allclose(found.radius, radius, atol=1e-5)


def test_few_readings_still_cover(rng, make_samples, monkeypatch):
    """When all vectors may be read only twice, the radius is little larger."""
    vectors = rng.normal(size=(300, 3))
    dataset = make_samples(vectors)
    exact = select_samples(dataset, "index", 30)
    monkeypatch.setattr(choosing, "_POOL", 60)
    monkeypatch.setattr(choosing, "_READINGS", 2)
    found = select_samples(dataset, "index", 30)
    assert found.radius[-1] <= 1.5 * exact.radius[-1]


def test_digits_are_covered_better_than_by_chance(
    make_dataset, make_index, digits, rng
):
    dataset = make_dataset(len(digits.labels))
    make_index(dataset, embeddings=digits.vectors)
    found = select_samples(dataset, "index", 200)
    units = digits.vectors / np.linalg.norm(digits.vectors, axis=1, keepdims=True)
    radii = []
    for _ in range(5):
        chosen = rng.choice(len(units), 200, replace=False)
        radii.append((1 - units @ units[chosen].T).min(axis=1).max())

    assert found.radius[-1] <= 0.7 * np.mean(radii)


def test_the_first_part_of_a_choice_is_a_choice(rng, make_samples):
    dataset = make_samples(rng.normal(size=(100, 4)))
    ten, thirty = (select_samples(dataset, "index", n) for n in (10, 30))
    assert thirty.ids[:10] == ten.ids
    assert (np.diff(thirty.radius) <= 0).all()


def test_no_two_chosen_are_twins(rng, make_samples):
    vectors = np.repeat(rng.normal(size=(20, 4)), 5, axis=0)
    vectors += 1e-4 * rng.normal(size=vectors.shape)
    dataset = make_samples(vectors)
    for strategy in ("coverage", "typical", "unusual"):
        found = select_samples(dataset, "index", 50, strategy=strategy, twins=0.01)
        assert sorted(row // 5 for row in rows_of(dataset, found.ids)) == [*range(20)]


def test_what_is_given_is_covered_already(rng, make_samples):
    vectors = np.repeat(10 * np.eye(3), 20, axis=0) + 0.1 * rng.normal(size=(60, 3))
    dataset = make_samples(vectors)
    given = dataset[:40]
    given.tag_samples("labelled")
    ways = "labelled", given, given.values("id")
    for way in ways:
        found = select_samples(dataset, "index", 1, given=way)
        assert rows_of(dataset, found.ids)[0] >= 40
        assert found.given == 40


def test_typical_are_in_the_crowd_and_unusual_out_of_it(rng, make_samples):
    vectors = np.vstack([rng.normal(size=(60, 3)), 20 + 5 * rng.normal(size=(6, 3))])
    dataset = make_samples(vectors)
    typical = select_samples(dataset, "index", 6, strategy="typical")
    assert max(rows_of(dataset, typical.ids)) < 60
    unusual = select_samples(dataset, "index", 6, strategy="unusual")
    assert min(rows_of(dataset, unusual.ids)) >= 60


def test_near_and_far_are_from_what_has_a_tag(rng, make_samples):
    vectors = np.arange(30)[:, np.newaxis] * np.ones(3)
    dataset = make_samples(vectors)
    dataset[:1].tag_samples("night")
    for strategy, expected in (("near", [0, 1, 2]), ("far", [29, 28, 27])):
        found = select_samples(
            dataset, "index", 3, strategy=strategy, tag="night", twins=0
        )
        assert set(rows_of(dataset, found.ids)) == set(expected) or expected[0] == 0


def test_a_mix_covers_and_leaves_out_outliers(rng, make_samples):
    vectors = np.vstack(
        [rng.normal(size=(50, 3)), 20 + rng.normal(size=(50, 3)), [[500, 0, 0]]]
    )
    dataset = make_samples(vectors)
    alone = select_samples(dataset, "index", 4)
    mixed = select_samples(dataset, "index", 4, strategy={"coverage": 1, "typical": 1})
    assert 100 in rows_of(dataset, alone.ids)
    rows = rows_of(dataset, mixed.ids)
    assert 100 not in rows
    assert {row // 50 for row in rows} == {0, 1}


def test_every_class_is_present_when_balanced(rng, make_samples):
    labels = ["common"] * 90 + ["rare"] * 8 + ["lone"] + [None]
    truth = [v and fo.Classification(label=v) for v in labels]
    dataset = make_samples(rng.normal(size=(100, 4)), truth=truth)
    found = select_samples(dataset, "index", 9, balance="truth")
    counts = {v: found.classes.count(v) for v in found.classes}
    assert counts == {"common": 4, "rare": 3, "lone": 1, "": 1}
    shown = dataset.select(found.ids, ordered=True).values("truth.label")
    assert [v or "" for v in shown] == found.classes


def test_balance_counts_what_is_given(rng, make_samples):
    labels = ["a"] * 30 + ["b"] * 30
    dataset = make_samples(rng.normal(size=(60, 4)), kind=labels)
    found = select_samples(dataset, "index", 10, given=dataset[:10], balance="kind")
    assert found.classes == ["b"] * 10


def test_a_view_is_chosen_from_and_covered_by_itself(rng, make_samples):
    dataset = make_samples(rng.normal(size=(60, 4)))
    found = select_samples(dataset[10:20], "index", 30, twins=0)
    assert sorted(rows_of(dataset, found.ids)) == [*range(10, 20)]
    assert found.radius[-1] == 0


@pytest.mark.parametrize("n", [1, 2])
def test_few_samples_are_all_chosen(rng, make_samples, n):
    dataset = make_samples(rng.normal(size=(n, 4)))
    assert set(select_samples(dataset, "index", 5).ids) == set(dataset.values("id"))


@pytest.mark.parametrize("scale", [1e-20, 1e25])
def test_lengths_that_float32_cannot_square_are_compared(rng, make_samples, scale):
    vectors = rng.normal(size=(40, 3))
    plain = select_samples(make_samples(vectors), "index", 8)
    scaled = make_samples(vectors * scale)
    found = select_samples(scaled, "index", 8)
    np.testing.assert_allclose(found.radius, plain.radius * scale, rtol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"n": 0}, "from 1 on"),
        ({"n": 2.5}, "from 1 on"),
        ({"strategy": "best"}, "Unknown strategy"),
        ({"strategy": {}}, "must be one of"),
        ({"strategy": {"coverage": -1}}, "from 0 on"),
        ({"strategy": "near"}, "Give the tag"),
        ({"balance": "nothing"}, "no field"),
        ({"twins": -1}, "from 0 on"),
        ({"given": 5}, "a tag, a view or ids"),
    ],
)
def test_a_wrong_argument_is_told(rng, make_samples, arguments, says):
    dataset = make_samples(rng.normal(size=(5, 4)))
    with pytest.raises(ConfigError, match=says):
        select_samples(dataset, "index", **{"n": 2, **arguments})


def test_an_unknown_tag_is_told(rng, make_samples):
    dataset = make_samples(rng.normal(size=(5, 4)))
    with pytest.raises(MissingIDs, match="the tag 'x'"):
        select_samples(dataset, "index", 2, given="x")


def test_progress_may_stop_it(rng, make_samples):
    class Stop(Exception):
        pass

    def progress(done, total):
        assert 0 <= done <= total == 5
        if done:
            raise Stop

    dataset = make_samples(rng.normal(size=(20, 4)))
    with pytest.raises(Stop):
        select_samples(dataset, "index", 5, progress=progress)
