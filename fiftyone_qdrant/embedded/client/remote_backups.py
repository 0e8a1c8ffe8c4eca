"""Backups of a store at a URL: made, taken back and verified, with fsspec.

A backup is made beside the store first, as one in a directory is, and what is not there
yet is sent. So it needs that room in the directory for temporary files (``TMPDIR``).
"""

from __future__ import annotations

import os
import platform
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import sidecar
from fiftyone_qdrant.embedded.client import administration, chunks, launcher
from fiftyone_qdrant.embedded.client import remote_archive as archive
from fiftyone_qdrant.embedded.client.remote_place import Place
from fiftyone_qdrant.embedded.files import FileLock
from fiftyone_qdrant.words import bytes_in_words

_SPARE_BYTES = 64 << 20
_ROOM = "fiftyone-qdrant-backup-"
_LOCK = "backup.lock"
_YOUNG_SECONDS = 60.0


@dataclass(frozen=True)
class Sent:
    """What a backup at a URL took.

    Attributes:
        name: of the backup: ``URL/backups/NAME`` restores this one
        collections: those in it
        chunks: how many different chunks it has
        bytes: bytes of these
        sent: how many of them were not there yet
        bytes_sent: bytes of these
        backups_deleted: older backups that were not to be kept
        chunks_deleted: chunks that nobody needed any more
    """

    name: str
    collections: list[str]
    chunks: int
    bytes: int
    sent: int
    bytes_sent: int
    backups_deleted: int = 0
    chunks_deleted: int = 0


