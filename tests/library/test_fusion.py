"""Several indexes in one question: each by its own vectors, and their ranks fused."""

from __future__ import annotations

import numpy as np
import pytest

from fiftyone_qdrant import find_similar
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.points import pairwise_distances
from tests.library.conftest import ONE_ENGINE

pytestmark = ONE_ENGINE
N = 150


@pytest.fixture
def both(make_embedded, make_index, rng):
    """Two indexes of the same samples, with their vectors."""
    dataset = make_embedded(N)
    vectors = [np.array(dataset.values("vector"), dtype=np.float32)]
    vectors.append(rng.normal(size=(N, 5)).astype(np.float32))
    indexes = [
        make_index(dataset, embeddings=v, brain_key=key)
        for v, key in zip(vectors, ("first", "second"), strict=True)
    ]
    return indexes, vectors


def oracle(ids, vectors, row, weights, deep):
    scores = dict.fromkeys(ids, 0.0)
    for v, weight in zip(vectors, weights, strict=True):
        order = np.argsort(pairwise_distances(v[row], v, "cosine"), kind="stable")
        for place, i in enumerate(order[:deep], 1):
            scores[ids[i]] += weight / (60 + place)

    return sorted(ids, key=lambda i: (-scores[i], i)), scores


@pytest.mark.parametrize("weights", [None, [3, 0.5]])
@pytest.mark.parametrize("k", [5, 30, None])
def test_the_answer_is_that_of_reciprocal_ranks(both, weights, k):
    indexes, vectors = both
    ids = indexes[0].samples.values("id")
    deep = N if k is None else max(100, 4 * k)
    expected, scores = oracle(ids, vectors, 7, weights or [1, 1], deep)
    found = find_similar(indexes, ids[7], k=k, weights=weights)

    assert found.ids == expected[:k]
    np.testing.assert_allclose(found.scores, [scores[i] for i in found.ids])
    assert found.distances[0] == 0
    assert found.distances == sorted(found.distances)
    assert found.view.values("id") == found.ids


def test_only_hits_of_the_first_ones_view_count(both):
    indexes, _ = both
    view = indexes[0].samples.skip(50)
    indexes[0].use_view(view)
    found = find_similar(indexes, view.first().id, k=20)
    assert set(found.ids) <= set(view.values("id"))
    assert not indexes[1].has_view


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"query": [1.0] * 8}, "A vector is of one index"),
        ({"max_distance": 0.3}, "cannot be compared"),
        ({"weights": [1]}, "Give 2 weights"),
        ({"weights": [1, -1]}, "Give 2 weights"),
    ],
)
def test_what_several_cannot_answer_is_refused(both, asked, words):
    indexes, _ = both
    query = asked.pop("query", indexes[0].samples.first().id)
    with pytest.raises(ConfigError, match=words):
        find_similar(indexes, query, k=3, **asked)


def test_indexes_of_different_things_are_refused(both):
    (first, second), _ = both
    second.config.patches_field = "things"
    with pytest.raises(ConfigError, match="of the same things"):
        find_similar([first, second], first.samples.first().id, k=3)

    second.config.patches_field = None
