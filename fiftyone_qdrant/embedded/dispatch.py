"""What the owner process does for each kind of request."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import protocol
from fiftyone_qdrant.embedded.collection import Collection, Reply
from fiftyone_qdrant.embedded.store import Store

LEAVING = "OwnerLeaving"
"""The error name that says: nothing was done, ask the next owner."""


class Dispatcher:
    """Finds the method for a request and calls it.

    Args:
        store: the store
        about: what ``store_info`` tells
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

    def __call__(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        """Handles one request."""
        method = getattr(self, f"do_{message['op']}", None)
        if method is None:
            raise errors.EngineError(f"the owner knows no request {message['op']!r}")
        with self._state:
            if self._closed:
                return {"error": LEAVING, "message": "the owner is leaving"}, []
            self._running += 1
        try:
            reply: Reply = method(message, buffers)
            return reply
        finally:
            with self._state:
                self._running -= 1
                self._state.notify_all()

    def close(self) -> None:
        """Takes no more requests, and waits for the running ones."""
        with self._state:
            self._closed = True
            self._state.wait_for(lambda: self._running == 0)

    def _collection(self, message: protocol.Message) -> Collection:
        return self._store.get(message["collection"])

    def _writable(
        self, message: protocol.Message, buffers: list[memoryview]
    ) -> Collection:
        collection = self._collection(message)
        self._store.check_space(sum(map(len, buffers)))
        return collection

    # -- the store ------------------------------------------------------------

    def do_about(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        return {"about": {**self._about, "collections": self._store.names()}}, []

    def do_leave(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        self._leave()
        return {"about": self._about}, []

    def do_names(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        return {"names": self._store.names()}, []

    def do_exists(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        return {"exists": self._store.exists(message["collection"])}, []

    def do_create(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        self._store.create(message["config"])
        return {}, []

    def do_drop(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        return {"dropped": self._store.delete(message["collection"])}, []

    # -- one collection -------------------------------------------------------

    def do_describe(
        self, message: protocol.Message, buffers: list[memoryview]
    ) -> Reply:
        return {"vectors": self._collection(message).describe()}, []

    def do_info(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        return {"info": self._collection(message).info()}, []

    def do_settings(
        self, message: protocol.Message, buffers: list[memoryview]
    ) -> Reply:
        self._collection(message).update_settings(message["changes"])
        return {}, []

    def do_flush(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        self._collection(message).flush()
        return {}, []

    def do_upsert(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        self._writable(message, buffers).upsert(message, buffers)
        return {}, []

    def do_delete(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        self._collection(message).delete(message, buffers)
        return {}, []

    def do_payload(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        self._writable(message, buffers).change_payload(message, buffers)
        return {}, []

    def do_index(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        collection = self._writable(message, buffers)
        collection.create_payload_index(message["field"], message["schema"])
        return {}, []

    def do_unindex(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        self._collection(message).delete_payload_index(message["field"])
        return {}, []

    def do_retrieve(
        self, message: protocol.Message, buffers: list[memoryview]
    ) -> Reply:
        return self._collection(message).retrieve(message, buffers)

    def do_scroll(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        return self._collection(message).scroll(message, buffers)

    def do_query(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        return self._collection(message).query(message, buffers)

    def do_count(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        return {"count": self._collection(message).count(message, buffers)}, []

    def do_facet(self, message: protocol.Message, buffers: list[memoryview]) -> Reply:
        return {"hits": self._collection(message).facet(message, buffers)}, []