def back_up(
    path: str | os.PathLike[str],
    url: str,
    names: list[str] | None = None,
    *,
    keep: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Sent:
    """Copies collections of a store, in use or not, to a URL.

    Only chunks that are not there are sent, also after an earlier one was broken off,
    and each is read again. The backup is there when all of them are.

    Args:
        path: the store's directory
        url: what fsspec takes, such as ``"s3://bucket/backups"``
        names: the collections, or None for all
        keep: how many backups of this store (on this machine, of these collections)
            stay, or None for all. Nothing is deleted if a collection is damaged
        progress: called with how many bytes are there, and of how many

    Raises:
        CollectionDamaged: if collections are. The others are in the backup
        CollectionNotFound: if there is none of that name
        ConfigError: if fsspec, or what it needs for the URL, is not installed
        StoreUnavailable: if the URL cannot be used, or the temporary directory is
            too small
    """
    if keep is not None and keep < 1:
        raise errors.ConfigError(f"keep is {keep}: one backup, at least, is kept")

    place = Place(url)
    asked = None if names is None else sorted(set(names))
    origin = {
        "machine": platform.node(),
        "store": launcher.store_path(path),
        "collections": asked,
    }
    with _room() as room:
        local = os.path.join(room, "backup")
        damaged = None
        try:
            administration.back_up(path, local, names)
        except errors.CollectionDamaged as e:
            if not os.path.isdir(local):
                raise

            damaged = e

        collections = _collections(local)
        whole = damaged is None
        backup, sent = _send(place, local, origin, whole, collections, progress)

    if damaged is not None:
        raise errors.CollectionDamaged(
            str(damaged).replace(local, f"{place.url}/backups/{backup.name}")
        ) from damaged

    deleted = (0, 0) if keep is None else archive.keep(place, backup, keep)
    sizes = {c.digest: c.size for c in backup.tree.chunks}
    return Sent(
        backup.name,
        sorted(collections),
        len(sizes),
        sum(sizes.values()),
        len(sent),
        sum(sizes[digest] for digest in sent),
        *deleted,
    )


@contextmanager
def _room() -> Iterator[str]:
    """Yields a temporary directory; one that a killed program left is deleted first."""
    _clear_rooms(tempfile.gettempdir())
    with tempfile.TemporaryDirectory(prefix=_ROOM) as room:
        lock = FileLock(os.path.join(room, _LOCK))
        lock.acquire()
        try:
            yield room
        finally:
            lock.release()


def _clear_rooms(home: str) -> None:
    for entry in os.scandir(home):
        with suppress(OSError):  # another's, or gone just now
            found = entry.stat(follow_symlinks=False)
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
            young = time.time() - found.st_mtime < _YOUNG_SECONDS
            if ours and not young and entry.name.startswith(_ROOM):
                lock = FileLock(os.path.join(entry.path, _LOCK))
                if lock.acquire():
                    shutil.rmtree(entry.path, ignore_errors=True)
                    lock.release()


def _collections(local: str) -> dict[str, str]:
    home = os.path.join(local, "collections")
    return {
        sidecar.name_in(os.path.join(home, entry)): f"collections/{entry}"
        for entry in sorted(os.listdir(home))
    }


def _send(
    place: Place,
    local: str,
    origin: dict[str, Any],
    whole: bool,
    collections: dict[str, str],
    progress: Callable[[int, int], None] | None,
) -> tuple[archive.Backup, set[str]]:
    """Sends what is not there, and returns the backup and the chunks that were sent."""
    tree = chunks.cut(local)
    wanted = {c.digest: c for c in tree.chunks}
    with archive.running(place, set(wanted)) as check:
        there = archive.chunk_sizes(place)
        proven: set[str] = set()
        for name in archive.names(place):
            proven |= _named_by(place, name)

        def bring(chunk: chunks.Chunk) -> bool:
            where = archive.chunk_place(chunk.digest)
            if there.get(chunk.digest) == chunk.size and (
                chunk.digest in proven or _is_right(place, chunk.digest)
            ):
                return False

            place.write(where, chunks.read_chunk(local, chunk))
            if not _is_right(place, chunk.digest):
                raise errors.StoreUnavailable(
                    f"{place.url}/{where} is not what was written a moment ago"
                )

            return True

        sent: set[str] = set()
        done, total = 0, sum(c.size for c in wanted.values())
        brought = archive.side_by_side(bring, wanted.values())
        for chunk, new in zip(wanted.values(), brought, strict=True):
            done += chunk.size
            if new:
                sent.add(chunk.digest)

            if progress is not None:
                progress(done, total)

        check()
        backup = archive.add(place, origin, whole, collections, tree)

    return backup, sent


def _named_by(place: Place, name: str) -> set[str]:
    """Returns the chunks that a backup names: they were compared when it was made."""
    try:
        return archive.read(place, name).digests()
    except (errors.CollectionDamaged, FileNotFoundError):
        return set()


def _is_right(place: Place, digest: str) -> bool:
    return chunks.is_chunk(place.read(archive.chunk_place(digest)), digest)


def restore(
    path: str | os.PathLike[str],
    url: str,
    names: list[str] | None = None,
    *,
    replace: bool = False,
) -> list[dict[str, Any]]:
    """Takes collections from a backup at a URL into a store, made if need be.

    Args:
        path: the store's directory
        url: that of a backup (``URL/backups/NAME``), or of all: then the latest
        names: the collections, or None for all in the backup
        replace: whether to replace collections that the store has

    Returns:
        ``name`` and ``points`` of each collection

    Raises:
        CollectionDamaged: if a chunk is missing or not what was written. The store
            is as before
        CollectionExists: if the store has one of them, and not ``replace``
        CollectionNotFound: if the backup has none of that name
        ConfigError: if fsspec, or what it needs for the URL, is not installed
        StoreUnavailable: if there is no backup, or a disk is too small
    """
    place, found = _find(url)
    backup = archive.read(place, found[-1])
    tree = _part(place, backup, names)
    with _room() as room:
        needed = sum(c.size for c in tree.chunks) + _SPARE_BYTES
        disk = os.statvfs(room)
        if disk.f_bavail * disk.f_frsize < needed:
            raise errors.StoreUnavailable(
                f"{room} has not the {bytes_in_words(needed)} that the backup needs "
                "before it is restored: set TMPDIR to a larger disk"
            )

        local = os.path.join(room, "backup")
        os.mkdir(local, 0o700)
        chunks.lay_out(tree, local)

        def fetch(chunk: chunks.Chunk) -> None:
            problem, data = _look(place, chunk.digest)
            if problem is not None:
                raise errors.CollectionDamaged(
                    f"nothing was restored: {problem} ({chunk.path})"
                )

            chunks.write_chunk(local, chunk, data)

        for _ in archive.side_by_side(fetch, tree.chunks):
            pass

        return administration.restore(path, local, names, replace=replace)


def _part(place: Place, backup: archive.Backup, names: list[str] | None) -> chunks.Tree:
    if names is None:
        return backup.tree

    missing = sorted(set(names) - set(backup.collections))
    if missing:
        raise errors.CollectionNotFound(
            f"the backup {place.url}/backups/{backup.name} has no collection "
            f"{', '.join(map(repr, missing))}: it has "
            f"{', '.join(map(repr, sorted(backup.collections)))}"
        )

    return backup.tree.under("store.json", *(backup.collections[n] for n in names))


def verify(url: str, names: list[str] | None = None) -> Iterator[dict[str, Any]]:
    """Reads all that backups at a URL consist of, and compares it with its checksums.

    Args:
        url: that of a backup (``URL/backups/NAME``), or of all
        names: the collections, or None for all

    Yields:
        ``name`` of the backup, its ``collections``, ``compared`` (chunks that are what
        was written) and ``problems`` (sentences)

    Raises:
        CollectionNotFound: if the latest has none of that name
        ConfigError: if fsspec, or what it needs for the URL, is not installed
        StoreUnavailable: if there is no backup
    """
    place, found = _find(url)
    known: dict[str, str | None] = {}
    for name in found:
        try:
            backup = archive.read(place, name)
        except (errors.CollectionDamaged, FileNotFoundError) as e:
            told = {"collections": [], "compared": 0, "problems": [str(e)]}
            yield {"name": name, **told}
            continue

        chosen = names
        if names is not None and name != found[-1]:  # it may be older than some
            chosen = [each for each in names if each in backup.collections]

        paths: dict[str, list[str]] = {}
        for chunk in _part(place, backup, chosen).chunks:
            paths.setdefault(chunk.digest, []).append(chunk.path)

        new = [digest for digest in paths if digest not in known]
        known.update(zip(new, _problems(place, new), strict=True))
        problems = [
            f"{known[digest]} ({', '.join(paths[digest])})"
            for digest in paths
            if known[digest] is not None
        ]
        yield {
            "name": name,
            "collections": sorted(
                backup.collections if chosen is None else set(chosen)
            ),
            "compared": len(paths) - len(problems),
            "problems": problems,
        }


def _problems(place: Place, digests: list[str]) -> Iterator[str | None]:
    return archive.side_by_side(lambda digest: _look(place, digest)[0], digests)


def _look(place: Place, digest: str) -> tuple[str | None, bytes]:
    """Returns what is wrong with a chunk, or None, and the chunk."""
    where = archive.chunk_place(digest)
    try:
        data = place.read(where)
    except FileNotFoundError:
        return f"{place.url}/{where} is not there", b""

    if not chunks.is_chunk(data, digest):
        said = "is not what was written: delete it, and the next backup sends it again"
        return f"{place.url}/{where} {said}", b""

    return None, data


def _find(url: str) -> tuple[Place, list[str]]:
    """Returns the place that a URL names, and the backups, the latest last."""
    root, _, name = url.rstrip("/").rpartition("/backups/")
    if name.endswith(".json"):
        place, found = Place(root), [name]
    else:
        place = Place(url)
        found = archive.names(place)

    if not found or found[-1] not in archive.names(place):
        raise errors.StoreUnavailable(f"there is no backup at {place.url}")

    return place, found
