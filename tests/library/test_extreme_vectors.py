"""Vectors of every length that float32 has, against numpy in float64.

What is compared: which points are found, in what order and how far away, for every
metric, on each engine. Lengths are drawn from ``SCALES``. An index of each kind is made
once on each engine: no test changes it.
"""

import zlib

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import VectorError
from fiftyone_qdrant.index import all_pairs, vector_table
from fiftyone_qdrant.ingest.ingest import create_index
from fiftyone_qdrant.ingest.sync import find_drift
from fiftyone_qdrant.points import pairwise_distances
from tests.conftest import SEED
from tests.library.conftest import ENGINES, ONE_ENGINE, put_on

N, SIZE, K = 14, 5, 4
KEY = "case"
EVERY = (1e-30, 1e-12, 1.0, 1e12, 1e30)
FLOAT32 = (1.1e-8, 1.0, 0.9e15)  # what the engines compare, of all lengths
SCALES = {
    **{f"{scale:g}": (scale,) for scale in (1e-30, 1e-20, 1e20, 1e30)},
    "all": EVERY,
    "float32": FLOAT32,
    "beyond": (0.9e-8, 1.0, 1.1e15),
    "components": EVERY,
}
CASES = [(metric, scale) for metric in points.DISTANCES for scale in SCALES]
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def dataset():
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"{i}.png", number=i) for i in range(N)])
    yield dataset
    dataset.delete()


@pytest.fixture
def samples(dataset):
    """The dataset; runs that a test makes go with it."""
    before = dataset.list_brain_runs()
    yield dataset
    for key in set(dataset.list_brain_runs()).difference(before):
        dataset.delete_brain_run(key)


