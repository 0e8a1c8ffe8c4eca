"""Near-duplicates of an index: pairs once, groups at any threshold."""

import fiftyone as fo
import numpy as np
import pytest
from PIL import Image

from benchmarks import planted
from fiftyone_qdrant import near_duplicates
from fiftyone_qdrant.curate import collected, pairs
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.points import DISTANCES, pairwise_distances
from tests.library.conftest import ONE_ENGINE

N, SIZE = 90, 8
pytestmark = ONE_ENGINE


@pytest.fixture
def samples():
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"{i}.png", number=i) for i in range(N)])
    yield dataset
    dataset.delete()


@pytest.fixture
def vectors(rng):
    """Random vectors, the last thirty nearly equal to the first ten."""
    vectors = rng.normal(size=(N, SIZE)).astype(np.float32)
    vectors[-30:] = np.tile(vectors[:10], (3, 1)) + 0.01 * rng.normal(size=(30, SIZE))
    return vectors


def distance_matrix(vectors, metric):
    matrix = np.stack([pairwise_distances(v, vectors, metric) for v in vectors])
    np.fill_diagonal(matrix, np.inf)
    return matrix


def groups_of(exact, order, threshold):
    """What goes, by the one that stays, from the matrix of all distances."""
    kept = []
    for i in order:
        if not (exact[i, kept] <= threshold).any():
            kept.append(i)

    gone = np.setdiff1d(order, kept)
    groups = {}
    for i in gone:
        groups.setdefault(kept[int(np.argmin(exact[i, kept]))], set()).add(i)

    return groups


@pytest.mark.parametrize("metric", DISTANCES)
def test_groups_at_each_threshold_are_those_of_all_distances(
    make_index, samples, vectors, metric
):
    make_index(samples, embeddings=vectors, metric=metric)
    exact = distance_matrix(vectors, metric)
    rows = {i: n for n, i in enumerate(samples.values("id"))}
    found = near_duplicates(
        samples, "index", float(np.quantile(exact, 0.2)), keep="-number"
    )
    for quantile in (0.0, 0.005, 0.02, 0.1, 0.19):
        groups = found.at(float(np.quantile(exact, quantile)) + 1e-4)
        expected = groups_of(exact, range(N)[::-1], groups.threshold)
        assert {
            rows[kept]: {rows[i] for i in gone} for kept, *gone in groups.groups
        } == expected
        assert groups.num_groups == len(expected)
        assert groups.num_remove == len(groups.remove)


def test_more_copies_than_pairs_are_kept_of_a_point_leave_one(
    make_index, samples, vectors, monkeypatch
):
    monkeypatch.setattr(pairs, "BOUND", 8)
    vectors[20:60] = vectors[20]
    make_index(samples, embeddings=vectors)
    found = near_duplicates(samples, "index", 0.001, keep="-number")
    assert found.reached == 40
    assert found.complete_to == 0
    ids = samples.values("id")
    (group,) = [g for g in found.at(0.0).groups if ids[20] in g]
    assert group[0] == ids[59]
    assert sorted(group) == sorted(ids[20:60])


def test_of_a_point_with_too_many_pairs_the_nearest_are_known(
    make_index, samples, vectors, monkeypatch
):
    monkeypatch.setattr(pairs, "BOUND", 8)
    monkeypatch.setattr(collected, "_HELD", 50)
    make_index(samples, embeddings=vectors)
    exact = distance_matrix(vectors, "cosine")
    found = near_duplicates(samples, "index", 2.0)
    i, j, far = found.first, found.second, found.distances
    assert found.reached == N
    known = np.full((N, N), np.inf)
    known[i, j] = known[j, i] = far
    np.testing.assert_allclose(found.nearest, exact.min(axis=1), atol=1e-6)
    np.testing.assert_allclose(
        np.sort(known, axis=1)[:, :8], np.sort(exact, axis=1)[:, :8], atol=1e-6
    )
    for row in exact:
        assert np.sort(row)[7] >= found.complete_to - 1e-6

    groups = found.at(found.complete_to - 1e-6)
    kept = np.setdiff1d(np.arange(N), groups.removed)
    assert exact[np.ix_(kept, kept)].min() > groups.threshold - 1e-6


@pytest.mark.parametrize(("only", "same"), [("across", False), ("within", True)])
def test_pairs_can_be_only_across_or_within_the_values_of_a_field(
    make_index, samples, vectors, only, same
):
    make_index(samples, embeddings=vectors)
    samples.set_values("set", ["ab"[i % 2] for i in range(N - 1)] + [None])
    found = near_duplicates(samples, "index", 0.3, only=only, by="set")
    exact = distance_matrix(vectors, "cosine")
    numbers = np.append(np.arange(N - 1) % 2, 7)
    fits = (numbers[:, None] == numbers) == same
    assert len(found.first) == np.triu((exact <= 0.3) & fits).sum() > 0
    assert fits[found.first, found.second].all()


