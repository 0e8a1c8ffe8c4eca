"""A client's connections to the owner of a store."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import protocol
from fiftyone_qdrant.embedded.client import launcher
from fiftyone_qdrant.words import bytes_in_words

if TYPE_CHECKING:
    from fiftyone_qdrant.embedded.client.wire import Request

_CONNECTIONS_KEPT = 8
_READ_SECONDS = 60.0
_WRITE_SECONDS = 600.0


class Session:
    """Sends requests to the owner, and starts the owner when there is none.

    Every call in progress has a connection of its own, so threads do not wait for
    each other. Connections are not shared with a forked child.

    Args:
        path: the store's directory
        make: whether a store may be made there by whatever call comes first. Later
            only creating a collection makes one
    """

    def __init__(self, path: str | os.PathLike[str], *, make: bool = True) -> None:
        self.path = launcher.store_path(path)
        self._known = not make
        self._pid = os.getpid()
        self._idle: list[socket.socket] = []
        self._closed = False

    def call(
        self,
        op: str,
        message: dict[str, Any],
        buffers: Sequence[protocol.Buffer] = (),
        *,
        timeout: float | None,
        repeatable: bool = True,
    ) -> tuple[protocol.Message, list[memoryview]]:
        """Sends a request and returns the reply.

        Args:
            op: what to do
            message: the request
            buffers: its buffers
            timeout: how long to wait for the reply, in seconds
            repeatable: whether doing it twice is the same as doing it once. If
                so, it is sent again when the owner died in the meantime

        Returns:
            a ``(reply, buffers)`` tuple

        Raises:
            QdrantPluginError: the error that the owner replied with
            ConnectionFailed: if there is no reply
        """
        header = self._pack({**message, "op": op}, buffers)
        for attempt in range(3):
            sock = self._connection(timeout, make=op == "create")
            done = sent = False
            try:
                sock.settimeout(timeout)
                protocol.send_packed(sock, header, buffers)
                sent = True
                reply, out = protocol.receive(sock)
                done = True
            except TimeoutError as e:
                raise errors.ConnectionFailed(
                    f"the owner of the embedded store {self.path} did not answer "
                    f"'{op}' within {timeout:g} s: it may be busy with something "
                    "large, and may still do it; give a longer timeout"
                ) from e
            except (OSError, EOFError) as e:
                self._drop_idle()
                if attempt == 2 or (sent and not repeatable):
                    raise errors.ConnectionFailed(
                        f"the owner of the embedded store {self.path} ended during "
                        f"'{op}', {'which may be done' if sent else 'before it began'}"
                        f": see {os.path.join(self.path, 'owner.log')}"
                    ) from e

                continue
            finally:
                if done:
                    self._keep(sock)
                else:
                    sock.close()

            if "error" not in reply:
                return reply, out

            if reply["error"] == protocol.LEAVING:
                self._drop_idle()
                continue

            raise launcher.to_error(reply)

        raise errors.ConnectionFailed(
            f"the owner of the embedded store {self.path} keeps leaving"
        )

    def close(self) -> None:
        """Closes the connections. Further calls fail."""
        self._closed = True
        self._drop_idle()

    def _pack(
        self, message: dict[str, Any], buffers: Sequence[protocol.Buffer]
    ) -> bytes:
        try:
            header = protocol.pack(message, buffers)
        except (TypeError, ValueError, RecursionError) as e:
            raise errors.ConfigError(
                f"this cannot be sent to the embedded store {self.path}: {e}"
            ) from e

        size = len(header) + sum(map(len, buffers))
        if size > protocol.MAX_REQUEST:
            raise errors.RequestTooLarge(
                f"one request to the embedded store {self.path} has "
                f"{bytes_in_words(size)}, and "
                f"{bytes_in_words(protocol.MAX_REQUEST)} is the most: send less at a "
                "time"
            )

        return header

    def _connection(self, patience: float | None, *, make: bool) -> socket.socket:
        if self._closed:
            raise errors.ConnectionFailed(
                f"this client of the embedded store {self.path} was closed"
            )

        if self._pid != os.getpid():
            self._drop_idle()  # they are the parent's
            self._pid = os.getpid()

        try:
            return self._idle.pop()
        except IndexError:
            # a store that was there and is not was moved: no empty one instead of it
            make = make or not self._known
            sock = launcher.connect(self.path, patience, make=make)
            self._known = True
            return sock

    def _keep(self, sock: socket.socket) -> None:
        if self._closed or len(self._idle) >= _CONNECTIONS_KEPT:
            sock.close()
        else:
            self._idle.append(sock)

    def _drop_idle(self) -> None:
        while self._idle:
            try:
                self._idle.pop().close()
            except IndexError:
                break


class Caller:
    """What the parts of the client share: a session and its time limits.

    Args:
        path: the store's directory
        timeout: how long to wait for an answer, in seconds
        make: whether a store may be made there
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        timeout: float | None = None,
        *,
        make: bool = True,
    ) -> None:
        self._timeout = float(timeout or _READ_SECONDS)
        self._write_timeout = max(_WRITE_SECONDS, 10 * self._timeout)
        self._session = Session(path, make=make)

    def _call(
        self, op: str, request: Request, timeout: float | None = None
    ) -> tuple[protocol.Message, list[memoryview]]:
        patience = timeout or self._timeout
        return self._session.call(
            op, request.message, request.buffers, timeout=patience
        )

    def _write(
        self,
        op: str,
        request: Request,
        timeout: float | None = None,
        repeatable: bool = True,
    ) -> protocol.Message:
        reply, _ = self._session.call(
            op,
            request.message,
            request.buffers,
            timeout=timeout or self._write_timeout,
            repeatable=repeatable,
        )
        return reply


def refuse_unknown(unknown: dict[str, Any], *harmless: str) -> None:
    """Refuses keyword arguments that would not have their effect.

    Args:
        unknown: the keyword arguments a method does not know
        *harmless: those of them which change nothing for one node
    """
    harmless = (*harmless, "consistency", "timeout")
    left = [k for k, v in unknown.items() if k not in harmless and v is not None]
    if left:
        raise errors.UnsupportedByEngine(
            f"the embedded engine does not support {', '.join(sorted(left))}: "
            "leave it out, or use a Qdrant server (url=)"
        )
