"""Backups after any history of writes, deletes, tunes, indexes, restarts and kills."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import qdrant_edge as qe

from fiftyone_qdrant.embedded import files
from fiftyone_qdrant.embedded.owner import backups, checks, seal
from fiftyone_qdrant.embedded.owner.store import Store

HISTORIES = int(os.environ.get("FQ_HISTORIES", "12"))
SIZE = 8
FIELDS = {"n": "integer", "s": "keyword"}


class History:
    """A store, what was done to it at random, and what it must hold after that."""

    def __init__(self, rng, root):
        self.rng, self.root, self.places = rng, root, 0
        self.points = {}
        self.path = self._new_place()
        os.mkdir(self.path)
        self.store = Store(self.path, "0.9.0")
        self.store.create(
            {
                "name": "a",
                "vectors": {
                    "size": SIZE,
                    "distance": rng.choice(["Cosine", "Dot", "Euclid"]).item(),
                    "on_disk": rng.choice([True, None]),
                },
                "on_disk_payload": rng.choice([True, None]),
                "hnsw_config": None,
                "optimizers_config": {"indexing_threshold": rng.choice([0, 4]).item()},
                "quantization_config": None,
                "metadata": {},
            }
        )

    def _new_place(self):
        self.places += 1
        return str(self.root / f"s{self.places}")

    @property
    def collection(self):
        return self.store.get("a")

    def some_ids(self):
        return self.rng.integers(400, size=self.rng.integers(1, 60)).tolist()

    def write(self):
        ids = list(dict.fromkeys(self.some_ids()))
        vectors = self.rng.standard_normal((len(ids), SIZE)).astype(np.float32)
        payloads = [{"n": i % 7, "s": f"x{i}"} for i in ids]
        new = map(qe.Point, ids, vectors, payloads)
        self.collection.live.write(qe.UpdateOperation.upsert_points(list(new)))
        self.points |= dict(zip(ids, payloads, strict=True))

    def delete(self):
        ids = self.some_ids()
        self.collection.live.write(qe.UpdateOperation.delete_points(ids))
        for i in ids:
            self.points.pop(i, None)

    def change_payload(self):
        ids = [i for i in dict.fromkeys(self.some_ids()) if i in self.points]
        if ids:
            self.collection.live.write(qe.UpdateOperation.set_payload(ids, {"n": 9}))
            self.points |= {i: {**self.points[i], "n": 9} for i in ids}

    def index_payload(self):
        field = self.rng.choice(list(FIELDS)).item()
        schema = getattr(qe.PayloadSchemaType, FIELDS[field].capitalize())
        indexing = qe.UpdateOperation.create_field_index(field, schema)
        self.collection.live.write(indexing)

    def flush(self):
        self.collection.live.flush()

    def tune(self):
        self.collection.update_settings(
            {"hnsw_config": {"m": self.rng.choice([0, 8, 16]).item()}}
        )
        self.index()

    def index(self):
        self.store.index_if_due("a")
        while self.store.is_indexing():
            time.sleep(0.002)

    def restart(self):
        self.store.close()
        self.open()

    def kill(self):
        """Goes on with the files as they are at this moment, as after ``kill -9``."""
        left, self.path = self.path, self._new_place()
        files.copy_tree(left, self.path)
        self.store.close()
        self.open()

    def open(self):
        self.store = Store(self.path, "0.9.0")

    def search(self):
        with self.collection.live.use() as shard:
            shard.query(seal.exactly(qe.Query.Nearest([1.0] * SIZE)))

    def back_up(self):
        """Backs up, verifies the backup, opens it, and restores from it."""
        target = self._new_place()
        backups.back_up(self.store, target, None)
        copy = Store(target, "0.9.0")
        assert checks.check(copy.get("a"))["problems"] == []
        copy.close()
        done = backups.restore(self.store, target, ["a"], replace=True)
        assert done == [{"name": "a", "points": len(self.points)}]
        self.check()

    def check(self):
        found = checks.check(self.collection)
        assert (found["problems"], found["points"]) == ([], len(self.points))
        with self.collection.live.use() as shard:
            page, _ = shard.scroll(qe.ScrollRequest(limit=1000, with_payload=True))
        assert {p.id: p.payload for p in page} == self.points


STEPS = [
    *(History.write, History.write, History.delete, History.delete),
    *(History.change_payload, History.index_payload, History.flush, History.tune),
    *(History.index, History.restart, History.restart, History.kill, History.search),
]


@pytest.mark.parametrize("number", range(HISTORIES))
def test_a_backup_after_any_history_verifies_and_restores(
    number, rng, tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "sync", lambda: None)  # no power failure here
    history = History(rng, tmp_path)
    history.write()
    for _ in range(rng.integers(3, 12)):
        STEPS[rng.integers(len(STEPS))](history)
        if rng.random() < 0.15:
            history.back_up()
    history.back_up()
    history.restart()
    history.check()
    history.store.close()


def test_seals_of_earlier_versions_do_not_call_good_data_damaged(rng, tmp_path):
    history = History(rng, tmp_path)
    history.write()
    history.delete()
    history.restart()
    target = str(tmp_path / "old")
    backups.back_up(history.store, target, None)
    history.store.close()
    for place in (history.path, target):
        path = f"{place}/collections/a/seal.json"
        old = files.read_json(path)
        stale = [name for name in old["files"] if name.endswith("id_tracker.versions")]
        assert stale
        sums = {**old["checksums"], **dict.fromkeys(stale, 1)}
        files.write_json(path, {**old, "checksums": sums})

    history.open()
    history.check()
    backups.restore(history.store, target, ["a"], replace=True)
    history.check()
    history.store.close()