def test_only_what_is_compared_with_others_goes(make_index, samples, vectors):
    make_index(samples, embeddings=vectors)
    there, new = samples[:40], samples[40:]
    found = near_duplicates(new, "index", 0.01, against=there)
    exact = distance_matrix(vectors, "cosine")
    ids = samples.values("id")
    gone = np.flatnonzero((exact[40:, :40] <= 0.01).any(axis=1)) + 40
    groups = found.at(0.01)
    assert sorted(groups.remove) == sorted(ids[i] for i in gone)
    assert set(groups.keep) <= set(ids[:40])


def test_another_dataset_tells_what_is_there_already(make_index, samples, vectors):
    make_index(samples, embeddings=vectors)
    other = samples[:30].clone()
    make_index(other, "other", embeddings=vectors[:30])
    found = near_duplicates(samples, "index", 0.01, against=other, against_key="other")
    other.delete()
    near = (distance_matrix(vectors, "cosine")[:, :30] <= 0.01).any(axis=1)
    near[:30] = True  # each is near itself there
    assert len(found.at(0.01).remove) == near.sum()


def test_indexes_of_other_metrics_are_not_compared(make_index, samples, vectors):
    make_index(samples, embeddings=vectors)
    make_index(samples, "other", embeddings=vectors, metric="euclidean")
    with pytest.raises(ConfigError, match=r"metric cosine.*euclidean"):
        near_duplicates(samples[:9], "index", 0.1, against=samples, against_key="other")


@pytest.fixture
def pictures(tmp_path):
    """Three pictures of other sizes that show the same, and a copy of the first."""
    paths = []
    for n, width in enumerate((20, 40, 30)):
        paths.append(tmp_path / f"{n}.png")
        Image.new("RGB", (width, 10), "teal").save(paths[-1])

    paths.append(tmp_path / "copy.png")
    paths[-1].write_bytes(paths[0].read_bytes())
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(str(p), number=-n) for n, p in enumerate(paths)])
    dataset[:1].tag_samples("mine")
    last = dataset.last()
    last["truth"] = fo.Classification(label="cat")
    last.tags = ["mine", "yours"]
    last.save()
    yield dataset
    dataset.delete()


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        ("largest", 1),
        ("oldest", 0),
        ("newest", 3),
        ("labelled", 3),
        ("central", 2),
        ("number", 3),
        ("-number", 0),
        ("filepath", 0),
        ("-truth.label", 3),
    ],
)
def test_the_kept_one_is_the_first_by_the_rule(make_index, pictures, keep, kept):
    vectors = np.ones((4, 3)) + 0.01 * np.array(
        [[1, 0, 0], [0, 1, 0], [0.2, 0.2, 0], [-1, 0, 0]]
    )
    make_index(pictures, embeddings=vectors)
    (group,) = near_duplicates(pictures, "index", 0.1, keep=keep).at(0.1).groups
    assert group[0] == pictures.values("id")[kept]


def test_copies_of_a_file_are_told_from_what_looks_alike(make_index, pictures):
    make_index(pictures, embeddings=np.ones((4, 3)))
    found = near_duplicates(pictures, "index", 0.1)
    same = found.same_file
    assert len(same) == 6
    assert (found.first[same].tolist(), found.second[same].tolist()) == ([0], [3])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"threshold": "near"}, "a number"),
        ({"threshold": float("nan")}, "a number"),
        ({"threshold": 0.1, "keep": "none"}, "no field 'none'"),
        ({"threshold": 0.1, "only": "some"}, "'across', 'within'"),
        ({"threshold": 0.1, "only": "within"}, "Give by="),
    ],
)
def test_what_is_asked_wrongly_is_said(make_index, samples, vectors, arguments, says):
    make_index(samples, embeddings=vectors)
    with pytest.raises(ConfigError, match=says):
        near_duplicates(samples, "index", **arguments)


def test_groups_beyond_the_search_are_refused(make_index, samples, vectors):
    make_index(samples, embeddings=vectors)
    with pytest.raises(ConfigError, match="larger threshold"):
        near_duplicates(samples, "index", 0.1).at(0.2)


def test_what_progress_raises_ends_the_search(make_index, samples, vectors):
    make_index(samples, embeddings=vectors)
    seen = []

    def progress(done, total):
        seen.append((done, total))
        if done:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        near_duplicates(samples, "index", 0.1, progress=progress)

    assert 0 < seen[-1][0] < seen[-1][1] == N


def test_one_sample_and_none_have_no_duplicates(make_index, samples, vectors):
    make_index(samples, embeddings=vectors)
    for view in (samples[:1], samples[:0]):
        groups = near_duplicates(view, "index", 2.0).at(1.0)
        assert (groups.groups, groups.remove, groups.num_groups) == ([], [], 0)


def test_copies_of_real_pictures_are_found_and_nothing_else(make_index):
    vectors, copies = planted.plant(150, 12)
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"{i}.png") for i in range(len(vectors))])
    make_index(dataset, embeddings=vectors)
    found = near_duplicates(dataset, "index", 0.003)
    dataset.delete()
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    for kind in ("exact copy", "JPEG quality 30", "resized to half"):
        assert pairs >= set(copies[kind])

    origin = [*range(150), *[n for some in copies.values() for n, _ in some]]
    assert {(origin[i], origin[j]) for i, j in pairs} <= {(n, n) for n in range(150)}
