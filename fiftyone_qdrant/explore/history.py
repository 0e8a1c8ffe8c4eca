"""The searches of a dataset, kept: to run again, to name, and to go on by themselves.

They are in FiftyOne's execution store of the dataset, one document each, and bounded.
A picture that was uploaded is kept as the vector it was embedded to and a small copy;
nothing secret, and no query string of a link, is kept.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from fiftyone.operators.store import ExecutionStore

from fiftyone_qdrant.dataset.samples import dataset_id, root_of, store_values
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore.questions import Part, Question
from fiftyone_qdrant.explore.sessions import Answer

MOST = 50
"""Searches that are kept of a dataset, and as many that are pinned."""

_STORE = "fiftyone_qdrant_searches"
_OF_FIFTYONE = "similarity_search_panel"  # FiftyOne 1.22's own panel
_MOST_IDS = 1_000  # of one part
_LONGEST_NAME = 80


@dataclass(frozen=True)
class Search:
    """A search that was made.

    Attributes:
        id: of the search
        name: what people call it
        brain_key: the index that was asked
        question: see :meth:`.questions.Question.to_dict`; pictures are vectors in it
        at: when it was made last, seconds since the epoch
        count: how many hits were shown
        cut: the smallest and largest distance that was shown, or ``None``
        scope: what was searched, in words
        thumbnail: a small picture of what was asked, as a data URI, or ``None``
        pinned: whether it is kept until it is deleted
        standing: of one that goes on by itself, see :mod:`.standing`; else ``None``
    """

    id: str
    name: str
    brain_key: str
    question: dict[str, Any]
    at: float
    count: int
    cut: tuple[float | None, float | None] = (None, None)
    scope: str = ""
    thumbnail: str | None = None
    pinned: bool = False
    standing: dict[str, Any] | None = None

    def to_question(self) -> Question:
        """Returns what to ask again."""
        return Question.from_dict(self.question)


def keep(
    dataset: Any,
    answer: Answer,
    scope: str = "",
    thumbnail: str | None = None,
    vector_of: Callable[[Part], Any] | None = None,
) -> Search:
    """Keeps a search; one that is the same as another takes its place.

    Args:
        dataset: the dataset
        answer: the search, and what of it is shown
        scope (""): what was searched, in words
        thumbnail (None): a small picture of what was asked
        vector_of (None): returns the vector of a picture that was asked with
    """
    parts = tuple(_kept(part, vector_of) for part in answer.question.parts)
    question = replace(answer.question, parts=parts).to_dict()
    new = Search(
        id=uuid.uuid4().hex,
        name=_name(parts),
        brain_key=str(answer.index.key),
        question=question,
        at=time.time(),
        count=len(answer.shown.ids),
        cut=answer.cut,
        scope=scope,
        thumbnail=thumbnail,
    )
    known = searches(dataset)
    for old in known:
        if (old.question, old.brain_key) == (new.question, new.brain_key):
            with contextlib.suppress(ConfigError):  # it was deleted meanwhile
                new = change(dataset, old.id, partial(_made_again, new))[1]
                break
    else:
        _store(dataset).set(new.id, asdict(new))

    rest = [s for s in known if not s.pinned and s.id != new.id]
    for old in rest[MOST - (not new.pinned) :]:
        delete_search(dataset, old.id)

    return new


def searches(dataset: Any) -> list[Search]:
    """Returns the searches of a dataset: pinned ones first, the last first."""
    values = store_values(root_of(dataset), _STORE)
    found = [_from_stored(v) for v in values if "question" in v]
    return sorted(found, key=lambda s: (not s.pinned, -s.at))


def find_search(dataset: Any, search_id: str) -> Search:
    """Returns one search.

    Raises:
        ConfigError: if it is not kept any more
    """
    return _from_stored(_stored(dataset, search_id))


def change(
    dataset: Any, search_id: str, how: Callable[[Search], Search]
) -> tuple[Search, Search]:
    """Changes a search as it is now, whoever else changes it at the same time.

    Args:
        dataset: the dataset
        search_id: the search
        how: returns it changed; is asked again if somebody was quicker

    Returns:
        the search before, and after

    Raises:
        ConfigError: if it is not kept any more
    """
    while True:
        stored = _stored(dataset, search_id)
        before = _from_stored(stored)
        after = how(before)
        if after == before or _store(dataset).compare_and_set(
            search_id, stored, asdict(after)
        ):
            return before, after


def rename_search(dataset: Any, search_id: str, name: str) -> None:
    """Gives a search another name; raises ConfigError if that is empty."""
    name = name.strip()[:_LONGEST_NAME]
    if not name:
        raise ConfigError("Type a name first")

    change(dataset, search_id, lambda search: replace(search, name=name))


def pin_search(dataset: Any, search_id: str, pinned: bool = True) -> None:
    """Keeps a search until it is deleted, or no longer; then it stands no more.

    Raises:
        ConfigError: if as many are pinned as may be
    """
    others = [s for s in searches(dataset) if s.pinned and s.id != search_id]
    if pinned and len(others) >= MOST:
        raise ConfigError(f"{MOST} searches are pinned: unpin or delete one first")

    def pin(search: Search) -> Search:
        standing = search.standing if pinned else None
        return replace(search, pinned=pinned, standing=standing)

    change(dataset, search_id, pin)


def delete_search(dataset: Any, search_id: str) -> None:
    """Deletes a search; one that is gone already is no error."""
    _store(dataset).delete(search_id)


def follow_rename(dataset: Any, brain_key: str, new_brain_key: str) -> None:
    """Keeps the searches of an index that has another key now."""

    def renamed(search: Search) -> Search:
        return replace(search, brain_key=new_brain_key)

    for search in searches(dataset):
        if search.brain_key == brain_key:
            with contextlib.suppress(ConfigError):  # it was deleted meanwhile
                change(dataset, search.id, renamed)


def as_python(dataset: Any, search: Search) -> str:
    """Returns Python that asks the same on today's data."""
    question = search.to_question()
    like = [p for p in question.parts if not p.unlike]
    unlike = [p for p in question.parts if p.unlike]
    given: dict[str, Any] = {"k": question.k}
    for name in ("reverse", "diversity", "hnsw_ef"):
        if getattr(question, name):
            given[name] = getattr(question, name)

    low, high = search.cut
    lines = [
        "import fiftyone as fo",
        "",
        "from fiftyone_qdrant import find_similar, load_index",
        "",
        f"dataset = fo.load_dataset({dataset.name!r})",
        f"index = load_index(dataset, {search.brain_key!r})",
        f"query = {_as_python(like)}",
    ]
    if unlike:
        lines.append(f"negatives = {_as_python(unlike)}")
        given["negatives"] = None

    arguments = ", ".join(
        f"{name}={'negatives' if value is None else repr(value)}"
        for name, value in given.items()
    )
    lines.append(f"matches = find_similar(index, query, {arguments})")
    if low is not None or high is not None:
        ends = [f"{low!r} <= d" if low is not None else "d"]
        ends += [f"<= {high!r}"] if high is not None else []
        kept = (
            f"[i for i, d in zip(matches.ids, matches.distances) if {' '.join(ends)}]"
        )
        lines.append(f"ids = {kept}")

    return "\n".join(lines) + "\n"


