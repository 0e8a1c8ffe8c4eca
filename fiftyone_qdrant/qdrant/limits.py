"""What a server lets one call ask for, and how to ask for more in several calls.

Qdrant's strict mode bounds what a call may ask of a collection. The bounds are in the
collection's description; what is met unawares is learned from the refusal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from fiftyone_qdrant.errors import LimitExceeded, QdrantPluginError, RequestTooLarge

T = TypeVar("T")


@dataclass(frozen=True)
class Limits:
    """What one call may ask for, by the names of ``strict_mode_config``.

    Attributes:
        max_query_limit: points in one answer, or ``None`` for any number, as below
        search_max_batchsize: queries in one call
        search_max_hnsw_ef: the largest ``hnsw_ef``
        search_max_oversampling: the largest ``oversampling``
        search_allow_exact: whether exact counts and searches are answered
        upsert_max_batchsize: points written by one call
        condition_max_size: ids in one filter
        filter_max_conditions: conditions in one filter
        unindexed_filtering_retrieve: whether to filter on payload without an index
    """

    max_query_limit: int | None = None
    search_max_batchsize: int | None = None
    search_max_hnsw_ef: int | None = None
    search_max_oversampling: float | None = None
    search_allow_exact: bool = True
    upsert_max_batchsize: int | None = None
    condition_max_size: int | None = None
    filter_max_conditions: int | None = None
    unindexed_filtering_retrieve: bool = True

    @classmethod
    def of(cls, config: Any) -> Limits:
        """Returns the limits of a collection's ``config``; none if it has none."""
        strict = getattr(config, "strict_mode_config", None)
        if strict is None or not strict.enabled:
            return cls()

        told = {f.name: getattr(strict, f.name, None) for f in fields(cls)}
        return cls(**{name: v for name, v in told.items() if v is not None})

    def points(self, wanted: int) -> int:
        """Returns how many of so many points one answer may have."""
        return _within(wanted, self.max_query_limit)

    def ids(self, wanted: int) -> int:
        """Returns how many of so many ids one filter may have."""
        return _within(wanted, self.condition_max_size)

    def searches(self, wanted: int) -> int:
        """Returns how many of so many queries one call may have."""
        return _within(wanted, self.search_max_batchsize)

    def writes(self, wanted: int) -> int:
        """Returns how many of so many points one call may write."""
        return _within(wanted, self.upsert_max_batchsize)


def _within(wanted: int, limit: int | None) -> int:
    return wanted if limit is None else max(1, min(wanted, limit))


class Bounds:
    """The limits of one collection as far as they are known.

    Attributes:
        limits: they themselves; none until the collection is described
    """

    def __init__(self) -> None:
        self.limits = Limits()

    def learn(self, refusal: LimitExceeded) -> None:
        """Keeps to what a refusal says from now on."""
        known = {f.name for f in fields(Limits)}
        if refusal.limit in known:
            changed: dict[str, Any] = {refusal.limit: refusal.allowed}
            self.limits = replace(self.limits, **changed)

    def within(self, ask: Callable[[Limits], T]) -> T:
        """Returns what ``ask`` does, asked again if the limits turn out tighter.

        Raises:
            LimitExceeded: if what is asked for cannot be had within them
        """
        while True:
            used = self.limits
            try:
                return ask(used)
            except LimitExceeded as e:
                self.learn(e)
                if self.limits == used:
                    raise

    def in_parts(
        self,
        count: int,
        size: Callable[[Limits], int],
        call: Callable[[int, int], T],
        at_once: int = 1,
    ) -> Iterator[T]:
        """Yields what ``call`` returns for one part after the other of something.

        Args:
            count: how much there is of it
            size: how much of it a call may be about
            call: from where to where; what proves too much is divided
            at_once (1): how many calls may be under way; when one fails, those that
                are have ended, and none follows

        Raises:
            RequestTooLarge: if even one is too large
        """
        largest, next_start = max(1, count), 0
        under_way: deque[tuple[int, int, Future[T]]] = deque()
        with _Threads(at_once) as threads:
            while under_way or next_start < count:
                while next_start < count and len(under_way) < at_once:
                    step = max(1, min(largest, size(self.limits)))
                    end = min(next_start + step, count)
                    begun = threads.begin(call, next_start, end)
                    under_way.append((next_start, end, begun))
                    next_start = end

                start, end, answer = under_way.popleft()
                try:
                    result = answer.result()
                except (LimitExceeded, RequestTooLarge) as e:
                    if isinstance(e, LimitExceeded):
                        self.learn(e)
                        hopeless = size(self.limits) >= end - start
                    else:
                        hopeless = end - start == 1
                        largest = max(1, (end - start) // 2)

                    if hopeless:
                        raise

                    wait([answer for _, _, answer in under_way])
                    under_way.clear()
                    next_start = start
                else:
                    yield result


class _Threads:
    """Calls in threads, or at once where there is only one at a time."""

    def __init__(self, number: int) -> None:
        self._pool = ThreadPoolExecutor(number) if number > 1 else None

    def __enter__(self) -> _Threads:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def begin(self, call: Callable[[int, int], T], start: int, end: int) -> Future[T]:
        if self._pool is not None:  # with what is set for the job that it is part of
            return self._pool.submit(copy_context().run, call, start, end)

        answer: Future[T] = Future()
        try:
            answer.set_result(call(start, end))
        except QdrantPluginError as e:
            answer.set_exception(e)

        return answer
