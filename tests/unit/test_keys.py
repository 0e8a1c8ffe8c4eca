"""Which API key goes to which url: a key belongs to the url of its own source."""

import itertools

import fiftyone.brain as fob
import pytest

import fiftyone_qdrant  # noqa: F401  (registers the backend)
from fiftyone_qdrant.qdrant import connection, urls
from fiftyone_qdrant.qdrant.configured import ENVIRONMENT, BackendConfig
from fiftyone_qdrant.qdrant.connection import belonging, keys_kept, resolve
from fiftyone_qdrant.similarity import QdrantSimilarityConfig

SOURCES = ("keyword", "environment", "brain config")
URLS = ("http://127.0.0.1:1", "http://qdrant:1", "https://qdrant:1", None)
KEYS = {"keyword": "k", "environment": "e", "brain config": "b"}
SAFE = ("http://127.0.0.1:1", "https://qdrant:1")


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch):
    for variable in ENVIRONMENT.values():
        monkeypatch.delenv(variable, raising=False)

    monkeypatch.setitem(
        fob.brain_config.similarity_backends, "qdrant", BackendConfig({})
    )
    monkeypatch.setattr(connection, "_is_qdrant", lambda url: True)


def place(monkeypatch, given):
    """Resolves what the three sources say: ``given[source]`` is a dict."""
    for name, value in given["environment"].items():
        monkeypatch.setenv(ENVIRONMENT[name], str(value))

    fob.brain_config.similarity_backends["qdrant"].update(given["brain config"])
    return resolve(given["keyword"])


def expected(given):
    """The key that may be sent, by the rules as they are written in the docs."""
    url = next((given[s]["url"] for s in SOURCES if "url" in given[s]), None)
    if url is None:  # only a guess
        return None

    keyword = given["keyword"]
    if "api_key" in keyword:
        return "k" if "url" in keyword or url in SAFE else None

    for source in SOURCES[1:]:
        own = given[source]
        if "api_key" in own and own.get("url") == url:
            return own["api_key"]

    return None


TABLE = [
    dict(zip(SOURCES, row, strict=True))
    for row in itertools.product(itertools.product(URLS, (True, False)), repeat=3)
]


def test_a_key_goes_to_the_url_of_its_own_source(monkeypatch):
    """512 combinations of three sources, each with or without a url and a key."""
    for row in TABLE:
        given = {
            source: ({"url": url} if url else {})
            | ({"api_key": KEYS[source]} if has_key else {})
            for source, (url, has_key) in row.items()
        }
        with monkeypatch.context() as patch:
            fob.brain_config.similarity_backends["qdrant"] = BackendConfig({})
            found = place(patch, given)

        assert found.api_key == expected(given), given
        told = any(has_key for _, has_key in row.values()) and not found.api_key
        assert bool(found.withheld) == told, given


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("http://Qdrant.example:6333", True),
        ("qdrant.example", True),
        ("http://qdrant.example/", True),
        ("http://qdrant.example.:6333//", True),
        ("http://me:word@qdrant.example:6333", True),
        ("https://qdrant.example:6333", False),
        ("http://qdrant.example:6334", False),
        ("http://qdrant.example/qdrant", False),  # a proxy's, on port 80
        ("http://qdrant.example.evil.com:6333", False),
        ("http://qdrant.example:6333@evil.com", False),
        ("http://evil.com#@qdrant.example:6333", False),
        ("http://evil.com?@qdrant.example:6333", False),
        ("http://evil.com/@qdrant.example:6333", False),
    ],
)
def test_however_a_url_is_written_its_server_gets_the_key(monkeypatch, written, same):
    monkeypatch.setenv(ENVIRONMENT["url"], "http://qdrant.example:6333")
    monkeypatch.setenv(ENVIRONMENT["api_key"], "e")
    assert resolve({"url": written}).api_key == ("e" if same else None)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://[::1]:1", "http://[0:0:0:0:0:0:0:1]:1"),
        ("https://host", "https://HOST:443/"),
        ("https://x.cloud.qdrant.io", "https://x.cloud.qdrant.io:6333"),
        ("http://host/qdrant", "http://host:80/other"),
    ],
)
def test_implied_ports_and_long_addresses_are_the_same(monkeypatch, one, other):
    monkeypatch.setenv(ENVIRONMENT["url"], one)
    monkeypatch.setenv(ENVIRONMENT["api_key"], "e")
    assert resolve({"url": other}).api_key == "e"


