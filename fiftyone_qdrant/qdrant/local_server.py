"""Whether a Qdrant answers on this machine, found out within bounds.

Anybody may listen on a port of ``localhost``: whatever answers there can neither keep
us waiting nor fill our memory, and nothing of it is followed.
"""

from __future__ import annotations

import http.client
import io
import json
import re
import socket
import time
from typing import Any
from urllib.parse import urlsplit

_SECONDS = 0.5  # in all
_BYTES = 64 * 1024
_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)\s*\r\n", re.IGNORECASE)
_TITLE = re.compile(r"qdrant - vector ?search engine", re.IGNORECASE)
_VERSION = re.compile(r"\d+\.\d+")


def is_qdrant(url: str) -> bool:
    """Whether a Qdrant server answers there, decided within half a second."""
    deadline = time.monotonic() + _SECONDS
    try:
        answer = _ask(urlsplit(url), deadline)
        response = http.client.HTTPResponse(_Answer(answer))  # type: ignore[arg-type]
        response.begin()
        return response.status == 200 and _is_greeting(json.loads(response.read()))
    except (OSError, ValueError, http.client.HTTPException, RecursionError):
        return False


class _Answer:
    """The bytes of an answer, as the socket that ``http.client`` reads from."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._content)


def _ask(url: Any, deadline: float) -> bytes:
    """Returns what is answered until the deadline, 64 KiB at most."""
    host, port = str(url.hostname), url.port or 80
    request = f"GET / HTTP/1.0\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    with _connected(host, port, deadline) as sock:
        sock.sendall(request.encode())
        answer = b""
        while len(answer) < _BYTES and not _is_whole(answer):
            sock.settimeout(_left(deadline))
            part = sock.recv(_BYTES - len(answer))
            if not part:
                break

            answer += part

    return answer


def _connected(host: str, port: int, deadline: float) -> socket.socket:
    failure: OSError | None = None
    for family, kind, _, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind)
        try:
            sock.settimeout(_left(deadline))
            sock.connect(address)
            return sock
        except OSError as e:
            sock.close()
            failure = e

    raise failure or OSError("no address")


def _left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("too slow")

    return seconds


def _is_whole(answer: bytes) -> bool:
    head, end, body = answer.partition(b"\r\n\r\n")
    found = _LENGTH.search(head + b"\r\n") if end else None
    return found is not None and len(body) >= int(found.group(1)[:9])


def _is_greeting(answer: Any) -> bool:
    """Whether this is what Qdrant says of itself at ``GET /``."""
    if not isinstance(answer, dict):
        return False

    title, version = answer.get("title"), answer.get("version")
    return (
        isinstance(title, str)
        and isinstance(version, str)
        and _TITLE.match(title) is not None
        and _VERSION.match(version) is not None
    )
