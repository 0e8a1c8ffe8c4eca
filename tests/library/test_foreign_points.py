"""Points of other programs: what is theirs stays as it was."""

import fiftyone as fo
import numpy as np
import pytest
from qdrant_client import models

from fiftyone_qdrant.errors import CollectionMismatch, MissingIDs
from fiftyone_qdrant.ingest.sync import find_drift
from fiftyone_qdrant.points import to_point_id, to_point_ids
from fiftyone_qdrant.qdrant import clients, connection

N, SIZE = 10, 4
THEIRS = 6  # points of theirs, of which
WITHOUT = 2  # the last have no image vector
DISTANCES = (models.Distance.COSINE, models.Distance.EUCLID)

# The embedded engine has unnamed vectors only
named = pytest.mark.parametrize(
    "place",
    [
        pytest.param("stand-in", marks=pytest.mark.filterwarnings("ignore:Local mode")),
        pytest.param("server", marks=pytest.mark.server),
        pytest.param("server-grpc", marks=pytest.mark.server),
    ],
    indirect=True,
)


@pytest.fixture
def samples():
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"{i}.png") for i in range(N)])
    yield dataset
    dataset.delete()


@pytest.fixture
def ids(samples):
    return samples.values("id")


@pytest.fixture
def vectors(rng):
    return rng.normal(size=(N, SIZE), scale=3).astype(np.float32)


@pytest.fixture
def client(place):
    return clients.connect(connection.resolve(place))


@pytest.fixture
def make_theirs(client, ids):
    """``make_theirs(distance)`` -> a collection of images, texts and sparse words."""
    made = []

    def make(distance=models.Distance.COSINE, **kwargs):
        name = f"theirs-{ids[0]}"
        dense = models.VectorParams(size=SIZE, distance=distance)
        sparse = {"words": models.SparseVectorParams()}
        kwargs = kwargs or {
            "vectors_config": {"image": dense, "text": dense},
            "sparse_vectors_config": sparse,
        }
        client.create_collection(name, **kwargs)
        made.append(name)
        return name

    yield make
    for name in made:
        client.delete_collection(name)


def fill(client, name, ids):
    """Their points: all have texts and words, and all but the last ones images."""
    words = models.SparseVector(indices=[3, 5], values=[1.0, 2.0])
    for row, i in enumerate(ids[:THEIRS]):
        one = [1.0, 0.0, 0.0, float(row)]
        vector = {"image": one, "text": one, "words": words}
        if row >= THEIRS - WITHOUT:
            del vector["image"]

        payload = {"sample_id": i, "city": f"city {row}"}
        point = models.PointStruct(id=to_point_id(i), vector=vector, payload=payload)
        client.upsert(name, [point], wait=True)


def read(client, name, ids):
    records = client.retrieve(name, to_point_ids(ids), True, True)
    return {str(r.id): (r.vector, r.payload) for r in records}


def connect(make_index, samples, name, key="index", **kwargs):
    return make_index(samples, key, embeddings=False, collection_name=name, **kwargs)


@named
@pytest.mark.parametrize("distance", DISTANCES)
def test_adding_leaves_other_vectors_and_payload_of_their_points(
    make_index, make_theirs, samples, ids, vectors, client, distance
):
    name = make_theirs(distance)
    fill(client, name, ids)
    before = read(client, name, ids)
    index = connect(make_index, samples, name, vector_name="image")
    index.add_to_index(vectors, ids)
    found, _, _ = index.get_embeddings(sample_ids=ids)
    np.testing.assert_allclose(found, vectors, rtol=1e-5)
    assert index.total_index_size == N
    after = read(client, name, ids)
    for point, (theirs, payload) in before.items():
        vector, fields = after[point]
        assert vector["text"] == theirs["text"]
        assert vector["words"] == theirs["words"]
        assert {k: fields[k] for k in payload} == payload


