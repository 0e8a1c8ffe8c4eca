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
        self._on_store: dict[str, Callable[[Message], Message | None]] = {
            "about": self._tell,
            "leave": self._go,
            "names": lambda m: {"names": store.names()},
            "exists": lambda m: {"exists": store.exists(m["collection"])},
            "create": lambda m: store.create(m["config"]),
            "drop": lambda m: {"dropped": store.delete(m["collection"])},
            "back_up": lambda m: {
                "collections": back_up(store, m["target"], m["names"])
            },
            "restore": lambda m: {
                "collections": restore(
                    store, m["source"], m["names"], replace=m["replace"]
                )
            },
        }
        self._on_collection: dict[
            str, Callable[[Collection, Message, Buffers], Message | None]
        ] = {
            "describe": lambda c, m, b: {"vectors": c.describe()},
            "info": lambda c, m, b: {"info": c.info()},
            "disk": lambda c, m, b: {"bytes": c.disk_usage()},
            "settings": lambda c, m, b: c.update_settings(m["changes"]),
            "check": lambda c, m, b: {"check": check(c)},
            "flush": lambda c, m, b: c.live.flush(),
            "count": lambda c, m, b: {"count": c.count(m, b)},
            "facet": lambda c, m, b: {"hits": c.facet(m, b)},
            "delete": lambda c, m, b: c.delete(m, b),
            "unindex": lambda c, m, b: c.delete_payload_index(m["field"]),
        }
        self._growing: dict[
            str, Callable[[Collection, Message, Buffers], Message | None]
        ] = {
            "upsert": lambda c, m, b: c.upsert(m, b),
            "payload": lambda c, m, b: c.change_payload(m, b),
            "index": lambda c, m, b: c.create_payload_index(m["field"], m["schema"]),
        }
        self._returning: dict[str, Callable[[Collection, Message, Buffers], Reply]] = {
            "retrieve": Collection.retrieve,
            "scroll": Collection.scroll,
            "query": Collection.query,
        }

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
        if op in self._on_store:
            return self._on_store[op](message) or {}, []

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
        if op in self._returning:
            return self._returning[op](collection, message, buffers)

        if op in self._growing:
            self._store.check_space(sum(map(len, buffers)))
            return self._growing[op](collection, message, buffers) or {}, []

        if op in self._on_collection:
            reply = self._on_collection[op](collection, message, buffers) or {}
            if op in ("flush", "settings"):
                self._store.index_if_due(collection.name)

            return reply, []

        raise errors.EngineError(f"the owner knows no request {op!r}")

    def close(self) -> None:
        """Takes no more requests, and waits for the running ones."""
        with self._state:
            self._closed = True
            self._state.wait_for(lambda: self._running == 0)

    def _tell(self, message: Message) -> Message:
        return {"about": {**self._about, "collections": self._store.names()}}

    def _go(self, message: Message) -> Message:
        self._leave()
        return {"about": self._about}
