"""The same faults over gRPC, where they come as status codes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from qdrant_client import grpc as messages
from qdrant_client import models
from qdrant_client.conversions.conversion import GrpcToRest

from fiftyone_qdrant.errors import (
    AuthenticationFailed,
    CollectionExists,
    CollectionNotFound,
    ConnectionFailed,
    EngineError,
    RequestTooLarge,
)
from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.points import to_point_ids
from fiftyone_qdrant.qdrant import clients, writing
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.qdrant.connection import resolve
from tests.isolation import free_port
from tests.server.grpc_stand_in import GrpcStandIn

IDS = [f"{n:024x}" for n in range(30)]
VECTORS = np.eye(30, 8, dtype=np.float32) / 3
LARGE = "Received message larger than max (5 vs. 4)"
CODES = {
    "UNAUTHENTICATED": ("", AuthenticationFailed, "refused the API key. Set", 1),
    "PERMISSION_DENIED": ("", AuthenticationFailed, "may only read", 1),
    "NOT_FOUND": ("", CollectionNotFound, "There is no collection 'points'", 1),
    "ALREADY_EXISTS": ("", CollectionExists, "exists already", 1),
    "UNAVAILABLE": ("", ConnectionFailed, "over gRPC.*grpc_port", 6),
    "DEADLINE_EXCEEDED": ("", ConnectionFailed, "not answer in time", 1),
    "RESOURCE_EXHAUSTED": ("slow down", ConnectionFailed, "busy", 6),
    "RESOURCE_EXHAUSTED ": (LARGE, RequestTooLarge, "client_max_body_size", 5),
    "INTERNAL": ("1 out of 2 replicas failed", EngineError, "Too few replicas", 6),
    "INVALID_ARGUMENT": ("Wrong vector size", EngineError, "Wrong vector size", 1),
}


def open_at(port, **arguments):
    arguments = {"url": f"http://127.0.0.1:{free_port()}", **arguments}
    return resolve({**arguments, "prefer_grpc": True, "grpc_port": port})


@pytest.fixture
def points(monkeypatch):
    """A collection on a server whose every write ends with a status."""

    def make(server):
        collection = Collection(open_at(server.port, timeout=2), "points")
        monkeypatch.setattr(writing, "_WRITES_AT_ONCE", 1)
        monkeypatch.setattr(collection, "schema", lambda: _Schema)
        monkeypatch.setattr(collection, "holds", lambda ids: True)
        return collection

    return make


class _Schema:
    vector_name, replicas, ours = None, 1, True


@pytest.mark.parametrize("code", CODES)
def test_a_write_says(code, points, fault):
    details, error, saying, calls = CODES[code]
    with GrpcStandIn() as server:
        collection = points(server)
        clients.connect(collection.connection)
        server.code, server.details = code.strip(), details
        name = f"gRPC write: {code.strip()}{' (too large)' * (details == LARGE)}"
        with fault(name, error, saying=saying, within=9):
            writing.write(collection, IDS, VECTORS, [{}] * 30)
        assert sum(c.endswith("/Upsert") for c in server.calls) == calls


@pytest.mark.parametrize("metadata", [(), (("retry-after", "3"),)])
def test_a_busy_server_is_waited_for(metadata, points, pauses, fault):
    with GrpcStandIn("RESOURCE_EXHAUSTED", metadata=metadata, times=0) as server:
        collection = points(server)
        clients.connect(collection.connection)
        server.times = 1
        with fault(f"gRPC write: busy once{', Retry-After 3' * bool(metadata)}"):
            writing.write(collection, IDS, VECTORS, [{}] * 30)
        assert pauses[0] == (3 if metadata else 0.25)


def test_a_create_that_was_made_by_another(fault):
    with GrpcStandIn("ALREADY_EXISTS", times=0) as server:
        collection = Collection(open_at(server.port), "points")
        clients.connect(collection.connection)
        server.times = None
        with fault("gRPC create: exists", CollectionExists, saying="exists already"):
            collection.create(8, "cosine", CollectionParameters({}), {})


def test_nothing_listens(fault):
    place = open_at(free_port())
    saying = "over gRPC.*prefer_grpc only the url"
    with fault("gRPC: refused", ConnectionFailed, saying=saying, within=5.5):
        clients.connect(place)


def test_never_answers(fault):
    with GrpcStandIn(stall=True) as server:
        place = open_at(server.port, timeout=1)
        saying = "did not answer in time"
        with fault("gRPC: never answers", ConnectionFailed, saying=saying, within=3):
            clients.connect(place)


@pytest.mark.parametrize("timeout", [0.5, 1.5])
def test_a_timeout_of_a_fraction_of_a_second(timeout):
    with GrpcStandIn() as server:
        client = clients.connect(open_at(server.port, timeout=timeout))
        client.get_collections()
        assert max(server.patience) < timeout + 0.25  # as the server reckons


@pytest.mark.parametrize("code", ["UNAUTHENTICATED", "PERMISSION_DENIED"])
def test_a_wrong_key(code, fault):
    with GrpcStandIn(code, "Invalid API key or JWT") as server:
        place = replace(open_at(server.port), api_key="wrong")
        saying = "refused the API key.*_QDRANT_API_KEY"
        with fault(f"gRPC: {code}", AuthenticationFailed, saying=saying):
            clients.connect(place)


@pytest.mark.parametrize("named", [None, "image"])
@pytest.mark.parametrize("fast", [True, False])
def test_what_is_written(named, fast, points, monkeypatch):
    """The same message, whether or not qdrant-client can copy vectors as bytes."""
    if not fast:
        monkeypatch.setattr(writing, "_to_grpc", lambda *_: None)
    with GrpcStandIn() as server:
        collection = points(server)
        monkeypatch.setattr(_Schema, "vector_name", named)
        payloads = [{"sample_id": i, "norm": 0.5} for i in IDS]
        writing.write(collection, IDS, VECTORS, payloads)
        sent = messages.UpsertPoints.FromString(server.messages[-1])
    assert (sent.collection_name, sent.wait) == ("points", True)
    read = [GrpcToRest.convert_point_struct(p) for p in sent.points]
    assert [p.id for p in read] == to_point_ids(IDS)
    assert [p.payload for p in read] == payloads
    vectors = [p.vector[named] if named else p.vector for p in read]
    np.testing.assert_array_equal(np.array(vectors, np.float32), VECTORS)


@pytest.mark.parametrize("named", [None, "image"])
def test_points_of_others_get_only_our_vectors_and_fields(named, points, monkeypatch):
    with GrpcStandIn() as server:
        collection = points(server)
        monkeypatch.setattr(_Schema, "vector_name", named)
        monkeypatch.setattr(_Schema, "ours", False)
        monkeypatch.setattr(collection, "existing", lambda ids: set(IDS[:20]))
        payloads = [{"sample_id": i, "norm": 0.5} for i in IDS]
        writing.write(collection, IDS, VECTORS, payloads)
        kept, made = server.messages[-1], server.messages[-2]
    assert server.calls[-2:] == ["/qdrant.Points/Upsert", "/qdrant.Points/UpdateBatch"]
    new = messages.UpsertPoints.FromString(made).points
    assert [p.id.uuid for p in new] == to_point_ids(IDS[20:])
    vectors, *fields = messages.UpdateBatchPoints.FromString(kept).operations
    changed = vectors.update_vectors.points
    assert [p.id.uuid for p in changed] == to_point_ids(IDS[:20])
    read = [GrpcToRest.convert_vectors(p.vectors) for p in changed]
    read = [v[named] if named else v for v in read]
    np.testing.assert_array_equal(np.array(read, np.float32), VECTORS[:20])
    read = [GrpcToRest.convert_payload(f.set_payload.payload) for f in fields]
    assert read == payloads[:20]


def test_rest_is_not_needed():
    with GrpcStandIn() as server:
        client = clients.connect(open_at(server.port))
        assert client.info().version == "1.19.2"
        assert isinstance(client.get_collections(), models.CollectionsResponse)
