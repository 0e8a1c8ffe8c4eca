"""What a person does to a store as a whole: look at it, stop, check, copy, take back.

Nothing here imports ``qdrant_client`` or FiftyOne.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import record, sidecar
from fiftyone_qdrant.embedded.client import launcher
from fiftyone_qdrant.embedded.client.session import Session
from fiftyone_qdrant.embedded.files import is_file, read_json, tree_size

_SECONDS = 60.0
_STATUS_SECONDS = 10.0
_LONG_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class CollectionState:
    """A collection of a store.

    Attributes:
        name: its name
        disk: bytes that its files really take
        points: how many points it has, or ``None`` if nobody has it open and the
            last owner did not end normally
        indexed: how many of them are in an HNSW graph, or ``None`` if not known
        dim: size of its vectors, or ``None`` if its settings cannot be read
        indexing_threshold: kilobytes of vectors above which its index is built;
            0 is never
        building: phase of the building of its index and since when (seconds since
            the epoch), or ``None``
        problem: what is wrong, or ``None``
    """

    name: str
    disk: int
    points: int | None = None
    indexed: int | None = None
    dim: int | None = None
    indexing_threshold: int | None = None
    building: dict[str, Any] | None = None
    problem: str | None = None


@dataclass(frozen=True)
class StoreState:
    """A store and what is in it.

    Attributes:
        path: its directory
        exists: whether there is a store
        owner: pid, engine, start time and log of its owner, or ``None`` if none runs
            or it does not answer
        silent: what is known of an owner that runs and does not answer, or ``None``
        engine: the engine that wrote it last, such as ``"qdrant-edge 0.9.0"``
        collections: its collections, by name
    """

    path: str
    exists: bool
    owner: dict[str, Any] | None
    engine: str | None
    collections: tuple[CollectionState, ...]
    silent: dict[str, Any] | None = None


def status(path: str | os.PathLike[str]) -> StoreState:
    """Looks at a store, without starting its owner if none runs.

    Args:
        path: the store's directory
    """
    path = launcher.store_path(path)
    about = record.read(path)
    owner = launcher.running(path, _STATUS_SECONDS)
    silent = launcher.silent(path) if owner is None else None
    if owner is None:
        found = tuple(_closed(path))
    else:
        with _session(path) as session:
            found = tuple(_open(session, name) for name in owner["collections"])

    engine = (about or {}).get("engine")
    return StoreState(path, about is not None, owner, engine, found, silent)


def _open(session: Session, name: str) -> CollectionState:
    request = {"collection": name}
    try:
        disk = session.call("disk", request, timeout=_SECONDS)[0]["bytes"]
        info = session.call("info", request, timeout=_SECONDS)[0]["info"]
    except errors.QdrantPluginError as e:
        return CollectionState(name, 0, problem=str(e))

    return CollectionState(
        name,
        disk,
        info["points_count"],
        info["indexed_vectors_count"],
        info["config"]["vectors"]["size"],
        info["indexing_threshold"],
        info["building"],
        info["build_error"],
    )


def _closed(path: str) -> Iterator[CollectionState]:
    home = os.path.join(path, "collections")
    for entry in sorted(os.listdir(home)) if os.path.isdir(home) else ():
        directory = os.path.join(home, entry)
        if is_file(directory):  # the system's, such as .DS_Store
            continue

        disk = tree_size(directory)
        try:
            config = sidecar.read(directory)
        except (OSError, ValueError) as e:
            name, said = sidecar.collection_name(entry), f"its settings: {e}"
            yield CollectionState(name, disk, problem=said)
        else:
            points, size = _sealed_points(directory), config["vectors"]["size"]
            yield CollectionState(config["name"], disk, points, dim=size)


def _sealed_points(directory: str) -> int | None:
    try:
        points = read_json(os.path.join(directory, "seal.json"))["points"]
    except (OSError, ValueError, KeyError, TypeError):
        return None

    return points if isinstance(points, int) else None


def verify(
    path: str | os.PathLike[str], names: list[str] | None = None
) -> Iterator[dict[str, Any]]:
    """Checks collections thoroughly, one after the other.

    Args:
        path: the store's directory, or a backup
        names: the collections, or None for all

    Yields:
        ``name``, ``points``, ``compared`` (files that had a checksum to compare with)
        and ``problems`` (sentences) of each

    Raises:
        StoreUnavailable: if there is no store, or it cannot be opened
    """
    with _session(path) as session:
        for name in _names(session) if names is None else dict.fromkeys(names):
            request = {"collection": name}
            try:
                reply, _ = session.call("check", request, timeout=_LONG_SECONDS)
            except errors.QdrantPluginError as e:
                yield {"name": name, "points": 0, "compared": 0, "problems": [str(e)]}
            else:
                yield reply["check"]


def back_up(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    names: list[str] | None = None,
) -> list[dict[str, Any]]:
    """Copies collections of a store, in use or not, and reads the copies.

    Each is flushed first. Writers wait while their collection is copied, readers do
    not. The copy is itself a store. A damaged collection is left out of it.

    Args:
        path: the store's directory
        target: the new directory
        names: the collections, or None for all

    Returns:
        ``name`` and ``bytes`` of each collection

    Raises:
        CollectionDamaged: if collections are. The others are in the backup
        CollectionNotFound: if there is none of that name
        StoreUnavailable: if the directory cannot be used, or its disk is too small
    """
    with _session(path) as session:
        request = {"target": launcher.store_path(target), "names": names}
        reply, _ = session.call(
            "back_up", request, timeout=_LONG_SECONDS, repeatable=False
        )

    collections: list[dict[str, Any]] = reply["collections"]
    return collections


def restore(
    path: str | os.PathLike[str],
    source: str | os.PathLike[str],
    names: list[str] | None = None,
    *,
    replace: bool = False,
) -> list[dict[str, Any]]:
    """Takes collections from a backup into a store, which is made if need be.

    All checksums are compared, and the copies opened, before anything is changed.

    Args:
        path: the store's directory
        source: the backup's directory
        names: the collections, or None for all in the backup
        replace: whether to replace collections that the store has

    Returns:
        ``name`` and ``points`` of each collection

    Raises:
        CollectionDamaged: if a file of the backup is not what was written
        CollectionExists: if the store has one of them, and not ``replace``
        CollectionNotFound: if the backup has none of that name
        StoreUnavailable: if the directory is no backup, or the disk too small
    """
    with _session(path, create=True) as session:
        request = {
            "source": launcher.store_path(source),
            "names": names,
            "replace": replace,
        }
        reply, _ = session.call(
            "restore", request, timeout=_LONG_SECONDS, repeatable=False
        )

    collections: list[dict[str, Any]] = reply["collections"]
    return collections


@contextmanager
def _session(path: str | os.PathLike[str], create: bool = False) -> Iterator[Session]:
    """Yields a session. An owner that it starts ends with it, unless ``create``."""
    session = Session(path)
    if not create and not os.path.exists(os.path.join(session.path, "store.json")):
        raise errors.StoreUnavailable(f"there is no embedded store at {session.path}")

    leave = not create and launcher.running(session.path) is None
    try:
        yield session
    finally:
        session.close()
        if leave:
            launcher.stop(session.path)


def _names(session: Session) -> list[str]:
    names: list[str] = session.call("names", {}, timeout=_SECONDS)[0]["names"]
    return names
