"""What keeps a client from its server: said within seconds, nothing left behind."""

from __future__ import annotations

import logging
import re
import socket
import ssl
import subprocess

import pytest

from fiftyone_qdrant.errors import AuthenticationFailed, ConfigError, ConnectionFailed
from fiftyone_qdrant.qdrant import clients
from fiftyone_qdrant.qdrant.connection import resolve
from fiftyone_qdrant.status.indexes import index_status, survey
from tests.isolation import free_port
from tests.server.conftest import KEY
from tests.server.grpc_stand_in import GrpcStandIn
from tests.server.misbehaviour import Fault
from tests.server.stand_in import StandIn


@pytest.fixture
def fails(create, samples, fault):
    """Creating an index there fails as said, and leaves no run."""

    def check(name, url, *expected, saying, within=3.0, **config):
        with fault(name, *expected, saying=saying, within=within) as seen:
            create(url, **config)
        assert samples.list_brain_runs() == []
        seen.state = "nothing was made"

    return check


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A server's side of TLS, with a certificate nobody vouches for."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    command += " -addext subjectAltName=DNS:localhost,IP:127.0.0.1"
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.authority, context.key = folder / "cert.pem", folder / "key.pem"
    return context


def test_refused(fails):
    url = f"http://127.0.0.1:{free_port()}"
    fails("refused", url, ConnectionFailed, saying="nothing listens there")


@pytest.mark.slow
@pytest.mark.parametrize("grpc", [False, True])
def test_silent(grpc, fails, monkeypatch):
    """As an unroutable address: packets go, nothing comes back."""
    monkeypatch.setattr(clients, "_CONNECT_SECONDS", 1)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        full = [socket.socket() for _ in range(2)]  # of connections nobody accepts
        for s in full:
            s.setblocking(False)
            s.connect_ex(("127.0.0.1", port))
        fails(
            f"unroutable{', gRPC' * grpc}, 1 s instead of 5 (timeout=60)",
            f"http://127.0.0.1:{port}",
            ConnectionFailed,
            saying="does not answer.*(right|needed)|did not answer in time",
            within=6.0,
            timeout=60,
            prefer_grpc=grpc,
            grpc_port=port,
        )
        for s in full:
            s.close()


@pytest.mark.slow
def test_accepts_but_never_answers(server, fails, monkeypatch):
    monkeypatch.setattr(clients, "_CONNECT_SECONDS", 1)
    server.faults = [Fault(stall=True)]
    fails(
        "accepts, never answers, 1 s instead of 5 (timeout=60)",
        server.url,
        ConnectionFailed,
        saying="did not answer in time.*timeout",
        within=6.0,
        timeout=60,
    )


def test_unknown_host(fails):
    url = "http://no-such-host.invalid:6333"
    fails("DNS failure", url, ConnectionFailed, saying="no host of that name")


def test_tls_to_a_server_without(server, fails):
    url = server.url.replace("http:", "https:")
    fails("https to a plain port", url, ConnectionFailed, saying="not answer over TLS")


def test_no_tls_to_a_server_with(certificate, fails):
    with StandIn(tls=certificate) as server:
        url = server.url.replace("https:", "http:")
        saying = "https:// if the server has TLS|closed the connection"
        fails("http to a TLS port", url, ConnectionFailed, saying=saying)


def test_untrusted_certificate(certificate, fails, create, monkeypatch):
    with StandIn(tls=certificate) as server:
        saying = "not trusted.*self-signed.*SSL_CERT_FILE"
        fails("self-signed certificate", server.url, ConnectionFailed, saying=saying)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
        assert create(server.url).total_index_size == 60


def test_untrusted_certificate_over_grpc(certificate, fault, monkeypatch):
    files = (certificate.key, certificate.authority)
    with GrpcStandIn(tls=files) as server:
        given = {"url": f"https://127.0.0.1:{free_port()}", "prefer_grpc": True}
        given = {**given, "grpc_port": server.port, "timeout": 3}
        saying = "not trusted over gRPC.*SSL_CERT_FILE"
        with fault("gRPC: self-signed", ConnectionFailed, saying=saying):
            clients.connect(resolve(given))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate.authority))
        assert clients.connect(resolve(given)).info().version == "1.19.2"


