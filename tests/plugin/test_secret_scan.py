"""A marked key through every door and every operator, then searched for everywhere."""

from __future__ import annotations

import logging
import time
import traceback
import uuid
from types import SimpleNamespace

import fiftyone.brain as fob
import fiftyone.operators as foo
import pytest
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant.qdrant import clients, connection, retries
from fiftyone_qdrant.runs import load_index
from tests.plugin.calls import URI, database, panel_context
from tests.server.misbehaviour import Fault
from tests.server.stand_in import StandIn

ENV = connection.ENVIRONMENT
pytestmark = pytest.mark.filterwarnings(
    "ignore:Payload indexes have no effect",  # Qdrant's client in memory
    "ignore:Local mode performs exact",
    "ignore:Api key is used with an insecure connection",
)


@pytest.fixture
def key():
    return f"planted-{uuid.uuid4().hex}"


@pytest.fixture
def server(monkeypatch):
    """A server on the wire, and nothing else that an index could go to."""
    monkeypatch.delenv(ENV["path"])
    monkeypatch.setattr(clients, "_clients", {})
    slept = []  # in no time: many calls here fail again and again
    clock = SimpleNamespace(
        sleep=slept.append, monotonic=lambda: time.monotonic() + sum(slept)
    )
    monkeypatch.setattr(retries, "time", clock)
    with StandIn() as stand_in:
        yield stand_in


@pytest.fixture(params=["environment", "brain config", "keyword"])
def keywords(request, server, key, monkeypatch):
    """Plants the key; returns the keywords that a caller gives."""
    server.api_key = key  # wanted in each request
    given = {"url": server.url, "api_key": key}
    if request.param == "keyword":
        monkeypatch.setenv(ENV["url"], server.url)
        monkeypatch.setenv(ENV["api_key"], key)  # operators take no key
        return given

    if request.param == "brain config":
        backend = dict(fob.brain_config.similarity_backends["qdrant"], **given)
        monkeypatch.setitem(fob.brain_config.similarity_backends, "qdrant", backend)
        return {}

    for name, value in given.items():  # plugin secrets are environment variables
        monkeypatch.setenv(ENV[name], value)

    return {}


def drive_everything(dataset, keywords, server, seen):
    """Runs every operator, at once and delegated, well and failing."""
    index = fob.compute_similarity(
        dataset, embeddings="pixels", backend="qdrant", brain_key="mine", **keywords
    )
    seen += [repr(index), str(index.config), repr(index.collection.connection)]
    ids = dataset.values("id")
    calls = [
        ("create_qdrant_index", {"brain_key": "theirs", "embeddings": "pixels"}),
        ("remove_selected", {"brain_key": "theirs"}),
        ("add_selected_to_index", {"brain_key": "theirs"}),
        ("query_similar", {"brain_key": "theirs", "query": ids[0], "k": 3}),
        ("sync_index", {"brain_key": "theirs"}),
        ("tune_index", {"brain_key": "theirs", "hnsw_config": {"m": 8}}),
        ("cleanup_collection", {"brain_key": "theirs", "dry_run": True}),
    ]
    service = DelegatedOperationService()
    for faults in ([], [Fault(status=403)], [Fault(status=500)]):
        server.faults = faults
        for delegated in (False, True):
            for name, params in calls:
                if delegated and name == "create_qdrant_index":
                    params = {**params, "brain_key": "later"}

                ctx = {"dataset": dataset, "selected": ids[:2]}
                try:
                    foo.execute_operator(
                        URI + name, ctx, params=params, request_delegation=delegated
                    )
                except ExecutionError:
                    seen.append(traceback.format_exc())

        for result in service.execute_queued_operations(dataset_name=dataset.name):
            seen.append(str(result.error))

        if not faults:
            assert not any("Traceback" in text for text in seen), seen

        state = {}
        for event in ("on_load", "compare", "toggle_collections", "refresh"):
            ctx = panel_context(dataset, state, __method__=event)
            foo.get_operator(URI + "qdrant_status").execute(ctx)
            state = ctx.panel_state
            seen += [str(state), str(ctx.executor.to_json())]

    server.faults = []
    load_index(dataset, "mine").cleanup()


def test_the_key_is_sent_to_the_server_and_seen_nowhere_else(
    dataset, server, key, keywords, caplog, capsys
):
    caplog.set_level(logging.DEBUG)
    seen = []
    drive_everything(dataset, keywords, server, seen)
    texts = [database(), caplog.text, *capsys.readouterr(), *seen]
    places = [n for n, text in enumerate(texts) if key in text]
    assert places == []
    assert sum("Traceback" in text for text in seen) > 10  # failures were driven, too
