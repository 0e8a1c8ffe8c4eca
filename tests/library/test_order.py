"""Equal scores come in the order of their ids, also where the last are cut off."""

import fiftyone as fo
import numpy as np
import pytest

N, SIZE = 90, 4
GROUP = 30  # points with one vector


@pytest.fixture
def samples():
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"{i}.png") for i in range(N)])
    yield dataset
    dataset.delete()


@pytest.fixture
def vectors(rng):
    """Three vectors, each of which a third of the points have."""
    return np.repeat(rng.normal(size=(3, SIZE)), GROUP, axis=0).astype(np.float32)


@pytest.mark.parametrize("metric", ["cosine", "dotproduct", "euclidean", "manhattan"])
def test_equal_hits_come_by_id(make_index, samples, vectors, metric, rng):
    index = make_index(samples, embeddings=False, metric=metric)
    ids = np.array(samples.values("id"))
    rows = rng.permutation(N)  # in which they are written
    index.add_to_index(vectors[rows], ids[rows])
    query = vectors[0]
    (everything,) = index.search(query)
    assert len(everything.ids) == N
    for k in (1, 7, GROUP, GROUP + 5, N - 1, N):
        (hits,) = index.search(query, k=k)
        assert hits.ids == everything.ids[:k]
    groups = [everything.ids[i : i + GROUP] for i in range(0, N, GROUP)]
    assert all(g == sorted(g) for g in groups)
    (by_id,) = index.search(ids[20], k=7)
    assert by_id.ids[0] == ids[20]
    assert by_id.ids[1:] == sorted(by_id.ids[1:])
    (farthest,) = index.search(query, k=7, reverse=True)
    assert farthest.ids == sorted(farthest.ids)
    with index.use_view(samples[5:50]):
        (within,) = index.search(query, k=7)
        held = set(ids[5:50])
        assert within.ids == [i for i in everything.ids if i in held][:7]
