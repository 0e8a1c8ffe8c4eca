"""What the owner process does for each kind of request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.owner.backups import back_up, restore
from fiftyone_qdrant.embedded.owner.checks import check
from fiftyone_qdrant.embedded.owner.collection import Collection, Reply
from fiftyone_qdrant.embedded.owner.store import Store
from fiftyone_qdrant.embedded.protocol import LEAVING, Message

Buffers = list[memoryview]

_ON_STORE: dict[str, tuple[Any, tuple[str, ...], str | None]] = {
    "names": (Store.names, (), "names"),
    "exists": (Store.exists, ("collection",), "exists"),
    "create": (Store.create, ("config",), None),
    "drop": (Store.delete, ("collection",), "dropped"),
    "back_up": (back_up, ("target", "names"), "collections"),
    "restore": (restore, ("source", "names", "replace"), "collections"),
}
_ON_COLLECTION: dict[str, tuple[Any, tuple[str, ...], str | None]] = {
    "describe": (Collection.describe, (), "vectors"),
    "info": (Collection.info, (), "info"),
    "disk": (Collection.disk_usage, (), "bytes"),
    "settings": (Collection.update_settings, ("changes",), None),
    "check": (check, (), "check"),
    "flush": (Collection.flush, (), None),
}
"""What is called, with which parts of the request, and the reply's name for it."""

_ON_POINTS: dict[str, Callable[[Collection, Message, Buffers], Reply | None]] = {
    "count": Collection.count,
    "facet": Collection.facet,
    "retrieve": Collection.retrieve,
    "scroll": Collection.scroll,
    "query": Collection.query,
    "delete": Collection.delete,
    "upsert": Collection.upsert,
    "payload": Collection.set_payload,
    "index": Collection.create_payload_index,
}
_GROWING = ("upsert", "payload", "index")
_SETTLING = ("flush", "settings")


class Dispatcher:
    """Finds the method for a request and calls it.

    Args:
        store: the store
        about: what the ``about`` request tells
        leave: makes the owner leave
    """

    def __init__(
        self, store: Store, about: dict[str, Any], leave: Callable[[], None]
    ) -> None:
        self._store = store
        self._about = about
        self._leave = leave
        self._closed = False
        self._running = 0
        self._state = threading.Condition()

    def __call__(self, message: Message, buffers: Buffers) -> Reply:
        """Handles one request."""
        with self._state:
            if self._closed:
                return {"error": LEAVING, "message": "the owner is leaving"}, []

            self._running += 1

        try:
            return self._handle(message["op"], message, buffers)
        finally:
            with self._state:
                self._running -= 1
                self._state.notify_all()

    def _handle(self, op: str, message: Message, buffers: Buffers) -> Reply:
        if op == "about":
            return {"about": {**self._about, "collections": self._store.names()}}, []

        if op == "leave":
            self._leave()
            return {"about": self._about}, []

        if op in _ON_STORE:
            return _called(_ON_STORE[op], self._store, message)

        collection = self._store.get(message["collection"])
        try:
            return self._handle_in(collection, op, message, buffers)
        except errors.CollectionNotFound:
            if self._store.get(collection.name) is collection:
                raise

        return self._handle(op, message, buffers)  # it was replaced meanwhile

    def _handle_in(
        self, collection: Collection, op: str, message: Message, buffers: Buffers
    ) -> Reply:
        if op in _GROWING:
            self._store.check_space(sum(map(len, buffers)))

        if op in _ON_POINTS:
            return _ON_POINTS[op](collection, message, buffers) or ({}, [])

        if op not in _ON_COLLECTION:
            raise errors.EngineError(f"the owner knows no request {op!r}")

        reply = _called(_ON_COLLECTION[op], collection, message)
        if op in _SETTLING:
            self._store.index_if_due(collection.name)

        return reply

    def close(self) -> None:
        """Takes no more requests, and waits for the running ones."""
        with self._state:
            self._closed = True
            self._state.wait_for(lambda: self._running == 0)


def _called(
    row: tuple[Any, tuple[str, ...], str | None], target: Any, message: Message
) -> Reply:
    call, parts, name = row
    found = call(target, *[message[part] for part in parts])
    return {} if name is None else {name: found}, []
