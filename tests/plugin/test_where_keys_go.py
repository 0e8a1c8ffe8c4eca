"""What a server is sent through each door: a key only if it is that server's."""

from __future__ import annotations

import contextlib

import fiftyone.brain as fob
import fiftyone.operators as foo
import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant.errors import AuthenticationFailed, QdrantPluginError
from fiftyone_qdrant.qdrant import clients, connection
from fiftyone_qdrant.runs import load_index
from panels.qdrant_status import QdrantStatus
from tests.plugin.calls import URI, call, panel_context
from tests.server.stand_in import StandIn

ENV = connection.ENVIRONMENT
KEY, WORD = "planted-key", "planted-word"
pytestmark = pytest.mark.filterwarnings(
    "ignore:Api key is used with an insecure connection"
)


@pytest.fixture(autouse=True)
def _no_clients(monkeypatch):
    monkeypatch.setattr(clients, "_clients", {})
    yield
    for client in clients._clients.values():
        client.close()


@pytest.fixture
def other():
    """A server that somebody names, and that wants a key as well."""
    with StandIn() as stand_in:
        stand_in.api_key = "another"
        yield stand_in


@pytest.fixture(params=["key", "password"])
def configured(request, monkeypatch):
    """The server of the environment, with its key or with a proxy's password."""
    with StandIn() as stand_in:
        url = stand_in.url
        monkeypatch.delenv(ENV["path"], raising=False)
        if request.param == "key":
            stand_in.api_key = KEY
            monkeypatch.setenv(ENV["api_key"], KEY)
        else:
            url = url.replace("://", f"://me:{WORD}@")

        monkeypatch.setenv(ENV["url"], url)
        yield stand_in


def got_a_secret(server):
    assert server.secrets, "nobody came"
    return any(key or word for key, word in server.secrets)


def form(name, dataset, **params):
    """Fills in a form, which the App does with each letter that is typed."""
    ctx = foo.executor.ExecutionContext(
        request_params={"dataset_name": dataset.name, "params": params},
        executor=foo.executor.Executor(),
    )
    return foo.get_operator(URI + name).resolve_input(ctx).type


NEW = {"brain_key": "new", "embeddings": "pixels"}
DOORS = {
    "create": lambda d, url: call("create_qdrant_index", d, **NEW, url=url),
    "create, dry": lambda d, url: call(
        "create_qdrant_index", d, **NEW, url=url, dry_run=True
    ),
    "create, form": lambda d, url: form("create_qdrant_index", d, **NEW, url=url),
    "create, form asks": lambda d, url: form(
        "create_qdrant_index", d, **NEW, url=url, where="server", ask=True
    ),
    "connect, form": lambda d, url: form(
        "create_qdrant_index", d, source="collection", brain_key="new", url=url
    ),
    "cleanup": lambda d, url: call(
        "cleanup_collection", d, collection_name="c", confirm="c", url=url
    ),
    "cleanup, dry": lambda d, url: call("cleanup_collection", d, dry_run=True, url=url),
    "cleanup, form": lambda d, url: form(
        "cleanup_collection", d, what="orphan", url=url
    ),
    "keyword": lambda d, url: fob.compute_similarity(
        d, embeddings="pixels", backend="qdrant", brain_key="new", url=url
    ),
}


@pytest.mark.parametrize("door", DOORS)
def test_another_url_gets_no_secret(dataset, configured, other, door):
    with contextlib.suppress(ExecutionError, QdrantPluginError):  # it wants a key
        DOORS[door](dataset, other.url)

    assert not got_a_secret(other)


def test_why_no_key_was_sent_is_said(dataset, configured, other):
    for door, error in (("create", ExecutionError), ("keyword", AuthenticationFailed)):
        with pytest.raises(error, match=r"wants an API key, and none was sent"):
            DOORS[door](dataset, other.url)


def test_a_stored_run_opened_at_another_url_sends_no_secret(dataset, configured, other):
    DOORS["create"](dataset, None)
    dataset.clear_cache()
    opened = dataset.load_brain_results("new", url=other.url)
    with pytest.raises(AuthenticationFailed, match="none was sent"):
        opened.collection.count()

    assert not got_a_secret(other)


@pytest.mark.parametrize("door", DOORS)
def test_the_servers_own_url_gets_its_secret_but_not_from_a_form(
    dataset, configured, door
):
    DOORS[door](dataset, configured.url)
    assert got_a_secret(configured) is ("form" not in door)


INDEX_FORMS = {
    "create_qdrant_index": {"source": "run", "from_brain_key": "new", "brain_key": "x"},
    "sync_index": {"brain_key": "new"},
    "tune_index": {"brain_key": "new"},
    "query_similar": {"brain_key": "new", "query": "a seven"},
    "cleanup_collection": {"brain_key": "new"},
    "add_selected_to_index": {"brain_key": "new", "confirm": True},
}


@pytest.mark.parametrize("name", INDEX_FORMS)
def test_the_form_of_an_index_sends_no_secret_and_can_be_sent(
    dataset, configured, name
):
    DOORS["create"](dataset, None)
    configured.secrets.clear()
    params = dict(INDEX_FORMS[name])
    if name == "cleanup_collection":
        params["confirm"] = load_index(dataset, "new").collection.name

    inputs = form(name, dataset, **params)
    assert not any(key or word for key, word in configured.secrets)
    assert not [n for n, p in inputs.properties.items() if p.invalid]


def test_the_panel_reads_the_configured_server_with_its_key(dataset, configured):
    DOORS["create"](dataset, None)
    configured.secrets.clear()
    ctx = panel_context(dataset)
    QdrantStatus().on_load(ctx)
    assert got_a_secret(configured)


def test_a_redirect_takes_no_key_along(dataset, configured, other):
    """Httpx and gRPC follow none; what is said is where it leads."""
    from tests.server.misbehaviour import Fault

    configured.faults = [Fault(status=307, body=b"", headers={"Location": other.url})]
    with pytest.raises(QdrantPluginError, match="redirects"):
        DOORS["keyword"](dataset, None)

    assert other.requests == []


def test_a_proxy_of_the_environment_sees_no_key_of_a_plain_url(
    dataset, configured, other, monkeypatch
):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, other.url)

    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    DOORS["keyword"](dataset, None)
    assert other.requests == []
