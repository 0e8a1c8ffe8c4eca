"""Several addresses of one cluster: the next is asked when one does not answer."""

from __future__ import annotations

import pytest

from fiftyone_qdrant.errors import ConfigError, ConnectionFailed
from fiftyone_qdrant.qdrant import clients
from fiftyone_qdrant.qdrant.connection import resolve
from tests.server.conftest import KEY
from tests.server.misbehaviour import Fault
from tests.server.stand_in import StandIn

_SHARED = ("client", "lock", "replicas", "strict", "strict_mode", "_made", "_indexes")


@pytest.fixture
def other(server):
    """Another node of the cluster that ``server`` is of: it holds the same."""
    node = StandIn()
    for name in _SHARED:
        setattr(node, name, getattr(server, name))

    with node:
        yield node


@pytest.fixture
def both(server, other):
    return f"{server.url}, {other.url}"


def asked(node):
    return len(node.requests)


def test_one_node_is_enough_to_create_query_add_and_remove(
    create, samples, vectors, server, other, both
):
    server.stop()
    index = create(both, 30)
    ids = samples.values("id")
    index.add_to_index(vectors[30:], ids[30:])
    index.remove_from_index(sample_ids=ids[:5])
    (hits,) = index.search(ids[7], k=3)
    assert hits.ids[0] == ids[7]
    assert index.total_index_size == 55
    assert asked(server) == 0


@pytest.mark.parametrize("how", ["gone", "silent"])
def test_a_node_that_stops_answering_is_left_for_the_next(
    how, create, samples, server, other, both
):
    index = create(both)
    assert asked(other) == 0
    if how == "gone":
        server.stop()
    else:
        server.faults.append(Fault(stall=True))

    ids = samples.values("id")
    assert index.search(ids[3], k=2)[0].ids[0] == ids[3]
    assert asked(other)


def test_the_node_that_answered_is_asked_first_from_then_on(
    create, samples, server, other, both
):
    index = create(both)
    server.stop()
    ids = samples.values("id")
    index.search(ids[3], k=2)
    server.start()
    server.requests.clear()
    index.search(ids[4], k=2)
    assert asked(server) == 0


def test_with_no_node_left_the_last_says_so(create, server, other, both):
    index = create(both)
    server.stop()
    other.stop()
    with pytest.raises(ConnectionFailed, match="nothing listens there"):
        index.search(index.samples.first().id, k=2)


@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_the_key_beside_several_addresses_goes_to_each_and_to_no_other(
    server, other, both, monkeypatch
):
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_URL", both)
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_API_KEY", KEY)
    monkeypatch.delenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH", raising=False)
    server.stop()
    clients.connect(resolve({}))
    assert (KEY, None) in other.secrets

    with StandIn() as stranger:
        clients.connect(resolve({"url": f"{stranger.url},{other.url}"}))
        assert {key for key, _ in stranger.secrets} == {None}


def test_addresses_are_shown_without_their_passwords():
    place = resolve({"url": "http://me:secret@a:6333,b:6333,http://me:secret@a:6333"})
    assert place.location == "http://a:6333, http://b:6333"
    assert "secret" not in repr(place)


def test_each_address_must_be_one():
    with pytest.raises(ConfigError, match="no URL"):
        resolve({"url": "http://a:6333,ftp://b"})
