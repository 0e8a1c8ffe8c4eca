"""FiftyOne's ids and embeddings as points, and scores as distances."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import (
    CollectionMismatch,
    ConfigError,
    MissingIDs,
    VectorError,
)
from fiftyone_qdrant.search.matrices import to_matrix

OBJECT_IDS = st.integers(0, 16**24 - 1).map(lambda i: f"{i:024x}")


@given(OBJECT_IDS)
def test_every_fiftyone_id_survives_the_round_trip(fiftyone_id):
    assert points.from_point_id(points.to_point_id(fiftyone_id)) == fiftyone_id


def test_point_ids_are_those_of_the_builtin_backend():
    assert (
        points.to_point_id("0123456789abcdef01234567")
        == "01234567-89ab-cdef-0123-456700000000"
    )


@pytest.mark.parametrize("bad", ["", "abc", "z" * 24, "0" * 32, 7])
def test_what_is_no_fiftyone_id_is_refused(bad):
    with pytest.raises(MissingIDs, match="not a FiftyOne id"):
        points.to_point_id(bad)


@pytest.mark.parametrize("foreign", [7, "0123456789abcdef0123456789abcdef"])
def test_points_of_other_makers_are_recognized(foreign):
    with pytest.raises(CollectionMismatch, match="not made from a FiftyOne id"):
        points.from_point_id(foreign)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, int])
def test_any_numbers_become_float32(dtype):
    matrix = to_matrix(np.array([[1, 2], [3, 4]], dtype=dtype))
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, [[1, 2], [3, 4]])


def test_one_vector_becomes_a_matrix_of_one_row():
    assert to_matrix([1.0, 2.0, 3.0]).shape == (1, 3)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ([[1.0, np.nan]], "NaN or infinite"),
        ([[np.inf, 0.0]], "NaN or infinite"),
        ([[1e300, 0.0]], "larger than float32"),
        ([[1e-300, 0.0]], "smaller than float32"),
        ([[1.0], [1.0], [1.0, 2.0]], "1 of 3 .*another size.*number 3"),
        ([["a", "b"]], "must be real numbers"),
        (np.array([["1", "2"]]), "must be real numbers"),
        (np.array([["1", "2"]], dtype=object), "something else than real numbers"),
        ([[1.0, None]], "something else than real numbers"),
        ([[1.0, 2j]], "must be real numbers, not complex128"),
        (np.zeros((2, 2, 2)), "shape"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_vectors_that_cannot_be_stored_are_refused(bad, words):
    with pytest.raises(VectorError, match=words):
        to_matrix(bad)


def test_vectors_of_another_size_are_refused():
    with pytest.raises(VectorError, match="3 dimensions but the index has 4"):
        to_matrix(np.ones((1, 3)), size=4)


@pytest.mark.parametrize("values", [[True, False], [2**40, 1], [Decimal("0.5"), 1]])
def test_other_real_numbers_are_taken(values):
    expected = np.array([values], dtype=np.float32)
    np.testing.assert_array_equal(to_matrix([values]), expected)
    several = np.empty(2, dtype=object)
    several[:] = [np.array(values), values]
    np.testing.assert_array_equal(to_matrix(several), [*expected, *expected])


@pytest.mark.parametrize("scale", [1e-30, 30, 1e30])
def test_cosine_vectors_come_back_as_they_were_put_in(rng, scale):
    vectors = to_matrix(rng.normal(scale=scale, size=(20, 8)))
    vectors[3] = 0
    lengths = points.norms(vectors)
    unit = points.to_unit(vectors, lengths)
    np.testing.assert_allclose(points.norms(unit), lengths > 0, rtol=1e-6)
    payloads = points.to_payloads(["s"] * 20, lengths)
    restored = points.restore(unit, payloads, "cosine")
    np.testing.assert_allclose(restored, vectors, rtol=1e-6)


@pytest.mark.parametrize("metric", points.DISTANCES)
def test_pairwise_distances_are_those_of_scipy(rng, metric):
    from scipy.spatial.distance import cdist

    query, vectors = to_matrix(rng.normal(size=(1, 8))), rng.normal(size=(9, 8))
    matrix = to_matrix(vectors)
    names = {"manhattan": "cityblock"}
    expected = (
        -(matrix @ query[0])
        if metric == "dotproduct"
        else cdist(query, matrix, names.get(metric, metric))[0]
    )
    found = points.pairwise_distances(query[0], matrix, metric)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_scores_become_distances():
    assert points.to_distances([1.0, 0.25], "cosine").tolist() == [0.0, 0.75]
    assert points.to_distances([2.0], "dotproduct").tolist() == [-2.0]
    assert points.to_distances([2.0], "euclidean").tolist() == [2.0]
    assert points.to_distances([2.0], "manhattan").tolist() == [2.0]


def test_rounding_never_makes_a_cosine_distance_negative():
    assert points.to_distances([1.0000001], "cosine").tolist() == [0.0]


def test_an_unknown_metric_is_named_with_the_known_ones():
    with pytest.raises(ConfigError, match=r"'hamming'.*cosine.*manhattan"):
        points.check_metric("hamming")