@pytest.fixture(scope="module", params=ENGINES)
def place(request):
    """Keyword arguments that put a new index on an engine, for many tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield put_on(request.param, monkeypatch)


@pytest.fixture
def ids(samples):
    return samples.values("id")


def draw(rng, scale, n=N):
    """Random vectors of the norms of a scale, two of them near to two others."""
    vectors = rng.normal(size=(n, SIZE))
    scales = rng.choice(SCALES[scale], size=(n, SIZE if scale == "components" else 1))
    if scale == "components":
        vectors *= scales
        scales = np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-30, 1e30)

    vectors *= scales / np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[-2:] = vectors[:2] * (1 + 1e-4 * rng.normal(size=(2, SIZE)))
    return vectors.astype(np.float32)


@pytest.fixture(scope="module", params=CASES, ids=lambda case: "-".join(case))
def case(request, place, dataset):
    """An index of some metric whose vectors have lengths of some scale."""
    metric, scale = request.param
    own = zlib.crc32("-".join(request.param).encode())
    vectors = draw(np.random.default_rng([SEED, own]), scale)
    index = fob.compute_similarity(
        dataset,
        embeddings=vectors,
        backend="qdrant",
        brain_key=KEY,
        metric=metric,
        **place,
    )
    yield Case(index, dataset.values("id"), vectors, metric, scale)
    index.collection.drop()
    dataset.delete_brain_run(KEY)


class Case:
    """An index, and what is in it."""

    def __init__(self, index, ids, vectors, metric, scale):
        self.index, self.ids, self.metric, self.scale = index, ids, metric, scale
        self.vectors = vectors
        self.row = {i: row for row, i in enumerate(ids)}

    def exact(self, query):
        """Distances of all points to a query in float64, and their tolerances."""
        query = np.asarray(query, dtype=np.float64)
        distances = pairwise_distances(query, self.vectors, self.metric)
        length = np.linalg.norm(query)
        if self.metric == "cosine":
            return distances, np.full(N, TOLERANCE)

        slack = 0.1 * length
        if self.metric == "dotproduct":
            slack = length * points.norms(self.vectors)

        return distances, TOLERANCE * (np.abs(distances) + slack)

    def check(self, hits, query, k=N, reverse=False, among=None, itself=None):
        """Check that hits are the best, in order, with their distances."""
        distances, tolerances = self.exact(query)
        allowed = np.arange(N) if among is None else np.array(among)
        found = np.array([self.row[i] for i in hits.ids], dtype=int)
        assert len(set(found)) == len(found) == min(k, len(allowed))
        assert set(found) <= set(allowed)
        off = np.abs(hits.distances - distances[found])
        assert (off <= tolerances[found]).all(), (hits.distances, distances[found])
        if itself is not None and itself in allowed:
            assert found[0] == itself
            found, allowed = found[1:], allowed[allowed != itself]

        sign = -1 if reverse else 1
        best = allowed[np.argsort(sign * distances[allowed])[: len(found)]]
        off = np.abs(distances[found] - distances[best])
        assert (off <= tolerances[found] + tolerances[best]).all()


def search(case, *args, **kwargs):
    (hits,) = case.index.search(*args, **kwargs)
    return hits


def test_queries_find_what_numpy_finds(case, rng):
    query, other = draw(rng, case.scale, 4)[:2]
    case.check(search(case, query, k=K), query, K)
    case.check(search(case, query), query)
    case.check(search(case, query, k=K, reverse=True), query, K, reverse=True)
    own = case.vectors[3]
    case.check(search(case, case.ids[3], k=K), own, K, itself=3)
    case.check(search(case, case.ids[3]), own, itself=3)
    case.check(search(case, case.ids[3], k=K, reverse=True), own, K, reverse=True)
    for hits, each in zip(
        case.index.search(np.stack([query, other]), k=K, aggregation=None),
        (query, other),
        strict=True,
    ):
        case.check(hits, each, K)


def test_a_query_of_any_length_is_compared_with_ordinary_vectors(
    make_index, samples, ids, rng
):
    for metric in points.DISTANCES:
        vectors = rng.normal(size=(N, SIZE)).astype(np.float32)
        index = make_index(samples, metric, embeddings=vectors, metric=metric)
        case = Case(index, ids, vectors, metric, None)
        for query in rng.normal(size=(3, SIZE)) * [[1e-30], [1], [1e30]]:
            case.check(search(case, query, k=K), query, K)
            case.check(search(case, query, k=K, reverse=True), query, K, reverse=True)


def test_vectors_at_the_end_of_float32_are_found(make_index, samples, ids, rng):
    for metric in points.DISTANCES:
        vectors = (rng.uniform(-3.4e38, 3.4e38, size=(N, SIZE))).astype(np.float32)
        vectors[3:] /= 1e30
        index = make_index(samples, metric, embeddings=vectors, metric=metric)
        case = Case(index, ids, vectors, metric, None)
        case.check(search(case, vectors[0], k=K), vectors[0], K)
        case.check(search(case, vectors[5]), vectors[5])
        case.check(search(case, ids[1], reverse=True), vectors[1], reverse=True)


def test_several_examples_are_combined_as_numpy_does(case):
    some = [1, 4, 6]
    examples = case.vectors[some].astype(np.float64)
    case.check(search(case, [case.ids[i] for i in some], k=K), examples.mean(axis=0), K)
    found = search(case, [case.ids[i] for i in some], aggregation="post-min")
    each = [case.exact(example) for example in examples]
    nearest = np.min([distances for distances, _ in each], axis=0)
    slack = np.max([tolerances for _, tolerances in each], axis=0)
    rows = [case.row[i] for i in found.ids]
    assert (np.abs(found.distances - nearest[rows]) <= slack[rows]).all()
    assert len(rows) == N
    assert (np.diff(found.distances) >= 0).all()
    unlike = [case.ids[2]]
    hits = search(case, [case.ids[i] for i in some], k=K, negatives=unlike)
    scaled = case.vectors.astype(np.float64)
    if case.metric == "cosine":
        scaled /= points.norms(case.vectors)[:, np.newaxis]

    left = [row for row in range(N) if row not in (*some, 2)]
    steered = 2 * scaled[some].mean(axis=0) - scaled[2]
    case.check(hits, steered, K, among=left)


def test_a_view_and_a_largest_distance_keep_what_numpy_keeps(case, samples, rng):
    query, _ = draw(rng, case.scale, 4)[:2]
    distances, tolerances = case.exact(query)
    with case.index.use_view(samples.match(fo.ViewField("number") >= 5)):
        case.check(search(case, query, k=K), query, K, among=range(5, N))
        hits = search(case, case.ids[6], k=K)
        case.check(hits, case.vectors[6], K, among=range(5, N), itself=6)

    limit = float(np.sort(distances)[N // 2])
    found = {case.row[i] for i in search(case, query, max_distance=limit).ids}
    assert found >= set(np.flatnonzero(distances < limit - 2 * tolerances))
    assert found <= set(np.flatnonzero(distances <= limit + 2 * tolerances))


@ONE_ENGINE
def test_diverse_hits_are_chosen_as_numpy_does(case, rng):
    query, _ = draw(rng, case.scale, 4)[:2]
    hits = search(case, query, k=K, diversity=0.5)
    chosen = [case.row[i] for i in hits.ids]
    assert len(set(chosen)) == K

    def similar(to):
        distances, tolerances = case.exact(to)
        if case.metric == "euclidean":
            return -(distances**2), 3 * np.abs(distances) * tolerances + tolerances**2

        return -distances, tolerances

    relevance, slack = similar(query)
    for step in range(1, K):
        others = [
            similar(case.vectors[row].astype(np.float64)) for row in chosen[:step]
        ]
        redundancy = np.max([s for s, _ in others], axis=0)
        off = slack + np.max([t for _, t in others], axis=0)
        worth = 0.5 * relevance - 0.5 * redundancy
        left = [row for row in range(N) if row not in chosen[:step]]
        best = max(worth[row] - off[row] for row in left)
        assert worth[chosen[step]] + off[chosen[step]] >= best


def test_embeddings_are_given_back(case):
    found, _, _ = case.index.get_embeddings(sample_ids=case.ids)
    off = np.abs(found.astype(np.float64) - case.vectors).max(axis=1)
    assert (off <= 1e-6 * points.norms(case.vectors)).all()
    everything, order, _ = case.index.get_embeddings()
    again = everything[[list(order).index(i) for i in case.ids]]
    np.testing.assert_array_equal(again, found)


@ONE_ENGINE
def test_distances_are_stored_with_the_samples(case, samples):
    view = samples.sort_by_similarity(case.ids[0], k=K, brain_key=KEY, dist_field="far")
    far = np.array(view.values("far"))
    rows = [case.row[i] for i in view.values("id")]
    distances, tolerances = case.exact(case.vectors[0])
    assert np.isfinite(far).all()
    assert (np.abs(far - distances[rows]) <= tolerances[rows]).all()


@ONE_ENGINE
@pytest.mark.parametrize("rows", [all_pairs._TILE_ROWS, 4], ids=["block", "blocks"])
def test_all_pairs_are_those_of_numpy(case, monkeypatch, rows):
    monkeypatch.setattr(all_pairs, "_TILE_ROWS", rows)
    monkeypatch.setattr(vector_table, "_READ_BYTES", 4)
    monkeypatch.setattr(all_pairs, "_FEWEST", 0)  # bounds may tell these few as well
    monkeypatch.setattr(all_pairs, "_MARGIN", 1)
    near, dists = case.index._kneighbors(k=K, return_dists=True)
    for row, (found, distances) in enumerate(zip(near, dists, strict=True)):
        exact, tolerances = case.exact(case.vectors[row])
        others = np.delete(np.arange(N), row)
        best = others[np.argsort(exact[others])[:K]]
        assert (np.abs(distances - exact[found]) <= tolerances[found]).all()
        off = np.abs(exact[found] - exact[best])
        assert (off <= tolerances[found] + tolerances[best]).all()

    limit = float(np.median([d[0] for d in dists]))
    near = case.index._radius_neighbors(thresh=limit)
    for row, found in enumerate(near):
        exact, tolerances = case.exact(case.vectors[row])
        exact[row] = np.inf
        assert set(found) >= set(np.flatnonzero(exact < limit - 2 * tolerances))
        assert set(found) <= set(np.flatnonzero(exact <= limit + 2 * tolerances))


@pytest.mark.parametrize("case", [(m, "all") for m in points.DISTANCES], indirect=True)
@pytest.mark.parametrize("backend", ["sklearn", "qdrant"])
def test_vectors_of_another_run_are_taken_over(case, samples, place, backend):
    origin = KEY
    if backend == "sklearn":
        origin = "theirs"
        fob.compute_similarity(
            samples, embeddings=case.vectors, backend="sklearn", brain_key=origin
        )

    index, _ = create_index(
        samples, "taken", from_brain_key=origin, **{"metric": case.metric, **place}
    )
    taken = Case(index, case.ids, case.vectors, case.metric, case.scale)
    query = case.vectors[0]
    taken.check(search(taken, case.ids[0], k=K), query, K, itself=0)
    test_embeddings_are_given_back(taken)
    index.collection.drop()


def test_ordinary_vectors_are_left_to_the_engine(make_index, samples, ids, monkeypatch):
    from fiftyone_qdrant.search import scan

    vectors = np.eye(N, SIZE) + 1
    for metric in points.DISTANCES:
        index = make_index(samples, metric, embeddings=vectors, metric=metric)
        with monkeypatch.context() as patch:
            patch.delattr(scan, "rank")
            index.search(ids[0], k=K)
            index.search(vectors[0], k=K)


def bad_rows(value):
    vectors = np.ones((N, SIZE)).tolist()
    vectors[6] = value
    return vectors


@pytest.mark.parametrize(
    "value",
    [
        [1, 2, np.nan, 4, 5],
        [1, 2, -np.inf, 4, 5],
        [1, 2, 1e300, 4, 5],
        [0, 0, 1e-300, 0, 0],
        [1, 2],
        [1, 2, None, 4, 5],
    ],
    ids=["nan", "infinite", "too large", "too small", "ragged", "none"],
)
@ONE_ENGINE
def test_what_float32_cannot_hold_is_refused_by_the_samples_name(
    make_index, samples, ids, value
):
    words = f"1 of {N} .*: sample {ids[6]}. None of the {N} was written"
    index = make_index(samples, embeddings=False)
    with pytest.raises(VectorError, match=words):
        index.add_to_index(bad_rows(value), ids)

    assert not index.collection.exists()
    index.add_to_index(np.ones((N, SIZE)), ids)
    with pytest.raises(VectorError, match=r"1 of 3 query vectors .*as number 3"):
        index.search([[1] * SIZE, [2] * SIZE, value])


@ONE_ENGINE
def test_what_is_no_matrix_is_refused(make_index, samples, ids):
    index = make_index(samples, embeddings=False)
    for value in (None, 5, np.float32(5), (row for row in np.ones((N, SIZE))), "text"):
        with pytest.raises(VectorError, match=r"shape \(num_points, size\)"):
            index.add_to_index(value, ids)


@ONE_ENGINE
def test_what_is_masked_is_no_number(make_index, samples, ids):
    vectors = np.ma.array(np.arange(N * SIZE).reshape(N, SIZE), mask=False)
    index = make_index(samples, embeddings=False)
    index.add_to_index(vectors, ids)
    vectors[6, 1] = np.ma.masked
    with pytest.raises(VectorError, match=f"1 of {N} .*NaN.*: sample {ids[6]}"):
        index.add_to_index(vectors, ids)

    with pytest.raises(VectorError, match="query vector has NaN"):
        index.search(vectors[6], k=1)


@ONE_ENGINE
def test_vectors_of_bits_are_vectors(make_index, samples, ids):
    bits = np.arange(N)[:, np.newaxis] >> np.arange(SIZE) & 1 == 1
    index = make_index(samples, embeddings=bits, metric="euclidean")
    view = samples.sort_by_similarity(bits[5], k=1, brain_key="index")
    assert view.values("id") == [ids[5]]
    found, _, dists = index._kneighbors(bits[5], k=1, return_dists=True)
    assert (found, dists) == ([ids[5]], [0.0])


@ONE_ENGINE
def test_a_bad_vector_leaves_no_run(make_index, samples, ids):
    vectors = np.ones((N, SIZE))
    vectors[6, 1] = np.nan
    with pytest.raises(VectorError, match=f"1 of {N} .*: sample {ids[6]}. None of the"):
        make_index(samples, embeddings=vectors)

    assert not samples.has_brain_run("index")


@ONE_ENGINE
def test_a_bad_vector_of_a_field_is_named_by_its_sample(place, samples, ids):
    for value, words in (([1, np.nan], "NaN"), ([1, 2, 3], "another size than 2")):
        field = f"field{len(value)}"
        samples.set_values(field, [[1.0, 2.0]] * 6 + [value] + [None] * 7)
        said = f"'{field}' cannot be .* 1 of 7 vectors have {words}.*: sample {ids[6]}"
        with pytest.raises(VectorError, match=said):
            create_index(samples, "bad", embeddings=field, **place)

        assert not samples.has_brain_run("bad")


@pytest.mark.parametrize("scale", [1e-30, 1, 1e30])
@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_a_changed_vector_of_any_length_is_seen(
    place, samples, ids, rng, metric, scale
):
    vectors = (rng.normal(size=(N, SIZE)) * scale).astype(np.float32)
    samples.set_values("field", list(vectors))
    index, _ = create_index(
        samples, "index", embeddings="field", metric=metric, **place
    )
    assert find_drift(index, samples).changed == []
    vectors[3] *= 1.001
    samples.set_values("field", list(vectors))
    assert find_drift(index, samples).changed == [ids[3]]
    index.collection.drop()


def test_more_hits_than_can_be_counted_are_all(make_index, samples, ids):
    index = make_index(samples, embeddings=np.eye(N, SIZE) + 1)
    for k in (10**7, 2**64):
        (hits,) = index.search(ids[0], k=k)
        assert len(hits.ids) == N


def test_of_an_id_given_twice_the_last_counts_or_the_first_is_kept(
    make_index, samples, ids
):
    vectors, twice = np.array([[1.0, 2], [3, 4]]), [ids[0], ids[0]]
    for overwrite, kept in ((True, [3, 4]), (False, [1, 2])):
        index = make_index(samples, f"k{kept[0]}", embeddings=False)
        index.add_to_index(vectors, twice, overwrite=overwrite)
        np.testing.assert_allclose(index.get_embeddings()[0], [kept], rtol=1e-6)
