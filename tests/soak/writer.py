"""Writes for ever, and says before and after each write what it is.

    writer.py STORE COLLECTION FIRST_ID SEED

Each line is a JSON list: ``["do", what, ids, value]``, then ``["done"]`` when it was
acknowledged. Ids are FIRST_ID to FIRST_ID + 999.
"""

import json
import random
import sys

import package  # noqa: F401
from qdrant_client.http import models

from fiftyone_qdrant.embedded import EmbeddedClient

SIZE = 16


def main(store, collection, first, seed):
    rng = random.Random(int(seed))
    client = EmbeddedClient(store)
    first, value = int(first), 0
    while True:
        value += 1
        what = rng.choice(["upsert", "upsert", "upsert", "payload", "delete"])
        start = first + rng.randrange(1000)
        ids = list(range(start, min(start + rng.choice([1, 8, 100]), first + 1000)))
        if what == "payload":  # only points that are there may be given one
            ids = [r.id for r in client.retrieve(collection, ids)]
        say("do", what, ids, value)
        if what == "upsert":
            points = [
                models.PointStruct(id=i, vector=[value, i] + [0.5] * (SIZE - 2))
                for i in ids
            ]
            client.upsert(collection, points)
        elif what == "payload" and ids:
            client.set_payload(collection, {"value": value}, ids)
        elif what == "delete":
            client.delete(collection, ids)
        say("done")


def say(*words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
