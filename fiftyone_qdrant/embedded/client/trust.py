"""Whether a store, and who answers for it, are the user's own: looked at beforehand."""

from __future__ import annotations

import os
import socket
import stat

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import protocol


def check_store(path: str) -> None:
    """Refuses a store that somebody else can make or change, before it is used.

    Raises:
        StoreUnavailable: with whose it is
    """
    check_file(path)
    for name in ("owner.json", "owner.key", "owner.lock"):
        check_file(os.path.join(path, name))


def check_file(place: str) -> None:
    """Refuses a file or directory that somebody else can change, if there is one.

    Raises:
        StoreUnavailable: with whose it is
    """
    try:
        found = os.lstat(place)
    except FileNotFoundError:
        return

    if found.st_uid != os.geteuid():
        raise errors.StoreUnavailable(
            f"{place} belongs to another user (uid {found.st_uid}), who could read "
            "and change what is kept there: a store serves one user, use a path of "
            "your own or a Qdrant server (url=)"
        )

    if stat.S_ISLNK(found.st_mode) or found.st_mode & 0o022:
        raise errors.StoreUnavailable(
            f"other users can change {place}: run chmod go-w on it if you trust what "
            "is there, or use another path"
        )


def check_peer(sock: socket.socket, path: str) -> None:
    """Refuses a process of another user at the other end of a connection.

    Raises:
        StoreUnavailable: with whose it is
    """
    uid = protocol.peer_uid(sock)
    if uid is not None and uid != os.geteuid():
        raise errors.StoreUnavailable(
            f"a process of another user (uid {uid}) answers for the store {path}: "
            "nothing was sent to it, use another path"
        )
