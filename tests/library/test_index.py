"""An index of samples: made, filled, read, queried, and gone."""

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F

from fiftyone_qdrant.errors import (
    CollectionMismatch,
    CollectionNotFound,
    ConfigError,
    MissingIDs,
    VectorError,
)
from fiftyone_qdrant.matches import find_similar
from fiftyone_qdrant.points import DISTANCES, pairwise_distances
from tests.library.conftest import ONE_ENGINE

N, SIZE = 120, 16

# qdrant-client's in-memory mode takes no parameters
CONFIGURABLE = ["embedded", pytest.param("server", marks=pytest.mark.server)]


@pytest.fixture
def samples():
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"{i}.png", number=i) for i in range(N)])
    yield dataset
    dataset.delete()


@pytest.fixture
def vectors(rng):
    return rng.normal(size=(N, SIZE)).astype(np.float32) * 3


@pytest.fixture
def ids(samples):
    return np.array(samples.values("id"))


def expected(vectors, query, metric, mask=None, reverse=False):
    """The exact ranking of the rows, and all distances."""
    distances = pairwise_distances(query, vectors, metric)
    order = np.argsort(-distances if reverse else distances, kind="stable")
    return order if mask is None else order[mask[order]], distances


@pytest.mark.parametrize("metric", DISTANCES)
@pytest.mark.parametrize("reverse", [False, True], ids=["nearest", "farthest"])
def test_hits_are_the_exact_neighbors(
    make_index, samples, vectors, ids, metric, reverse
):
    make_index(samples, embeddings=vectors, metric=metric)
    query = np.ones(SIZE, dtype=np.float32)
    order, distances = expected(vectors, query, metric, reverse=reverse)

    view = samples.sort_by_similarity(
        query, k=10, reverse=reverse, brain_key="index", dist_field="dist"
    )

    assert view.values("id") == list(ids[order[:10]])
    np.testing.assert_allclose(
        view.values("dist"), distances[order[:10]], rtol=1e-4, atol=1e-5
    )


def test_without_k_everything_is_ranked(make_index, samples, vectors, ids):
    index = make_index(samples, embeddings=vectors, metric="euclidean")
    order, _ = expected(vectors, vectors[5], "euclidean")
    (hits,) = index.search(vectors[5])
    assert hits.ids == list(ids[order])


def test_a_query_sample_comes_first_even_among_duplicates(make_index, samples, ids):
    index = make_index(samples, embeddings=np.ones((N, SIZE)))
    for query in ids[[0, 50, N - 1]]:
        (hits,) = index.search(query, k=N)
        assert hits.ids[0] == query


@pytest.mark.parametrize("nothing", [None, [], (), np.empty((0, SIZE))], ids=repr)
@ONE_ENGINE
def test_a_query_of_nothing_is_refused(make_index, samples, vectors, nothing):
    index = make_index(samples, embeddings=vectors)
    with pytest.raises(ConfigError, match="Give something to look for"):
        find_similar(index, nothing, k=3)


def test_a_query_sample_comes_first_even_if_others_have_a_larger_dot_product(
    make_index, samples, vectors, ids
):
    index = make_index(samples, embeddings=vectors, metric="dotproduct")
    row = 7
    vectors[9] = 3 * vectors[row]
    index.add_to_index(vectors[9:10], ids[9:10])
    order, _ = expected(vectors, vectors[row], "dotproduct")
    (hits,) = index.search(ids[row], k=10)
    assert order[0] != row
    assert hits.ids == list(ids[[row, *order[order != row][:9]]])


def test_several_ids_are_averaged(make_index, samples, vectors, ids):
    index = make_index(samples, embeddings=vectors, metric="cosine")
    order, _ = expected(vectors, vectors[[3, 9]].mean(axis=0), "cosine")
    (hits,) = index.search(list(ids[[3, 9]]), k=7)
    assert hits.ids == list(ids[order[:7]])


def test_several_vectors_without_aggregation_are_answered_each(
    make_index, samples, vectors, ids
):
    index = make_index(samples, embeddings=vectors, metric="euclidean")
    found, _, dists = index._kneighbors(query=vectors[:3], k=4, return_dists=True)
    for row in range(3):
        order, distances = expected(vectors, vectors[row], "euclidean")
        assert found[row] == list(ids[order[:4]])
        np.testing.assert_allclose(dists[row], distances[order[:4]], atol=1e-4)


