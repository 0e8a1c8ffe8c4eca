"""Copies of collections for keeping, made and taken back by the owner process.

A backup is itself a store: the same layout and files, with the checksums that a normal
end leaves. So it can be opened, verified and restored from like any other.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from contextlib import ExitStack
from typing import Any

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import seal
from fiftyone_qdrant.embedded.collection import SHARD, SIDECAR, Collection
from fiftyone_qdrant.embedded.files import (
    FileLock,
    copy_tree,
    read_json,
    tree_size,
    write_json,
)
from fiftyone_qdrant.embedded.store import RECORD, Store, check_record

_SPARE_BYTES = 64 << 20


def back_up(store: Store, target: str, names: list[str] | None) -> list[dict[str, Any]]:
    """Copies collections into a new directory: all of them, or nothing.

    Each is flushed first, and its writers wait while it is copied; readers do not.

    Args:
        store: the store
        target: the directory, which must not exist or be empty
        names: the collections, or None for all

    Returns:
        name and bytes of each collection

    Raises:
        CollectionDamaged: if a collection is
        CollectionNotFound: if there is none of that name
        StoreUnavailable: if the directory cannot be used, or its disk is too small
    """
    wanted = store.names() if names is None else dict.fromkeys(names)
    collections = [store.get(name) for name in wanted]
    partial = f"{target}.{uuid.uuid4().hex}.partial"
    try:
        if os.path.isdir(target) and os.listdir(target):
            raise errors.StoreUnavailable(
                f"{target} is not empty: give a new directory for the backup"
            )
        os.makedirs(os.path.join(partial, "collections"), 0o700)
        _check_space(partial, sum(c.disk_usage() for c in collections))
        copied = [_copy(collection, partial) for collection in collections]
        record = read_json(os.path.join(store.path, RECORD))
        about = {"backup_of": store.path, "backed_up_at": time.time()}
        write_json(os.path.join(partial, RECORD), {**record, **about})
        os.sync()
        os.replace(partial, target)
    except OSError as exc:
        if isinstance(exc, errors.QdrantPluginError):
            raise
        raise errors.StoreUnavailable(
            f"cannot back up to {target}: {exc.strerror or exc}"
        ) from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return copied


def _copy(collection: Collection, target: str) -> dict[str, Any]:
    place = os.path.basename(collection.directory)
    directory = os.path.join(target, "collections", place)
    os.mkdir(directory, 0o700)
    with collection.live.still():
        for entry in (SHARD, seal.NAME):
            source = os.path.join(collection.directory, entry)
            copy_tree(source, os.path.join(directory, entry))
        write_json(os.path.join(directory, SIDECAR), collection.config)
    shard = os.path.join(directory, SHARD)
    seal.add_checksums(shard)
    return {"name": collection.name, "bytes": collection.disk_usage()}


def restore(
    store: Store, source: str, names: list[str] | None, *, replace: bool
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
            f"the backup {source} has no collection {', '.join(map(repr, missing))}: "
            f"it has {', '.join(map(repr, sorted(found)))}"
        )
    taken = [name for name in chosen if store.exists(name)]
    if taken and not replace:
        raise errors.CollectionExists(
            f"the store {store.path} has {', '.join(map(repr, taken))} already: "
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
            copy_tree(found[name], half)
            store.check_space(0)
            points = _open(name, half)
            restored.append({"name": name, "points": points})
        os.sync()  # or a power failure might take the old ones and the new
        for name, half in ready.items():
            store.put_in_place(name, half, replace=replace)
    return restored


def _open(name: str, directory: str) -> int:
    """Opens a copy, closes it again, and returns how many points it has."""
    try:
        copy = Collection(directory, read_json(os.path.join(directory, SIDECAR)))
        points = copy.counts()["points_count"]
        copy.live.close()
    except errors.CollectionDamaged as exc:
        raise errors.CollectionDamaged(
            f"collection '{name}' cannot be restored: {exc}"
        ) from exc
    return points


def _contents(source: str) -> dict[str, str]:
    """Returns the directories of a backup's collections by name."""
    record = read_json(os.path.join(source, RECORD))
    if record is None:
        raise errors.StoreUnavailable(f"{source} is no backup: it has no {RECORD}")
    check_record(record, source)
    lock = os.path.join(source, "owner.lock")
    if os.path.exists(lock):
        free = FileLock(lock)
        if not free.acquire():
            raise errors.StoreUnavailable(
                f"{source} is a store in use: restore from a backup of it"
            )
        free.release()
    home = os.path.join(source, "collections")
    found = {}
    for entry in sorted(os.listdir(home)):
        config = read_json(os.path.join(home, entry, SIDECAR))
        if config is not None:
            found[config["name"]] = os.path.join(home, entry)
    return found


def _check(name: str, directory: str) -> None:
    shard = os.path.join(directory, SHARD)
    note = seal.read(shard)
    if note is None:
        raise errors.CollectionDamaged(
            f"collection '{name}' cannot be restored: {directory} was not closed "
            f"properly, it has no {seal.NAME}"
        )
    if "checksums" not in note:
        raise errors.CollectionDamaged(
            f"collection '{name}' cannot be restored: {directory} was not closed "
            f"properly, its {seal.NAME} has no checksums"
        )
    wrong = seal.damage_of_files(note, shard) or seal.damage_of_contents(note, shard)
    if wrong:
        raise errors.CollectionDamaged(
            f"collection '{name}' cannot be restored: in {directory}, {wrong}"
        )


def _check_space(path: str, needed: int) -> None:
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize
    if free < needed + _SPARE_BYTES:
        raise errors.StoreUnavailable(
            f"the disk of {path} has {free >> 20} MB free and the copy needs "
            f"{(needed + _SPARE_BYTES) >> 20} MB: make room, or use another disk"
        )
