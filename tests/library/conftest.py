"""The library on each engine: embedded, qdrant-client's in-memory mode, a server."""

import os
import uuid

import pytest

import fiftyone_qdrant  # noqa: F401  (registers the backend)
from fiftyone_qdrant.qdrant import clients, connection
from fiftyone_qdrant.runs import list_indexes, load_index
from tests.conftest import WORLD

IN_MEMORY_SAYS = (
    "ignore:Payload indexes have no effect",
    "ignore:Local mode performs exact",
)
ENGINES = [
    "embedded",
    pytest.param(
        "stand-in", marks=[pytest.mark.filterwarnings(w) for w in IN_MEMORY_SAYS]
    ),
    pytest.param("server", marks=pytest.mark.server),
    pytest.param("server-grpc", marks=pytest.mark.server),
]

# for what is worked out here from the points, whoever holds them
ONE_ENGINE = pytest.mark.parametrize("place", [ENGINES[0], ENGINES[2]], indirect=True)


@pytest.fixture(params=ENGINES)
def place(request, monkeypatch):
    """Keyword arguments that put a new index on an engine."""
    return put_on(request.param, monkeypatch)


def put_on(engine, monkeypatch):
    """Keyword arguments that put a new index on an engine, while it is patched."""
    if engine == "embedded":
        return {"path": os.environ["FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"]}

    if engine == "stand-in":
        from qdrant_client import QdrantClient

        client = QdrantClient(":memory:")
        monkeypatch.setattr(clients, "_open_server", lambda c: client)
        monkeypatch.setattr(clients, "_clients", {})
        return {"url": f"http://{uuid.uuid4().hex}:6333"}

    url = WORLD.qdrant_url
    prefer_grpc = engine == "server-grpc"
    monkeypatch.setenv(connection.ENVIRONMENT["url"], url)  # to open it again
    monkeypatch.setenv(connection.ENVIRONMENT["prefer_grpc"], str(prefer_grpc).lower())
    return {"url": url, "prefer_grpc": prefer_grpc}


@pytest.fixture
def make_index(place):
    """``make_index(samples, **compute_similarity arguments)`` -> an index."""
    import fiftyone.brain as fob

    made = []

    def make(samples, brain_key="index", **kwargs):
        index = fob.compute_similarity(
            samples, backend="qdrant", brain_key=brain_key, **{**place, **kwargs}
        )
        made.append(index)
        return index

    yield make
    for index in made:
        index.collection.drop()


@pytest.fixture
def make_embedded(make_dataset, rng):
    """``make_embedded(n)`` -> n digits with a random ``vector`` of 8 numbers.

    Their Qdrant collections are dropped after the test.
    """
    made = []

    def make(n):
        dataset = make_dataset(n)
        dataset.set_values("vector", list(rng.normal(size=(n, 8))))
        made.append(dataset)
        return dataset

    yield make
    for dataset in made:
        dataset.reload()
        for key in list_indexes(dataset):
            load_index(dataset, key).collection.drop()
