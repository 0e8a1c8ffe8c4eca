"""Near-duplicates of an index: pairs once, groups at any threshold."""

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_qdrant import near_duplicates
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
