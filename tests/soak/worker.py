"""Uses a store in every way for some seconds, in two threads, and says what is left.

    worker.py STORE NUMBER SECONDS SEED

Each thread writes its own ids of the collection "shared", and creates and drops
collections of its own. Prints a JSON object: ``calls``, ``errors`` (their words),
``points`` (id: value, of "shared") and ``collections`` (name: number of points).
"""

import json
import random
import sys
import threading
import time

import package  # noqa: F401
from qdrant_client.http import models

from fiftyone_qdrant.embedded import EmbeddedClient

SIZE = 16
PARAMS = models.VectorParams(size=SIZE, distance=models.Distance.EUCLID)


class Worker:
    """One thread of calls, and the model of what they leave."""

    def __init__(self, client, number, seed):
        self.client, self.number = client, number
        self.rng = random.Random(seed)
        self.first = number * 10_000
        self.points, self.collections = {}, {}
        self.calls, self.errors = 0, []
        self._names = 0

    def run(self, seconds):
        kinds = [self.upsert] * 4 + [self.read] * 4 + [self.delete, self.payload]
        kinds += [self.create, self.drop, self.search]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            kind = self.rng.choice(kinds)
            try:
                kind()
            except Exception as exc:  # noqa: BLE001
                self.errors.append(f"{kind.__name__}: {type(exc).__name__}: {exc}")
            self.calls += 1

    def some_ids(self):
        start = self.first + self.rng.randrange(2000)
        return list(range(start, start + self.rng.choice([1, 10, 100])))

    def upsert(self):
        value, ids = self.calls, self.some_ids()
        points = [
            models.PointStruct(id=i, vector=[value, i] + [0.5] * (SIZE - 2))
            for i in ids
        ]
        self.client.upsert("shared", points)
        self.points.update(dict.fromkeys(ids, value))

    def delete(self):
        ids = self.some_ids()
        self.client.delete("shared", ids)
        for i in ids:
            self.points.pop(i, None)

    def payload(self):
        ids = [i for i in self.some_ids() if i in self.points]
        if ids:
            self.client.set_payload("shared", {"call": self.calls}, ids)

    def read(self):
        ids = self.some_ids()
        found = self.client.retrieve("shared", ids, with_vectors=True)
        got = {r.id: int(r.vector[0]) for r in found}
        if got != {i: self.points[i] for i in ids if i in self.points}:
            raise AssertionError("read something else than was written")

    def search(self):
        mine = models.HasIdCondition(has_id=list(self.points)[:50])
        query_filter = models.Filter(must=[mine])
        self.client.query_points(
            "shared", query=[1.0] * SIZE, query_filter=query_filter, limit=5
        )

    def create(self):
        if len(self.collections) >= 3:
            return
        self._names += 1
        name = f"own-{self.number}-{self._names}"
        count = self.rng.randrange(200)
        self.client.create_collection(name, PARAMS)
        self.client.upload_collection(name, [[1.0] * SIZE] * count, ids=range(count))
        self.collections[name] = count

    def drop(self):
        if self.collections:
            name = self.rng.choice(list(self.collections))
            if not self.client.delete_collection(name):
                raise AssertionError(f"{name} was not there")
            del self.collections[name]


def main(store, number, seconds, seed):
    client = EmbeddedClient(store)
    workers = [
        Worker(client, 2 * int(number) + i, f"{seed}-{number}-{i}") for i in range(2)
    ]
    threads = [threading.Thread(target=w.run, args=(float(seconds),)) for w in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(
        json.dumps(
            {
                "calls": sum(w.calls for w in workers),
                "errors": [e for w in workers for e in w.errors],
                "points": {i: v for w in workers for i, v in w.points.items()},
                "collections": {
                    n: c for w in workers for n, c in w.collections.items()
                },
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