def of_fiftyone(dataset: Any, brain_keys: list[str]) -> list[Search]:
    """Returns what was searched in FiftyOne's own Similarity Search, to ask again here.

    Of completed text searches, and of those by samples, with indexes of ours. They are
    read from where FiftyOne 1.22 keeps them, and never written.
    """
    runs = store_values(root_of(dataset), _OF_FIFTYONE)
    found = [_from_fiftyone(run) for run in runs if "run_id" in run]
    ours = [s for s in found if s is not None and s.brain_key in brain_keys]
    return sorted(ours, key=lambda s: -s.at)


def _from_fiftyone(run: Mapping[str, Any]) -> Search | None:
    query, kind = run.get("query"), run.get("query_type")
    if run.get("status") != "completed" or not query or not run.get("brain_key"):
        return None

    if kind == "text" and isinstance(query, str):
        part = Part("text", query, name=query)
    elif isinstance(query, list) and all(isinstance(i, str) for i in query):
        part = Part("ids", query, name=f"{len(query):,} samples")
    else:
        return None

    question = Question(
        (part,), k=int(run.get("k") or 500), reverse=bool(run.get("reverse"))
    )
    made: Any = run.get("creation_time") or run.get("start_time")
    at = float(made.timestamp()) if hasattr(made, "timestamp") else 0.0
    count = int(run.get("result_count") or 0)
    name = str(run.get("run_name") or part.name)
    key = str(run["brain_key"])
    return Search(
        str(run.get("run_id")),
        name,
        key,
        question.to_dict(),
        at,
        count,
        scope="FiftyOne",
    )


def _kept(part: Part, vector_of: Callable[[Part], Any] | None) -> Part:
    name = part.name.partition("?")[0][:_LONGEST_NAME]
    if part.kind == "picture":
        vector = None if vector_of is None else vector_of(part)
        if vector is None:
            raise ConfigError("A picture can be kept by its vector only")

        return replace(part, kind="vector", value=[float(x) for x in vector], name=name)

    if part.kind == "ids":
        return replace(part, value=list(part.value)[:_MOST_IDS], name=name)

    return replace(part, name=name)


def _name(parts: tuple[Part, ...]) -> str:
    words = [f"not {p.name or p.kind}" if p.unlike else p.name or p.kind for p in parts]
    return ", ".join(words)[:_LONGEST_NAME]


def _as_python(parts: list[Part]) -> str:
    values: list[Any] = []
    for part in parts:
        if part.kind == "tag":
            return f"dataset.match_tags({part.value!r}).values('id')"

        values += [part.value] if part.kind in ("text", "vector") else part.value

    return repr(values[0] if len(values) == 1 else values)


def _made_again(new: Search, old: Search) -> Search:
    stays = ("id", "name", "pinned", "standing")
    return replace(new, **{name: getattr(old, name) for name in stays})


def _stored(dataset: Any, search_id: str) -> dict[str, Any]:
    value: dict[str, Any] | None = _store(dataset).get(search_id)
    if value is None:
        raise ConfigError("That search is not kept any more")

    return value


def _from_stored(value: Mapping[str, Any]) -> Search:
    return Search(**{**value, "cut": tuple(value["cut"])})


def _store(dataset: Any) -> ExecutionStore:
    return ExecutionStore.create(_STORE, dataset_id=dataset_id(dataset))