@named
def test_two_indexes_of_one_collection_keep_their_norms_apart(
    make_index, make_theirs, samples, ids, vectors
):
    name = make_theirs()
    indexes = {
        kind: connect(make_index, samples, name, kind, vector_name=kind)
        for kind in ("image", "text")
    }
    indexes["image"].add_to_index(vectors, ids)
    indexes["text"].add_to_index(5 * vectors[::-1], ids)
    found, _, _ = indexes["image"].get_embeddings(sample_ids=ids)
    np.testing.assert_allclose(found, vectors, rtol=1e-5)
    found, _, _ = indexes["text"].get_embeddings(sample_ids=ids)
    np.testing.assert_allclose(found, 5 * vectors[::-1], rtol=1e-5)


@named
@pytest.mark.parametrize("distance", DISTANCES)
def test_removing_leaves_other_vectors_of_their_points(
    make_index, make_theirs, samples, ids, vectors, client, distance
):
    name = make_theirs(distance)
    fill(client, name, ids)
    index = connect(make_index, samples, name, vector_name="image")
    index.add_to_index(vectors, ids)
    before = read(client, name, ids)
    gone = [ids[1], ids[8]]  # one that is theirs, and one that is ours alone
    index.remove_from_index(sample_ids=gone)
    assert index.total_index_size == N - 2
    assert set(index.sample_ids) == set(ids) - set(gone)
    after = read(client, name, ids)
    assert set(before) - set(after) == {to_point_id(ids[8])}
    vector, payload = after[to_point_id(ids[1])]
    assert set(vector) == {"text", "words"}
    assert payload == {"sample_id": ids[1], "city": "city 1"}
    index.remove_from_index(sample_ids=gone)  # missing ones are no error


@named
def test_points_without_the_chosen_vectors_are_not_in_the_index(
    make_index, make_theirs, samples, ids, client
):
    name = make_theirs(models.Distance.EUCLID)
    fill(client, name, ids)
    index = connect(make_index, samples, name, vector_name="image")
    held = ids[: THEIRS - WITHOUT]
    assert index.total_index_size == len(held)
    assert index.sample_ids.tolist() == index.get_embeddings()[1].tolist() == held
    (hits,) = index.search([1.0, 0, 0, 0])
    assert hits.ids == held
    (hits,) = index.search(held[0], k=3)
    assert hits.ids == held[:3]
    with pytest.raises(MissingIDs, match=f"{ids[5]} is not in the index"):
        index.search(ids[5], k=3)

    with pytest.raises(MissingIDs, match=f"{ids[5]} is not in the index"):
        index.search([ids[0], ids[5]], k=3)

    assert find_drift(index, samples).missing == ids[len(held) :]
    reopened = samples.load_brain_results("index")
    assert reopened.total_index_size == len(held)


@named
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("multi", "has only multivectors.*one dense vector.*another collection_name"),
        ("sparse", "has only sparse vectors.*one dense vector"),
        ("chosen multi", "'many' of collection .*is no dense vector.*vector_name: one"),
        ("chosen sparse", "'words' of collection .*is no dense vector.*name: one"),
    ],
)
def test_collections_without_one_dense_vector_per_point_are_refused(
    make_index, make_theirs, samples, kind, words
):
    most = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
    cosine = models.Distance.COSINE
    one = models.VectorParams(size=SIZE, distance=cosine)
    many = models.VectorParams(size=SIZE, distance=cosine, multivector_config=most)
    sparse = {"words": models.SparseVectorParams()}
    created, chosen = {
        "multi": ({"vectors_config": many}, None),
        "sparse": ({"sparse_vectors_config": sparse}, None),
        "chosen multi": ({"vectors_config": {"one": one, "many": many}}, "many"),
        "chosen sparse": (
            {"vectors_config": {"one": one}, "sparse_vectors_config": sparse},
            "words",
        ),
    }[kind]
    name = make_theirs(**created)
    with pytest.raises(CollectionMismatch, match=words):
        connect(make_index, samples, name, vector_name=chosen)

    assert samples.list_brain_runs() == []


