"""One dataset per kind of data, one index on each for every metric; who counts."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import fiftyone.brain as fob
import numpy as np
import pytest

import fiftyone_qdrant  # noqa: F401  (registers the backend)
from fiftyone_qdrant.points import DISTANCES
from tests.conftest import SEED, recorded
from tests.differential.world import KINDS, World, make_dataset


class Cases:
    """How many examples ran of each test, and how many of them sklearn answered."""

    def __init__(self):
        self.ran: Counter[str] = Counter()
        self.compared = 0

    def __repr__(self):  # failing examples are printed with it
        return "cases"


_cases = Cases()


@pytest.fixture(scope="session")
def cases() -> Cases:
    """Where tests count their examples."""
    return _cases


@pytest.fixture(autouse=True)
def _count(cases, record_property):
    ran, compared = cases.ran.copy(), cases.compared
    yield
    record_property("cases", dict(cases.ran - ran))
    record_property("compared", cases.compared - compared)


def pytest_terminal_summary(terminalreporter):
    ran = sum(map(Counter, recorded(terminalreporter, "cases")), Counter())
    if ran:
        parts = ", ".join(f"{number} {name}" for name, number in ran.items())
        compared = sum(recorded(terminalreporter, "compared"))
        terminalreporter.write_line(
            f"differential cases: {ran.total()} ({parts}), "
            f"{compared} of them compared with sklearn"
        )


@pytest.fixture(scope="session")
def place() -> dict[str, str]:
    """Keyword arguments that put an index on the embedded engine."""
    return {"path": os.environ["FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"]}


class Bench:
    """What is compared: data, our indexes, and the reference's.

    Attributes:
        worlds: by kind
        indexes: ours, by kind and metric
        references: the sklearn backend's, likewise, without dot product and ghosts
    """

    def __init__(self):
        self.worlds: dict[str, World] = {}
        self.indexes: dict[tuple[str, str], Any] = {}
        self.references: dict[tuple[str, str], Any] = {}

    def __repr__(self):
        return "bench"


@pytest.fixture(scope="session")
def bench(place):
    """One dataset per kind of data, and on each an index per metric and backend."""
    import fiftyone as fo

    bench = Bench()
    flat = make_dataset("samples")
    for number, kind in enumerate(KINDS):
        dataset = make_dataset(kind) if kind == "slices" else flat
        world = World(dataset, kind, np.random.default_rng([SEED, number]))
        bench.worlds[kind] = world
        for metric in DISTANCES:
            bench.indexes[kind, metric] = _our_index(world, metric, place)
            if metric != "dotproduct":
                bench.references[kind, metric] = _reference(world, metric)

    yield bench
    for index in bench.indexes.values():
        index.collection.drop()

    for name in {world.dataset.name for world in bench.worlds.values()}:
        fo.delete_dataset(name)


def _our_index(world, metric, place):
    index = fob.compute_similarity(
        world.whole,
        backend="qdrant",
        brain_key=f"{world.kind}_{metric}",
        patches_field=world.patches_field,
        embeddings=False,
        metric=metric,
        **place,
    )
    labels = world.ids if world.kind == "patches" else None
    index.add_to_index(world.vectors, world.sample_ids, labels)
    return index


def _reference(world, metric):
    index = fob.compute_similarity(
        world.whole,
        backend="sklearn",
        patches_field=world.patches_field,
        embeddings=False,
        metric=metric,
    )
    real = slice(world.real)
    index.add_to_index(
        world.vectors[real].astype(np.float64),  # a copy: they are shifted in place
        world.sample_ids[real],
        world.ids[real] if world.kind == "patches" else None,
    )
    return index
