"""A server on the loopback device that gives every request one answer."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def http_server(status: int, answer: Callable[[Any], bytes]) -> Iterator[str]:
    """Serves; yields its address, as in ``"127.0.0.1:6333"``.

    Args:
        status: of all answers
        answer: makes the body from the headers of a request
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()
            self.wfile.write(answer(self.headers))

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
