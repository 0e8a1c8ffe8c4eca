"""Where an index is: which source wins, which URL forms work, what is never shown."""

import fiftyone.brain as fob
import fiftyone.brain.similarity as similarity
import pytest

import fiftyone_qdrant  # noqa: F401  (registers the backend)
from fiftyone_qdrant import CONFIG_CLS
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.qdrant import clients, connection
from fiftyone_qdrant.qdrant.configured import BackendConfig
from fiftyone_qdrant.qdrant.connection import EMBEDDED, ENVIRONMENT, SERVER, resolve
from fiftyone_qdrant.similarity import QdrantSimilarityConfig


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch):
    """No source says anything, and no server runs on this machine."""
    for variable in ENVIRONMENT.values():
        monkeypatch.delenv(variable, raising=False)

    monkeypatch.setitem(fob.brain_config.similarity_backends, "qdrant", {})
    monkeypatch.setattr(connection, "_is_qdrant", lambda url: False)


SOURCES = ("keyword", "environment", "brain config", "default")
VALUES = {
    "url": ["http://k:1", "http://e:2", "http://b:3", None],
    "grpc_port": [1, 2, 3, 6334],
    "prefer_grpc": [True, True, True, False],
    "timeout": [11, 12, 13, 60],
}


def give(monkeypatch, source, name, value):
    if source == "keyword":
        return {name: value}

    if source == "environment":
        monkeypatch.setenv(ENVIRONMENT[name], str(value))
    else:
        fob.brain_config.similarity_backends["qdrant"][name] = value

    return {}


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("winner", [0, 1, 2])
@pytest.mark.parametrize("loser", [1, 2, 3])
def test_the_nearer_source_wins(monkeypatch, name, winner, loser):
    if loser <= winner:
        winner, loser = min(winner, loser), 3

    keywords = {"url": "http://somewhere"} if name != "url" else {}
    for source in (winner, loser):
        if source < 3:
            value = VALUES[name][source]
            keywords |= give(monkeypatch, SOURCES[source], name, value)

    assert getattr(resolve(keywords), name) == VALUES[name][winner]


def test_a_new_index_goes_to_the_embedded_store_by_default():
    place = resolve({})
    assert place.engine == EMBEDDED
    assert place.path.endswith("/.fiftyone/var/lib/qdrant")


def test_a_new_index_goes_to_a_local_server_that_answers(monkeypatch):
    monkeypatch.setattr(connection, "_is_qdrant", lambda url: True)
    assert resolve({}).url == "http://localhost:6333"


def test_a_path_keyword_beats_a_url_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv(ENVIRONMENT["url"], "http://e:2")
    assert resolve({"path": str(tmp_path)}).path == str(tmp_path.resolve())


def test_a_path_keyword_beats_a_url_that_fiftyone_took_from_the_brain_config(tmp_path):
    configure(url="http://b:3")
    assert made_with(path=str(tmp_path)).engine == EMBEDDED
    with pytest.raises(ConfigError, match="no path: name a directory"):
        made_with(path="a\0b")


def configure(**values):
    """Puts values into the brain config, as FiftyOne has it after our import."""
    backend = BackendConfig({"config_cls": CONFIG_CLS, **values})
    fob.brain_config.similarity_backends["qdrant"] = backend


def made_with(**keywords):
    """Where FiftyOne's ``compute_similarity()`` makes an index with these keywords."""
    return similarity._parse_config("qdrant", **keywords).connection()


SAME = [
    ("path", "/new", "/other"),
    ("url", "http://h:1", "http://h:2"),
    ("timeout", 5, 60),
    ("prefer_grpc", True, False),
    ("grpc_port", 7000, 7001),
]


@pytest.mark.parametrize(("name", "value", "other"), SAME)
def test_a_keyword_wins_though_the_brain_config_has_the_same_value(
    monkeypatch, name, value, other
):
    configure(**{name: value})
    monkeypatch.setenv(ENVIRONMENT[name], str(other))
    place = {"url": "http://s:1"} if name not in ("url", "path") else {}
    assert getattr(made_with(**place, **{name: value}), name) == value


