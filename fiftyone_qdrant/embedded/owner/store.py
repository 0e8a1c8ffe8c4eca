"""An embedded store inside its owner process: a directory of collections.

    store.json              format and engine versions
    owner.lock              locked by the owner as long as it lives
    owner.json, owner.key   where the owner answers, and the key to it
    owner.log
    collections/<name>/     collection.json, shard/, and seal.json when it is flushed
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
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from typing import Any

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import record, sidecar
from fiftyone_qdrant.embedded.files import is_file, sync_directory, write_json
from fiftyone_qdrant.embedded.owner.collection import Collection
from fiftyone_qdrant.embedded.owner.engine import damaged, transient, unavailable
from fiftyone_qdrant.embedded.owner.indexing import IndexBuilder, due
from fiftyone_qdrant.embedded.owner.settings import Segments
from fiftyone_qdrant.words import bytes_in_words

logger = logging.getLogger(__name__)

_RESTORED = ".restored"  # no collection's directory has a dot

_QUIET_SECONDS = 1.0
_FLUSH_SECONDS = 5.0  # the server's flush_interval_sec
_INDEX_AFTER_SECONDS = 3.0
_MIN_FREE_BYTES = 256 << 20
_MAX_OPEN = 256  # shards; each takes a file descriptor and about 16 maps of memory
_REPEAT_SECONDS = 600.0


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
        self._changed = threading.Condition(self._lock)
        self._changing: set[str] = set()  # names that are being made or deleted
        self._collections: dict[str, Collection] = {}
        self._broken: dict[str, tuple[str, errors.QdrantPluginError]] = {}
        self._complained: dict[tuple[str, str], tuple[str, float]] = {}
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
        found = record.read(self.path) or {"created_at": time.time()}
        record.check(found, self.path)
        engine = f"qdrant-edge {engine_version}"
        wanted = {**found, "format": record.FORMAT, "engine": engine}
        if wanted != found:
            write_json(os.path.join(self.path, record.RECORD), wanted)

    def _find(self) -> None:
        for entry in os.listdir(self._home):  # an owner that ended while restoring
            waiting = os.path.join(self._home, entry)
            if entry.endswith(_RESTORED) and not is_file(waiting):
                place = waiting.removesuffix(_RESTORED)
                if os.path.isdir(place):
                    shutil.rmtree(waiting, ignore_errors=True)
                else:
                    os.rename(waiting, place)

        for entry in sorted(os.listdir(self._home)):
            directory = os.path.join(self._home, entry)
            if not is_file(directory):  # the system's, such as .DS_Store
                self._take_up(sidecar.collection_name(entry), directory)

    def _take_up(self, name: str, directory: str) -> None:
        """Makes a directory a collection, or notes why it cannot be one."""
        try:
            config = sidecar.read(directory)
            collection = self._made(directory, config)
            collection.live.finish_replacing()
        except Exception as e:  # noqa: BLE001 - no collection may take others along
            logger.error("cannot use %s: %s", directory, e)
            number = transient(e)
            said = f"{sidecar.SIDECAR} cannot be read: {e}"
            self._broken[name] = (
                directory,
                damaged(name, said)
                if number is None
                else unavailable(name, number, str(e)),
            )
        else:
            self._collections[config["name"]] = collection
            self._broken.pop(name, None)

    def _made(self, directory: str, config: dict[str, Any]) -> Collection:
        collection = Collection(directory, config)
        collection.live.before_opening = self._make_room
        return collection

    def _make_room(self) -> None:
        """Closes the shards that were not used for longest, if very many are open."""
        is_open = [c.live for c in self.collections() if c.live.is_open]
        is_open.sort(key=lambda live: -live.used_at)
        while len(is_open) >= _MAX_OPEN:
            with suppress(errors.QdrantPluginError):
                is_open.pop().close_unless_used()

    # -- collections ----------------------------------------------------------

    def names(self) -> list[str]:
        """Returns the names of all collections."""
        with self._lock:
            return sorted({*self._collections, *self._broken})

    def collections(self) -> list[Collection]:
        """Returns all collections."""
        with self._lock:
            return list(self._collections.values())

    def get(self, name: str) -> Collection:
        """Returns a collection.

        Raises:
            CollectionDamaged: if its settings are not what was written
            CollectionNotFound: if there is none
            StoreUnavailable: if its settings cannot be read now
        """
        collection = self._collections.get(name)
        if collection is None and name in self._broken:
            with self._alone(name), self._lock:
                if name in self._broken:  # somebody may have mended it
                    self._take_up(name, self._broken[name][0])

                if name in self._broken:
                    raise self._broken[name][1]

            collection = self._collections.get(name)

        if collection is None:
            raise errors.CollectionNotFound(
                f"there is no collection '{name}' in the store {self.path}"
            )

        return collection

    def exists(self, name: str) -> bool:
        """Returns whether there is a collection of that name."""
        return name in self._collections or name in self._broken

    def create(self, config: dict[str, Any]) -> None:
        """Creates a collection: completely, or not at all.

        Raises:
            CollectionExists: if there is one of that name
            ConfigError: if the settings cannot be a collection's
        """
        try:
            sidecar.check(config)
        except ValueError as e:
            raise errors.ConfigError(f"no collection can be created: {e}") from e

        name = config["name"]
        self.check_space(0)
        config = {
            **config,
            "created_at": time.time(),
            "built": asdict(Segments.plain(config)),
        }
        with self._alone(name):
            self._refuse_existing(name)
            place = os.path.join(self._home, sidecar.directory_name(name))
            with self.new_directory(name) as half:
                os.mkdir(half, 0o700)
                Collection.build(half, config)
                os.rename(half, place)

            with self._lock:
                self._collections[name] = self._made(place, config)

    def _refuse_existing(self, name: str) -> None:
        if self.exists(name):
            raise errors.CollectionExists(
                f"the store {self.path} has a collection '{name}' already"
            )

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Keeps others from making or deleting a collection of that name."""
        with self._changed:
            self._changed.wait_for(lambda: name not in self._changing)
            self._changing.add(name)

        try:
            yield
        finally:
            with self._changed:
                self._changing.remove(name)
                self._changed.notify_all()

    @contextmanager
    def new_directory(self, name: str) -> Iterator[str]:
        """Yields a place to make a collection's directory, gone again if it fails."""
        half = os.path.join(self._making, uuid.uuid4().hex)
        try:
            yield half
        except OSError as e:
            if isinstance(e, errors.QdrantPluginError) or not e.errno:
                raise

            raise errors.StoreUnavailable(
                f"cannot create collection '{name}' in {self.path}: {e.strerror}"
            ) from e
        finally:
            shutil.rmtree(half, ignore_errors=True)

    def put_in_place(self, name: str, directory: str, *, replace: bool) -> None:
        """Makes a directory a collection, instead of one of that name if there is.

        Args:
            name: the collection's name
            directory: its complete directory on disk, from :meth:`new_directory`
            replace: whether there may be one

        Raises:
            CollectionExists: if there is one, and not ``replace``
        """
        place = os.path.join(self._home, sidecar.directory_name(name))
        waiting = f"{place}{_RESTORED}"
        gone = os.path.join(self._trash, uuid.uuid4().hex)
        with self._alone(name):
            if not replace:
                self._refuse_existing(name)

            old = self._collections.get(name)
            self._cancel_index(name)
            shutil.rmtree(waiting, ignore_errors=True)
            with old.live.closed_for_good() if old else nullcontext():
                os.rename(directory, waiting)
                if self.exists(name):
                    os.rename(old.directory if old else self._broken[name][0], gone)

                os.rename(waiting, place)
                config = sidecar.read(place)
                with self._lock:
                    self._collections[name] = self._made(place, config)
                    self._broken.pop(name, None)

            sync_directory(self._home)

        shutil.rmtree(gone, ignore_errors=True)

    def delete(self, name: str) -> bool:
        """Deletes a collection, and returns whether there was one."""
        gone = os.path.join(self._trash, uuid.uuid4().hex)
        with self._alone(name):
            with self._lock:
                collection = self._collections.pop(name, None)

            if collection is None and name not in self._broken:
                return False

            directory = collection.directory if collection else self._broken[name][0]
            try:
                if collection is not None:
                    self._cancel_index(name)
                    # closed first: the engine knows its files by their paths, which
                    # the next collection of this name will have too
                    collection.live.close(for_good=True)

                os.rename(directory, gone)
            except (OSError, errors.QdrantPluginError) as e:
                if collection is not None:
                    with self._lock:
                        again = self._made(directory, collection.config)
                        self._collections[name] = again

                raise errors.StoreUnavailable(
                    f"cannot delete collection '{name}': {e}"
                ) from e

            if collection is None:
                with self._lock:
                    del self._broken[name]

        shutil.rmtree(gone, ignore_errors=True)
        return True

    # -- indexes --------------------------------------------------------------

    def index_if_due(self, name: str) -> None:
        """Begins to build the index of a collection if it should have one."""
        collection = self.get(name)
        wanted = due(collection)
        if wanted is None:
            return

        with self._lock:
            if (
                self._collections.get(name) is not collection
                or name in self._changing
                or collection.building
            ):
                return

            collection.index_is_due(True)
            for other in [n for n, c in self._collections.items() if not c.building]:
                self._builders.pop(other, None)  # done

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
                with self._guarded(collection.name, "cannot index"):
                    self.index_if_due(collection.name)

    def is_indexing(self) -> bool:
        """Returns whether an index is being built."""
        return any(collection.building is not None for collection in self.collections())

    def _cancel_index(self, name: str) -> None:
        with self._lock:
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
        except OSError as e:
            raise errors.StoreUnavailable(
                f"the store {self.path} cannot be read: {e.strerror}"
            ) from e

        free = disk.f_bavail * disk.f_frsize
        needed = max(self._min_free, 2 * incoming)
        if free < needed:
            raise errors.StoreUnavailable(
                f"the disk of the store {self.path} has {bytes_in_words(free)} free "
                f"and this needs {bytes_in_words(needed)}: nothing was written. Make "
                "room, or use another path"
            )

    def look_after(self) -> None:
        """Flushes collections when they are quiet or it is time, and indexes them."""
        now = time.monotonic()
        for collection in self.collections():
            live = collection.live
            written, grown = live.written_at, live.grown_at
            since = live.unflushed_since
            with self._guarded(collection.name, "cannot look after"):
                quiet = written is not None and now - written >= _QUIET_SECONDS
                if quiet or (since is not None and now - since >= _FLUSH_SECONDS):
                    live.flush()

                if grown is not None and now - grown >= _INDEX_AFTER_SECONDS:
                    live.grown_at = None
                    self.index_if_due(collection.name)

    @contextmanager
    def _guarded(self, name: str, what: str) -> Iterator[None]:
        """Logs what goes wrong with a collection, once, and goes on with others."""
        try:
            yield
        except errors.CollectionNotFound:
            pass  # deleted just now
        except Exception as e:
            text, until = self._complained.get((name, what), ("", 0.0))
            if text != str(e) or time.monotonic() > until:
                logger.exception("%s '%s'", what, name)
                until = time.monotonic() + _REPEAT_SECONDS
                self._complained[name, what] = (str(e), until)
        else:
            self._complained.pop((name, what), None)

    def close(self) -> None:
        """Flushes and closes everything."""
        for name in list(self._builders):
            self._cancel_index(name)

        for collection in self.collections():
            with self._guarded(collection.name, "cannot close"):
                collection.live.close()
