"""The shard of a collection: opened on first use, shared, closed, replaced."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import qdrant_edge as qe

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.files import odd_file, read_json
from fiftyone_qdrant.embedded.owner import seal
from fiftyone_qdrant.embedded.owner.engine import (
    damaged,
    engine_call,
    transient,
    translated,
)

logger = logging.getLogger(__name__)

_MAX_JOURNAL = 512 << 20


class Journal:
    """The operations on a shard since it was copied."""

    def __init__(self) -> None:
        self._operations: list[Any] = []
        self._lock = threading.Lock()
        self.size = 0

    def __len__(self) -> int:
        return len(self._operations)

    def add(self, operation: Any, size: int) -> None:
        """Adds an operation of about ``size`` bytes."""
        with self._lock:
            self._operations.append(operation)
            self.size += size

    def take(self) -> list[Any]:
        """Removes and returns the operations so far."""
        with self._lock:
            taken, self._operations = self._operations, []
            self.size = 0

        return taken


class LiveShard:
    """A shard that any number of threads use at a time.

    Closing and replacing it wait for those who use it, and keep others waiting.

    Args:
        name: the collection's name
        directory: the shard's directory
        vectors: size and distance of its vectors, to compare with what the engine's
            files say
    """

    def __init__(
        self, name: str, directory: str, vectors: dict[str, Any] | None = None
    ) -> None:
        self.name = name
        self.directory = directory
        self.used_at = 0.0
        self.before_opening: Callable[[], None] = lambda: None
        self._vectors = vectors
        self.written_at: float | None = None  # None: all is flushed
        self.unflushed_since: float | None = None
        self.writes = 0  # so far
        self.grown_at: float | None = None  # None: looked whether an index is due
        self._following = f"{directory}.next"
        self._shard: Any = None
        self._sealed = False  # whether the files are flushed, and their seal holds
        self._damage: str | None = None  # found by a check, until it is replaced
        self._journal: Journal | None = None
        self._gone = False
        self._closing = False
        self._users = 0
        self._state = threading.Condition()
        self._writing = threading.Lock()

    @contextmanager
    def use(self) -> Iterator[Any]:
        """Yields the engine's shard, which stays open meanwhile."""
        if self._shard is None:
            self.before_opening()

        self.used_at = time.monotonic()
        with self._state:
            self._state.wait_for(lambda: not self._closing)
            if self._gone:
                raise errors.CollectionNotFound(f"collection '{self.name}' was deleted")

            if self._shard is None:
                self._load()

            self._users += 1
            shard = self._shard

        try:
            with engine_call(self.name):
                yield shard
        finally:
            with self._state:
                self._users -= 1
                self._state.notify_all()

    def _load(self) -> None:
        if self._damage is not None:
            raise damaged(self.name, self._damage)

        started = time.perf_counter()
        try:
            self._damage = self._odd()
            note = seal.read(self.directory)
            if self._damage is None and note is not None:
                self._damage = seal.damage_of_files(note, self.directory)

            if self._damage is None:
                shard = self._open(note)
        except errors.StoreUnavailable:  # an OSError, too
            raise
        except (errors.EngineError, OSError, ValueError, KeyError, TypeError) as e:
            if transient(e) is not None:
                raise translated(e, self.name) from e

            raise damaged(self.name, str(e)) from e

        if self._damage is not None:
            raise damaged(self.name, self._damage)

        self._shard, self._sealed = shard, note is not None
        if not self._sealed:
            self.written_at = time.monotonic()

        logger.info("loaded '%s' in %.3f s", self.name, time.perf_counter() - started)

    def _odd(self) -> str | None:
        """Returns what the engine must not be shown, or None."""
        if not os.path.lexists(self.directory):
            return f"{self.directory} is missing"

        odd = odd_file(self.directory)
        if odd is not None:
            return f"{odd} is neither a directory nor a plain file"

        made = read_json(os.path.join(self.directory, "edge_config.json"))
        if made and self._vectors:
            theirs = made["vectors"][""]
            for key in ("size", "distance"):
                if theirs[key] != self._vectors[key]:
                    wanted = self._vectors[key]
                    return f"its vectors have {key} {theirs[key]}, not {wanted}"

        return None

    def _open(self, note: dict[str, Any] | None) -> Any:
        with engine_call(self.name), ExitStack() as undo:
            shard = qe.EdgeShard.load(self.directory)
            undo.callback(shard.close)  # or nobody can open it, to see the same
            if note is not None:
                self._damage = seal.damage_of_answers(note, shard)

            if self._damage is None:
                undo.pop_all()

            return shard

    def write(self, operation: Any, size: int = 1024) -> None:
        """Applies an ``UpdateOperation`` of about ``size`` bytes."""
        with self._writing, self.use() as shard:
            journal = self._journal
            if journal is not None:
                journal.add(operation, size)
                if journal.size > _MAX_JOURNAL:
                    self._journal = None

            self.writes += 1
            self.written_at = self.grown_at = now = time.monotonic()
            self.unflushed_since = self.unflushed_since or now
            self._break_seal()
            shard.update(operation)

    def flush(self) -> None:
        """Makes all acknowledged writes survive a power failure."""
        sealed = os.path.exists(seal.path_of(self.directory))
        if self._shard is not None or not sealed:
            with self.still():
                pass

    @contextmanager
    def still(self) -> Iterator[None]:
        """Keeps the files as they are, flushed and sealed. Reading goes on."""
        with self._writing, self.use() as shard:
            self._settle(shard)
            yield

    def _settle(self, shard: Any) -> None:
        try:
            if not self._sealed:
                shard.flush()
                seal.put(self.directory, shard)
                self._sealed = True
        except BaseException:
            self.written_at = self.unflushed_since = time.monotonic()  # again, soon
            raise

        self.written_at = self.unflushed_since = None

    def _break_seal(self) -> None:
        if self._sealed:
            seal.remove(self.directory)
            self._sealed = False

    def close(self, *, for_good: bool = False) -> None:
        """Closes the shard when nobody uses it any more.

        Args:
            for_good: whether the collection is being deleted. Then nothing is
                flushed, and using the shard raises
        """
        with self._closed(flush=not for_good):
            self._gone = self._gone or for_good

    @property
    def is_open(self) -> bool:
        """Whether the engine has it open."""
        return self._shard is not None

    def close_unless_used(self) -> bool:
        """Closes the shard if nobody uses it, without waiting for anybody."""
        if not self._state.acquire(blocking=False):
            return False

        try:
            busy = self._users or self._closing or self._journal is not None
            if busy or self._shard is None:
                return False

            with self._closed(flush=True):
                return True
        finally:
            self._state.release()

    @contextmanager
    def closed_for_good(self) -> Iterator[None]:
        """Closes the shard for good, if the body succeeds. Others wait meanwhile."""
        with self._closed(flush=False):
            yield
            self._gone = True

    @contextmanager
    def _closed(self, *, flush: bool) -> Iterator[None]:
        with self._state:
            self._state.wait_for(lambda: not self._closing)
            self._closing = True
            try:
                self._state.wait_for(lambda: self._users == 0)
                shard, self._shard = self._shard, None
                if shard is not None:
                    with engine_call(self.name):
                        if flush:
                            self._settle(shard)

                        shard.close()
                        if flush:
                            seal.add_checksums(self.directory)

                self.written_at = None
                yield
            finally:
                self._closing = False
                self._state.notify_all()

    # -- replacing it by an indexed copy --------------------------------------

    @contextmanager
    def writes_stopped(self) -> Iterator[None]:
        """Keeps writers waiting. Reading goes on."""
        with self._writing:
            yield

    @contextmanager
    def frozen(self) -> Iterator[Journal]:
        """Keeps the files as they are, and yields a journal of what follows."""
        with self.still():
            self._journal = journal = Journal()
            yield journal

    def stop_journal(self) -> None:
        """Ends the journal."""
        self._journal = None

    def replace(self, built: str, trash: str, done: Callable[[], None]) -> str | None:
        """Puts an indexed copy in place of the shard. Writes must be stopped.

        Args:
            built: the directory of the copy, closed and complete
            trash: a directory for the old one
            done: called when it is in place, and before it is written to

        Returns:
            where the old one is, to be deleted; None if the collection was deleted
        """
        if self._journal is None:
            raise errors.EngineError(
                f"too much was written to collection '{self.name}' while it was indexed"
            )

        old = os.path.join(trash, uuid.uuid4().hex)
        if self._gone:
            return None

        seal.remove(self.directory)  # waits for the disk: while it is still searched
        self._sealed = False
        with self._closed(flush=False):
            if self._gone:
                return None

            os.rename(built, self._following)
            os.rename(self.directory, old)
            os.rename(self._following, self.directory)

        done()
        self.written_at = time.monotonic()  # to be sealed
        return old

    def finish_replacing(self) -> None:
        """Clears up after an owner that ended within :meth:`replace`."""
        if not os.path.isdir(self._following):
            return

        if os.path.isdir(self.directory):
            shutil.rmtree(self._following)  # as good as the one in place, not better
        else:
            os.rename(self._following, self.directory)
