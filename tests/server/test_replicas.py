"""Two copies of each point, of which one misses a write: none is left behind."""

from __future__ import annotations

import numpy as np
import pytest

from fiftyone_qdrant.errors import IngestInterrupted, ReplicasMissing
from fiftyone_qdrant.ingest import batches, ingest, sync
from fiftyone_qdrant.qdrant import retries
from fiftyone_qdrant.status.indexes import index_status
from tests.server.misbehaviour import Fault

WRITE = "PUT /collections/points/points"
TWO = {"replication_factor": 2, "write_consistency_factor": 2}


@pytest.fixture
def second(server):
    """The second copy of all collections."""
    return server.replicas.two()


@pytest.fixture
def embedded(samples, vectors, monkeypatch):
    """The samples, ingested in batches of 20, with their vectors in a field."""
    monkeypatch.setattr(batches, "_BATCH", 20)
    samples.set_values("vector", vectors.tolist())
    return samples


@pytest.fixture
def fill(embedded, server, monkeypatch):
    """Fills an index from the field, or goes on with it."""
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_URL", server.url)

    def create():
        index, done = ingest.create_index(
            embedded, "index", "vector", collection_name="points", **TWO
        )
        return index, done

    return create


def kill(server, after):
    """The second copy dies while a write is under way, and none is told."""

    def die():
        server.replicas.down = True

    server.faults = [Fault(WRITE, after=after, times=1, then=die)]


def test_what_one_copy_missed_is_written_when_the_ingest_goes_on(fill, server, second):
    kill(server, after=1)
    with pytest.raises(
        IngestInterrupted, match=r"Too few replicas.*node http://node-1"
    ):
        fill()
    server.replicas.come_back()
    assert second.count("points").count == 20  # and the first has what was not said
    assert server.count("points") == 40
    _, done = fill()
    assert second.count("points").count == 60
    assert (done.kept, done.new, done.replaced) == (20, 20, 20)


def test_a_copy_that_returns_in_time_has_all(fill, server, second, monkeypatch):
    monkeypatch.setattr(
        retries.time, "sleep", lambda _: setattr(server.replicas, "down", False)
    )
    kill(server, after=1)
    _, done = fill()
    assert (done.new, server.count("points")) == (60, 60)
    assert second.count("points").count == 60


def test_while_a_copy_is_away_nothing_is_taken_for_written(fill, server, second):
    kill(server, after=1)
    with pytest.raises(IngestInterrupted):
        fill()
    server.requests.clear()
    with pytest.raises(IngestInterrupted):
        fill()
    server.replicas.come_back()
    _, done = fill()
    assert done.points == second.count("points").count == 60


def test_an_add_that_keeps_what_is_there_completes_it(
    create, samples, vectors, server, second
):
    index = create(server.url, collection_name="points", **TWO)
    ids = samples.values("id")
    second.delete("points", _points(second)[:7])
    index.add_to_index(vectors, ids, overwrite=False)
    assert second.count("points").count == 60


def test_an_add_that_one_copy_did_not_take_is_written_again(
    create, samples, vectors, server, second, monkeypatch
):
    index = create(server.url, 30, collection_name="points", **TWO)
    upsert, lost = second.upsert, [20]

    def lose(name, points):
        if lost:
            lost.pop()
        else:
            upsert(name, points)

    monkeypatch.setattr(second, "upsert", lose)
    index.add_to_index(vectors, samples.values("id"))
    assert second.count("points").count == 60


def test_sync_and_status_tell_copies_that_differ_and_sync_mends_them(
    fill, embedded, server, second
):
    index, _ = fill()
    some = _points(second)
    second.delete("points", some[:7])
    other = np.ones((5, 8)).tolist()
    second.upsert("points", _changed(second, some[10:15], other))
    server.replicas._turn = 1
    drift = sync.find_drift(index, embedded)
    assert len(drift.behind) + len(drift.missing) == 12
    assert "not the same on all replicas" in drift.summary
    status = _status(server, embedded)
    assert (status.state, status.problem) == (
        "degraded",
        "7 points are not on all replicas. Sync the index to write them again",
    )
    sync.sync(index, embedded, drift)
    assert sync.find_drift(index, embedded).behind == []
    assert second.count("points").count == 60
    assert _status(server, embedded).state == "ready"


def _status(server, samples):
    """Read from the copy that has everything, as half of all reads are."""
    server.replicas.read = _from_first(server.replicas)
    return index_status(samples, "index")


def _from_first(replicas):
    read = type(replicas).read

    def of_first(ask, consistency=""):
        replicas._turn = 0
        return read(replicas, ask, consistency)

    return of_first


@pytest.mark.parametrize("known", [False, True], ids=["not noticed", "marked dead"])
def test_with_one_confirmation_writes_go_on_without_a_copy(
    known, create, samples, vectors, server, second
):
    index = create(server.url, 30, collection_name="points", replication_factor=2)
    server.replicas.down, server.replicas.dead = True, known
    index.add_to_index(vectors, samples.values("id"))
    index.add_to_index(vectors * 0, samples.values("id"), overwrite=False)
    assert index.total_index_size == 60
    found, _, _ = index.get_embeddings(sample_ids=samples.values("id"))
    np.testing.assert_allclose(found, vectors, rtol=1e-6)  # kept, as asked for
    server.replicas.come_back()
    assert second.count("points").count == 60


def test_what_cannot_be_read_names_node_and_way_out(index, vectors, server, fault):
    server.replicas.lost = True
    saying = r"Too few replicas of collection 'points' .* \(node http://node-1:6335\)"
    with fault("query: no copy left", ReplicasMissing, saying=saying + ".*Bring the"):
        index.search(vectors[3], k=5)


def _points(client):
    return [r.id for r in client.scroll("points", limit=100)[0]]


def _changed(client, ids, vectors):
    from qdrant_client import models

    records = client.retrieve("points", ids)
    return [
        models.PointStruct(id=r.id, vector=v, payload=r.payload)
        for r, v in zip(records, vectors, strict=True)
    ]


# --- what the cluster knows -----------------------------------------------------


@pytest.fixture
def nodes(create, samples, server, second, monkeypatch):
    """An index on two nodes."""
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_URL", server.url)
    server.peers = 2
    create(server.url, collection_name="points", replication_factor=2)
    return samples


def test_all_nodes_that_answer_are_listed(nodes, server):
    status = index_status(nodes, "index")
    assert (status.state, status.problem) == ("ready", None)
    assert status.health.nodes == (
        ("http://node-0:6335", True),
        ("http://node-1:6335", True),
    )


def test_a_node_that_just_died_is_named_before_a_write_fails_on_it(nodes, server):
    server.replicas.down = True  # and no write has failed: its replica is "Active"
    status = index_status(nodes, "index")
    assert status.state == "degraded"
    assert status.problem == (
        "Node http://node-1:6335 does not answer: 1 of 2 replicas are down"
    )
    assert status.health.replicas == ((0, 0, "Active"), (1, 0, "OutOfReach"))


def test_a_key_that_may_not_see_the_cluster_sees_the_rest(nodes, server):
    server.faults = [Fault("GET /cluster", 403, "Global access is required")]
    server.replicas.down = server.replicas.dead = True
    status = index_status(nodes, "index")
    assert status.problem == "1 of 2 replicas are down"
