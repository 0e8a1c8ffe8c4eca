"""Small file operations of an embedded store that must not half happen."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    HAS_LOCKS = False
else:
    HAS_LOCKS = True

_CHUNK = 1 << 20
_NO_PLAIN_FILE = (errno.EINVAL, errno.EISDIR, errno.ELOOP, errno.ENXIO)


def write_json(path: str, content: Any) -> None:
    """Replaces a JSON file: afterwards it is the old one or the new one."""
    data = json.dumps(content, indent=2, sort_keys=True).encode()
    write_bytes(path, data)


def write_bytes(path: str, data: bytes) -> None:
    """Replaces a file, readable for its owner only."""
    partial = f"{path}.{os.getpid()}.new"
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def tree_size(path: str) -> int:
    """Returns how many bytes of the disk a directory takes, holes left out."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # just deleted
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512

    return total


def copy_tree(source: str, target: str) -> None:
    """Copies a directory or a file to a place where there is none.

    Files with holes keep them: the engine's are mostly hole. Links are not followed.

    Raises:
        OSError: also for anything but directories and plain files
    """
    if not stat.S_ISDIR(os.lstat(source).st_mode):
        _copy_sparse(source, target)
        return

    os.mkdir(target, 0o700)
    for entry in os.scandir(source):
        copy_tree(entry.path, os.path.join(target, entry.name))


def is_file(path: str) -> bool:
    """Returns whether there is a plain file."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def odd_file(path: str) -> str | None:
    """Returns what in a tree is neither a directory nor a plain file, or None.

    A link may lead anywhere, and opening a pipe may wait for ever.
    """
    mode = os.lstat(path).st_mode
    if stat.S_ISDIR(mode):
        found = (odd_file(entry.path) for entry in os.scandir(path))
        return next(filter(None, found), None)

    return None if stat.S_ISREG(mode) else path


def open_plain(path: str, flags: int = os.O_RDONLY) -> int:
    """Opens a plain file, and nothing else, without ever waiting.

    Raises:
        OSError: also if it is something else, or a link
    """
    fd = os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW, 0o600)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "it is not a plain file", path)

    return fd


def read_bytes(path: str) -> bytes:
    """Returns the content of a plain file."""
    with os.fdopen(open_plain(path), "rb") as file:
        return file.read()


def make_directories(path: str) -> None:
    """Makes a directory that only its owner can enter, and its parents if need be.

    Whatever the umask is, nobody else can write to what it makes.
    """
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        _make_parents(parent)

    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)


def _make_parents(path: str) -> None:
    if not os.path.isdir(os.path.dirname(path)):
        _make_parents(os.path.dirname(path))

    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o755)


def _copy_sparse(source: str, target: str) -> None:
    with (
        os.fdopen(open_plain(source), "rb", buffering=0) as old,
        open(target, "xb") as new,
    ):
        new.truncate(os.fstat(old.fileno()).st_size)
        for at, end in data_extents(old):
            old.seek(at)
            new.seek(at)
            while at < end:
                data = old.read(min(_CHUNK, end - at))
                if not data:
                    return

                new.write(data)
                at += len(data)


def data_extents(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yields the ``(start, end)`` of what is no hole in a file."""
    fd = file.fileno()
    size = os.fstat(fd).st_size
    end = 0
    while end < size:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError as e:
            if e.errno == errno.ENXIO:  # no more data
                return

            start, end = end, size  # a file system that knows no holes

        yield start, end


def sync_directory(path: str) -> None:
    """Makes what was renamed or deleted in a directory survive a power failure."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_json(path: str) -> Any:
    """Returns the content of a JSON file, or None if there is no such file.

    Raises:
        OSError: if it cannot be read
        ValueError: if it is not JSON, or no plain file
    """
    try:
        return json.loads(read_bytes(path))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as e:
        raise ValueError(f"{path} is not JSON: {e}") from e
    except OSError as e:
        if e.errno in _NO_PLAIN_FILE:
            raise ValueError(f"{path} is no plain file") from e

        raise


class FileLock:
    """An exclusive lock on a file, which ends with the process at the latest.

    Args:
        path: the file, created when missing
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Takes the lock, and returns whether that was possible at once."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        file = os.fdopen(fd, "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            file.close()
            if isinstance(e, BlockingIOError):
                return False

            raise

        self._file = file
        return True

    def is_in_place(self) -> bool:
        """Returns whether the locked file is still the one at the path."""
        if self._file is None:
            return False

        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._file.fileno()))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Gives the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None
