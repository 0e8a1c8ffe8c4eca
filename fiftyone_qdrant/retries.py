"""Calls that are made again when that is safe and may help.

Safe: every call this package makes may be repeated, as points carry their own ids
and :meth:`fiftyone_qdrant.collection.Collection.create` recognizes what it made.
May help: the error says so itself (``retry_after``), see
:mod:`fiftyone_qdrant.faults` for which do.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from .errors import QdrantPluginError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds before each further attempt: somebody waits for a read, while a long write
# should outlive the restart of a server
READ_PAUSES = (0.1, 0.4)
WRITE_PAUSES = (0.25, 0.5, 1, 2, 4)
LONGEST_PAUSE = 30


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
                raise

            pause = max(pause, e.retry_after)
            logger.info("%s. Trying again in %g s", str(e).rstrip("."), pause)
            time.sleep(pause)

    return call()