@pytest.fixture
def theirs(client, make_theirs, ids):
    """A collection of theirs as any engine has it: unnamed vectors, and payload."""
    dense = models.VectorParams(size=SIZE, distance=models.Distance.COSINE)
    name = make_theirs(vectors_config=dense)
    points = [
        models.PointStruct(
            id=to_point_id(i),
            vector=[1.0, 0.0, 0.0, float(row)],
            payload={"sample_id": i, "city": f"city {row}"},
        )
        for row, i in enumerate(ids[:THEIRS])
    ]
    client.upsert(name, points, wait=True)
    return name


def test_payload_of_their_points_stays_when_vectors_are_replaced(
    make_index, samples, ids, vectors, client, theirs
):
    index = connect(make_index, samples, theirs)
    index.add_to_index(vectors, ids)
    found, _, _ = index.get_embeddings(sample_ids=ids)
    np.testing.assert_allclose(found, vectors, rtol=1e-5)
    fields = {p: payload for p, (_, payload) in read(client, theirs, ids).items()}
    for row, i in enumerate(ids):
        city = fields[to_point_id(i)].get("city")
        assert city == (f"city {row}" if row < THEIRS else None)


def test_vectors_of_theirs_without_norms_are_given_back_as_they_are_kept(
    make_index, samples, ids, theirs
):
    index = connect(make_index, samples, theirs)
    unit = np.array([[1.0, 0, 0, row] for row in range(THEIRS)])
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    found, _, _ = index.get_embeddings(sample_ids=ids[:THEIRS])
    np.testing.assert_allclose(found, unit, rtol=1e-5)
    (hits,) = index.search(ids[1:4], k=THEIRS)
    mean = unit[1:4].mean(axis=0)
    expected = 1 - unit @ mean / np.linalg.norm(mean)
    assert hits.ids == [ids[row] for row in np.argsort(expected)]
    np.testing.assert_allclose(hits.distances, np.sort(expected), atol=1e-5)


@pytest.mark.parametrize("foreign", [5, "0123456789abcdef0123456789abcdef"])
def test_a_point_that_is_of_no_sample_is_skipped_and_told(
    make_index, samples, ids, client, theirs, caplog, foreign
):
    point = models.PointStruct(id=foreign, vector=[1.0, 0, 0, 1], payload={"a": 1})
    client.upsert(theirs, [point], wait=True)
    index = connect(make_index, samples, theirs)
    held = ids[:THEIRS]
    with caplog.at_level("WARNING"):
        assert index.sample_ids.tolist() == held

    assert "Skipping 1 points" in caplog.text
    assert "delete them if nobody needs them" in caplog.text
    assert index.get_embeddings()[1].tolist() == held
    for k in (2, THEIRS + 5, None):
        for query in (ids[0], [1.0, 0, 0, 0]):
            (hits,) = index.search(query, k=k)
            assert hits.ids == held[:k]

    (hits,) = index.search(ids[0], k=1, reverse=True)
    assert hits.ids == [held[-1]]
    assert [len(rows) for rows in index._kneighbors(k=3)] == [3] * THEIRS
    drift = find_drift(index, samples)
    assert (drift.missing, drift.orphans) == (ids[THEIRS:], [])
    index.add_to_index(np.ones((1, SIZE)), ids[-1:])
    assert client.retrieve(theirs, [foreign])


def test_a_collection_of_other_ids_is_refused(make_index, make_theirs, samples, client):
    dense = models.VectorParams(size=SIZE, distance=models.Distance.EUCLID)
    name = make_theirs(vectors_config=dense)
    points = [models.PointStruct(id=i, vector=[0.0] * SIZE) for i in range(3)]
    client.upsert(name, points, wait=True)
    with pytest.raises(CollectionMismatch, match="not made from a FiftyOne id"):
        connect(make_index, samples, name)

    assert samples.list_brain_runs() == []
