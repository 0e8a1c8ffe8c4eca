"""How a collection fares, in one object."""

import fiftyone as fo
import pytest
from qdrant_client import models

from fiftyone_qdrant.qdrant.health import MEANINGS, collection_health
from fiftyone_qdrant.status.indexes import index_status


@pytest.fixture
def samples():
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"{i}.png") for i in range(20)])
    yield dataset
    dataset.delete()


@pytest.fixture
def index(make_index, samples, rng):
    return make_index(samples, embeddings=rng.normal(size=(20, 8)))


def test_a_collection_at_rest_is_green(index, samples):
    health = collection_health(index.collection)
    assert (health.color, health.points, health.optimizer_error) == ("green", 20, None)
    assert health.segments >= 1
    assert health.ailing == ()
    status = index_status(samples, "index")
    assert (status.state, status.problem, status.health) == ("ready", None, health)


def test_every_color_of_qdrant_has_words():
    assert set(MEANINGS) == {s.value for s in models.CollectionStatus}


def answers(monkeypatch, index, **changes):
    """Lets Qdrant describe the collection with these changes."""
    given = index.collection.info()
    info = given.model_copy(update=changes)
    monkeypatch.setattr(type(index.collection), "info", lambda self: info)


def test_an_optimizer_error_degrades_an_index_and_is_said(index, samples, monkeypatch):
    answers(
        monkeypatch,
        index,
        status=models.CollectionStatus.RED,
        optimizer_status=models.OptimizersStatusOneOf1(error="No space left"),
    )
    status = index_status(samples, "index")
    assert (status.state, status.problem) == ("degraded", "No space left")
    assert "failed" in status.health.meaning


def test_waiting_updates_are_counted(index, monkeypatch):
    queue = models.UpdateQueueInfo(length=7, deferred_points=3)
    answers(monkeypatch, index, update_queue=queue)
    health = collection_health(index.collection)
    assert (health.update_queue, health.deferred_points) == (7, 3)


@pytest.mark.parametrize("place", ["stand-in"], indirect=True)
@pytest.mark.filterwarnings("ignore:Payload indexes", "ignore:Local mode")
def test_a_dead_replica_degrades_an_index_and_is_counted(index, samples, monkeypatch):
    state = models.ReplicaState
    cluster = models.CollectionClusterInfo(
        peer_id=1,
        shard_count=1,
        local_shards=[
            models.LocalShardInfo(shard_id=0, points_count=20, state=state.ACTIVE)
        ],
        remote_shards=[models.RemoteShardInfo(shard_id=0, peer_id=2, state=state.DEAD)],
        shard_transfers=[],
    )
    client = index.client
    monkeypatch.setattr(client, "collection_cluster_info", lambda name: cluster)
    status = index_status(samples, "index")
    assert status.health.replicas == ((1, 0, "Active"), (2, 0, "Dead"))
    assert status.state == "degraded"
    assert status.problem == "1 of 2 replicas are down"