def test_a_file_of_certificates_that_is_not_there_is_named(server, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/no/such/file.pem")
    given = {"url": server.url, "prefer_grpc": True}
    with pytest.raises(ConfigError, match=r"'/no/such/file\.pem' cannot be read"):
        clients.connect(resolve(given))


REFUSED = {
    "expired": (401, b"Invalid JWT: token expired at 2026-11-25", "it has expired"),
    "other collections": (
        403,
        b'{"status": {"error": "Forbidden: Access to collection index is required"}}',
        "it is for other collections than 'index'",
    ),
    "read only": (
        403,
        b'{"status": {"error": "Forbidden: Write access to collection is required"}}',
        "it may only read",
    ),
    "some collections": (
        403,
        b'{"status": {"error": "Forbidden: Global manage access is required"}}',
        "it may only read, or only use some collections, and this takes all",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_why_a_key_is_refused(why, server, fails):
    status, body, saying = REFUSED[why]
    server.faults = [Fault("PUT|index", status, body=body)]
    fails(
        f"{status}, {why}",
        server.url,
        AuthenticationFailed,
        saying=f"refused the API key.*{saying}. Set .*_QDRANT_API_KEY",
        collection_name="index",
    )


@pytest.mark.filterwarnings("ignore:Api key is used")
def test_a_refused_key_is_not_called_unreachable(server, create, samples, monkeypatch):
    create(server.url)
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_URL", server.url)
    server.api_key = KEY
    (engine,), (row,) = survey(samples)
    assert (engine.refused, row.state) == (True, "refused")
    assert "wants an API key, and none was sent" in row.problem
    assert index_status(samples, "index").state == "refused"


@pytest.mark.parametrize("given", [None, "wrong" + KEY])
@pytest.mark.filterwarnings("ignore:Api key is used")
def test_401(given, server, fails):
    server.api_key = KEY
    fails(
        f"401, {'wrong' if given else 'no'} key",
        server.url,
        AuthenticationFailed,
        saying=(
            "refused the API key.*_QDRANT_API_KEY"
            if given
            else "wants an API key, and none was sent.*_API_KEY, and .*_URL beside it"
        ),
        api_key=given,
    )


@pytest.mark.parametrize("key", [f"{KEY}\nsecond", f"{KEY}\N{SNOWMAN}"])
def test_a_key_that_is_none(key, server, fails):
    saying = "characters that no key has"
    fails("unfit key", server.url, AuthenticationFailed, saying=saying, api_key=key)


@pytest.mark.filterwarnings("ignore:Api key is used")
def test_a_key_with_a_line_end_is_taken(server, create):
    """As ``$(cat key.txt)`` or a mounted secret have it."""
    server.api_key = KEY
    assert create(server.url, api_key=f"{KEY}\n").total_index_size == 60


GARBAGE = {
    "a web page": Fault(body=b"<html>Welcome to nginx</html>"),
    "broken JSON": Fault(body=b'{"result": {"collections"'),
    "other JSON": Fault(body=b'{"hello": "world"}'),
    "an empty answer": Fault(body=b""),
    "bytes that are no text": Fault(body=b"\xff\xfe\x00"),
    "another's 404": Fault(status=404, body=b"<html>not here</html>"),
}


@pytest.mark.parametrize("answer", GARBAGE)
@pytest.mark.parametrize("at", ["", "/collections"])
def test_garbage(answer, at, server, fails):
    server.faults = [Fault(**{**vars(GARBAGE[answer]), "at": at})]
    saying = "does not answer like a Qdrant server.*port and path"
    fails(f"answers with {answer}", server.url, ConnectionFailed, saying=saying)


def test_redirect(server, fails):
    server.faults = [Fault(status=301, body=b"", headers={"Location": "https://x/"})]
    fails("301", server.url, ConnectionFailed, saying="redirects.*Give the url")


def test_rest_at_the_grpc_port(fails):
    with GrpcStandIn() as server:
        url = f"http://127.0.0.1:{server.port}"
        saying = "does not speak HTTP.*6333|closed the connection"
        fails("url with the gRPC port", url, ConnectionFailed, saying=saying)


# --- every form of URL ----------------------------------------------------------


def test_behind_a_proxy_with_a_path(create):
    with StandIn(prefix="/vectors/db") as server:
        index = create(server.url + "/")
        assert index.total_index_size == 60
        assert all(r.split()[1].startswith("/vectors/db") for r in server.requests)


def test_password_of_a_proxy(server, create):
    taken = []
    handler = server._server.RequestHandlerClass
    handler.parse_request = lambda self, parse=handler.parse_request: (
        parse(self) and taken.append(self.headers.get("Authorization")) is None
    )
    index = create(server.url.replace("://", "://me:p%40ss@"))
    assert set(taken) == {"Basic bWU6cEBzcw=="}
    assert "p%40ss" not in repr(index.collection.connection)


@pytest.mark.parametrize(
    ("written", "port", "prefix"),
    [
        ("localhost", 6333, ""),
        ("localhost:7333", 7333, ""),
        ("10.0.0.7", 6333, ""),
        ("[::1]:6333", 6333, ""),
        ("http://qdrant", 6333, ""),
        ("http://host/qdrant", 80, "/qdrant"),
        ("http://host:6333/qdrant/", 6333, "/qdrant"),
        ("https://host", 443, ""),
        ("https://host:6333", 6333, ""),
        ("https://host/qdrant", 443, "/qdrant"),
        ("https://x-1.eu-central-1-0.aws.cloud.qdrant.io", 6333, ""),
        ("https://x-1.eu-central-1-0.aws.cloud.qdrant.io:443", 443, ""),
    ],
)
def test_a_url_without_a_port_means(written, port, prefix, monkeypatch):
    monkeypatch.setattr(clients, "_greet", lambda client, connection: None)
    monkeypatch.setattr("qdrant_client.QdrantClient.get_collections", lambda self: None)
    client = clients.connect(resolve({"url": written}))
    remote = client._client
    assert (remote._port, remote._prefix) == (port, prefix)
    assert remote.rest_uri.endswith(f":{port}{prefix}")


# --- versions -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "says"),
    [
        ("1.19.2", None),
        ("1.20.0-dev", None),
        ("1.17.0", "up to one minor version apart"),
        ("1.15.1", "1.16 or newer is needed.*Upgrade the server"),
        ("2.0.0", "up to one minor version apart"),
        ("unknown", None),
    ],
)
def test_versions_that_do_not_fit_are_said_once(version, says, caplog, monkeypatch):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "1.20.0")
    with StandIn(version=version) as server, caplog.at_level(logging.WARNING):
        place = resolve({"url": server.url})
        clients.connect(place)
        clients.connect(place)
    told = [r for r in caplog.records if r.name == "fiftyone_qdrant.qdrant.clients"]
    assert len(told) == (says is not None)
    if says:
        assert version in told[0].getMessage()
        assert re.search(says, told[0].getMessage())


def test_a_proxy_that_hides_the_greeting_is_no_obstacle(server, create):
    server.faults = [Fault(at="GET /$", status=403, body=b"<html>no</html>")]
    assert create(server.url).total_index_size == 60
