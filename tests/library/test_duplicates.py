"""Duplicates, uniqueness and neighbors of all points, as FiftyOne's own methods ask."""

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest
from fiftyone import ViewField as F

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.index import all_pairs, vector_table
from fiftyone_qdrant.points import DISTANCES, pairwise_distances
from tests.library.conftest import ONE_ENGINE

N, SIZE = 90, 8
pytestmark = ONE_ENGINE


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """So that these few points span several pieces and tiles."""
    monkeypatch.setattr(vector_table, "_READ_BYTES", 4 * SIZE * 20)
    monkeypatch.setattr(all_pairs, "_TILE_ROWS", 16)
    monkeypatch.setattr(all_pairs, "_TILE_COLUMNS", 11)


@pytest.fixture
def samples():
    dataset = fo.Dataset()
    dataset.add_samples(
        [
            fo.Sample(f"{i}.png", number=i, tags=["a" if i % 2 else "b"])
            for i in range(N)
        ]
    )
    yield dataset
    dataset.delete()


@pytest.fixture
def ids(samples):
    return np.array(samples.values("id"))


@pytest.fixture
def vectors(rng):
    """Random vectors, the last ten nearly equal to the first ten."""
    vectors = rng.normal(size=(N, SIZE))
    vectors[-10:] = vectors[:10] + 1e-4 * rng.normal(size=(10, SIZE))
    return vectors - vectors.mean(axis=0)  # the sklearn backend centers them


def distance_matrix(vectors, metric):
    matrix = np.stack(
        [
            pairwise_distances(v, vectors.astype(np.float32), metric)
            for v in vectors.astype(np.float32)
        ]
    )
    np.fill_diagonal(matrix, np.inf)
    return matrix


@pytest.mark.parametrize("metric", DISTANCES)
def test_all_neighbors_are_the_exact_ones(make_index, samples, vectors, metric):
    index = make_index(samples, embeddings=vectors, metric=metric)
    exact = distance_matrix(vectors, metric)
    found, dists = index._kneighbors(k=4, return_dists=True)
    for i in range(N):
        expected = np.argsort(exact[i], kind="stable")[:4]
        np.testing.assert_allclose(dists[i], exact[i][expected], atol=1e-5)
        np.testing.assert_allclose(exact[i][found[i]], exact[i][expected], atol=1e-5)


@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
def test_vectors_far_from_the_origin_are_told_apart(
    make_index, samples, vectors, metric
):
    index = make_index(samples, embeddings=vectors + 1000, metric=metric)
    exact = distance_matrix(vectors + 1000, metric)
    _, dists = index._kneighbors(k=3, return_dists=True)
    np.testing.assert_allclose(
        np.array(dists), np.sort(exact, axis=1)[:, :3], rtol=1e-5
    )


@pytest.mark.parametrize("metric", DISTANCES)
def test_all_neighbors_within_a_radius_are_the_exact_ones(
    make_index, samples, vectors, metric
):
    index = make_index(samples, embeddings=vectors, metric=metric)
    exact = distance_matrix(vectors, metric)
    thresh = float(np.quantile(exact[np.isfinite(exact)], 0.1))
    found, dists = index._radius_neighbors(thresh=thresh, return_dists=True)
    for i in range(N):
        sure = np.flatnonzero(exact[i] < thresh - 1e-5)
        assert set(sure) <= set(found[i])
        np.testing.assert_allclose(dists[i], exact[i][found[i]], atol=1e-5)
        assert (exact[i][found[i]] <= thresh + 1e-5).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "manhattan"])
@pytest.mark.parametrize("quantile", [0.0, 0.05, 0.4])
def test_duplicates_are_those_of_the_sklearn_backend(
    make_index, samples, vectors, metric, quantile
):
    index = make_index(samples, embeddings=vectors, metric=metric)
    theirs = fob.compute_similarity(
        samples, embeddings=vectors.copy(), backend="sklearn", metric=metric
    )
    exact = distance_matrix(vectors, metric)
    thresh = float(np.quantile(exact[np.isfinite(exact)], quantile)) + 1e-3

    index.find_duplicates(thresh=thresh)
    theirs.find_duplicates(thresh=thresh)

    assert index.duplicate_ids == theirs.duplicate_ids
    assert set(index.unique_ids) == set(theirs.unique_ids)


@pytest.mark.parametrize("metric", DISTANCES)
def test_each_duplicate_is_listed_under_its_nearest_unique_sample(
    make_index, samples, vectors, metric
):
    # Not compared with the sklearn backend: in a view it shifts the index's
    # vectors by the view's mean, but not the query's
    index = make_index(samples, embeddings=vectors, metric=metric)
    exact = distance_matrix(vectors, metric)
    index.find_duplicates(thresh=float(np.quantile(exact[np.isfinite(exact)], 0.05)))

    row = {i: n for n, i in enumerate(samples.values("id"))}
    unique = [row[i] for i in index.unique_ids]
    listed = set()
    for i, neighbors in index.neighbors_map.items():
        for j, distance in neighbors:
            assert distance == pytest.approx(exact[row[j], row[i]], abs=1e-5)
            assert distance == pytest.approx(exact[row[j], unique].min(), abs=1e-5)
            listed.add(j)

    assert listed == set(index.duplicate_ids)


