"""Building a collection's index beside it, while it is searched and written.

The owner copies the shard, a child process indexes the copy, the owner applies to
it what was written meanwhile, and the copy takes the shard's place. Until then
searches are exact, and afterwards those of points written later.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import qdrant_edge as qe

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.files import copy_tree, tree_size, write_json
from fiftyone_qdrant.embedded.owner import settings
from fiftyone_qdrant.embedded.owner.collection import Collection
from fiftyone_qdrant.embedded.owner.engine import engine_call
from fiftyone_qdrant.embedded.owner.live_shard import Journal
from fiftyone_qdrant.embedded.owner.settings import Segments

logger = logging.getLogger(__name__)

_ROUNDS = 4
_HERE = os.path.dirname(os.path.abspath(__file__))


def due(collection: Collection) -> Segments | None:
    """Returns what a collection's segments should be built with, if they are to be.

    They are when more of the points than the threshold are not in an index, or when
    the settings that the segments were made with have changed. A threshold of 0 keeps
    a collection that has no index without one.
    """
    if collection.building:
        return None

    config = collection.config
    has, asked = Segments.made(config), settings.asked(config)
    indexed, plain = (
        replace(wanted, asked=asked)
        for wanted in (Segments.indexed(config), Segments.plain(config))
    )
    counts = collection.counts()
    answered = has.asked == asked
    if counts["indexed_vectors_count"] and has.is_plain and not answered:
        return indexed  # an owner ended before it noted what it had built

    missing = counts["points_count"] - counts["indexed_vectors_count"]
    left = answered and missing == has.points  # the engine leaves these out
    grown = missing > settings.threshold(config) and not left
    wanted = indexed if grown or not has.is_plain else plain
    done = wanted.same(has) and (wanted.is_plain or not grown)
    return None if done else wanted


class IndexBuilder:
    """Builds the index of one collection, once, in a thread of its own.

    Args:
        collection: the collection
        wanted: what to build it with, as :func:`due` says
        making: a directory on the same file system for the copy
        trash: a directory on the same file system for the old shard
        check_space: refuses a number of bytes for which the disk is too small
        turn: held while building: one index is built at a time
    """

    def __init__(
        self,
        collection: Collection,
        wanted: Segments,
        making: str,
        trash: str,
        check_space: Callable[[int], None],
        turn: threading.Lock,
    ) -> None:
        self._collection = collection
        self._wanted = wanted
        self._copy = os.path.join(making, uuid.uuid4().hex)
        self._trash = trash
        self._check_space = check_space
        self._turn = turn
        self._cancelled = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        collection.building = {"phase": "waiting", "since": time.time()}
        collection.build_error = None
        self._thread.start()

    def cancel(self) -> None:
        """Gives up, and waits until nothing is left of it."""
        self._cancelled.set()
        child = self._child
        if child is not None:
            with contextlib.suppress(OSError):
                child.kill()

        self._thread.join()

    def _run(self) -> None:
        name = self._collection.name
        try:
            while not self._cancelled.is_set():
                if self._turn.acquire(timeout=0.1):
                    try:
                        self._build()
                    finally:
                        self._turn.release()

                    break
        except Exception as e:
            if not self._cancelled.is_set():
                logger.exception("cannot index '%s'", name)
                self._collection.build_error = str(e) or type(e).__name__
                with contextlib.suppress(OSError):  # the next owner tries it again
                    self._collection.index_is_due(False)
        finally:
            self._collection.live.stop_journal()
            self._collection.building = None
            shutil.rmtree(self._copy, ignore_errors=True)

    def _enter(self, phase: str) -> None:
        since = (self._collection.building or {}).get("since", time.time())
        self._collection.building = {"phase": phase, "since": since}

    def _build(self) -> None:
        collection = self._collection
        started = time.perf_counter()
        live = collection.live
        self._check_space(tree_size(live.directory))
        self._enter("copying")
        os.makedirs(self._copy, 0o700)
        shard_dir = os.path.join(self._copy, "shard")
        with live.frozen() as journal:
            copy_tree(live.directory, shard_dir)

        self._enter("building")
        self._index(shard_dir)
        if self._cancelled.is_set():
            return

        os.sync()  # or a power failure might take the old files and the new
        self._enter("catching up")
        with engine_call(collection.name):
            built = qe.EdgeShard.load(shard_dir)
            try:
                for _ in range(_ROUNDS):  # most of it while writing goes on
                    _apply(built, journal)

                built.flush()  # so that little is left to do while writers wait
                _apply(built, journal)
                with live.writes_stopped():
                    _apply(built, journal)
                    indexed = built.info()
                    built.flush()
                    built.close()
                    missing = indexed.points_count - indexed.indexed_vectors_count
                    old = live.replace(
                        shard_dir,
                        self._trash,
                        lambda: collection.built(replace(self._wanted, points=missing)),
                    )
            finally:
                built.close()

        if old is not None:
            shutil.rmtree(old, ignore_errors=True)

        live.grown_at = time.monotonic()  # to look whether settings were changed since
        logger.info(
            "indexed '%s' in %.1f s", collection.name, time.perf_counter() - started
        )

    def _index(self, shard_dir: str) -> None:
        sidecar = os.path.join(self._copy, "collection.json")
        points = self._collection.counts()["points_count"]
        config = settings.to_build(self._collection.config, self._wanted, points)
        write_json(sidecar, config)
        self._child = subprocess.Popen(
            [
                sys.executable,
                os.path.join(_HERE, "run_owner.py"),
                "build",
                shard_dir,
                sidecar,
                *sys.path,
            ],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        if self._cancelled.is_set():
            self._child.kill()

        _, said = self._child.communicate()
        if self._child.returncode != 0 and not self._cancelled.is_set():
            words = said.decode(errors="replace").strip().splitlines() or ["it died"]
            raise errors.EngineError(
                f"indexing collection '{self._collection.name}' failed: {words[-1]}"
            )


def _apply(shard: Any, journal: Journal) -> None:
    for operation in journal.take():
        try:
            shard.update(operation)
        except Exception as e:  # noqa: BLE001
            # it failed for the live shard too, and was reported then
            logger.info("replayed an operation that fails: %s", e)