@pytest.mark.parametrize("source", ["environment", "brain config", "both"])
@pytest.mark.parametrize("form", ["{}", "{}/", "{}/../new", "{}//."])
def test_a_run_opens_at_the_path_given_wherever_else_it_is_configured(
    monkeypatch, source, form
):
    if source != "brain config":
        monkeypatch.setenv(ENVIRONMENT["path"], "/new")

    if source != "environment":
        configure(path="/new")

    stored = QdrantSimilarityConfig(engine=EMBEDDED, path="/old")
    stored.load_credentials(path=form.format("/new"))
    assert stored.connection().path == "/new"


def test_url_and_path_together_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="not both"):
        resolve({"url": "http://k:1", "path": str(tmp_path)})


def test_an_embedded_run_stays_embedded_whatever_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv(ENVIRONMENT["url"], "http://e:2")
    monkeypatch.setenv(ENVIRONMENT["path"], "/elsewhere")
    assert resolve({}, EMBEDDED, str(tmp_path)).path == str(tmp_path.resolve())


def test_a_server_run_never_opens_an_embedded_store(monkeypatch):
    monkeypatch.setenv(ENVIRONMENT["path"], "/elsewhere")
    place = resolve({}, SERVER)
    assert (place.engine, place.url) == (SERVER, "http://localhost:6333")


@pytest.mark.parametrize(
    ("engine", "keywords"),
    [(EMBEDDED, {"url": "http://k:1"}), (SERVER, {"path": "/elsewhere"})],
)
def test_opening_a_run_on_the_other_engine_is_refused(engine, keywords):
    with pytest.raises(ConfigError, match="cannot be opened"):
        resolve(keywords, engine, "/store")


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("localhost:6333", "http://localhost:6333"),
        ("http://localhost:6333/", "http://localhost:6333"),
        ("https://x.cloud.qdrant.io", "https://x.cloud.qdrant.io"),
        ("https://host/qdrant/", "https://host/qdrant"),
        ("10.0.0.7", "http://10.0.0.7"),
    ],
)
def test_urls_are_understood_as_people_write_them(written, url):
    assert resolve({"url": written}).url == url


@pytest.mark.parametrize(
    "bad",
    [
        *("ftp://host", "http://", "://", "http://h:0", "http://h:65536", "http://h:x"),
        *("http://[::1", "http://a b:1", "http://good\\@evil:1", "http://h%2e:1"),
    ],
)
def test_what_is_no_url_is_refused(bad):
    with pytest.raises(ConfigError, match=r"no URL of a Qdrant server|The url has no"):
        resolve({"url": bad})


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(0.5, 0.5), (1.9, 1.9), ("0.5", 0.5), ("1e-3", 0.001), (7, 7), ("60", 60)],
)
@pytest.mark.parametrize("source", SOURCES[:3])
@pytest.mark.parametrize("place", [{"url": "http://k:1"}, {"path": "/store"}])
def test_a_timeout_may_be_a_fraction(monkeypatch, place, source, written, seconds):
    keywords = give(monkeypatch, source, "timeout", written)
    assert resolve({**place, **keywords}).timeout == seconds


WRONG = {
    "grpc_port": ["x", 0, -1, 65536, 6334.7, "6334.5", True, float("nan"), [6334]],
    "timeout": [0, -1, "soon", True, float("nan"), float("inf"), "1e999", 10**400],
    "prefer_grpc": ["often"],
}


@pytest.mark.parametrize(
    "bad", [{name: value} for name, values in WRONG.items() for value in values]
)
def test_wrong_connection_values_are_named(bad):
    (name,) = bad
    with pytest.raises(ConfigError, match=name):
        resolve({"url": "http://k:1", **bad})


def test_neither_key_nor_password_is_shown():
    place = resolve({"url": "http://me:pa55@k:1", "api_key": "s3cret"})
    shown = f"{place!r} {place.location}"
    assert "s3cret" not in shown
    assert "pa55" not in place.location


def test_one_client_serves_all_indexes_of_a_place(monkeypatch):
    opened = []
    monkeypatch.setattr(clients, "_open_server", lambda c: opened.append(c) or c)
    monkeypatch.setattr(clients, "_clients", {})
    place = resolve({"url": "http://k:1"})
    assert clients.connect(place) is clients.connect(place)
    assert len(opened) == 1
