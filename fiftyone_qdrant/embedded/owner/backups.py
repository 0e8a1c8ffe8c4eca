"""Copies of collections for keeping, made and taken back by the owner process.

A backup is itself a store: the same layout and files, with the checksums that a normal
end leaves. So it can be opened, verified and restored from like any other.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import record, sidecar
from fiftyone_qdrant.embedded.files import (
    FileLock,
    copy_tree,
    is_file,
    make_directories,
    odd_file,
    tree_size,
    write_json,
)
from fiftyone_qdrant.embedded.owner import checks, seal
from fiftyone_qdrant.embedded.owner.collection import SHARD, Collection
from fiftyone_qdrant.embedded.owner.store import Store
from fiftyone_qdrant.words import bytes_in_words

_SPARE_BYTES = 64 << 20
_LOCK = "backup.lock"
_PARTIAL = re.compile(r".+\.[0-9a-f]{32}\.partial")
_YOUNG_SECONDS = 60.0


def back_up(store: Store, target: str, names: list[str] | None) -> list[dict[str, Any]]:
    """Copies collections into a new directory, and reads all points of the copies.

    Each is flushed first, and its writers wait while it is copied; readers do not.
    One that is damaged is left out, and said when the others are in place.

    Args:
        store: the store
        target: the directory, which must not exist or be empty
        names: the collections, or None for all

    Returns:
        name and bytes of each collection

    Raises:
        CollectionDamaged: if collections are, with which and what the backup has
        CollectionNotFound: if there is none of that name. Nothing is copied
        StoreUnavailable: if the directory cannot be used, or its disk is too small.
            Nothing is left
    """
    wanted = list(store.names() if names is None else dict.fromkeys(names))
    copied: list[dict[str, Any]] = []
    bad: dict[str, errors.QdrantPluginError] = {}
    collections = []
    for name in wanted:
        try:
            collections.append(store.get(name))
        except errors.CollectionDamaged as e:
            bad[name] = e

    _refuse_target(store, target)
    try:
        with _partial(target) as partial:
            _check_space(partial, sum(c.disk_usage() for c in collections))
            for collection in collections:
                try:
                    copied.append(_copy(collection, partial))
                except (errors.CollectionDamaged, errors.EngineError) as e:
                    bad[collection.name] = e
                except errors.CollectionNotFound:  # deleted just now
                    if names is not None:
                        raise

            if bad and not copied:
                raise next(iter(bad.values()))

            about = {"backup_of": store.path, "backed_up_at": time.time()}
            content = {**(record.read(store.path) or {}), **about}
            write_json(os.path.join(partial, record.RECORD), content)
            os.sync()
    except OSError as e:
        if isinstance(e, errors.QdrantPluginError):
            raise

        raise errors.StoreUnavailable(
            f"cannot back up to {target}: {e.strerror or e}"
        ) from e

    if bad:
        raise errors.CollectionDamaged(
            f"{target} has no copy of {_list(bad)}, only of "
            f"{_list(c['name'] for c in copied)}: {' '.join(map(str, bad.values()))}"
        )

    return copied


def _refuse_target(store: Store, target: str) -> None:
    if target == store.path or target.startswith(os.path.join(store.path, "")):
        raise errors.StoreUnavailable(
            f"{target} is inside the store {store.path}: give a directory outside"
        )

    if os.path.isdir(target) and os.listdir(target):
        raise errors.StoreUnavailable(
            f"{target} is not empty: give a new directory for the backup"
        )


@contextmanager
def _partial(target: str) -> Iterator[str]:
    """Yields a directory that becomes the target, or is gone if the body fails."""
    _clear_partials(os.path.dirname(target))
    partial = f"{target}.{uuid.uuid4().hex}.partial"
    make_directories(partial)
    lock = FileLock(os.path.join(partial, _LOCK))
    try:
        lock.acquire()
        os.mkdir(os.path.join(partial, "collections"), 0o700)
        yield partial
        os.unlink(os.path.join(partial, _LOCK))
        os.replace(partial, target)
    finally:
        lock.release()
        shutil.rmtree(partial, ignore_errors=True)


def _clear_partials(directory: str) -> None:
    """Deletes what backups that were killed have left in a directory."""
    with suppress(OSError):
        for entry in os.listdir(directory):
            path = os.path.join(directory, entry)
            if _PARTIAL.fullmatch(entry) and _is_left(path):
                shutil.rmtree(path, ignore_errors=True)


def _is_left(partial: str) -> bool:
    found = os.lstat(partial)
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    parts = {"collections", record.RECORD, _LOCK}
    if not ours or not set(os.listdir(partial)) <= parts:
        return False

    path = os.path.join(partial, _LOCK)
    if not is_file(path):  # of an earlier version, or just begun
        return time.time() - found.st_mtime > _YOUNG_SECONDS

    lock = FileLock(path)
    free = lock.acquire()
    lock.release()
    return free


def _copy(collection: Collection, target: str) -> dict[str, Any]:
    place = os.path.basename(collection.directory)
    directory = os.path.join(target, "collections", place)
    os.mkdir(directory, 0o700)
    try:
        with collection.live.still():
            for entry in (SHARD, seal.NAME):
                source = os.path.join(collection.directory, entry)
                copy_tree(source, os.path.join(directory, entry))

            config = collection.config
            write_json(os.path.join(directory, sidecar.SIDECAR), config)

        copy = Collection(directory, config)
        try:
            checks.read(copy)
        finally:
            copy.live.close()  # adds the checksums
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise

    return {"name": collection.name, "bytes": copy.disk_usage()}


def restore(
    store: Store, source: str, names: list[str] | None, replace: bool
) -> list[dict[str, Any]]:
    """Takes collections from a backup: all are copied and opened before any changes.

    Args:
        store: the store
        source: the directory of the backup
        names: the collections, or None for all in the backup
        replace: whether collections that the store has are replaced

    Returns:
        name and points of each collection

    Raises:
        CollectionDamaged: if a file of the backup is not what was written
        CollectionExists: if the store has one of them, and not ``replace``
        CollectionNotFound: if the backup has none of that name
        StoreUnavailable: if the directory is no backup, or the disk too small
    """
    found = _contents(source)
    chosen = sorted(found) if names is None else list(dict.fromkeys(names))
    missing = [name for name in chosen if name not in found]
    if missing:
        raise errors.CollectionNotFound(
            f"the backup {source} has no collection {_list(missing)}: "
            f"it has {_list(sorted(found))}"
        )

    taken = [name for name in chosen if store.exists(name)]
    if taken and not replace:
        raise errors.CollectionExists(
            f"the store {store.path} has {_list(taken)} already: "
            "nothing was restored; say that they are to be replaced, or name others"
        )

    for name in chosen:
        _check(name, found[name])

    _check_space(store.path, sum(tree_size(found[name]) for name in chosen))
    restored = []
    with ExitStack() as places:
        ready = {}
        for name in chosen:
            ready[name] = half = places.enter_context(store.new_directory(name))
            _take(found[name], half)
            store.check_space(0)
            points = _open(name, half)
            restored.append({"name": name, "points": points})

        os.sync()  # or a power failure might take the old ones and the new
        for name, half in ready.items():
            store.put_in_place(name, half, replace=replace)

    return restored


def _take(directory: str, half: str) -> None:
    os.mkdir(half, 0o700)
    for entry in (sidecar.SIDECAR, seal.NAME, SHARD):
        copy_tree(os.path.join(directory, entry), os.path.join(half, entry))


def _open(name: str, directory: str) -> int:
    """Opens a copy, closes it again, and returns how many points it has."""
    try:
        config = sidecar.read_settings(directory)
        copy = Collection(directory, config)
        points = copy.counts()["points_count"]
        copy.live.close()
    except (errors.CollectionDamaged, ValueError) as e:
        raise errors.CollectionDamaged(
            f"collection '{name}' cannot be restored: {e}"
        ) from e

    return points


def _contents(source: str) -> dict[str, str]:
    """Returns the directories of a backup's collections by name."""
    about = record.read(source)
    home = os.path.join(source, "collections")
    if about is None or os.path.islink(home) or not os.path.isdir(home):
        raise errors.StoreUnavailable(
            f"{source} is no backup: it has no {record.RECORD} and collections"
        )

    record.check(about, source)
    lock = os.path.join(source, "owner.lock")
    if os.path.exists(lock):
        free = FileLock(lock)
        if not free.acquire():
            raise errors.StoreUnavailable(
                f"{source} is a store in use: restore from a backup of it"
            )

        free.release()

    return {
        sidecar.name_in(os.path.join(home, entry)): os.path.join(home, entry)
        for entry in sorted(os.listdir(home))
        if not is_file(os.path.join(home, entry))
    }


