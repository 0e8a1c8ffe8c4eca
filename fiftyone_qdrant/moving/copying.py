"""One collection's points into another, while both are read and written.

Points are copied as Qdrant has them, payload and all, page by page. What differs
afterwards is found by reading both, so a copy that was interrupted goes on where it
stopped, and none is taken to be done before it was compared.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import EngineError
from fiftyone_qdrant.index import moves
from fiftyone_qdrant.points import Matrix, Page
from fiftyone_qdrant.qdrant import writing
from fiftyone_qdrant.qdrant.collection import Collection

_ROUNDS = 5  # comparisons until nothing may differ any more
_WRITE_ENDS_WITHIN = 60.0  # seconds that a write of another process is waited for
_PAUSE = 0.05
_ROUNDING = 1e-12  # relative, of a float64 that was read from JSON

Advance = Callable[[int], Any]
"""Is told of each page how many points it had; may raise, to stop."""


class Copy:
    """A collection on its way to another place.

    Args:
        source: where the points are; it goes on being used
        target: where they go, a collection that only this copy writes to
        move: the id of the move that it is for

    Attributes:
        lossless: whether the target keeps all bits of the vectors
    """

    def __init__(self, source: Collection, target: Collection, move: str) -> None:
        self.source = source
        self.target = target
        self.move = move
        self._names = [
            points.norm_key(c.schema().vector_name) for c in (source, target)
        ]
        kept = _kept_type(target)
        self._kept = kept or np.float32
        self.lossless = kept is None

    def all(self, advance: Advance) -> None:
        """Copies all points into a target that is empty."""
        for page in self.source.scroll(vectors=True):
            self._write(page)
            advance(len(page))

    def differences(self, advance: Advance) -> set[str]:
        """Copies what differs, and removes what only the target has.

        Returns:
            the ids of the points that differed
        """
        found: set[str] = set()
        for page in self.source.scroll(vectors=True):
            differing = self._differing(page)
            self._write(differing)
            found.update(differing.ids)
            advance(len(page))

        for page in self.target.scroll(payload=False):
            gone = set(page.ids) - self.source.present(page.ids)
            writing.remove(self.target, sorted(gone))
            found |= gone

        return found

    def until_alike(self, advance: Advance) -> None:
        """Compares, and copies what differs, until nothing does but what is noted.

        Raises:
            EngineError: if there is always something that does
        """
        for _ in range(_ROUNDS):
            differing = self.differences(advance)
            if not differing - self.follow():
                return

        raise EngineError(
            f"Collection '{self.target.name}' still differs from "
            f"'{self.source.name}' after {_ROUNDS} comparisons. Something outside of "
            "this plugin keeps writing to one of them: stop it, and move again"
        )

    def follow(self) -> set[str]:
        """Copies what others are known to have written to the source until now.

        A write that goes on is waited for, unless its process seems to have died.

        Returns:
            the ids of what was written
        """
        deadline = time.monotonic() + _WRITE_ENDS_WITHIN
        found: set[str] = set()
        for name in moves.notes(self.move):
            ids, ended = moves.read_note(name)
            while not ended and time.monotonic() < deadline:
                time.sleep(_PAUSE)
                ids, ended = moves.read_note(name)

            self._copy(ids)
            moves.forget_note(name)
            found.update(ids)

        return found

    def noted(self) -> set[str]:
        """Returns the ids of what :meth:`follow` would copy now."""
        names = moves.notes(self.move)
        return {i for name in names for i in moves.read_note(name)[0]}

    def _copy(self, ids: Sequence[str]) -> None:
        """Copies points as they are now; those that are gone are removed."""
        for page in self.source.retrieve(ids):
            self._write(page)

        gone = set(ids) - self.source.present(ids)
        writing.remove(self.target, sorted(gone))

    def _write(self, page: Page) -> None:
        if len(page):
            vectors = self.source.stored_vectors(page)
            writing.write(self.target, page.ids, vectors, self._payloads(page))

    def _payloads(self, page: Page) -> list[dict[str, Any]]:
        before, after = self._names
        payloads = [dict(p or {}) for p in page.payloads]
        if before != after:
            for payload in payloads:
                if before in payload:
                    payload[after] = payload.pop(before)

        return payloads

    def _differing(self, page: Page) -> Page:
        there: dict[str, tuple[dict[str, Any], Matrix]] = {}
        for found in self.target.retrieve(page.ids):
            vectors = self.target.stored_vectors(found)
            columns = zip(found.ids, found.payloads, vectors, strict=True)
            there.update({i: (p or {}, v) for i, p, v in columns})

        mine = self.source.stored_vectors(page)
        none: tuple[dict[str, Any], Matrix] = (
            {},
            np.full(mine.shape[1:], np.nan, dtype=np.float32),
        )
        theirs = [there.get(i, none) for i in page.ids]
        same = points.same(
            mine.astype(self._kept).astype(np.float32), np.stack([v for _, v in theirs])
        )
        payloads = zip(self._payloads(page), [p for p, _ in theirs], strict=True)
        kept = [_is_kept(payload, other) for payload, other in payloads]
        return page.where([not (s and k) for s, k in zip(same, kept, strict=True)])


def _is_kept(payload: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether a point's payload is in the other; engines read floats as they can."""
    return all(
        name in other
        and (
            math.isclose(value, other[name], rel_tol=_ROUNDING)
            if isinstance(value, float)
            else value == other[name]
        )
        for name, value in payload.items()
    )


def _kept_type(target: Collection) -> Any:
    """Returns the type that a target keeps its vectors in, if it is a smaller one."""
    params: Any = target.info().config.params.vectors
    if isinstance(params, dict):
        params = params[target.schema().vector_name]

    kept = getattr(getattr(params, "datatype", None), "value", "")
    kinds: dict[str, Any] = {"float16": np.float16, "uint8": np.uint8}
    return kinds.get(kept)


def sampled_ids(collection: Collection, number: int) -> Iterator[str]:
    """Yields the ids of points that are spread evenly over a collection."""
    step = max(1, collection.count() // number)
    passed = 0
    for page in collection.scroll(payload=False):
        first = -passed % step
        yield from page.ids[first::step]
        passed += len(page)
