"""What is kept at a URL: chunks, the backups that name them, and who works there.

::

    chunks/ab/abcd…       bytes, named by their sha256
    backups/….json        one backup: its files and their chunks; written last
    running/….json        the chunks of a backup that is being made, or was broken off
    clearing/….json       somebody is deleting chunks that nobody names

There are no locks at a URL, so each side first says what it does and then looks whether
the other does: who clears deletes nothing that is named in ``running`` (which is read
before ``backups``, as a backup goes from one to the other), and who begins a backup
waits until nobody clears.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, TypeVar

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.client.chunks import Tree, tree_of_json
from fiftyone_qdrant.embedded.client.remote_place import Place

FORMAT = 1
_WORKERS = 8
_STAMP = "%Y%m%dT%H%M%S.%fZ"
_NAME = re.compile(r"\d{8}T\d{6}\.\d{6}Z-[0-9a-f]{16}\.json")
_NOTE = re.compile(r"[0-9a-f]{32}\.json")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CLEAR_SECONDS = 300.0
_WAIT_SECONDS = 2 * _CLEAR_SECONDS
_POLL_SECONDS = 2.0
_RUNNING_SECONDS = 7 * 86400.0

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class Backup:
    """A backup at a URL.

    Attributes:
        name: of its file; later ones sort after earlier ones
        origin: what it is of: machine, store and which collections were asked for
        whole: whether it has all of them
        collections: the directory of each in the tree, by its name
        tree: the files
    """

    name: str
    origin: dict[str, Any]
    whole: bool
    collections: dict[str, str]
    tree: Tree

    def digests(self) -> set[str]:
        """Returns the chunks that it names."""
        return {chunk.digest for chunk in self.tree.chunks}


def chunk_place(digest: str) -> str:
    """Returns where a chunk is."""
    return f"chunks/{digest[:2]}/{digest}"


def chunk_sizes(place: Place) -> dict[str, int]:
    """Returns the bytes of each chunk that is there, which may be part of it."""
    there = place.list("chunks")
    return {name: size for name, size in there.items() if _DIGEST.fullmatch(name)}


def side_by_side(do: Callable[[_T], _R], these: Iterable[_T]) -> Iterator[_R]:
    """Yields what a function returns for each; the first failure ends it."""
    with ThreadPoolExecutor(_WORKERS) as pool:
        try:
            yield from pool.map(do, these)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def names(place: Place) -> list[str]:
    """Returns the names of the backups, earlier ones first."""
    return sorted(filter(_NAME.fullmatch, place.list("backups")))


def add(
    place: Place,
    origin: dict[str, Any],
    whole: bool,
    collections: dict[str, str],
    tree: Tree,
) -> Backup:
    """Writes a backup, all of whose chunks are there."""
    content = {
        "format": FORMAT,
        "origin": origin,
        "whole": whole,
        "collections": collections,
        **tree.as_json(),
    }
    data = json.dumps(content, sort_keys=True).encode()
    digest = hashlib.sha256(data).hexdigest()
    name = f"{datetime.now(timezone.utc).strftime(_STAMP)}-{digest[:16]}.json"
    place.write_whole(f"backups/{name}", data)
    read(place, name)
    return Backup(name, origin, whole, collections, tree)


def read(place: Place, name: str) -> Backup:
    """Returns a backup.

    Raises:
        CollectionDamaged: if its file is not what was written
        FileNotFoundError: if there is none of that name
        StoreUnavailable: if a newer version wrote it
    """
    where = f"{place.url}/backups/{name}"
    data = place.read(f"backups/{name}")
    digest = hashlib.sha256(data).hexdigest()
    if not _NAME.fullmatch(name) or name.split("-")[1][:16] != digest[:16]:
        raise errors.CollectionDamaged(
            f"{where} is not what was written: use another backup, and delete this file"
        )

    try:
        content = json.loads(data)
        if content["format"] > FORMAT:
            raise errors.StoreUnavailable(
                f"{where} was written by a newer version: update fiftyone-qdrant"
            )

        tree = tree_of_json(content)
        collections = dict(content["collections"])
        if not set(collections.values()) <= set(tree.directories):
            raise ValueError("a collection has no directory")

        origin, whole = dict(content["origin"]), bool(content["whole"])
    except (KeyError, TypeError, ValueError) as e:
        raise errors.CollectionDamaged(f"{where} is no backup: {e}") from e

    return Backup(name, origin, whole, collections, tree)


@contextmanager
def running(place: Place, digests: set[str]) -> Iterator[Callable[[], None]]:
    """Says which chunks a backup needs, so that nobody deletes them.

    What is broken off keeps its chunks for a week, so that the next backup goes on.

    Yields:
        what to call before the backup is written: it fails if that was not respected
    """
    note = f"running/{uuid.uuid4().hex}.json"
    said = {"at": time.time(), "chunks": sorted(digests)}
    place.write_whole(note, json.dumps(said).encode())
    _wait_for_clearing(place)

    def check() -> None:
        try:
            place.read(note)
        except FileNotFoundError as e:
            raise errors.StoreUnavailable(
                f"{place.url}: this backup took so long that others took it for "
                "broken off: call again, which goes on from here"
            ) from e

    yield check
    place.delete(note)


def _wait_for_clearing(place: Place) -> None:
    seen: dict[str, float] = {}
    told = False
    while True:
        now = time.monotonic()
        notes = list(filter(_NOTE.fullmatch, place.list("clearing")))
        for note in notes:
            if now - seen.setdefault(note, now) > _WAIT_SECONDS:
                place.delete(f"clearing/{note}")  # by then it has long given up

        if not notes:
            return

        if not told:
            told = True
            logger.warning(
                "%s: another program deletes old chunks, waiting until it is done, "
                "%.0f minutes at most",
                place.url,
                _WAIT_SECONDS / 60,
            )

        time.sleep(_POLL_SECONDS)


def keep(place: Place, latest: Backup, count: int) -> tuple[int, int]:
    """Deletes older backups of the same origin, and the chunks that nobody names.

    Those that are not whole do not count, and go with the whole ones of their time.

    Args:
        place: where they are
        latest: the backup just made, which stays
        count: how many whole backups of its origin stay

    Returns:
        how many backups and how many chunks were deleted

    Raises:
        CollectionDamaged, StoreUnavailable: if a backup cannot be read. No chunk is
            deleted then, as it may name any
    """
    found = [b for b in _all(place) if b.name != latest.name]
    same = [b for b in found if b.origin == latest.origin]
    whole = sorted((b.name for b in same if b.whole), reverse=True)
    kept = set(whole[: count - 1])
    oldest = min(kept, default=latest.name)
    enough = len(kept) == count - 1
    old = [
        b.name
        for b in same
        if b.name not in kept and (b.whole or (enough and b.name < oldest))
    ]
    for name in old:
        place.delete(f"backups/{name}")

    return len(old), _clear(place)


def _clear(place: Place) -> int:
    begun = time.monotonic(), time.time()  # the first stands still in a sleep
    note = f"clearing/{uuid.uuid4().hex}.json"
    place.write_whole(note, b"{}")
    try:
        there = chunk_sizes(place)
        named = _named_by_running(place)
        for backup in _all(place):
            named |= backup.digests()

        unnamed = [digest for digest in there if digest not in named]

        def delete(digest: str) -> bool:
            if (
                max(time.monotonic() - begun[0], time.time() - begun[1])
                > _CLEAR_SECONDS
            ):
                return False  # the next one goes on

            place.delete(chunk_place(digest))
            return True

        return sum(side_by_side(delete, unnamed))
    finally:
        place.delete(note)


def _named_by_running(place: Place) -> set[str]:
    named: set[str] = set()
    for note in filter(_NOTE.fullmatch, place.list("running")):
        try:
            said = json.loads(place.read(f"running/{note}"))
        except FileNotFoundError:  # it is a backup by now
            continue
        except ValueError as e:
            raise errors.CollectionDamaged(
                f"{place.url}/running/{note} is not what was written: delete it if no "
                "backup is running"
            ) from e

        if time.time() - said["at"] > _RUNNING_SECONDS:
            place.delete(f"running/{note}")
        else:
            named.update(said["chunks"])

    return named


def _all(place: Place) -> list[Backup]:
    found = []
    for name in names(place):
        with suppress(FileNotFoundError):  # deleted by another just now
            found.append(read(place, name))

    return found
