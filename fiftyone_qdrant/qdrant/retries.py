"""Calls that are made again when that is safe and may help.

Safe: every call this package makes may be repeated, as points carry their own ids
and :meth:`fiftyone_qdrant.qdrant.collection.Collection.create` recognizes what it made.
May help: the error says so itself (``retry_after``, ``away``), see
:mod:`fiftyone_qdrant.qdrant.faults` for which do.

Whoever asks a question waits for seconds. A long job that is under way waits for
minutes, as :func:`patient` has it: a server that is restarted comes back.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from fiftyone_qdrant.errors import ConfigError, QdrantPluginError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds before each further attempt: somebody waits for a read, while a long write
# should outlive the restart of a server
READ_PAUSES = (0.1, 0.4)
WRITE_PAUSES = (0.25, 0.5, 1, 2, 4)
LONGEST_PAUSE = 30

PATIENCE = 600.0
"""Seconds that a long job waits for a server that is away, unless set."""

PATIENCE_VARIABLE = "FIFTYONE_QDRANT_PATIENCE"
"""The environment variable that sets :data:`PATIENCE`."""

_FIRST_PAUSE, _LAST_PAUSE = 1.0, 15.0
_SLICE = 1.0  # seconds after which it is asked whether to stop


@dataclass(frozen=True)
class Patience:
    """How a job waits for a server that is away.

    Attributes:
        seconds: for how long
        tell: called with what is waited for, and with ``None`` once it is over
        stop: called while it waits; raises if it is not to go on
    """

    seconds: float
    tell: Callable[[str | None], None]
    stop: Callable[[], None]


_patience: ContextVar[Patience | None] = ContextVar("patience", default=None)


@contextmanager
def patient(patience: Patience | None) -> Iterator[None]:
    """Has the calls within wait for a server that is away.

    Args:
        patience: how, or ``None`` to wait no longer than who asks a question does
    """
    token = _patience.set(patience)
    try:
        yield
    finally:
        _patience.reset(token)


def seconds_of_patience() -> float:
    """Returns for how many seconds a long job waits for a server that is away.

    Raises:
        ConfigError: if :data:`PATIENCE_VARIABLE` is no number of 0 or more
    """
    given = os.environ.get(PATIENCE_VARIABLE)
    if not given:
        return PATIENCE

    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0

    if not 0 <= seconds < float("inf"):
        raise ConfigError(
            f"{PATIENCE_VARIABLE} must be a number of seconds, not '{given}'"
        )

    return seconds


def persistently(call: Callable[[], T], pauses: Sequence[float]) -> T:
    """Returns what ``call`` returns, made again after errors that may pass.

    Args:
        call: the call, which may be repeated
        pauses: seconds to wait before each further attempt; a server that asks for
            a longer wait gets it, up to ``LONGEST_PAUSE``
    """
    for pause in pauses:
        try:
            return call()
        except QdrantPluginError as e:
            if e.retry_after is None or e.retry_after > LONGEST_PAUSE:
                if _patience.get() is None or not _may_pass(e):
                    raise

                break

            pause = max(pause, e.retry_after)
            logger.info("%s. Trying again in %g s", str(e).rstrip("."), pause)
            time.sleep(pause)

    patience = _patience.get()
    return call() if patience is None else _patiently(call, patience)


def wait(seconds: float) -> None:
    """Waits, as part of the job that is under way, which may be stopped."""
    patience = _patience.get()
    if patience is not None:
        _pause(seconds, patience)
    elif seconds > 0:
        time.sleep(seconds)


def _may_pass(error: QdrantPluginError) -> bool:
    return error.away or error.retry_after is not None


def _patiently(call: Callable[[], T], patience: Patience) -> T:
    end = time.monotonic() + patience.seconds
    pause, waiting = _FIRST_PAUSE, False
    try:
        while True:
            try:
                return call()
            except QdrantPluginError as e:
                left = end - time.monotonic()
                if not _may_pass(e) or left <= 0:
                    raise

                if not waiting:
                    logger.warning(
                        "%s. Waiting for it, for %g s at most",
                        str(e).rstrip("."),
                        patience.seconds,
                    )
                    patience.tell(str(e))
                    waiting = True

                _pause(min(max(pause, e.retry_after or 0), left), patience)
                pause = min(2 * pause, _LAST_PAUSE)
    finally:
        if waiting:
            patience.tell(None)


def _pause(seconds: float, patience: Patience) -> None:
    while seconds > 0:
        patience.stop()
        time.sleep(min(seconds, _SLICE))
        seconds -= _SLICE

    patience.stop()
