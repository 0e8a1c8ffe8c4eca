"""Qdrant's engine on this machine's disk, without a server.

:class:`EmbeddedClient` offers ``QdrantClient``'s methods for a store directory.
One owner process per directory holds the engine (Qdrant Edge); every process of
the user that opens the directory talks to that owner over a local socket.

The names below are imported on first use: the owner process imports this package
too, and must not pay for ``qdrant_client``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fiftyone_qdrant.embedded.client.embedded_client import EmbeddedClient

__all__ = ["EmbeddedClient"]


def __getattr__(name: str) -> object:
    if name == "EmbeddedClient":
        from fiftyone_qdrant.embedded.client.embedded_client import EmbeddedClient

        return EmbeddedClient

    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
