"""Collections and runs that were made elsewhere, or changed behind our back."""

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from fiftyone_qdrant.errors import (
    CollectionMismatch,
    CollectionNotFound,
    CollectionShared,
    IndexNotFound,
)
from fiftyone_qdrant.ingest.ingest import create_index
from fiftyone_qdrant.ingest.preflight import preflight
from fiftyone_qdrant.points import to_point_ids
from fiftyone_qdrant.qdrant import calls, clients, connection
from fiftyone_qdrant.runs import BUILTIN, adopt_run, load_index

N, SIZE = 40, 8


@pytest.fixture
def samples():
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"{i}.png") for i in range(N)])
    yield dataset
    dataset.delete()


@pytest.fixture
def ids(samples):
    return np.array(samples.values("id"))


@pytest.fixture
def vectors(rng):
    return rng.normal(size=(N, SIZE)).astype(np.float32)


@pytest.fixture
def client(place):
    """The engine's own client, as any other program would use it."""
    return clients.connect(connection.resolve(place))


@pytest.fixture
def foreign(client, ids, vectors):
    """A collection that another program made for the dataset, without norms."""
    name = f"foreign-{ids[0]}"
    client.create_collection(
        name,
        vectors_config=models.VectorParams(size=SIZE, distance=models.Distance.EUCLID),
    )
    client.upload_collection(
        name,
        vectors=vectors,
        ids=to_point_ids(ids),
        payload=[{"sample_id": str(i)} for i in ids],
        wait=True,
    )
    yield name
    if client.collection_exists(name):
        client.delete_collection(name)


def connect(make_index, samples, name, **kwargs):
    return make_index(samples, embeddings=False, collection_name=name, **kwargs)


def test_a_foreign_collection_with_fiftyones_ids_is_searched(
    make_index, samples, ids, vectors, foreign
):
    index = connect(make_index, samples, foreign)
    assert index.config.metric == "euclidean"
    view = samples.sort_by_similarity(ids[3], k=5, brain_key="index")
    distances = np.linalg.norm(vectors - vectors[3], axis=1)
    assert view.values("id") == list(ids[np.argsort(distances)[:5]])
    found, _, _ = index.get_embeddings(sample_ids=ids)
    np.testing.assert_allclose(found, vectors, rtol=1e-6)


def test_a_foreign_collection_is_not_deleted_unless_forced(
    make_index, samples, foreign, client
):
    index = connect(make_index, samples, foreign)
    with pytest.raises(CollectionShared, match="not made by this plugin"):
        index.cleanup()

    assert client.collection_exists(foreign)
    index.cleanup(force=True)
    assert not client.collection_exists(foreign)


def test_a_patches_index_on_a_foreign_collection_can_filter_by_sample(
    make_index, samples, foreign, client
):
    samples.add_sample_field("things", fo.EmbeddedDocumentField, fo.Detections)
    connect(make_index, samples, foreign, patches_field="things")
    schema = client.get_collection(foreign).payload_schema
    in_memory = isinstance(client, QdrantClient) and not schema
    assert in_memory or "sample_id" in schema


@pytest.fixture
def named(client, ids, vectors):
    """A collection with two vectors per point."""
    name = f"named-{ids[0]}"
    euclid = models.VectorParams(size=SIZE, distance=models.Distance.EUCLID)
    client.create_collection(name, vectors_config={"image": euclid, "text": euclid})
    client.upload_collection(
        name,
        vectors={"image": vectors, "text": vectors[::-1].copy()},
        ids=to_point_ids(ids),
        payload=[{"sample_id": str(i)} for i in ids],
        wait=True,
    )
    yield name
    client.delete_collection(name)


# The embedded engine has unnamed vectors only
NAMED = [
    pytest.param("stand-in", marks=pytest.mark.filterwarnings("ignore:Local mode")),
    pytest.param("server", marks=pytest.mark.server),
]


@pytest.mark.parametrize("place", NAMED, indirect=True)
def test_one_of_several_vectors_is_chosen_by_name(
    make_index, samples, ids, vectors, named
):
    with pytest.raises(CollectionMismatch, match="vector_name: image, text"):
        connect(make_index, samples, named)

    index = connect(make_index, samples, named, vector_name="text")
    found, _, _ = index.get_embeddings(sample_ids=ids)
    np.testing.assert_allclose(found, vectors[::-1], rtol=1e-6)
    (hits,) = index.search(vectors[0], k=1)
    assert hits.ids == [ids[-1]]
    assert load_index(samples, "index").config.vector_name == "text"


