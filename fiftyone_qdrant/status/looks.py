"""What was last noticed of a dataset's changes, for each of its indexes.

Kept in FiftyOne's execution store of the dataset, so that all processes know it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from fiftyone.operators.store import ExecutionStore

from fiftyone_qdrant.dataset.samples import dataset_id
from fiftyone_qdrant.status.jobs import now_by_mongodb

_STORE = "fiftyone_qdrant_looks"
_TURN = "turn to look"  # no brain key: these are identifiers


@dataclass(frozen=True)
class Look:
    """How a dataset and an index were when they were last compared.

    Attributes:
        at: when that was, in seconds since the epoch, by MongoDB's clock
        state: of the dataset then; another one tells that something was written
        points: in the index then
        since: samples written after this time may have changed, likewise; all before
            are in step
        deleted: when samples had last been deleted then, likewise
        tried: whether it was tried to mend that automatically
        whole: whether nothing was missing then: else only samples made since are
        missing: of those, how many are not in the index
        changed: how many have another embedding in the embeddings field
        gone: points whose sample or label was deleted
        pictures: how many were computed from a file that changed since
    """

    at: float
    state: str
    points: int
    since: float
    deleted: float = 0.0
    whole: bool = True
    tried: bool = False
    missing: int = 0
    changed: int = 0
    gone: int = 0
    pictures: int = 0

    @property
    def in_step(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.missing or self.changed or self.gone or self.pictures)

    @property
    def words(self) -> str:
        """Such as ``"3 new, 1 changed"``."""
        counts = {
            "new": self.missing,
            "changed": self.changed,
            "deleted": self.gone,
            "with another file": self.pictures,
        }
        told = [f"{count:,} {what}" for what, count in counts.items() if count]
        return ", ".join(told) or "nothing has changed"


def last_look(dataset: Any, brain_key: str) -> Look | None:
    """Returns the last look at an index, or ``None`` if there was none."""
    value = _store(dataset).get(brain_key)
    return None if value is None else Look(**value)


def note_look(dataset: Any, brain_key: str, look: Look) -> None:
    """Keeps a look for all processes."""
    _store(dataset).set(brain_key, asdict(look))


def look_again(dataset: Any, brain_key: str) -> None:
    """Has the next look compare once more, as something was mended."""
    look = last_look(dataset, brain_key)
    if look is not None:
        note_look(dataset, brain_key, replace(look, state=""))


def files_key(brain_key: str) -> str:
    """Returns the key of what is kept of the files of an index."""
    return f"files of {brain_key}"


def follow_rename(dataset: Any, brain_key: str, new_brain_key: str) -> None:
    """Keeps what was noticed of an index that has another key now."""
    for key, new in (
        (brain_key, new_brain_key),
        (files_key(brain_key), files_key(new_brain_key)),
    ):
        value = kept(dataset, key)
        if value is not None:
            keep(dataset, new, value)
            forget(dataset, key)


def take_turn(dataset: Any, seconds: float) -> bool:
    """Whether the caller is to look at a dataset: nobody else has just done so.

    Args:
        dataset: the dataset
        seconds: for how long it is nobody's turn again
    """
    store, now = _store(dataset), {"at": now_by_mongodb()}
    before = store.get(_TURN)
    if before is None:
        return bool(store.set_if_absent(_TURN, now))

    if now["at"] - before["at"] < seconds:
        return False

    return bool(store.compare_and_set(_TURN, before, now))


def kept(dataset: Any, key: str) -> dict[str, Any] | None:
    """Returns what :func:`keep` kept."""
    value: dict[str, Any] | None = _store(dataset).get(key)
    return value


def keep(dataset: Any, key: str, value: dict[str, Any]) -> None:
    """Keeps something else that was noticed, for all processes."""
    _store(dataset).set(key, value)


def forget(dataset: Any, key: str) -> None:
    """Forgets it."""
    _store(dataset).delete(key)


def _store(dataset: Any) -> ExecutionStore:
    return ExecutionStore.create(_STORE, dataset_id=dataset_id(dataset))
