"""Owner and clients are killed at random: no acknowledged write is lost."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import threading
import time

from qdrant_client.http import models

from fiftyone_qdrant.embedded import EmbeddedClient
from fiftyone_qdrant.embedded.client import administration
from tests.conftest import SEED
from tests.soak.conftest import LONG

KILLS = 400 if LONG else 60
WRITERS = 3
SIZE = 16


class Known:
    """What one writer must have left, by what it said.

    Each id has the states it may be in: one when all of its writes were acknowledged,
    two if the writer was killed within one.
    """

    def __init__(self, process, first):
        self.process, self.first = process, first
        self.states = {}  # id: [(vector value, payload value) or None, ...]
        self.acknowledged = 0
        self._doing = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            if not line.endswith("\n"):
                break
            words = json.loads(line)
            if words[0] == "do":
                self._doing = words[1:]
            else:
                self._apply(keep_old=False)
                self.acknowledged += 1

    def _apply(self, keep_old):
        what, ids, value = self._doing
        for i in ids:
            old = self.states.get(i, [None])
            if what == "upsert":
                new = [(value, None)]
            elif what == "delete":
                new = [None]
            else:
                new = [s if s is None else (s[0], value) for s in old]
            self.states[i] = old + new if keep_old else new
        self._doing = None

    def kill(self):
        self.process.kill()
        self.process.wait()
        self._reader.join()
        if self._doing is not None:
            self._apply(keep_old=True)


def state(record):
    return int(record.vector[0]), (record.payload or {}).get("value")


def test_no_acknowledged_write_is_lost(store, start_program, figure):
    rng = random.Random(SEED)
    numbers = iter(range(0, 10**9, 1000))
    everyone = []

    def start():
        first = next(numbers)
        process = start_program("writer", store, "a", first, rng.randrange(10**6))
        everyone.append(Known(process, first))
        return everyone[-1]

    owners = clients = 0
    started = time.perf_counter()
    with EmbeddedClient(store) as client:
        client.create_collection(
            "a",
            models.VectorParams(size=SIZE, distance=models.Distance.EUCLID),
            # indexes are built all the time, so kills hit that as well
            optimizers_config=models.OptimizersConfigDiff(indexing_threshold=50),
        )
        alive = [start() for _ in range(WRITERS)]
        while owners + clients < KILLS:
            time.sleep(rng.uniform(0, 0.3))
            if rng.random() < 0.7:
                pid = client.store_info()["pid"]
                time.sleep(rng.uniform(0, 0.05))
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    owners += 1
            else:
                alive.pop(rng.randrange(WRITERS)).kill()
                alive.append(start())
                clients += 1
        for writer in alive:
            assert writer.process.poll() is None, "a writer ended with an error"
            writer.kill()

        seconds = time.perf_counter() - started
        wrong, written = [], {}
        for record in pages(client):
            written[record.id] = state(record)
        for writer in everyone:
            for i, states in writer.states.items():
                if written.pop(i, None) not in states:
                    wrong.append((i, states))
        acknowledged = sum(w.acknowledged for w in everyone)
        found = list(administration.verify(store))

    figure(
        f"{owners} owners and {clients} clients killed in {seconds:.0f} s "
        f"(seed {SEED}), {acknowledged} writes acknowledged: "
        f"{len(wrong)} points lost or wrong"
    )
    assert wrong == []
    assert written == {}, "points that nobody wrote"
    assert acknowledged > KILLS
    assert [c["problems"] for c in found] == [[]]


def pages(client):
    offset = None
    while True:
        page, offset = client.scroll("a", limit=1000, offset=offset, with_vectors=True)
        yield from page
        if offset is None:
            return
