"""Bounds leave out no pair that is near, whatever the vectors are like."""

import numpy as np
import pytest

from fiftyone_qdrant.index import all_pairs, bounds, products
from fiftyone_qdrant.index.all_pairs import AllPairs
from fiftyone_qdrant.points import DISTANCES, pairwise_distances, to_unit

N, SIZE = 240, 24


class Memory:
    def __init__(self, vectors):
        self.rows = vectors

    def vectors(self, ids):
        return self.rows[ids]


def clusters(rng):
    return rng.normal(size=(9, SIZE))[rng.integers(9, size=N)] + 0.1 * noise(rng)


def noise(rng):
    return rng.normal(size=(N, SIZE))


def manifold(rng):
    return np.tanh(rng.normal(size=(N, 3)) @ rng.normal(size=(3, SIZE)))


def plane(rng):
    """What lies wholly in few directions, but for some."""
    vectors = rng.normal(size=(N, 4)) @ rng.normal(size=(4, SIZE))
    vectors[::9] += 0.3 * rng.normal(size=(len(vectors[::9]), SIZE))
    return vectors


def unlike(rng):
    """Lengths that are a thousand times as large as others, and 0."""
    vectors = noise(rng) * 10 ** rng.uniform(-3, 3, size=(N, 1))
    vectors[:5] = 0
    return vectors


def far_off(rng):
    return noise(rng) + 1000


KINDS = (clusters, noise, manifold, plane, unlike, far_off)


@pytest.fixture
def few(monkeypatch):
    """So that these few points are in clusters, and in several pieces."""
    monkeypatch.setattr(all_pairs, "_FEWEST", 0)
    monkeypatch.setattr(all_pairs, "_BOUND_ROWS", 50)
    monkeypatch.setattr(bounds, "_CLUSTER", 12)
    monkeypatch.setattr(bounds, "_BLOCK", 70)
    return monkeypatch


def matrix(vectors, metric):
    if metric == "cosine":
        vectors = to_unit(vectors)

    exact = pairwise_distances(vectors[:, np.newaxis], vectors, metric)
    np.fill_diagonal(exact, np.inf)
    return exact


@pytest.mark.parametrize("metric", DISTANCES)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12], ids=["short", "usual", "long"])
def test_bounds_lose_no_pair(few, rng, metric, kind, scale):
    vectors = (scale * kind(rng)).astype(np.float32)
    vectors[-20:] = vectors[40:60] * np.float32(1 + 1e-6)
    exact = matrix(vectors, metric)
    for directions in (2, 16):
        few.setattr(all_pairs, "choose", lambda *_, d=directions: d)
        pairs = AllPairs(Memory(vectors), range(N), SIZE, metric)
        for rank in (0, 12, 150, 1500, 15_000):
            thresh = float(np.sort(exact.ravel())[2 * rank])
            found = []
            pairs.scan(thresh, lambda *some: found.append(some))  # noqa: B023
            i, j = (np.concatenate(c) for c in list(zip(*found, strict=True))[:2])
            off = 1e-9 * abs(thresh) + 1e-15 * (metric == "cosine")
            known = np.zeros((N, N), bool)
            known[i, j] = True
            assert len(i) == known.sum()
            known |= known.T
            assert known[exact < thresh - off].all()
            assert not known[exact > thresh + off].any()


@pytest.mark.parametrize("metric", DISTANCES)
@pytest.mark.parametrize("kind", [clusters, noise, manifold])
def test_the_nearest_of_all_are_the_exact_ones(few, rng, metric, kind):
    vectors = kind(rng).astype(np.float32)
    exact = matrix(vectors, metric)
    few.setattr(all_pairs, "_TILE_ROWS", 64)
    rows, far = AllPairs(Memory(vectors), range(N), SIZE, metric).neighbors(3)
    np.testing.assert_allclose(far, np.sort(exact, axis=1)[:, :3], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(exact, np.array(rows), 1), far)


def test_of_noise_all_dimensions_are_multiplied_if_the_threshold_is_loose(few, rng):
    vectors = to_unit(noise(rng).astype(np.float32))
    pairs = AllPairs(Memory(vectors), range(N), SIZE, "cosine")
    assert pairs._bounds(0.9) is None
    assert pairs._bounds(0.001) is not None


def test_work_in_all_dimensions_finds_each_pair_once(few, rng):
    few.setattr(all_pairs, "choose", lambda *_: None)
    few.setattr(all_pairs, "_TILE_ROWS", 50)
    few.setattr(all_pairs, "_TILE_COLUMNS", 70)
    vectors = to_unit(noise(rng).astype(np.float32))
    found = []
    AllPairs(Memory(vectors), range(N), SIZE, "cosine").scan(
        0.8, lambda *some: found.append(some)
    )
    i, j, far = (np.concatenate(c) for c in zip(*found, strict=True))
    exact = matrix(vectors, "cosine")
    assert len(i) == np.triu(exact <= 0.8).sum()
    np.testing.assert_allclose(far, exact[i, j], atol=1e-6)


def test_what_is_the_same_is_at_distance_0():
    vectors = to_unit(
        np.random.default_rng(1).normal(size=(9, SIZE)).astype(np.float32)
    )
    twice, rows = np.tile(vectors, (2, 1)), np.arange(9)
    i, _, far = products.within(twice, rows, rows + 9, "cosine", 0.0, False)
    assert (i.tolist(), far.tolist()) == (rows.tolist(), [0.0] * 9)
