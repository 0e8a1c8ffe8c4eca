"""Pictures that changed on disk since a model embedded them.

The payload of a point tells the size of its file then, and when it had changed. All are
compared on demand; in between, a slice at a time, going on where the last one stopped.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace

import numpy as np

from fiftyone_qdrant.dataset.files import paths_by_id, state_of
from fiftyone_qdrant.dataset.samples import root_of
from fiftyone_qdrant.packed import Packed, among, pack, unpack
from fiftyone_qdrant.points import FILE_SIZE, FILE_TIME, Page
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status import looks
from fiftyone_qdrant.status.jobs import now_by_mongodb

AGAIN = 3600.0
"""Seconds after all files were compared until that begins anew."""


@dataclass(frozen=True)
class Round:
    """How far the files of an index were compared.

    Attributes:
        at: when that was, in seconds since the epoch, by MongoDB's clock
        next: the point to go on with, or ``None`` if it was through
        looked: points whose files were compared
        changed: how many of these have another file now
        gone: how many have none any more
        unknown: points that do not tell of a file: their vectors were given, or
            computed by an earlier version
    """

    at: float = 0.0
    next: str | None = None
    looked: int = 0
    changed: int = 0
    gone: int = 0
    unknown: int = 0

    @property
    def through(self) -> bool:
        """Whether all were compared."""
        return self.at > 0 and self.next is None


def are_compared(index: QdrantSimilarityIndex) -> bool:
    """Whether an index has its vectors from files, so that their changes matter."""
    return index.config.model is not None and index.config.embeddings_field is None


def changed_files(index: QdrantSimilarityIndex, among_ids: Packed) -> list[str]:
    """Returns the ids of those whose file is another than the one embedded.

    Args:
        index: the index
        among_ids: the ids to say it of
    """
    changed: list[str] = []
    for page in index.collection.scroll():
        changed += _compared(index, page)[0]

    ids = pack(changed)
    return unpack(ids[among(ids, np.sort(among_ids))])


def last_round(index: QdrantSimilarityIndex) -> Round | None:
    """Returns how far was compared, or ``None`` if that was not begun."""
    value = looks.kept(root_of(index.samples), looks.files_key(str(index.key)))
    return None if value is None else Round(**value)


def compare_some(index: QdrantSimilarityIndex, seconds: float | None) -> Round:
    """Compares files for some time, going on where the last time stopped.

    Args:
        index: the index
        seconds: for how long; ``None`` for all, from the start

    Returns:
        how far was compared; nothing is, for a while after all were
    """
    now, before = now_by_mongodb(), last_round(index)
    if seconds is None or before is None:
        before = Round()
    elif before.through:
        if now - before.at < AGAIN:
            return before

        before = Round()

    found = replace(before, at=now, next=None)
    deadline = None if seconds is None else time.monotonic() + seconds
    for number, page in enumerate(index.collection.scroll(first=before.next)):
        late = deadline is not None and time.monotonic() >= deadline
        if late and number > 0:  # a page at least, else it never came to an end
            found = replace(found, next=str(page.point_ids[0]))
            break

        changed, gone, unknown = _compared(index, page)
        found = replace(
            found,
            looked=found.looked + len(page) - unknown,
            changed=found.changed + len(changed),
            gone=found.gone + gone,
            unknown=found.unknown + unknown,
        )

    looks.keep(root_of(index.samples), looks.files_key(str(index.key)), asdict(found))
    return found


def in_words(index: QdrantSimilarityIndex) -> str | None:
    """Says how far the files of an index were compared, where that matters."""
    if not are_compared(index):
        return None

    found = last_round(index)
    if found is None:
        return "its pictures on disk were not compared yet"

    done = found.looked + found.unknown
    text = f"{done:,} of {index.total_index_size:,} pictures on disk compared"
    if found.gone:
        text += f", {found.gone:,} are gone"

    if found.unknown:
        text += f", {found.unknown:,} are of vectors that tell of no file"

    return text


def forget_round(index: QdrantSimilarityIndex) -> None:
    """Has the next look begin anew, as what had changed was mended."""
    looks.forget(root_of(index.samples), looks.files_key(str(index.key)))


def _compared(index: QdrantSimilarityIndex, page: Page) -> tuple[list[str], int, int]:
    """Returns the ids of what changed, and how many are gone, and unknown."""
    told = [
        (i, s, (p[FILE_SIZE], p[FILE_TIME]))
        for i, s, p in zip(page.ids, page.sample_ids, page.payloads, strict=True)
        if p is not None and FILE_TIME in p
    ]
    paths = paths_by_id(index.held.home, {s for _, s, _ in told})
    now = {s: state_of(path) for s, path in paths.items()}
    changed = [i for i, s, then in told if now.get(s) not in (None, then)]
    gone = sum(s in now and now[s] is None for _, s, _ in told)
    return changed, gone, len(page) - len(told)
