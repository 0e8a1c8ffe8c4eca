"""An index is moved by processes that are killed, while others search and write."""

from __future__ import annotations

import random
import threading
import time

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest

from fiftyone_qdrant import load_index
from tests.conftest import SEED
from tests.embedded.conftest import temporary_store
from tests.soak.conftest import LONG

KILLS = 20 if LONG else 1  # in each direction; in short, there only
POINTS, STILL = 2500, 500  # of which nobody writes the first ones
STEPS = 120  # of a move that is not killed, about


@pytest.fixture
def stores():
    with temporary_store() as here, temporary_store() as there:
        yield [here, there]


@pytest.fixture
def index(stores):
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"{i}.png") for i in range(POINTS)])
    vectors = np.random.default_rng(SEED).normal(size=(POINTS, 16))
    yield fob.compute_similarity(
        dataset,
        embeddings=vectors,
        backend="qdrant",
        brain_key="index",
        path=str(stores[0]),
    )
    dataset.delete()


class Hammer:
    """Searches and writes from before a move until after it, by one index object."""

    def __init__(self, index):
        self.index = index
        self.rng = random.Random(SEED)
        found, self.ids, _ = index.get_embeddings()
        self.points = dict(zip(self.ids.tolist(), found, strict=True))
        self.errors, self.longest, self.calls = [], 0.0, 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        while not self._ended.is_set():
            began = time.monotonic()
            try:
                self.rng.choice([self.search, self.add, self.remove])()
            except Exception as e:  # noqa: BLE001
                self.errors.append(f"{type(e).__name__}: {e}")

            self.longest = max(self.longest, time.monotonic() - began)
            self.calls += 1

    def search(self):
        still = self.ids[self.rng.randrange(STILL)]
        (hits,) = self.index.search(self.points[still], k=3)
        if hits.ids[0] != still:
            raise AssertionError(f"{hits.ids[0]} is not the nearest to {still}")

    def some(self):
        moving = self.ids[STILL:].tolist()
        return self.rng.sample(moving, self.rng.choice([1, 10, 100]))

    def add(self):
        ids = self.some()
        vectors = np.array([[self.rng.gauss(0, 1) for _ in range(16)] for _ in ids])
        self.index.add_to_index(vectors.astype(np.float32), ids, reload=False)
        self.points.update(zip(ids, vectors.astype(np.float32), strict=True))

    def remove(self):
        ids = self.some()
        self.index.remove_from_index(ids, reload=False)
        for i in ids:
            self.points.pop(i, None)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()


def test_a_move_that_is_killed_goes_on_and_nothing_is_lost(
    index, stores, start_program, figure
):
    rng, name = random.Random(SEED), index.samples.name
    rounds = 0
    with Hammer(load_index(index.samples, "index")) as hammer:
        for place in (stores[1], stores[0]) if LONG else stores[1:]:
            said, killed = "", 0
            while "moved" not in said:
                kills = killed < KILLS
                step = rng.randrange(STEPS) if kills else 10**6
                said = start_program("mover", name, place, step).communicate()[0]
                killed += "moved" not in said
                rounds += 1
                assert killed <= KILLS, "it does not go on"

    index.samples.reload()
    now = load_index(index.samples, "index")
    vectors, ids, _ = now.get_embeddings()
    figure(
        f"moves there and back in {rounds} processes (seed {SEED}): {hammer.calls} "
        f"calls meanwhile, the longest {hammer.longest:.2f} s"
    )
    assert hammer.errors == []
    assert now.collection.connection.path == str(stores[0 if LONG else 1])
    assert sorted(ids) == sorted(hammer.points)
    expected = np.array([hammer.points[i] for i in ids])
    np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-6)
