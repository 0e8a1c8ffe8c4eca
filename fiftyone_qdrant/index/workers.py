"""The same work on many pieces, on all cores that numpy's products would take."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, TypeVar

_MOST = 8  # more wait for memory
_lock = threading.Lock()
_limits: list[Any] = []  # of those who are at work, and what they have limited

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Piece], Result],
    pieces: Iterable[Piece],
    take: Callable[[Result], Any],
) -> None:
    """Does work on pieces, and gives each result to the caller's thread as it comes.

    Meanwhile products of matrices take one thread each: what is done to their results
    would have a single one otherwise. If one raises, no further piece is begun.
    """
    count = min(_MOST, _cores())
    with _single_products(), ThreadPoolExecutor(count) as pool:
        under_way: set[Future[Result]] = set()
        try:
            for piece in pieces:
                under_way.add(pool.submit(work, piece))
                if len(under_way) > 2 * count:
                    done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
                    for result in done:
                        take(result.result())

            for result in under_way:
                take(result.result())
        finally:
            pool.shutdown(cancel_futures=True)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))

    return os.cpu_count() or 1


@contextmanager
def _single_products() -> Iterator[None]:
    """Has BLAS take one thread; the last who leaves restores what it took before."""
    from threadpoolctl import threadpool_limits

    with _lock:
        if not _limits:
            _limits.append(threadpool_limits(1, "blas"))

        _limits.append(None)

    try:
        yield
    finally:
        with _lock:
            _limits.pop()
            if len(_limits) == 1:
                _limits.pop().restore_original_limits()
