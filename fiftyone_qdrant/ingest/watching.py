"""Keeps indexes in step while no panel shows: one thread of the App's server looks.

Of several servers of a database one looks at a dataset at a time: whose turn it is, is
kept in the execution store.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import fiftyone as fo

from fiftyone_qdrant.errors import QdrantPluginError
from fiftyone_qdrant.ingest.in_step import attend
from fiftyone_qdrant.runs import list_indexes
from fiftyone_qdrant.status.indexes import load_impatient
from fiftyone_qdrant.status.looks import take_turn

logger = logging.getLogger(__name__)

PAUSE = 10.0
"""Seconds between two looks at a dataset, whichever process looks."""

_lock = threading.Lock()
_names: set[str] = set()
_thread: threading.Thread | None = None


def watch(dataset: Any) -> None:
    """Has this process look after the indexes of a dataset until that is deleted."""
    global _thread
    with _lock:
        _names.add(dataset.name)
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_look, daemon=True, name="qdrant-look")
            _thread.start()


def _look() -> None:
    while True:
        time.sleep(PAUSE)
        for name in sorted(_names):
            try:
                _look_at(name)
            except Exception:  # whatever one dataset has, others are looked at
                logger.exception("The indexes of dataset '%s' were not looked at", name)

        with _lock:
            if not _names:
                return


def _look_at(name: str) -> None:
    if not fo.dataset_exists(name):
        _names.discard(name)  # deleted, or renamed: opening it begins anew
        return

    dataset = fo.load_dataset(name)
    if not take_turn(dataset, PAUSE):
        return

    dataset.reload()
    for key in list_indexes(dataset):
        try:
            attend(load_impatient(dataset, key))
        except QdrantPluginError as e:  # the panel says it, too
            logger.info("Index '%s' was not looked at: %s", key, e)
