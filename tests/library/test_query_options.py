"""What can be asked besides a query: negatives, distances, diversity, depth."""

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest
from fiftyone import ViewField as F
from qdrant_client import models

from fiftyone_qdrant.errors import ConfigError, MissingIDs
from fiftyone_qdrant.matches import find_similar
from fiftyone_qdrant.points import (
    DISTANCES,
    from_point_id,
    pairwise_distances,
    steer,
    to_point_ids,
)
from fiftyone_qdrant.search import search
from tests.conftest import SEED
from tests.library.conftest import ENGINES, put_on

N, SIZE = 90, 12
FIELD = "things"
KINDS = ["samples", "patches"]
# Few points take each way of searching a view only if its limits are low
WAYS = {
    "probe": {"_FIRST_PROBE": 40},
    "probe again": {"_FIRST_PROBE": 3},
    "send ids": {"_FIRST_PROBE": 2, "_LARGEST_PROBE": 3},
    "rank all": {"_FIRST_PROBE": 2, "_LARGEST_PROBE": 3, "MAX_ID_FILTER": 4},
}


@pytest.fixture(scope="module", params=ENGINES)
def place(request):
    """Keyword arguments that put a new index on an engine, for many tests."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield put_on(request.param, monkeypatch)


@pytest.fixture(scope="module", params=KINDS)
def dataset(request):
    """``N`` samples, or as many labels on a third of them; three points are equal."""
    dataset = new_dataset(request.param)
    yield dataset
    dataset.delete()


def new_dataset(kind):
    dataset = fo.Dataset()
    if kind == "samples":
        samples = [fo.Sample(f"{i}.png", number=i) for i in range(N)]
    else:
        box = [0.1, 0.1, 0.5, 0.5]
        samples = [
            fo.Sample(
                f"{i}.png",
                number=3 * i,
                things=fo.Detections(
                    detections=[fo.Detection(bounding_box=box) for _ in range(3)]
                ),
            )
            for i in range(N // 3)
        ]

    dataset.add_samples(samples)
    return dataset


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng([SEED, N])
    vectors = (3 * rng.normal(size=(N, SIZE))).astype(np.float32)
    vectors[40:60] += 6  # a crowd
    vectors[41:43] = vectors[40]
    vectors.flags.writeable = False
    return vectors


@pytest.fixture(scope="module")
def ids(dataset):
    """The ids of the points, by row of the vectors."""
    return ids_of(dataset)


def ids_of(dataset):
    labels = dataset.has_field(FIELD)
    path = f"{FIELD}.detections.id" if labels else "id"
    return np.array(dataset.values(path, unwind=labels))


@pytest.fixture(scope="module", params=list(DISTANCES))
def index(request, place, dataset, vectors):
    """An index of a metric that no test changes."""
    index = new_index(dataset, vectors, metric=request.param, **place)
    yield index
    index.collection.drop()
    dataset.delete_brain_run(index.key)


def new_index(dataset, vectors, **config):
    labels = dataset.has_field(FIELD)
    index = fob.compute_similarity(
        dataset,
        embeddings=False,
        patches_field=FIELD if labels else None,
        backend="qdrant",
        brain_key="index",
        **config,
    )
    owners = dataset.values("id")
    index.add_to_index(
        vectors,
        np.repeat(owners, 3) if labels else owners,
        ids_of(dataset) if labels else None,
    )
    return index


@pytest.fixture
def scopes(monkeypatch, dataset, index):
    """``scopes()`` searches everything, then a view in each way there is.

    It yields the rows that may be found.
    """

    def scopes():
        yield np.arange(N)
        for limits in WAYS.values():
            with monkeypatch.context() as patch:
                for name, value in limits.items():
                    patch.setattr(search, name, value)

                with index.use_view(dataset.match(F("number") >= 30)):
                    yield np.arange(30, N)

    return scopes


def nearest(vectors, query, metric, rows):
    """Rows in the order of their distance to the query, and all distances."""
    distances = pairwise_distances(query, vectors, metric)
    return rows[np.argsort(distances[rows], kind="stable")], distances


def check(hits, ids, order, distances):
    """Check hits against rows; those equally far away may change places."""
    row = {i: n for n, i in enumerate(ids)}
    found = [row[i] for i in hits.ids]
    assert len(set(found)) == len(found) == len(order)
    np.testing.assert_allclose(hits.distances, distances[order], atol=1e-3, rtol=1e-4)
    np.testing.assert_allclose(hits.distances, distances[found], atol=1e-3, rtol=1e-4)


# --- negatives ------------------------------------------------------------------


def test_negatives_steer_away_and_examples_are_no_hits(index, ids, vectors, scopes):
    positives, negatives = [41, 50], [70, 71, 72]
    metric = index.metric
    query = steer(vectors[positives], vectors[negatives], metric)
    for rows in scopes():
        left = np.setdiff1d(rows, positives + negatives)
        order, distances = nearest(vectors, query, metric, left)
        for k in (7, None):
            (hits,) = index.search(ids[positives], k=k, negatives=ids[negatives])
            check(hits, ids, order[:k], distances)


def test_negatives_are_those_of_qdrants_own_recommendation(index, ids):
    point_ids = to_point_ids(ids[[50, 51, 70, 71]])
    theirs = index.client.query_points(
        index.collection.name,
        query=models.RecommendQuery(
            recommend=models.RecommendInput(
                positive=point_ids[:2], negative=point_ids[2:]
            )
        ),
        limit=12,  # three points are equal, which Qdrant gives in any order
    ).points
    ascending = index.metric in ("euclidean", "manhattan")
    theirs.sort(key=lambda p: (p.score if ascending else -p.score, p.id))
    (hits,) = index.search(ids[[50, 51]], k=8, negatives=ids[[70, 71]])
    assert hits.ids == [from_point_id(p.id) for p in theirs[:8]]
    np.testing.assert_allclose(hits.scores, [p.score for p in theirs[:8]], rtol=1e-4)


@pytest.mark.parametrize("dataset", ["samples"], indirect=True)
def test_negatives_may_be_vectors_and_the_query_too(index, ids, vectors):
    (by_id,) = index.search(ids[50], k=5, negatives=ids[[70, 71]])
    (mixed,) = index.search(vectors[50], k=8, negatives=vectors[[70, 71]])
    left = [i for i in mixed.ids if i not in ids[[50, 70, 71]]]
    assert left[:5] == by_id.ids


@pytest.mark.parametrize("dataset", ["samples"], indirect=True)
@pytest.mark.parametrize("index", ["cosine"], indirect=True)
def test_negatives_that_are_no_examples_are_refused(index, ids):
    with pytest.raises(ConfigError, match="among the query and the negatives"):
        index.search(ids[:2], k=3, negatives=ids[1:3])
    with pytest.raises(MissingIDs, match="not in the index"):
        index.search(ids[:2], k=3, negatives=["f" * 24])


# --- distances ------------------------------------------------------------------


def in_a_gap(distances):
    """A distance in the widest gap after some of the nearest."""
    some = np.sort(distances)[8:20]
    gap = np.argmax(np.diff(some))
    return float(some[gap : gap + 2].mean())


def test_max_distance_keeps_what_is_nearer(index, ids, vectors, scopes):
    for rows in scopes():
        order, distances = nearest(vectors, vectors[50], index.metric, rows)
        farthest = in_a_gap(distances[rows])
        near = order[distances[order] <= farthest]
        for k in (5, None):
            (hits,) = index.search(vectors[50], k=k, max_distance=farthest)
            check(hits, ids, near[:k], distances)


@pytest.mark.parametrize("aggregation", [None, "post-mean"])
def test_max_distance_is_that_of_several_queries(index, ids, vectors, aggregation):
    queries, metric = vectors[[50, 53]], index.metric
    each = [pairwise_distances(q, vectors, metric) for q in queries]
    wanted = each if aggregation is None else [np.mean(each, axis=0)]
    farthest = in_a_gap(wanted[0])
    found = index.search(queries, aggregation=aggregation, max_distance=farthest)
    for hits, distances in zip(found, wanted, strict=True):
        order = np.argsort(distances, kind="stable")
        check(hits, ids, order[distances[order] <= farthest], distances)


@pytest.mark.parametrize("dataset", ["samples"], indirect=True)
@pytest.mark.parametrize("index", ["cosine"], indirect=True)
def test_nothing_within_max_distance_is_no_match(index, vectors):
    matches = find_similar(index, -vectors[0], k=5, max_distance=1e-6)
    assert matches.to_dict() == {
        "ids": [],
        "sample_ids": [],
        "distances": [],
        "scores": [],
    }
    assert len(matches.view) == 0


def test_max_distance_may_be_that_of_a_hit(index, ids, vectors, scopes):
    for _ in scopes():
        for query in (vectors[50], ids[50]):
            (all_hits,) = index.search(query)
            for place in (0, 1, 4, 30):
                farthest = float(all_hits.distances[place])
                expected = all_hits.within(farthest)
                (hits,) = index.search(query, k=40, max_distance=farthest)
                assert set(hits.ids) == set(expected.ids)


@pytest.mark.parametrize("index", ["cosine", "euclidean", "manhattan"], indirect=True)
def test_max_distance_zero_keeps_exact_duplicates(index, ids, vectors):
    for query in (vectors[41], ids[41]):
        (hits,) = index.search(query, k=9, max_distance=0)
        assert set(hits.ids) == set(ids[40:43])


def test_points_may_come_and_go_between_two_rankings(place, vectors, monkeypatch):
    dataset = new_dataset("samples")
    index = new_index(dataset, vectors, metric="euclidean", **place)
    ids = ids_of(dataset)
    (new,) = dataset.add_samples([fo.Sample("new.png", number=N)])
    call, asked = index.collection.call, []

    def change(method, *args, **kwargs):
        answer = call(method, *args, **kwargs)
        if method == "query_batch_points" and not asked:
            asked.append(method)
            index.remove_from_index(sample_ids=ids[70:71])
            index.add_to_index(vectors[70:71], [new])

        return answer

    monkeypatch.setattr(index.collection, "call", change)
    queries = vectors[[50, 53]]
    (hits,) = index.search(queries, aggregation="post-mean")
    distances = np.mean(
        [pairwise_distances(q, vectors, index.metric) for q in queries], axis=0
    )
    order = np.argsort(distances, kind="stable")
    check(hits, ids, order[order != 70], distances)
    index.collection.drop()
    dataset.delete()


# --- diversity ------------------------------------------------------------------


def marginal_relevance(query, vectors, metric, diversity):
    """Yields the rows that tie for each place; send back which of them it was.

    Qdrant compares squared Euclidean distances.
    """

    def similarity(a, b):
        distances = pairwise_distances(a, b, metric)
        if metric == "cosine":
            return 1 - distances
        return -(distances**2) if metric == "euclidean" else -distances

    relevance = similarity(query, vectors)
    chosen = []
    while True:
        worth = relevance
        if chosen:
            alike = [similarity(vectors[row], vectors) for row in chosen]
            worth = (1 - diversity) * relevance - diversity * np.max(alike, axis=0)
        worth = np.where(np.isin(np.arange(len(vectors)), chosen), -np.inf, worth)
        within = 1e-4 * max(1, abs(worth.max()))
        chosen.append((yield set(np.flatnonzero(worth >= worth.max() - within))))


@pytest.mark.parametrize("diversity", [0.0, 0.4, 1.0])
def test_diverse_hits_are_chosen_by_marginal_relevance(
    index, ids, vectors, scopes, diversity, monkeypatch
):
    monkeypatch.setattr(search, "_FEWEST_CANDIDATES", 20)
    k, metric, query = 6, index.metric, vectors[50]
    for rows in scopes():
        order, distances = nearest(vectors, query, metric, rows)
        candidates = order[: 4 * k]
        (hits,) = index.search(query, k=k, diversity=diversity)
        row = {i: n for n, i in enumerate(ids[candidates])}
        choice = marginal_relevance(query, vectors[candidates], metric, diversity)
        best = next(choice)
        for place, found in enumerate(hits.ids):
            assert row[found] in best, f"at {place}"
            best = choice.send(row[found])

        found = candidates[[row[i] for i in hits.ids]]
        assert len(found) == k
        np.testing.assert_allclose(
            hits.distances, distances[found], atol=1e-3, rtol=1e-4
        )


# --- how deeply -----------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["samples"], indirect=True)
@pytest.mark.parametrize("how", [{"exact": True}, {"hnsw_ef": 200}], ids=str)
def test_depth_is_taken_from_the_options(index, ids, vectors, monkeypatch, how):
    asked = []
    call = index.collection.call

    def listen(method, *args, **kwargs):
        asked.extend(r.params for r in kwargs.get("requests", ()))
        return call(method, *args, **kwargs)

    monkeypatch.setattr(index.collection, "call", listen)
    (hits,) = index.search(vectors[50], k=7, **how)
    order, distances = nearest(vectors, vectors[50], index.metric, np.arange(N))
    check(hits, ids, order[:7], distances)
    assert asked
    assert all(p.model_dump(include=set(how)) == how for p in asked)
