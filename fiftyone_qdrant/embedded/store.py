"""An embedded store inside its owner process: a directory of collections.

    store.json              format and engine versions
    owner.lock              locked by the owner as long as it lives
    owner.json, owner.key   where the owner answers, and the key to it
    owner.log
    collections/<name>/     collection.json and shard/
    making/, trash/         what is not in place yet, or no longer

A collection is built in ``making`` and renamed into place, and renamed into ``trash``
before it is deleted, so that one rename decides whether it exists.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
import uuid
from hashlib import sha256
from typing import Any

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import settings
from fiftyone_qdrant.embedded.collection import SIDECAR, Collection
from fiftyone_qdrant.embedded.files import read_json, write_json
from fiftyone_qdrant.embedded.indexing import IndexBuilder, due

logger = logging.getLogger(__name__)

FORMAT = 1
"""Version of the layout on disk."""

_FLUSH_AFTER_SECONDS = 1.0
_INDEX_AFTER_SECONDS = 3.0
_MIN_FREE_BYTES = 256 << 20
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")


def directory_name(name: str) -> str:
    """Returns the directory name for a collection, one to one.

    Upper case is escaped too: some file systems do not tell it from lower case.
    """
    quoted = "".join(
        chr(b) if chr(b) in _PLAIN else f"%{b:02x}"
        for b in name.encode("utf-8", "surrogatepass")
    )
    if len(quoted) > 200:
        quoted = f"{quoted[:120]}%%{sha256(name.encode()).hexdigest()}"
    return quoted


class Store:
    """The collections of one directory. Only its owner process makes one.

    Args:
        path: the store's directory
        engine_version: the version of the engine, for the record
    """

    def __init__(self, path: str, engine_version: str) -> None:
        self.path = path
        self._home = os.path.join(path, "collections")
        self._making = os.path.join(path, "making")
        self._trash = os.path.join(path, "trash")
        self._lock = threading.Lock()
        self._collections: dict[str, Collection] = {}
        self._builders: dict[str, IndexBuilder] = {}
        self._turn = threading.Lock()
        self._min_free = int(
            os.environ.get("FIFTYONE_QDRANT_MIN_FREE_BYTES", _MIN_FREE_BYTES)
        )
        self._check_format(engine_version)
        for directory in (self._making, self._trash):
            shutil.rmtree(directory, ignore_errors=True)
        for directory in (self._home, self._making, self._trash):
            os.makedirs(directory, 0o700, exist_ok=True)
        self._find()

    def _check_format(self, engine_version: str) -> None:
        record = os.path.join(self.path, "store.json")
        found = read_json(record) or {"created_at": time.time()}
        if found.get("format", FORMAT) > FORMAT:
            raise errors.StoreUnavailable(
                f"the store {self.path} was written by a newer version (format "
                f"{found['format']}, this one knows {FORMAT}): "
                "update fiftyone-qdrant, or use another path"
            )
        wanted = {**found, "format": FORMAT, "engine": f"qdrant-edge {engine_version}"}
        if wanted != found:
            write_json(record, wanted)

    def _find(self) -> None:
        for entry in sorted(os.listdir(self._home)):
            directory = os.path.join(self._home, entry)
            try:
                config = read_json(os.path.join(directory, SIDECAR))
                if config is None:
                    raise ValueError("it has no settings file")
                collection = Collection(directory, config)
                collection.live.finish_replacing()
                self._collections[config["name"]] = collection
            except (OSError, ValueError, KeyError, TypeError) as exc:
                logger.error("left out %s: %s", directory, exc)

    # -- collections ----------------------------------------------------------

    def names(self) -> list[str]:
        """Returns the names of all collections."""
        with self._lock:
            return sorted(self._collections)

    def collections(self) -> list[Collection]:
        """Returns all collections."""
        with self._lock:
            return list(self._collections.values())

    def get(self, name: str) -> Collection:
        """Returns a collection, or raises ``CollectionNotFound``."""
        collection = self._collections.get(name)
        if collection is None:
            raise errors.CollectionNotFound(
                f"there is no collection '{name}' in the store {self.path}"
            )
        return collection

    def exists(self, name: str) -> bool:
        """Returns whether there is a collection of that name."""
        return name in self._collections

    def create(self, config: dict[str, Any]) -> None:
        """Creates a collection: completely, or not at all."""
        name = config["name"]
        self.check_space(0)
        with self._lock:
            if name in self._collections:
                raise errors.CollectionExists(
                    f"the store {self.path} has a collection '{name}' already"
                )
            config = {
                **config,
                "created_at": time.time(),
                "built": settings.plain(config),
            }
            half = os.path.join(self._making, uuid.uuid4().hex)
            place = os.path.join(self._home, directory_name(name))
            try:
                os.mkdir(half, 0o700)
                Collection.build(half, config)
                os.rename(half, place)
            except BaseException as exc:
                shutil.rmtree(half, ignore_errors=True)
                if isinstance(exc, OSError) and exc.errno:
                    raise errors.StoreUnavailable(
                        f"cannot create collection '{name}' in {place}: {exc.strerror}"
                    ) from exc
                raise
            self._collections[name] = Collection(place, config)

    def delete(self, name: str) -> bool:
        """Deletes a collection, and returns whether there was one."""
        with self._lock:
            collection = self._collections.get(name)
            if collection is None:
                return False
            self._cancel_index(name)
            gone = os.path.join(self._trash, uuid.uuid4().hex)
            # closed first: the engine knows its files by their paths, which the
            # next collection of this name will have too
            collection.live.close(for_good=True)
            try:
                os.rename(collection.directory, gone)
            except OSError as exc:
                self._collections[name] = Collection(
                    collection.directory, collection.config
                )
                raise errors.StoreUnavailable(
                    f"cannot delete collection '{name}': {exc.strerror}"
                ) from exc
            del self._collections[name]
        shutil.rmtree(gone, ignore_errors=True)
        return True

    # -- indexes --------------------------------------------------------------

    def index_if_due(self, name: str) -> None:
        """Begins to build the index of a collection if it should have one."""
        collection = self.get(name)
        with self._lock:
            if self._collections.get(name) is not collection:
                return
            wanted = due(collection)
            if wanted is not None:
                collection.index_is_due(True)
                self._builders[name] = IndexBuilder(
                    collection,
                    wanted,
                    self._making,
                    self._trash,
                    self.check_space,
                    self._turn,
                )

    def resume_indexing(self) -> None:
        """Begins to build what an earlier owner did not finish."""
        for collection in self.collections():
            if collection.config.get("index_due"):
                self.index_if_due(collection.name)

    def is_indexing(self) -> bool:
        """Returns whether an index is being built."""
        return any(collection.building for collection in self.collections())

    def _cancel_index(self, name: str) -> None:
        builder = self._builders.pop(name, None)
        if builder is not None:
            builder.cancel()

    # -- upkeep ---------------------------------------------------------------

    def check_space(self, incoming: int) -> None:
        """Refuses a write for which the disk may be too small.

        On a full disk the engine does not fail: the system kills its process.

        Args:
            incoming: size in bytes of what is to be written
        """
        try:
            disk = os.statvfs(self.path)
        except OSError as exc:
            raise errors.StoreUnavailable(
                f"the store {self.path} cannot be read: {exc.strerror}"
            ) from exc
        free = disk.f_bavail * disk.f_frsize
        needed = max(self._min_free, 2 * incoming)
        if free < needed:
            raise errors.StoreUnavailable(
                f"the disk of the store {self.path} has {free} bytes free and the "
                f"write needs {needed}: make room, or use another path"
            )

    def flush_quiet(self) -> None:
        """Flushes the collections not written to for a while, and indexes them."""
        now = time.monotonic()
        for collection in self.collections():
            live = collection.live
            written, grown = live.written_at, live.grown_at
            try:
                if written is not None and now - written >= _FLUSH_AFTER_SECONDS:
                    live.flush()
                if grown is not None and now - grown >= _INDEX_AFTER_SECONDS:
                    live.grown_at = None
                    self.index_if_due(collection.name)
            except errors.CollectionNotFound:
                pass  # deleted just now
            except errors.QdrantPluginError:
                logger.exception("cannot look after '%s'", collection.name)

    def close(self) -> None:
        """Flushes and closes everything."""
        with self._lock:
            for name in list(self._builders):
                self._cancel_index(name)
        for collection in self.collections():
            try:
                collection.live.close()
            except errors.QdrantPluginError:
                logger.exception("cannot close '%s'", collection.name)
