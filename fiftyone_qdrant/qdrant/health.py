"""How a collection fares inside Qdrant: status, segments, optimizer, replicas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fiftyone_qdrant.errors import QdrantPluginError
from fiftyone_qdrant.qdrant.collection import Collection, cluster_status

if TYPE_CHECKING:
    from qdrant_client import models

MEANINGS = {
    "green": "all optimizations are done",
    "yellow": "segments are being optimized; searches work, a part of them unindexed",
    "grey": "optimizations wait for the next write, such as after a restart",
    "red": "the optimizer has failed; new points may not be indexed",
}
"""What each color of ``qdrant_client.models.CollectionStatus`` means."""

OUT_OF_REACH = "OutOfReach"
"""The state of a replica whose node does not answer; the cluster may not say so yet."""

_WELL = {"Active", "ActiveRead"}


@dataclass(frozen=True)
class CollectionHealth:
    """The state of one collection, as Qdrant reports it.

    Attributes:
        color: ``"green"``, ``"yellow"``, ``"grey"`` or ``"red"``
        points: about how many points it has
        indexed_vectors: about how many vectors are in an HNSW graph
        segments: the number of its segments
        optimizer_error: what the optimizer failed with, or ``None``
        update_queue: operations that wait to be applied, or ``None`` if not told
        deferred_points: points that searches do not see yet, or ``None``
        shards: the number of its shards, or ``None`` where there is no cluster
        replicas: all copies of shards as ``(peer id, shard id, state)``; the state of
            those on a node that is out of reach is :data:`OUT_OF_REACH`
        nodes: the nodes of the cluster as ``(address, whether messages reach it)``,
            as far as the cluster tells
    """

    color: str
    points: int
    indexed_vectors: int
    segments: int
    optimizer_error: str | None = None
    update_queue: int | None = None
    deferred_points: int | None = None
    shards: int | None = None
    replicas: tuple[tuple[int, int, str], ...] = ()
    nodes: tuple[tuple[str, bool], ...] = ()

    @property
    def meaning(self) -> str:
        """What the color means, in words."""
        return MEANINGS[self.color]

    @property
    def ailing(self) -> tuple[tuple[int, int, str], ...]:
        """The replicas that are not active."""
        return tuple(r for r in self.replicas if r[2] not in _WELL)

    @property
    def problem(self) -> str | None:
        """What is wrong with nodes and replicas, in words, or ``None``."""
        lost = [address for address, reached in self.nodes if not reached]
        count = f"{len(self.ailing)} of {len(self.replicas)} replicas are down"
        if not lost:
            return count if self.ailing else None

        word = "Node" if len(lost) == 1 else "Nodes"
        verb = "does" if len(lost) == 1 else "do"
        more = f": {count}" if self.ailing else ""
        return f"{word} {', '.join(lost)} {verb} not answer{more}"


def collection_health(collection: Collection) -> CollectionHealth:
    """Asks Qdrant how a collection fares.

    Raises:
        CollectionNotFound: if it does not exist
        ConnectionFailed: if Qdrant cannot be reached
    """
    info = collection.info()
    queue = info.update_queue
    cluster = _cluster(collection)
    peers = _peers(collection) if cluster is not None and cluster.remote_shards else {}
    return CollectionHealth(
        color=str(info.status.value),
        points=info.points_count or 0,
        indexed_vectors=info.indexed_vectors_count or 0,
        segments=info.segments_count,
        optimizer_error=getattr(info.optimizer_status, "error", None),
        update_queue=None if queue is None else queue.length,
        deferred_points=None if queue is None else queue.deferred_points,
        shards=None if cluster is None else cluster.shard_count,
        replicas=() if cluster is None else _replicas(cluster, peers),
        nodes=tuple(sorted(peers.values())),
    )


def _cluster(collection: Collection) -> models.CollectionClusterInfo | None:
    if not collection.connection.remote:
        return None

    try:
        info: models.CollectionClusterInfo = collection.call("collection_cluster_info")
    except (QdrantPluginError, NotImplementedError):  # a key that may not, in memory
        return None

    return info


def _peers(collection: Collection) -> dict[int, tuple[str, bool]]:
    """The address of each node, and whether messages to it arrive, by its peer id.

    Which replicas are active is only known when a write to one has failed.
    """
    try:
        told: Any = cluster_status(collection.connection)
    except (QdrantPluginError, NotImplementedError):  # a key that may not
        return {}

    unsent = {_address(uri) for uri in getattr(told, "message_send_failures", ())}
    peers = {int(i): _address(p.uri) for i, p in getattr(told, "peers", {}).items()}
    return {i: (address, address not in unsent) for i, address in peers.items()}


def _address(uri: str) -> str:
    return uri.rstrip("/")


def _replicas(
    cluster: Any, peers: dict[int, tuple[str, bool]]
) -> tuple[tuple[int, int, str], ...]:
    local = [(cluster.peer_id, s.shard_id, s.state.value) for s in cluster.local_shards]
    remote = [
        (
            s.peer_id,
            s.shard_id,
            s.state.value if peers.get(s.peer_id, ("", True))[1] else OUT_OF_REACH,
        )
        for s in cluster.remote_shards
    ]
    return tuple(sorted(local + remote))