@pytest.mark.parametrize("reverse", [False, True], ids=["nearest", "farthest"])
@pytest.mark.parametrize("modulus", [2, 10, 40])
def test_a_view_gives_its_own_nearest(
    make_index, samples, vectors, ids, modulus, reverse
):
    make_index(samples, embeddings=vectors, metric="cosine")
    view = samples.match(F("number") % modulus == 0)
    mask = np.arange(N) % modulus == 0
    order, _ = expected(vectors, vectors[7], "cosine", mask, reverse)

    for k in (3, 50, None):
        found = view.sort_by_similarity(
            vectors[7], k=k, reverse=reverse, brain_key="index"
        )
        assert found.values("id") == list(ids[order[:k]])


def test_a_shuffled_and_limited_view_gives_only_its_own(
    make_index, samples, vectors, ids
):
    make_index(samples, embeddings=vectors)
    view = samples.shuffle(seed=51).limit(30)
    mask = np.isin(ids, view.values("id"))
    order, _ = expected(vectors, vectors[7], "cosine", mask)
    found = view.sort_by_similarity(vectors[7], k=12, brain_key="index")
    assert found.values("id") == list(ids[order[:12]])


def test_a_query_id_may_lie_outside_the_view(make_index, samples, vectors, ids):
    make_index(samples, embeddings=vectors)
    view = samples.match(F("number") < 60)
    mask = np.arange(N) < 60
    order, _ = expected(vectors, vectors[100], "cosine", mask)
    found = view.sort_by_similarity(ids[100], k=5, brain_key="index")
    assert found.values("id") == list(ids[order[:5]])


def test_an_empty_view_gives_nothing(make_index, samples, vectors):
    index = make_index(samples, embeddings=vectors)
    with index.use_view(samples.limit(0)):
        (hits,) = index.search(vectors[0], k=5)

    assert hits.ids == []


def test_samples_deleted_from_the_dataset_are_no_hits(
    make_index, samples, vectors, ids
):
    index = make_index(samples, embeddings=vectors)
    order, _ = expected(vectors, vectors[0], "cosine")
    samples.delete_samples(list(ids[order[1:6]]))
    (hits,) = index.search(vectors[0], k=5)
    assert hits.ids == list(ids[[order[0], *order[6:10]]])


@pytest.mark.parametrize("metric", DISTANCES)
def test_embeddings_come_back_as_they_were_put_in(
    make_index, samples, vectors, ids, metric
):
    index = make_index(samples, embeddings=vectors, metric=metric)

    found, sample_ids, label_ids = index.get_embeddings()
    np.testing.assert_allclose(found, vectors, rtol=1e-5, atol=1e-6)
    assert (list(sample_ids), label_ids) == (list(ids), None)

    asked = ids[[40, 2, 40, 77]]
    found, sample_ids, _ = index.get_embeddings(sample_ids=asked)
    np.testing.assert_allclose(found, vectors[[40, 2, 40, 77]], rtol=1e-5, atol=1e-6)
    assert list(sample_ids) == list(asked)


def test_missing_embeddings_are_skipped_or_refused(
    make_index, samples, vectors, ids, caplog
):
    index = make_index(samples, embeddings=vectors)
    index.remove_from_index(sample_ids=ids[:2])

    _, sample_ids, _ = index.get_embeddings(sample_ids=ids[:4], warn_missing=True)
    assert list(sample_ids) == list(ids[2:4])
    assert "2 ids" in caplog.text
    with pytest.raises(MissingIDs, match="2 ids"):
        index.get_embeddings(sample_ids=ids[:4], allow_missing=False)


def test_adding_replaces_unless_told_not_to(make_index, samples, vectors, ids):
    index = make_index(samples, embeddings=vectors, metric="euclidean")
    other = vectors[:2] + 1

    index.add_to_index(other, ids[:2], overwrite=False)
    assert_embeddings(index, ids[:2], vectors[:2])

    index.add_to_index(other, ids[:2])
    assert_embeddings(index, ids[:2], other)

    with pytest.raises(ConfigError, match="already in the index"):
        index.add_to_index(other, ids[:2], overwrite=False, allow_existing=False)

    assert index.total_index_size == N


def test_of_repeated_ids_in_one_call_the_last_counts(make_index, samples, vectors, ids):
    index = make_index(samples, embeddings=False, metric="euclidean")
    index.add_to_index(vectors[:3], [ids[0], ids[1], ids[0]])
    assert index.total_index_size == 2
    assert_embeddings(index, ids[:1], vectors[2:3])