def _check(name: str, directory: str) -> None:
    shard = os.path.join(directory, SHARD)
    where = f"collection '{name}' cannot be restored: "
    odd = odd_file(directory)
    if odd is not None:
        raise errors.CollectionDamaged(
            f"{where}{odd} is neither a directory nor a plain file"
        )

    try:
        sidecar.read(directory)
        note = seal.read(shard)
    except ValueError as e:
        raise errors.CollectionDamaged(f"{where}in {directory}, {e}") from e

    if note is None:
        raise errors.CollectionDamaged(
            f"{where}{directory} was not closed properly, it has no {seal.NAME}"
        )

    if "checksums" not in note:
        raise errors.CollectionDamaged(
            f"{where}{directory} was not closed properly, its {seal.NAME} has no "
            "checksums"
        )

    wrong = seal.damage_of_files(note, shard) or seal.damage_of_contents(note, shard)
    if wrong:
        raise errors.CollectionDamaged(f"{where}in {directory}, {wrong}")


def _check_space(path: str, needed: int) -> None:
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize
    if free < needed + _SPARE_BYTES:
        raise errors.StoreUnavailable(
            f"the disk of {path} has {bytes_in_words(free)} free and the copy needs "
            f"{bytes_in_words(needed + _SPARE_BYTES)}: make room, or use another disk"
        )


def _list(names: Any) -> str:
    return ", ".join(map(repr, names))
