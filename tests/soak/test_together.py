"""Many processes at once: starting, reading, writing, creating, dropping, forking."""

from __future__ import annotations

import json
import multiprocessing
import threading

import numpy as np
from qdrant_client.http import models

from fiftyone_qdrant.embedded import EmbeddedClient
from fiftyone_qdrant.embedded.client import administration, launcher
from tests.conftest import SEED
from tests.embedded.conftest import temporary_store
from tests.soak.conftest import LONG

SECONDS = 60 if LONG else 5
SIZE = 16
PARAMS = models.VectorParams(size=SIZE, distance=models.Distance.EUCLID)


def test_ten_simultaneous_first_starts_make_one_owner(start_program, figure):
    starters = [start_program("starter") for _ in range(10)]
    owners = []
    rounds = 20 if LONG else 8
    for _ in range(rounds):
        with temporary_store() as path:
            for starter in starters:
                starter.stdin.write(f"{path}\n")
                starter.stdin.flush()
            owners.append({s.stdout.readline().strip() for s in starters})

    figure(
        f"10 simultaneous first starts x {rounds}: {set(map(len, owners))} owners each"
    )
    assert all(len(pids) == 1 for pids in owners)
    assert all(pids.isdisjoint({"", "none"}) for pids in owners)


def test_eight_processes_leave_what_their_calls_say(store, start_program, figure):
    with EmbeddedClient(store) as client:
        client.create_collection(
            "shared",
            PARAMS,
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=100),
        )
        workers = [start_program("worker", store, n, SECONDS, SEED) for n in range(8)]
        left = [json.loads(w.communicate(timeout=SECONDS + 120)[0]) for w in workers]

        points = {int(i): v for part in left for i, v in part["points"].items()}
        found, _ = client.scroll("shared", limit=10**6, with_vectors=True)
        collections = {
            c.name: client.count(c.name).count
            for c in client.get_collections().collections
            if c.name != "shared"
        }
        problems = [c["problems"] for c in administration.verify(store)]

    errors = [e for part in left for e in part["errors"]]
    calls = sum(part["calls"] for part in left)
    figure(
        f"8 processes x 2 threads x {SECONDS} s (seed {SEED}): {calls} calls, "
        f"{len(errors)} errors, {len(points)} points"
    )
    assert errors == []
    assert {r.id: int(r.vector[0]) for r in found} == points
    assert collections == {
        n: c for part in left for n, c in part["collections"].items()
    }
    assert problems == [[]] * (len(collections) + 1)
    assert calls > 8 * SECONDS


VECTORS = np.random.default_rng(8).standard_normal((200, SIZE)).astype(np.float32)
CLIENT = []  # what a forked child finds


def fetch(row):
    """What a DataLoader's worker does: uses the client its parent has open."""
    (client,) = CLIENT
    client.upsert("a", [models.PointStruct(id=1000 + row, vector=VECTORS[row])])
    return client.query_points("a", query=VECTORS[row], limit=1).points[0].id % 1000


def test_children_forked_between_calls_of_other_threads_work(store, figure):
    stop, counted, failed = threading.Event(), [], []

    def keep_calling():
        while not stop.is_set():
            try:
                counted.append(client.count("a").count)
                client.retrieve("a", [1, 2, 3], with_vectors=True)
            except Exception as exc:  # noqa: BLE001
                failed.append(exc)
                return

    with EmbeddedClient(store) as client:
        client.create_collection("a", PARAMS)
        client.upload_collection("a", VECTORS, ids=range(200))
        CLIENT[:] = [client]
        threads = [threading.Thread(target=keep_calling) for _ in range(3)]
        for thread in threads:
            thread.start()
        rounds = 20 if LONG else 5
        for _ in range(rounds):
            pool = multiprocessing.get_context("fork").Pool(4)
            found = pool.map(fetch, range(200))
            pool.close()  # leaving a `with` would kill them, which may hang
            pool.join()
            assert found == list(range(200))
        stop.set()
        for thread in threads:
            thread.join(30)
        CLIENT.clear()

        assert client.count("a").count == 400
    figure(
        f"{4 * rounds} forks between {len(counted)} calls of 3 threads: all answered"
    )
    assert failed == []
    assert len(counted) > rounds
    launcher.stop(store)