@pytest.mark.parametrize(
    "host", ["127.0.0.1.evil.com", "localhost.evil.com", "1.1.1.1"]
)
def test_hosts_that_look_like_loopback_are_not(monkeypatch, host):
    monkeypatch.setenv(ENVIRONMENT["url"], f"http://{host}")
    assert resolve({"api_key": "k"}).api_key is None


def test_what_is_sent_to_is_what_was_compared():
    """Parsers disagree on such urls: the client gets one that has no two readings."""
    url = "http://a:1@B.example/qdrant?x=http://c"
    assert urls.bare(url) == "http://b.example:80/qdrant"
    assert urls.bare("http://[::1]") == "http://[::1]:6333"


PORTS = [(None, None, True), (7, 7, True), (None, 7, False), (7, 8, False)]


@pytest.mark.parametrize(("own", "used", "goes"), PORTS)
@pytest.mark.parametrize("prefer_grpc", [True, False])
def test_a_grpc_port_of_another_source_gets_no_key(
    monkeypatch, own, used, goes, prefer_grpc
):
    env = {"url": "https://h", "api_key": "e"} | ({"grpc_port": own} if own else {})
    keyword = {"prefer_grpc": prefer_grpc} | ({"grpc_port": used} if used else {})
    given = {"keyword": keyword, "environment": env, "brain config": {}}
    found = place(monkeypatch, given)
    assert (found.api_key == "e") is (goes or not prefer_grpc)


def test_a_password_goes_with_its_own_url_only(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT["url"], "https://me:word@host")
    assert resolve({"url": "https://HOST/a"}).url == "https://me:word@HOST/a"
    for other in ("https://other", "http://host", "https://host:6333"):
        assert "word" not in resolve({"url": other}).url


def test_a_key_of_the_file_is_not_sent_to_the_url_of_the_environment(
    monkeypatch, tmp_path
):
    """FiftyOne merges the two when it starts."""
    file = tmp_path / "brain_config.json"
    file.write_text(
        '{"similarity_backends": {"qdrant": {"url": "https://b", "api_key": "b"}}}'
    )
    monkeypatch.setenv("FIFTYONE_BRAIN_CONFIG_PATH", str(file))
    monkeypatch.setenv(ENVIRONMENT["url"], "https://e")
    merged = fob.config.BrainConfig.from_json(str(file)).similarity_backends["qdrant"]
    assert (merged["url"], merged["api_key"]) == ("https://e", "b")
    fob.brain_config.similarity_backends["qdrant"] = BackendConfig(merged)
    assert resolve({}).url == "https://e"
    assert resolve({}).api_key is None
    assert resolve({"url": "https://b"}).api_key == "b"


def test_a_key_given_for_one_url_is_forgotten_with_it():
    config = QdrantSimilarityConfig(url="https://a", api_key="k")
    config.load_credentials(url="https://a/")
    assert config.connection().api_key == "k"
    config.load_credentials(url="https://b")
    assert config.connection().api_key is None


def test_nothing_secret_is_in_what_a_form_resolves(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT["url"], "https://me:word@host")
    monkeypatch.setenv(ENVIRONMENT["api_key"], "e")
    with keys_kept():
        found = resolve({})
        explicit = resolve({"url": "https://u:word@x", "api_key": "k"})

    assert (found.url, found.api_key, found.key_waits) == ("https://host", None, True)
    assert (explicit.url, explicit.api_key) == ("https://x", None)
    assert "a form asks without it" in found.withheld
    assert resolve({}).api_key == "e"


@pytest.mark.parametrize(
    ("params", "secrets", "key", "url"),
    [
        ({}, {"url": "https://s", "api_key": "x"}, "x", "https://s"),
        (
            {"url": "https://s/"},
            {"url": "https://s", "api_key": "x"},
            "x",
            "https://s/",
        ),
        ({"url": "https://o"}, {"url": "https://s", "api_key": "x"}, None, "https://o"),
        ({"url": "http://s:443"}, {"url": "https://s", "api_key": "x"}, None, None),
        ({"url": "https://s"}, {"api_key": "x"}, None, "https://s"),
        ({}, {"api_key": "x"}, None, None),
        ({"path": "/p"}, {"url": "https://s", "api_key": "x"}, None, None),
        ({"grpc_port": 7}, {"url": "https://s", "api_key": "x"}, None, "https://s"),
        ({}, {"url": "https://s", "path": "/p", "api_key": "x"}, "x", "https://s"),
    ],
)
def test_the_apps_secrets_are_one_source(params, secrets, key, url):
    values = belonging(params, secrets)
    assert values.get("api_key") == key
    assert url in (None, values.get("url"))
    assert not (values.get("url") and values.get("path"))
