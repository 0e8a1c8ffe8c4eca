"""The one place where the engine's errors become this package's errors.

Qdrant Edge raises bare ``Exception`` with a text, and its panics derive from
``BaseException``. Every call into it is made inside :func:`engine_call`.
"""

from __future__ import annotations

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
        r"Read-only file system|Permission denied",
        errors.StoreUnavailable,
        "collection '{name}' is on a file system that cannot be written",
    ),
    (
        r"No space left|os error 28",
        errors.StoreUnavailable,
        "the disk that holds collection '{name}' is full: make room, and call again",
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
    except BaseException as exc:
        raise translated(exc, name) from exc


def damaged(name: str, what: str) -> errors.CollectionDamaged:
    """Returns the error for a collection whose files are not what they were."""
    return errors.CollectionDamaged(
        f"collection '{name}' is damaged: {what}. Restore it from a backup (python -m "
        "fiftyone_qdrant restore), or delete it and create the index again; other "
        "collections are not affected"
    )


def translated(exc: BaseException, name: str) -> errors.QdrantPluginError:
    """Returns this package's error for one raised by the engine."""
    words = str(exc) or type(exc).__name__
    if type(exc).__name__ == "PanicException":
        return damaged(name, f"the engine broke off: {words}")
    for pattern, cls, message in _BY_TEXT:
        if re.search(pattern, words):
            return cls(f"{message.format(name=name)} (engine: {words})")
    if isinstance(exc, (TypeError, ValueError, OverflowError)):
        return errors.ConfigError(f"the engine does not accept a value: {words}")
    return errors.EngineError(f"collection '{name}': {words}")
