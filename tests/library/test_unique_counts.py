"""The asked number of unique points: as FiftyOne where it finds it, and elsewhere."""

import fiftyone as fo
import numpy as np
import pytest
from fiftyone.brain.similarity import DuplicatesMixin

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.index.all_pairs import AllPairs
from fiftyone_qdrant.points import DISTANCES, pairwise_distances
from tests.library.conftest import ONE_ENGINE

N, SIZE = 24, 6
SCALES = (1e-30, 1e-9, 1.0, 1e9, 1e30)


@pytest.fixture(scope="module")
def samples():
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"{i}.png") for i in range(N)])
    yield dataset
    dataset.delete()


class Memory:
    """Vectors, as :class:`AllPairs` reads those of an index."""

    def __init__(self, vectors):
        self.rows = vectors.astype(np.float32)

    def vectors(self, ids):
        return self.rows[[int(i) for i in ids]]


def all_pairs(vectors, metric):
    ids = [str(i) for i in range(len(vectors))]
    return AllPairs(Memory(vectors), ids, vectors.shape[1], metric)


def distance_matrix(vectors, metric):
    rows = vectors.astype(np.float32)
    return np.stack([pairwise_distances(row, rows, metric) for row in rows])


def greedy(exact, thresh):
    """Which points are farther than a threshold from all kept ones before them."""
    kept = []
    for i in range(len(exact)):
        if not kept or exact[i, kept].min() > thresh:
            kept.append(i)

    return kept


class Theirs(DuplicatesMixin):
    """FiftyOne's own way, on a matrix of distances."""

    def __init__(self, exact):
        super().__init__()
        self.exact = exact

    def _radius_neighbors(self, query=None, thresh=None, return_dists=False):
        return [np.flatnonzero(row <= thresh) for row in self.exact]


@pytest.mark.parametrize("metric", ["cosine", "euclidean", "manhattan"])
def test_the_unique_ones_are_those_that_fiftyone_finds(rng, metric):
    vectors = rng.normal(size=(N, SIZE))
    vectors[-10:] = vectors[:10]  # so that no threshold keeps more than the others
    pairs, theirs = all_pairs(vectors, metric), Theirs(distance_matrix(vectors, metric))
    for count in (1, N // 2, N - 11, N - 10, N - 4):
        for start in (1.0, 0.01, 3.0):
            keep, thresh = pairs.unique_of(count, start)
            expected = theirs._remove_duplicates_count(count, range(N), start)
            assert (list(np.flatnonzero(keep)), thresh) == expected


@pytest.mark.parametrize("metric", ["dotproduct", "euclidean", "manhattan"])
@pytest.mark.parametrize("scale", [*SCALES, "all"])
def test_the_asked_number_is_found_at_any_distance(rng, metric, scale):
    scales = rng.choice(SCALES if scale == "all" else [scale], size=(N, 1))
    vectors = rng.normal(size=(N, SIZE)) * scales
    pairs, exact = all_pairs(vectors, metric), distance_matrix(vectors, metric)
    possible = {len(greedy(exact, t)) for t in np.unique(exact)}
    for count in (2, N // 2, N - 5):
        for start in (1.0, -1.0, np.inf):
            keep, thresh = pairs.unique_of(count, start)
            assert list(np.flatnonzero(keep)) == greedy(exact, thresh)
            assert keep.sum() == count or count not in possible


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("metric", DISTANCES)
def test_looking_for_a_number_that_there_is_not_ends(metric, scale):
    vectors = np.eye(SIZE)[np.arange(N) % SIZE] * scale
    pairs, exact = all_pairs(vectors, metric), distance_matrix(vectors, metric)
    for count in (3, SIZE + 1):
        keep, thresh = pairs.unique_of(count, 1.0)
        assert keep.sum() in (1, SIZE)
        assert list(np.flatnonzero(keep)) == greedy(exact, thresh)


@ONE_ENGINE
def test_an_index_of_long_vectors_tells_its_unique_samples(make_index, samples):
    vectors = np.eye(SIZE)[np.arange(N) % SIZE] * 1e30
    index = make_index(samples, embeddings=vectors, metric="euclidean")
    index.find_duplicates(fraction=1 - SIZE / N)
    assert index.unique_ids == samples.values("id")[:SIZE]
    index.find_unique(N)
    assert set(index.unique_ids) == set(samples.values("id"))
    for arguments in ((), (np.nan,), (None, np.nan), ("much",), (None, "half")):
        with pytest.raises(ConfigError, match=r"thresh=.*fraction="):
            index.find_duplicates(*arguments)


@ONE_ENGINE
def test_one_point_has_no_duplicates_and_no_distances(make_index, samples):
    only = samples.limit(1)
    index = make_index(only, "one", embeddings=np.ones((1, SIZE)))
    index.find_duplicates(thresh=1)
    view = index.duplicates_view(type_field="type", id_field="near", dist_field="far")
    assert len(view) == 0
    with pytest.raises(ConfigError, match="no distances to plot"):
        index.plot_distances()
