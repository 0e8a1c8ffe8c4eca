"""The Qdrant clients of this process: one for each place, shared by all indexes."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from .connection import EMBEDDED, Connection
from .faults import translated

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from .embedded import EmbeddedClient

    Client = QdrantClient | EmbeddedClient

_clients: dict[Connection, Client] = {}
_clients_lock = threading.Lock()


def _forget_clients() -> None:
    """Connections do not survive a fork: the child starts with none."""
    global _clients_lock
    _clients.clear()
    _clients_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_clients)


def connect(connection: Connection) -> Client:
    """Returns this process's client for a place, made on first use.

    Raises:
        ConnectionFailed: if it cannot be reached, refuses the key, or the embedded
            store cannot be opened
    """
    client = _clients.get(connection)
    if client is None:
        opened = _open(connection)  # not under the lock: a server may be slow
        with _clients_lock:
            client = _clients.setdefault(connection, opened)

    return client


def _open(connection: Connection) -> Client:
    if connection.engine == EMBEDDED:
        from .embedded import EmbeddedClient

        return EmbeddedClient(str(connection.path), timeout=connection.timeout)

    return _open_server(connection)


def _open_server(connection: Connection) -> QdrantClient:
    from qdrant_client import QdrantClient

    with translated(connection.location):
        client = QdrantClient(
            url=connection.url,
            api_key=connection.api_key,
            grpc_port=connection.grpc_port,
            prefer_grpc=connection.prefer_grpc,
            timeout=connection.timeout,
            check_compatibility=False,
        )
        client.get_collections()  # constructing does not connect
        return client
