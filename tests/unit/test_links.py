"""A link fetches pictures of the public internet, and nothing else."""

import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore import links


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",  # where clouds keep keys
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
    ],
)
def test_an_address_that_is_not_public_is_refused(address):
    with pytest.raises(ConfigError, match="private network"):
        links.check_address(address)


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111"])
def test_a_public_address_is_not(address):
    links.check_address(address)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://example.org/a.png", "begins with https"),
        ("file:///etc/passwd", "begins with https"),
        ("data:image/png;base64,AA", "begins with https"),
        ("", "begins with https"),
        ("https://", "begins with https"),
        ("https://[::1", "begins with https"),
        ("https://example.org:99999/", "begins with https"),
        ("https://me:secret@example.org/a.png", "Leave the user"),
        ("https://127.0.0.1/a.png", "private network"),
        ("https://localhost/a.png", "private network"),
        ("https://2130706433/a.png", "private network"),
        ("https://[::ffff:127.0.0.1]/a.png", "private network"),
    ],
)
def test_a_link_that_may_not_be_followed_is_refused(url, said):
    with pytest.raises(ConfigError, match=said):
        links.fetch(url)


def test_a_name_with_one_private_address_is_refused(monkeypatch):
    found = [(0, 0, 0, "", (ip, 443)) for ip in ("93.184.215.14", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    with pytest.raises(ConfigError, match="private network"):
        links.fetch("https://example.org/a.png")


# --- answers, of a server that counts as public ---------------------------------


@pytest.fixture
def served(monkeypatch):
    """Answers by path, of a server without certificate or check."""
    answers, ended = {}, threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, headers, pieces = answers[self.path]
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in pieces:
                if piece is None:
                    ended.wait(60)
                    return
                self.wfile.write(piece)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_port

    def here(host, _, seconds):
        if host != "pictures.example":
            links.check_address(host)
        return http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)

    monkeypatch.setattr(links, "_Public", here)
    yield answers
    ended.set()
    server.shutdown()
    server.server_close()


def fetch(path):
    return links.fetch(f"https://pictures.example{path}")


def test_a_picture_is_fetched_also_from_where_the_link_leads(served):
    served["/old"] = (302, {"Location": "/new?size=1"}, [])
    served["/new?size=1"] = (200, {}, [b"pic", b"ture"])
    assert fetch("/old") == b"picture"


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("https://169.254.169.254/latest/meta-data", "private network"),
        ("http://pictures.example/a.png", "begins with https"),
        ("/around", "too often"),
    ],
)
def test_a_link_may_not_lead_where_it_could_not_begin(served, place, said):
    served["/around"] = (301, {"Location": place}, [])
    with pytest.raises(ConfigError, match=said):
        fetch("/around")


def test_what_is_too_large_is_not_read_to_its_end(served, monkeypatch):
    monkeypatch.setattr(links, "_MOST_BYTES", 1_000)
    served["/large"] = (200, {}, [b"x" * 2_000, None])
    with pytest.raises(ConfigError, match="smaller"):
        fetch("/large")


@pytest.mark.parametrize("pieces", [[None], [b"x", None]])
@pytest.mark.parametrize("headers", [{}, {"Content-Length": "2"}])
def test_what_takes_too_long_is_given_up(served, monkeypatch, pieces, headers):
    monkeypatch.setattr(links, "_SECONDS", 0.3)
    served["/slow"] = (200, headers, pieces)
    with pytest.raises(ConfigError, match="took longer"):
        fetch("/slow")


def test_an_answer_that_is_no_picture_is_said(served):
    served["/gone"] = (404, {}, [])
    with pytest.raises(ConfigError, match="answers 404"):
        fetch("/gone")


def test_what_is_kept_of_a_link_has_no_secret():
    url = "https://me:word@files.example:8443/a/b.png?X-Signature=secret#part"
    assert links.without_secrets(url) == "https://files.example:8443/a/b.png"
