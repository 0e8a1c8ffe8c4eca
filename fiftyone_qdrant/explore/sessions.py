"""What a search panel remembers between two events, in the process that serves it.

A panel's own state travels to the browser and back with every event, so hits, pictures
and views are kept here: bounded, by a token that the state holds. All of it can be
lost: the state has what is needed to ask again.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore.questions import Question
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

_MOST = 32  # panels
_MOST_PICTURES = 12  # of one panel
_MOST_EMBEDDED = 200


@dataclass
class Answer:
    """The hits of one question, and where they were looked for.

    Attributes:
        question: what was asked
        index: the index, restricted to what was searched
        hits: all of them, best first
        cut: the smallest and the largest distance that is shown; ``None`` for any
        hidden: ids that are not shown, such as those of near-identical hits, by the id
            that stands for each
    """

    question: Question
    index: QdrantSimilarityIndex
    hits: Hits
    cut: tuple[float | None, float | None] = (None, None)
    hidden: dict[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> Hits:
        """The hits within the cut that are not hidden."""
        low, high = self.cut
        far = self.hits.distances
        within = (far >= (low if low is not None else -float("inf"))) & (
            far <= (high if high is not None else float("inf"))
        )
        hits = self.hits.take([n for n, kept in enumerate(within) if kept])
        return hits.without(self.hidden) if self.hidden else hits


@dataclass
class Session:
    """One panel of one browser.

    Attributes:
        asked: what its fields say, by name
        parts: what was added to the question
        answer: the last one
        base: the view that "within these" means
        extra: what a section of the panel keeps, by the section's name
    """

    asked: dict[str, Any] = field(default_factory=dict)
    parts: list[dict[str, Any]] = field(default_factory=list)
    answer: Answer | None = None
    base: Any = None
    extra: dict[str, Any] = field(default_factory=dict)
    embedded: dict[Any, Matrix] = field(default_factory=dict)
    _turn: int = 0
    _pictures: OrderedDict[str, bytes] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take_turn(self) -> int:
        """Returns the number of a search that begins: larger than all before."""
        with self._lock:
            self._turn += 1
            return self._turn

    def is_latest(self, turn: int) -> bool:
        """Whether no other search began after that one."""
        return self._turn == turn

    def keep_picture(self, content: bytes) -> str:
        """Keeps a picture; the oldest goes if there are many.

        Returns:
            its key; that of the same picture is the same
        """
        key = hashlib.sha256(content).hexdigest()
        with self._lock:
            self._pictures[key] = content
            while len(self._pictures) > _MOST_PICTURES:
                self._pictures.popitem(last=False)

        return key

    def picture(self, key: str) -> bytes:
        """Returns a picture that was kept.

        Raises:
            ConfigError: if it is not kept any more
        """
        content = self._pictures.get(key)
        if content is None:
            raise ConfigError("The picture is not here any more: add it again")

        return content

    def forget_much(self) -> None:
        """Keeps what was embedded bounded."""
        if len(self.embedded) > _MOST_EMBEDDED:
            self.embedded.clear()


_sessions: OrderedDict[str, Session] = OrderedDict()
_left: OrderedDict[str, str] = OrderedDict()
_lock = threading.Lock()


def session_of(token: str) -> tuple[Session, bool]:
    """Returns the session of a token, and whether it is new."""
    with _lock:
        found = _sessions.pop(token, None)
        session = _sessions[token] = Session() if found is None else found
        while len(_sessions) > _MOST:
            _sessions.popitem(last=False)

    return session, found is None


def leave_sample(dataset: str, sample_id: str) -> None:
    """Leaves a sample for the panel that is next shown of a dataset to ask with."""
    with _lock:
        _left[dataset] = sample_id
        while len(_left) > _MOST:
            _left.popitem(last=False)


def take_sample(dataset: str) -> str | None:
    """Returns the sample that was left, once."""
    with _lock:
        return _left.pop(dataset, None)


def new_token() -> str:
    """Returns a token that nobody has."""
    return uuid.uuid4().hex