def assert_embeddings(index, ids, vectors):
    found, _, _ = index.get_embeddings(sample_ids=ids)
    np.testing.assert_allclose(found, vectors, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda v, i: (v[:, :5], i), CollectionMismatch),
        (lambda v, i: (np.where(v == v[3, 3], np.nan, v), i), VectorError),
        (lambda v, i: (v, i[:-1]), ConfigError),
        (lambda v, i: (v, ["x" * 24, *i[1:]]), MissingIDs),
    ],
    ids=["size", "nan", "number of ids", "no id"],
)
def test_a_bad_addition_writes_nothing(
    make_index, samples, vectors, ids, change, error
):
    index = make_index(samples, embeddings=False, metric="euclidean")
    index.add_to_index(vectors[:10], ids[:10])
    with pytest.raises(error):
        index.add_to_index(*change(vectors[10:20] + 1, list(ids[5:15])))

    assert index.total_index_size == 10
    assert_embeddings(index, ids[:10], vectors[:10])


def test_removing_is_by_id_and_forgiving(make_index, samples, vectors, ids):
    index = make_index(samples, embeddings=vectors)
    index.remove_from_index(sample_ids=ids[:10])
    index.remove_from_index(sample_ids=ids[5:12])
    assert index.total_index_size == N - 12
    with pytest.raises(MissingIDs, match=ids[11]):
        index.remove_from_index(sample_ids=ids[11:13], allow_missing=False)

    assert index.total_index_size == N - 12


def test_an_index_of_samples_takes_no_label_ids(make_index, samples, vectors, ids):
    index = make_index(samples, embeddings=vectors)
    for call in (
        lambda: index.add_to_index(vectors[:1], ids[:1], label_ids=ids[1:2]),
        lambda: index.remove_from_index(label_ids=ids[:1]),
        lambda: index.get_embeddings(label_ids=ids[:1]),
    ):
        with pytest.raises(ConfigError, match="has no label ids"):
            call()

    assert index.total_index_size == N


def test_two_indexes_of_one_dataset_never_share_a_name(make_index, samples, vectors):
    first = make_index(samples, embeddings=vectors)
    second = make_index(samples, brain_key="second", embeddings=vectors)
    first.cleanup()
    third = make_index(samples, brain_key="third", embeddings=vectors)
    names = {i.collection.name for i in (first, second, third)}
    assert len(names) == 3  # not even a deleted one's, whose run still names it


def test_after_cleanup_a_query_says_that_the_collection_is_gone(
    make_index, samples, vectors
):
    index = make_index(samples, embeddings=vectors)
    index.cleanup()
    assert index.total_index_size == 0
    with pytest.raises(CollectionNotFound, match=index.collection.name):
        samples.sort_by_similarity(vectors[0], k=3, brain_key="index")


def test_connecting_adopts_the_metric_of_a_collection(
    make_index, samples, vectors, ids
):
    made = make_index(samples, embeddings=vectors, metric="manhattan")
    index = make_index(
        samples,
        brain_key="again",
        embeddings=False,
        collection_name=made.collection.name,
    )
    assert index.config.metric == "manhattan"
    assert index.total_index_size == N
    with pytest.raises(CollectionMismatch, match="metric 'manhattan', not 'cosine'"):
        make_index(
            samples,
            brain_key="third",
            embeddings=False,
            metric="cosine",
            collection_name=made.collection.name,
        )

    assert not samples.has_brain_run("third")


@pytest.mark.parametrize("place", CONFIGURABLE, indirect=True)
def test_what_was_asked_for_is_what_the_collection_has(make_index, samples, vectors):
    index = make_index(
        samples,
        embeddings=vectors,
        metric="euclidean",
        hnsw_config={"m": 8, "ef_construct": 32},
        optimizers_config={"indexing_threshold": 12345},
        quantization_config={"scalar": {"quantile": 0.95}},
    )
    config = index.client.get_collection(index.collection.name).config
    assert config.params.vectors.size == SIZE
    assert config.params.vectors.distance.value == "Euclid"
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (8, 32)
    assert config.optimizer_config.indexing_threshold == 12345
    assert config.quantization_config.scalar.quantile == pytest.approx(0.95)


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
@ONE_ENGINE
def test_k_must_be_a_positive_whole_number(make_index, samples, vectors, k):
    index = make_index(samples, embeddings=vectors)
    with pytest.raises(ConfigError, match="k must be"):
        index.search(vectors[0], k=k)
