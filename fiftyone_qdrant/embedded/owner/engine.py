"""The one place where the engine's errors become this package's errors.

Qdrant Edge raises bare ``Exception`` with a text, and its panics derive from
``BaseException``. Every call into it is made inside :func:`engine_call`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from fiftyone_qdrant import errors

_BY_TEXT: tuple[tuple[str, type[errors.QdrantPluginError], str], ...] = (
    (
        r"WouldBlock",
        errors.StoreUnavailable,
        "another process holds collection '{name}'; end it and try again",
    ),
    (
        r"dimension error",
        errors.VectorError,
        "a vector has the wrong size for collection '{name}'",
    ),
    (
        r"Not existing vector name",
        errors.VectorError,
        "collection '{name}' has no vector of that name",
    ),
    (
        r"No point with id",
        errors.MissingIDs,
        "collection '{name}' does not hold all of the given points",
    ),
    (
        r"No appropriate index|No range index|Index required",
        errors.ConfigError,
        "this needs a payload index on that field of collection '{name}': "
        "create one with create_payload_index()",
    ),
)


_FILES_ARE_FINE: dict[int, str] = {
    errno.EMFILE: "the owner has too many files open: raise the limit (ulimit -n), "
    "stop the owner (python -m fiftyone_qdrant stop) and call again",
    errno.ENFILE: "this machine has too many files open: end some programs",
    errno.ENOMEM: "there is not enough memory, or vm.max_map_count is too low: end "
    "some programs, or raise it",
    errno.EAGAIN: "the system has no resources left for it just now: call again",
    errno.EINTR: "it was interrupted: call again",
    errno.EBUSY: "another process holds it: end that, and call again",
    errno.ETXTBSY: "another process holds it: end that, and call again",
    errno.EACCES: "its files may not be read or written: look at their owner and mode",
    errno.EPERM: "its files may not be read or written: look at their owner and mode",
    errno.EROFS: "its file system cannot be written",
    errno.ENOSPC: "its disk is full: make room, and call again",
    errno.EDQUOT: "the disk quota is used up: make room, and call again",
    errno.EIO: "its disk does not work: look at the system's log",
    errno.ETIMEDOUT: "its file system does not answer",
    errno.ESTALE: "its file system is not there any more: mount it again",
    errno.ENODEV: "its file system is not there any more: mount it again",
    errno.ENXIO: "its file system is not there any more: mount it again",
    errno.ENOTCONN: "its file system is not there any more: mount it again",
}
"""What keeps files from being used without their being damaged, and what to do."""

_BY_NUMBER = re.compile(r"(?:os error |code: |Errno )(\d+)")


@contextmanager
def engine_call(name: str) -> Iterator[None]:
    """Turns whatever the engine raises into one of this package's errors.

    Args:
        name: the collection, for the message
    """
    try:
        yield
    except (errors.QdrantPluginError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as e:
        raise translated(e, name) from e


def damaged(name: str, what: str) -> errors.CollectionDamaged:
    """Returns the error for a collection whose files are not what they were."""
    return errors.CollectionDamaged(
        f"collection '{name}' is damaged: {what}. Restore it from a backup (python -m "
        "fiftyone_qdrant restore), or delete it and create the index again; other "
        "collections are not affected"
    )


def transient(e: BaseException) -> int | None:
    """Returns the number of a system's error that says nothing against the files."""
    if isinstance(e, MemoryError):
        return errno.ENOMEM

    if isinstance(e, OSError):
        return e.errno if e.errno in _FILES_ARE_FINE else None

    words = str(e)
    numbers = set(map(int, _BY_NUMBER.findall(words))) & set(_FILES_ARE_FINE)
    if numbers:
        return min(numbers)

    return next((n for n in _FILES_ARE_FINE if os.strerror(n) in words), None)


def unavailable(name: str, number: int, words: str) -> errors.StoreUnavailable:
    """Returns the error for a collection whose files cannot be used just now."""
    return errors.StoreUnavailable(
        f"collection '{name}' cannot be used now: {_FILES_ARE_FINE[number]} ({words})"
    )


def translated(e: BaseException, name: str) -> errors.QdrantPluginError:
    """Returns this package's error for one raised by the engine."""
    words = str(e) or type(e).__name__
    number = transient(e)
    if number is not None:
        return unavailable(name, number, words)

    if type(e).__name__ == "PanicException":
        return damaged(name, f"the engine broke off: {words}")

    for pattern, cls, message in _BY_TEXT:
        if re.search(pattern, words):
            return cls(f"{message.format(name=name)} (engine: {words})")

    if isinstance(e, (TypeError, ValueError, OverflowError)):
        return errors.ConfigError(f"the engine does not accept a value: {words}")

    return errors.EngineError(f"collection '{name}': {words}")
