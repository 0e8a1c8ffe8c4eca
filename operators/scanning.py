"""What operators share that ask about all of the data, and keep the answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import fiftyone.operators.types as types

from fiftyone_qdrant.curate import stored
from fiftyone_qdrant.errors import IngestCancelled
from fiftyone_qdrant.status.background import followed
from fiftyone_qdrant.status.jobs import Pace, Report, job, progress_label

from .in_background import start_in_background
from .qdrant_operator import QdrantOperator, chosen_index

PANEL = "qdrant_curate"
_PAUSE = 0.5  # seconds between two looks at whether to stop


class Scan(QdrantOperator):
    """Base class.

    Attributes:
        kind: of the job
    """

    kind: ClassVar[str]
    risk_level = types.RiskLevel.LOW

    def ask(self, ctx: Any, brain_key: str, progress: Any) -> tuple[Any, Any]:
        """Returns the answer, and how it was asked as plain values.

        ``"slot"`` among these tells answers apart that are kept side by side.
        """
        raise NotImplementedError("subclass must implement ask()")

    def about(self, ctx: Any, answer: Any) -> dict[str, Any]:
        """Returns what of the answer is the operator's result."""
        raise NotImplementedError("subclass must implement about()")

    def run(self, ctx: Any) -> dict[str, Any]:
        key = str(chosen_index(ctx).key)
        started = start_in_background(self, ctx, self.kind, key, PANEL)
        if started is not None:
            return started

        with at_work(self, ctx, self.kind, key) as progress:
            answer, asked = self.ask(ctx, key, progress)
            slot = asked.pop("slot", "")
            one = stored.keep(ctx.dataset, answer, self.name, slot=slot, about=asked)

        return {"brain_key": key, "run_key": one.key, **self.about(ctx, answer)}


@contextmanager
def at_work(operator: Any, ctx: Any, kind: str, brain_key: str) -> Iterator[Any]:
    """Makes what an operator does visible, and gives it its ``progress=``."""
    if ctx.delegated:
        request = ctx.request_params
        work = followed(ctx.dataset, kind, brain_key, operator.uri, request)
    else:
        work = job(ctx.dataset, kind, brain_key)

    with work as report:
        yield _progress(ctx, report)


def _progress(ctx: Any, report: Report) -> Callable[[int, int], None]:
    """Returns a function that tells how far it is, and raises if it is cancelled."""
    pace, last, known = Pace(), [0.0], [0]

    def tell(done: int, total: int) -> None:
        if total != known[0] or done == 0:
            known[0] = total
            report.begin(total)

        report.advance(done)
        pace.advance(done)
        now = time.monotonic()
        if now - last[0] < _PAUSE:
            return

        last[0] = now
        if report.cancelled:
            raise IngestCancelled("Nothing was kept, and nothing changed")

        ctx.set_progress(
            done / max(total, 1), label=progress_label(done, total, pace.rate)
        )

    return tell