@pytest.mark.parametrize("place", NAMED, indirect=True)
def test_a_preflight_knows_which_of_several_vectors_are_taken(
    make_index, samples, named, place
):
    connect(make_index, samples, named, vector_name="text")
    samples.clear_cache()
    found = preflight(samples, "new", from_brain_key="index", **place)
    assert (found.problems, found.size) == ([], SIZE)


def test_a_name_for_vectors_without_one_is_refused(make_index, samples, foreign):
    with pytest.raises(CollectionMismatch, match="have no name"):
        connect(make_index, samples, foreign, vector_name="image")


@pytest.fixture
def builtin(samples, ids, vectors, client, foreign, monkeypatch):
    """A run recorded by FiftyOne's built-in backend."""
    from fiftyone.brain.internal.core import qdrant

    monkeypatch.setattr(qdrant.qdrant, "QdrantClient", lambda **kwargs: client)
    fob.compute_similarity(
        samples,
        embeddings=False,
        brain_key="theirs",
        backend=qdrant.QdrantSimilarityConfig,
        collection_name=foreign,
        metric="euclidean",
        url="http://localhost:6333",
    )
    samples.clear_cache()
    return "theirs"


@pytest.mark.parametrize("place", NAMED, indirect=True)
def test_a_run_of_the_builtin_backend_is_taken_over(
    samples, ids, vectors, builtin, place
):
    assert samples.get_brain_info(builtin).config.cls == BUILTIN
    with pytest.raises(IndexNotFound, match="adopt_run"):
        load_index(samples, builtin)

    adopt_run(samples, builtin, url=place["url"])

    samples.reload()
    samples.clear_cache()
    index = samples.load_brain_results(builtin, url=place["url"])
    assert type(index).__module__ == "fiftyone_qdrant.similarity"
    (hits,) = index.search(ids[3], k=1)
    assert hits.ids == [ids[3]]
    found, _, _ = index.get_embeddings(sample_ids=ids)
    np.testing.assert_allclose(found, vectors, rtol=1e-6)


@pytest.mark.parametrize("place", NAMED, indirect=True)
def test_a_run_of_the_builtin_backend_is_converted_and_stays(
    samples, ids, vectors, builtin, place, monkeypatch
):
    monkeypatch.setenv(connection.ENVIRONMENT["url"], place["url"])
    index, _ = create_index(samples, "ours", from_brain_key=builtin, **place)
    assert index.metric == "euclidean"
    found, _, _ = index.get_embeddings(sample_ids=ids)
    np.testing.assert_allclose(found, vectors, rtol=1e-6)
    assert samples.get_brain_info(builtin).config.cls == BUILTIN
    index.collection.drop()


def test_only_runs_of_the_builtin_backend_are_taken_over(make_index, samples, vectors):
    make_index(samples, embeddings=vectors)
    with pytest.raises(IndexNotFound, match="no index 'index' of FiftyOne's built-in"):
        adopt_run(samples, "index")


def test_a_collection_deleted_elsewhere_is_said_at_the_next_call(
    make_index, samples, vectors, client
):
    index = make_index(samples, embeddings=vectors)
    client.delete_collection(index.collection.name)
    for call in (
        lambda: index.search(vectors[0], k=3),
        lambda: index.get_embeddings(),
        lambda: index.remove_from_index(sample_ids=samples.values("id")[:1]),
    ):
        with pytest.raises(CollectionNotFound, match="no collection"):
            call()


def test_a_collection_made_anew_elsewhere_is_seen_at_the_next_call(
    make_index, samples, ids, vectors, client, monkeypatch
):
    monkeypatch.setattr(calls, "KNOWN_SECONDS", 0)  # on a server it takes that long
    index = make_index(samples, embeddings=vectors, metric="cosine")
    name = index.collection.name
    client.delete_collection(name)
    client.create_collection(
        name,
        vectors_config=models.VectorParams(size=SIZE, distance=models.Distance.EUCLID),
    )
    client.upload_collection(
        name, vectors=2 * vectors, ids=to_point_ids(ids), wait=True
    )
    (hits,) = index.search(2 * vectors[0], k=2)
    nearest = np.sort(np.linalg.norm(2 * vectors - 2 * vectors[0], axis=1))[:2]
    np.testing.assert_allclose(hits.distances, nearest, atol=1e-4)


def test_points_written_elsewhere_are_found_at_the_next_call(
    make_index, samples, ids, vectors, client
):
    index = make_index(samples[:20], embeddings=vectors[:20])
    other = load_index(samples, "index")
    other.add_to_index(vectors[20:], ids[20:])
    (hits,) = index.search(vectors[30], k=1)
    assert hits.ids == [ids[30]]
    assert index.total_index_size == N
