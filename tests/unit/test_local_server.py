"""What may listen on localhost:6333, and how little it can do to us."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import threading

import pytest

from fiftyone_qdrant.qdrant import local_server
from fiftyone_qdrant.qdrant.local_server import is_qdrant

GREETING = {"title": "qdrant - vector search engine", "version": "1.19.2"}


@contextlib.contextmanager
def listener(parts, host="127.0.0.1"):
    """Answers each connection with these parts; yields url, requests, bytes sent."""
    ended, asked, sent = threading.Event(), [], [0]

    def serve():
        while not ended.is_set():
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    request = connection.recv(4096)
                    asked.extend([request] if request else [])
                    for part in parts():
                        if ended.wait(0 if len(part) > 1 else 0.002):
                            return

                        connection.sendall(part)
                        sent[0] += len(part)

    with socket.create_server((host, 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://{host}:{server.getsockname()[1]}", asked, sent
        ended.set()
        with contextlib.suppress(OSError):
            socket.create_connection(server.getsockname(), 1).close()

        thread.join(5)


def http(body, status="200 OK", length=None, headers=""):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n"
    return head.encode() + body


WELL = {
    "at once": [http(GREETING)],
    "until it closes": [b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps(GREETING).encode()],
    "in two parts": [http(GREETING)[:40], http(GREETING)[40:]],
    "as 1.16 said it": [http({**GREETING, "version": "1.16.0", "commit": "abc"})],
}


@pytest.mark.parametrize("how", WELL)
def test_a_qdrant_is_known(how):
    with listener(lambda: WELL[how]) as (url, asked, _):
        assert is_qdrant(url)
        assert asked[0].startswith(b"GET / HTTP/1.0\r\n")


ODD = {
    "a banner": [b"220 mail.example ESMTP\r\n"],
    "nothing": [],
    "a short body": [http(GREETING, length=5000)],
    "deep JSON": [http(b"[" * 60_000)],
    "deep objects": [http(b'{"a":' * 12_000)],
    "no JSON": [http(b"<html>")],
    "a list": [http([GREETING])],
    "a number": [http(5)],
    "a title that is none": [http({**GREETING, "title": {"qdrant": 1}})],
    "another server": [http({"title": "not a qdrant", "version": "1.0"})],
    "no version": [http({"title": GREETING["title"]})],
    "no success": [http(GREETING, "500 Oops")],
    "bad text": [http(b'{"title": "\xff\xfe"}')],
    "TLS": [b"\x15\x03\x01\x00\x02\x02\x46"],
    "many headers": [b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500 + b"\r\n{}"],
    "a long line": [b"HTTP/1.1 200 OK\r\na: " + b"b" * 70_000],
    "a bad chunk": [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
}


@pytest.mark.parametrize("what", ODD)
def test_what_answers_oddly_is_no_qdrant(what):
    with listener(lambda: ODD[what]) as (url, asked, _):
        assert is_qdrant(url) is False
        assert asked


def test_a_redirect_to_a_qdrant_is_not_followed():
    with listener(lambda: [http(GREETING)]) as (there, asked, _):
        moved = http(GREETING, "302 Found", headers=f"location: {there}\r\n")
        with listener(lambda: [moved]) as (url, _, _):
            assert is_qdrant(url) is False

    assert asked == []


def test_no_proxy_is_asked(monkeypatch):
    with listener(lambda: [http(GREETING)]) as (proxy, asked, _):
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy)

        with listener(lambda: [http(GREETING)]) as (url, _, _):
            assert is_qdrant(url)

    assert asked == []


DRIPPING = {
    "headers": lambda: itertools.chain(
        [b"HTTP/1.1 200 OK\r\n"], itertools.cycle([b"a"])
    ),
    "a body": lambda: itertools.chain(
        [http(GREETING, length=10**6)], itertools.cycle([b" "])
    ),
}


@pytest.mark.parametrize("what", DRIPPING)
def test_what_drips_keeps_nobody_waiting(what, monkeypatch):
    """It would drip for ever: that this test ends is the test."""
    monkeypatch.setattr(local_server, "_SECONDS", 0.2)
    with listener(DRIPPING[what]) as (url, _, sent):
        assert is_qdrant(url) is False
        assert 0 < sent[0] < 10_000


def test_what_never_answers_keeps_nobody_waiting(monkeypatch):
    monkeypatch.setattr(local_server, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:  # accepts by the kernel
        assert is_qdrant(f"http://127.0.0.1:{server.getsockname()[1]}") is False


def test_a_body_without_end_fills_no_memory():
    start = http(GREETING, length=10**12)
    endless = itertools.repeat(b" " * 65_536)
    with listener(lambda: itertools.chain([start], endless)) as (url, _, sent):
        assert is_qdrant(url) is False

    assert sent[0] < 16 * 2**20  # what fits into the sockets' buffers


def test_a_closed_port_is_no_qdrant():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    assert is_qdrant(f"http://127.0.0.1:{port}") is False


def test_another_address_of_the_host_is_tried(monkeypatch):
    """``localhost`` is ``::1`` first on many machines, where no Qdrant may listen."""
    with listener(lambda: [http(GREETING)]) as (url, _, _):
        port = int(url.rpartition(":")[2])
        found = socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)
        closed = socket.getaddrinfo("127.0.0.2", port, type=socket.SOCK_STREAM)
        monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: closed + found)
        assert is_qdrant(f"http://localhost:{port}")
