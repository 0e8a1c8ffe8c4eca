"""A key is used, and never stored, shown or logged."""

from __future__ import annotations

import json
import logging
import uuid

import fiftyone.brain as fob
import fiftyone.operators as foo
import pytest
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant.qdrant import clients, connection
from fiftyone_qdrant.runs import load_index
from tests.plugin.calls import URI, call, database, snapshot
from tests.plugin.http_server import http_server

ENV = connection.ENVIRONMENT
pytestmark = pytest.mark.filterwarnings(
    "ignore:Payload indexes have no effect",  # Qdrant's client in memory
    "ignore:Api key is used with an insecure connection",
)


@pytest.fixture
def key() -> str:
    return f"planted-{uuid.uuid4().hex}"


@pytest.fixture
def password() -> str:
    return f"word-{uuid.uuid4().hex}"


@pytest.fixture
def server(monkeypatch, password):
    """A stand-in for servers: its URL with a password, and what was opened."""
    from qdrant_client import QdrantClient

    opened = []
    memory = QdrantClient(":memory:")

    def open_server(place):
        opened.append(place)
        return memory

    monkeypatch.setattr(clients, "_open_server", open_server)
    monkeypatch.setattr(clients, "_clients", {})
    monkeypatch.delenv(ENV["path"])
    return f"http://user:{password}@qdrant.example:6333", opened


@pytest.fixture
def queue():
    """Forgets the operations that the test queued."""
    service = DelegatedOperationService()
    yield service
    for operation in service.get_queued_operations():
        service.delete_operation(operation.id)


@pytest.fixture(params=["environment", "keyword"])
def index(request, dataset, server, key, monkeypatch, caplog, capsys):
    """An index that was made with the key, in one of the two ways."""
    caplog.set_level(logging.DEBUG)
    url, opened = server
    given = {"url": url, "api_key": key}
    if request.param == "environment":
        for name, value in given.items():
            monkeypatch.setenv(ENV[name], value)
        given = {}
    made = fob.compute_similarity(
        dataset, embeddings="pixels", backend="qdrant", brain_key="mine", **given
    )
    assert {place.api_key for place in opened} == {key}
    assert made.total_index_size == 40
    return made


def test_database_has_no_secret(index, key, password):
    stored = database()
    assert index.config.collection_name in stored
    assert key not in stored
    assert password not in stored
    assert "qdrant.example" not in stored


def test_texts_of_an_index_show_no_secret(index, dataset, key, password):
    info = dataset.get_brain_info("mine")
    texts = [
        repr(index),
        str(index),
        repr(index.config),
        str(index.config),
        json.dumps(index.config.serialize()),
        str(index.config.attributes()),
        str(info),
        repr(info.serialize()),
        repr(index.collection.connection),
        str(index.collection.connection),
        index.collection.connection.location,
    ]
    for text in texts:
        assert key not in text
        assert password not in text


def test_public_attributes_hold_no_secret(index, key, password):
    public = {k: v for k, v in vars(index.config).items() if not k.startswith("_")}
    assert key not in str(public)
    assert password not in str(public)


def test_log_shows_no_secret(index, dataset, key, password, caplog, capsys):
    dataset.sort_by_similarity(dataset.first().id, k=3, brain_key="mine")
    index.cleanup()
    output = capsys.readouterr()
    for text in (caplog.text, output.out, output.err):
        assert key not in text
        assert password not in text


def test_collection_holds_no_secret(index, key, password):
    info = index.client.get_collection(index.config.collection_name)
    points, _ = index.client.scroll(index.config.collection_name, limit=100)
    for text in (str(info), str(points)):
        assert key not in text
        assert password not in text


def test_api_key_parameter_is_refused(dataset, key, client):
    before = snapshot(client)
    with pytest.raises(ExecutionError, match=ENV["api_key"]) as caught:
        call(
            "create_qdrant_index",
            dataset,
            brain_key="mine",
            embeddings="pixels",
            api_key=key,
        )
    assert key not in str(caught.value)
    assert snapshot(client) == before


