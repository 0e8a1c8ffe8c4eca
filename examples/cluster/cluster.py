"""An index on a cluster of three nodes, one of which fails and comes back.

Run it with ``python examples/cluster/cluster.py`` where Docker is. Each of the
three shards is on two nodes, and a write counts when both have it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fiftyone as fo
import fiftyone.brain as fob

sys.path.insert(0, str(Path(__file__).parents[1]))
from digits import load_digits
from fiftyone_qdrant.errors import QdrantPluginError

URL = "http://localhost:6333"  # of node-1; in production, that of a load balancer
COMPOSE = Path(__file__).with_name("compose.yaml")
BRAIN_KEY = "digits"


def main() -> None:
    """Make the index, stop a node, ask, write, start it again, tidy up."""
    compose("up", "--detach", "--wait")
    data = load_digits()
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"digit-{i}.png") for i in range(len(data.labels))])
    ids = dataset.values("id")
    index = fob.compute_similarity(
        dataset,
        embeddings=data.vectors,
        brain_key=BRAIN_KEY,
        backend="qdrant",
        url=URL,
        shard_number=3,
        replication_factor=2,
        write_consistency_factor=2,
    )
    try:
        show("Three nodes", dataset, index)

        compose("stop", "node-3")
        show("Two nodes", dataset, index)
        try:
            index.add_to_index(data.vectors[:100], ids[:100])
        except QdrantPluginError as e:
            print(f"  writes are refused, as asked for: {e}")

        compose("start", "node-3")
        attempts = write_again(index, data.vectors[:100], ids[:100])
        show(f"Three nodes again, written at attempt {attempts}", dataset, index)
    finally:
        index.cleanup()
        dataset.delete()

    print("The cluster is left running. End it with:")
    print(f"  docker compose -f {COMPOSE} down --volumes")


def compose(*arguments: str) -> None:
    """Run ``docker compose`` on the cluster."""
    command = ["docker", "compose", "--file", str(COMPOSE), *arguments]
    print("$", *command)
    subprocess.run(command, check=True)


def write_again(index: Any, vectors: Any, ids: list[str], seconds: float = 60) -> int:
    """Write until enough nodes take part; what is there already is replaced."""
    until = time.monotonic() + seconds
    for attempt in range(1, sys.maxsize):
        try:
            index.add_to_index(vectors, ids)
        except QdrantPluginError:
            if time.monotonic() > until:
                raise
            time.sleep(1)
        else:
            return attempt
    raise AssertionError


def show(title: str, dataset: Any, index: Any) -> None:
    """Print the answer to a query, and where the shards are."""
    start = time.perf_counter()
    found = dataset.sort_by_similarity(dataset.first().id, k=5, brain_key=BRAIN_KEY)
    seconds = time.perf_counter() - start
    digits_found = [dataset_index(dataset, i) for i in found.values("id")]
    print(f"{title}: {index.total_index_size} points")
    print(f"  nearest to digit 0: {digits_found} in {1000 * seconds:.0f} ms")

    status = index.client.cluster_status()
    peers = getattr(status, "peers", None) or {}
    failures = getattr(status, "message_send_failures", None) or {}
    print(f"  {len(peers)} peers, {len(failures)} of them not reached")
    shards = index.client.collection_cluster_info(index.collection.name)
    for shard in [*shards.local_shards, *shards.remote_shards]:
        peer = getattr(shard, "peer_id", shards.peer_id)
        print(f"    shard {shard.shard_id} on peer {peer}: {shard.state.value}")


def dataset_index(dataset: Any, sample_id: str) -> int:
    """Return the number in a sample's file name."""
    return int(Path(dataset[sample_id].filepath).stem.split("-")[1])


if __name__ == "__main__":
    main()