def test_fiftyones_near_duplicates_runs_on_a_brain_key(
    make_index, samples, vectors, ids
):
    make_index(samples, embeddings=vectors)
    found = fob.compute_near_duplicates(
        samples, threshold=0.001, similarity_index="index"
    )
    assert found.duplicate_ids == list(ids[-10:])
    view = found.duplicates_view(type_field="kind", dist_field="dist")
    assert len(view) == 20
    assert view.values("kind")[:2] == ["nearest", "duplicate"]


def test_duplicates_within_a_view_are_only_its_own(make_index, samples, vectors, ids):
    index = make_index(samples, embeddings=vectors)
    with index.use_view(samples.match(F("number") < N - 5)):
        index.find_duplicates(thresh=0.001)

    assert index.duplicate_ids == list(ids[-10:-5])


def test_the_asked_number_of_unique_samples_is_found(make_index, samples, vectors):
    index = make_index(samples, embeddings=vectors)
    index.find_unique(12)
    assert len(index.unique_ids) == 12
    assert len(index.unique_view()) == 12
    exact = distance_matrix(vectors, "cosine")
    rows = [samples.values("id").index(i) for i in index.unique_ids]
    assert exact[np.ix_(rows, rows)].min() > index.thresh - 1e-5


def test_points_whose_samples_are_gone_do_not_count(make_index, samples, vectors, ids):
    index = make_index(samples, embeddings=vectors)
    samples.delete_samples(list(ids[:10]))
    assert list(index.current_sample_ids) == list(ids[10:])
    assert (index.index_size, index.total_index_size) == (N - 10, N)
    index.find_duplicates(thresh=0.001)
    assert index.duplicate_ids == []


def test_the_plot_of_distances_shows_every_point(make_index, samples, vectors):
    index = make_index(samples, embeddings=vectors)
    figure = index.plot_distances(bins=5)
    assert sum(figure.data[0].y) == N


def test_uniqueness_runs_on_a_brain_key(make_index, samples, vectors, ids):
    make_index(samples, embeddings=vectors)
    fob.compute_uniqueness(samples, similarity_index="index")
    values = np.array(samples.values("uniqueness"))
    assert np.isfinite(values).all()
    assert values[:10].mean() < values[10:-10].mean()  # those have near duplicates


@pytest.mark.filterwarnings("ignore:invalid value encountered in divide")
def test_representativeness_runs_on_a_brain_key(make_index, samples, vectors):
    make_index(samples, embeddings=vectors)
    fob.compute_representativeness(samples, similarity_index="index")
    found = samples.values("representativeness")
    fob.compute_representativeness(samples, embeddings=vectors)
    # It clusters, and jumps where scores differ in the last digit, as over gRPC
    np.testing.assert_allclose(found, samples.values("representativeness"), rtol=1e-2)


def test_leaky_splits_runs_on_a_brain_key(make_index, samples, vectors, ids):
    make_index(samples, embeddings=vectors)
    splits = {"a": samples.match_tags("a"), "b": samples.match_tags("b")}
    leaks = fob.compute_leaky_splits(
        samples, splits=splits, similarity_index="index", threshold=0.001
    )
    crossing = [i for i in range(10) if i % 2 != (N - 10 + i) % 2]
    expected = {ids[i] for i in crossing} | {ids[N - 10 + i] for i in crossing}
    assert set(leaks.leak_ids) == expected


def test_visualization_takes_its_embeddings_from_the_index(
    make_index, samples, vectors
):
    make_index(samples, embeddings=vectors)
    results = fob.compute_visualization(
        samples, similarity_index="index", method="pca", brain_key="picture"
    )
    assert results.points.shape == (N, 2)


@pytest.mark.parametrize("aggregation", ["post-mean", "post-min", "post-max"])
@pytest.mark.parametrize("reverse", [False, True], ids=["nearest", "farthest"])
def test_distances_to_several_queries_are_combined(
    make_index, samples, vectors, ids, aggregation, reverse
):
    index = make_index(samples, embeddings=vectors, metric="euclidean")
    queries = vectors[[20, 30, 40]]
    each = np.stack(
        [
            pairwise_distances(q, vectors.astype(np.float32), "euclidean")
            for q in queries.astype(np.float32)
        ]
    )
    combined = getattr(np, aggregation.removeprefix("post-"))(each, axis=0)
    order = np.argsort(-combined if reverse else combined, kind="stable")[:6]

    view = index.sort_by_similarity(
        queries, k=6, reverse=reverse, aggregation=aggregation, dist_field="dist"
    )

    np.testing.assert_allclose(view.values("dist"), combined[order], atol=1e-4)
    rows = [list(ids).index(i) for i in view.values("id")]
    np.testing.assert_allclose(combined[rows], combined[order], atol=1e-4)


def test_an_unknown_aggregation_is_named_with_the_known_ones(
    make_index, samples, vectors
):
    index = make_index(samples, embeddings=vectors)
    with pytest.raises(ConfigError, match=r"'median'.*post-mean"):
        index.search(vectors[:2], k=3, aggregation="median")
