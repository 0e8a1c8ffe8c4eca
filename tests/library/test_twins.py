"""One of several hits that are nearly the same stands for them, in every metric."""

import fiftyone.brain as fob
import numpy as np
import pytest

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore import twins as module
from fiftyone_qdrant.explore.twins import twins

METRICS = ["cosine", "dotproduct", "euclidean", "manhattan"]


@pytest.fixture(params=METRICS)
def index(request, make_dataset, rng):
    """30 samples at 10 places, three at each."""
    dataset = make_dataset(30)
    places = np.repeat(rng.normal(size=(10, 8)), 3, axis=0)
    return fob.compute_similarity(
        dataset,
        embeddings=places + rng.normal(0, 1e-3, (30, 8)),
        backend="qdrant",
        brain_key="twins",
        metric=request.param,
    )


@pytest.mark.parametrize("at_once", [4, 500])
def test_the_best_of_each_place_stands_for_the_others(index, at_once, monkeypatch):
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    ids = index.samples.values("id")
    (hits,) = index.search(ids[0], k=30)
    place = {i: n // 3 for n, i in enumerate(ids)}
    best: dict = {}
    for i in hits.ids:
        best.setdefault(place[i], i)

    expected = {i: best[place[i]] for i in hits.ids if i != best[place[i]]}
    assert twins(index, hits, 0.05) == expected


def test_nothing_has_no_twins_and_a_threshold_is_a_distance(index):
    (hits,) = index.search(index.samples.first().id, k=3)
    assert twins(index, hits.take([]), 0.1) == {}
    with pytest.raises(ConfigError, match="distance of 0 or more"):
        twins(index, hits, float("nan"))
