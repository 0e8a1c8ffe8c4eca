"""A collection that is being moved, or was: what its writers and readers need to know.

While :mod:`fiftyone_qdrant.moving` copies a collection, it goes on being read and
written. Its metadata say so, and whoever writes to it notes the ids of what it writes
in a journal in MongoDB, for the copy. Once a run is at its new place, the metadata of
the old one say where: an index object of any process then goes there.
"""

from __future__ import annotations

import contextlib
import datetime
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import fiftyone.core.odm as foo

from fiftyone_qdrant.dataset.samples import root_of
from fiftyone_qdrant.errors import ConnectionFailed, EngineError, sentence
from fiftyone_qdrant.qdrant.calls import KNOWN_SECONDS
from fiftyone_qdrant.qdrant.collection import Collection

MOVING = "moving"
"""In a collection's metadata: the id of the move that copies it, if one does."""

MOVED = "moved"
"""In a collection's metadata: where each index that it was of is now."""

_JOURNAL = "fiftyone_qdrant_moves"
_IDS_PER_NOTE = 10_000
_EMBEDDED_KNOWN = 0.2  # seconds: each call to an embedded store asks anew


def index_name(dataset_id: str, brain_key: str | None) -> str:
    """Returns what an index is called in :data:`MOVED`."""
    return f"{dataset_id}:{brain_key}"


def whereto(collection: Collection, name: str) -> str | None:
    """Returns where an index is now, as far as its old collection is known to say."""
    moved = collection.remembered().get(MOVED) or {}
    place: str | None = moved.get(name)
    return place


def known_after(collection: Collection) -> float:
    """Returns after how many seconds all know what was written in the metadata.

    By then what they began to write without knowing has ended as well, or they look
    again.
    """
    return 2 * KNOWN_SECONDS if collection.connection.remote else _EMBEDDED_KNOWN


@contextlib.contextmanager
def noted(collection: Collection, ids: Sequence[str]) -> Iterator[None]:
    """Within it points are written or removed: if they are being moved, that is noted.

    It is noted before, in case the process dies, and that it is done afterwards, so
    that no copy is made of what is not there yet.

    Raises:
        EngineError: if it took so long that the move ended without it
    """
    began = time.monotonic()
    note = _note(collection, ids, done=False)
    try:
        yield
    finally:  # if it failed, some of it may be written
        if note:
            done = {"$set": {"done": True}}
            lost = not _notes().update_many({"note": note}, done).matched_count
        else:
            lost = time.monotonic() - began > known_after(collection) / 2

        if lost:  # the move began meanwhile, or was tired of waiting
            collection.forget()
            _note_late(collection, ids)


def _note_late(collection: Collection, ids: Sequence[str]) -> None:
    moved = collection.schema().metadata.get(MOVED) or {}
    if _note(collection, ids, done=True) is None and any(moved.values()):
        raise EngineError(
            f"Collection '{collection.name}' was moved while something was written to "
            f"it, which took long. Write it again: {len(ids):,} points, such as "
            f"'{ids[0]}', may be at the old place only"
        )


def _note(collection: Collection, ids: Sequence[str], done: bool) -> str | None:
    move = collection.schema().metadata.get(MOVING)
    if not move or not ids:
        return None

    note = uuid.uuid4().hex
    now = datetime.datetime.now(datetime.timezone.utc)
    common = {"move": move, "note": note, "done": done, "at": now}
    parts = range(0, len(ids), _IDS_PER_NOTE)
    _notes().insert_many(
        [{**common, "ids": list(ids[i : i + _IDS_PER_NOTE])} for i in parts]
    )
    return note


def notes(move: str) -> list[Any]:
    """Returns what names the notes of a move that there are now."""
    return [note["_id"] for note in _notes().find({"move": move}, {"_id": 1})]


def read_note(name: Any) -> tuple[list[str], bool]:
    """Returns the ids of what somebody wrote, and whether that write has ended."""
    note = _notes().find_one({"_id": name}) or {"ids": [], "done": True}
    return note["ids"], note["done"]


def forget_note(name: Any) -> None:
    """Removes a note, as what was written is copied."""
    _notes().delete_one({"_id": name})


def forget_writes(move: str) -> None:
    """Removes the journal of a move that is over."""
    _notes().delete_many({"move": move})


def run_now(samples: Any, brain_key: str) -> Any:
    """Returns the config of a run as MongoDB has it now."""
    dataset = root_of(samples)
    dataset.reload()
    return dataset.get_brain_info(brain_key).config


def check_reachable(collection: Collection, brain_key: str, place: str) -> None:
    """Checks that this process finds the new place of an index.

    Raises:
        ConnectionFailed: if not, with where it is
    """
    try:
        collection.schema()
    except ConnectionFailed as e:
        raise type(e)(
            f"Index '{brain_key}' was moved to {place}. {sentence(e)} Set the url of "
            "its server in the environment, or give it to load_brain_results()"
        ) from e


def _notes() -> Any:
    return foo.get_db_conn()[_JOURNAL]