def test_api_key_parameter_of_a_delegated_operation_is_not_stored(dataset, key, queue):
    """FiftyOne stores what is queued, so it must be refused before that."""
    params = {"brain_key": "mine", "embeddings": "pixels", "api_key": key}
    with pytest.raises(ExecutionError, match=ENV["api_key"]):
        foo.execute_operator(
            f"{URI}create_qdrant_index",
            {"dataset": dataset},
            params=params,
            request_delegation=True,
        )
    assert key not in database()


def test_secret_is_used_by_the_operator(dataset, server, key, monkeypatch, password):
    url, opened = server
    monkeypatch.setenv(ENV["url"], url)
    monkeypatch.setenv(ENV["api_key"], key)
    made = call("create_qdrant_index", dataset, brain_key="mine", embeddings="pixels")
    assert [place.api_key for place in opened] == [None, key]  # its form had none
    assert made["engine"] == "server"
    assert made["location"] == "http://qdrant.example:6333"
    assert key not in json.dumps(made)
    assert password not in json.dumps(made)
    stored = database()
    assert key not in stored
    assert password not in stored


def test_secret_is_not_stored_with_a_delegated_operation(
    dataset, key, queue, monkeypatch
):
    monkeypatch.setenv(ENV["api_key"], key)
    params = {"brain_key": "mine", "embeddings": "pixels"}
    queued = foo.execute_operator(
        f"{URI}create_qdrant_index",
        {"dataset": dataset},
        params=params,
        request_delegation=True,
    )
    assert queued.delegated
    stored = database()
    assert str(queued.result["id"]) in stored
    assert key not in stored


@pytest.fixture
def echo():
    """A server that answers 500, with all that it was sent."""
    with http_server(500, lambda headers: str(headers).encode()) as address:
        yield address


def test_errors_show_no_secret(dataset, echo, key, password, caplog):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Exception, match=r"127\.0\.0\.1") as caught:
        fob.compute_similarity(
            dataset,
            embeddings="pixels",
            backend="qdrant",
            brain_key="mine",
            url=f"http://user:{password}@{echo}",
            api_key=key,
        )
    for text in (str(caught.value), repr(caught.value), caplog.text):
        assert key not in text
        assert password not in text


def test_error_about_a_bad_url_does_not_repeat_its_password(dataset, password):
    with pytest.raises(ValueError, match="no URL of a Qdrant server") as caught:
        fob.compute_similarity(
            dataset,
            embeddings="pixels",
            backend="qdrant",
            url=f"ftp://user:{password}@qdrant.example",
        )
    assert password not in str(caught.value)


def test_environment_of_the_stores_owner_has_no_secret(
    dataset, key, monkeypatch, store_path
):
    """The owner process outlives its maker, and anybody's ``ps e`` reads it."""
    import psutil

    monkeypatch.setenv(ENV["api_key"], key)
    made = fob.compute_similarity(
        dataset, embeddings="pixels", backend="qdrant", path=str(store_path)
    )
    owner = psutil.Process(made.client.store_info()["pid"])
    assert key not in str(owner.environ())
    assert key not in " ".join(owner.cmdline())


def test_run_is_opened_again_with_the_key_of_the_environment(
    dataset, server, key, monkeypatch
):
    url, opened = server
    fob.compute_similarity(
        dataset,
        embeddings="pixels",
        backend="qdrant",
        brain_key="mine",
        url=url,
        api_key=key,
    )
    clients._clients.clear()
    monkeypatch.setenv(ENV["url"], url)
    monkeypatch.setenv(ENV["api_key"], f"{key}-2")
    assert load_index(dataset, "mine").total_index_size == 40
    assert [place.api_key for place in opened] == [key, f"{key}-2"]
