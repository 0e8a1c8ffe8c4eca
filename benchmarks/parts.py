"""Where the time of a query goes: ``python -m benchmarks.parts NAME FOLDER``.

Every call to the store and every command to MongoDB is timed as it happens; what is
left is Python: FiftyOne's view stages, ids and distances. Prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pymongo import monitoring

from benchmarks import data
from benchmarks.contenders import BRAIN_KEY, Ours
from benchmarks.measure import timed
from fiftyone_qdrant.embedded.client import session

Spent = dict[str, float]
"""Seconds by what they were spent on."""

_CALLS = {
    "info": "Qdrant: size and metric",
    "retrieve": "Qdrant: the query's vector",
    "query": "Qdrant: search",
}
_WARM_UP = 5


class Commands(monitoring.CommandListener):
    """Adds the seconds of each command to MongoDB.

    Args:
        spent: what to add to
    """

    def __init__(self, spent: Spent) -> None:
        self._spent = spent

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        pass

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        self._spent["MongoDB"] += event.duration_micros / 1e6

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


def main() -> None:
    """Prints the medians of each part, in milliseconds, for each view."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    spent: Spent = defaultdict(float)
    monitoring.register(Commands(spent))  # before FiftyOne makes its client
    watch_calls(spent)
    Ours(folder).load()
    import fiftyone as fo

    dataset = fo.load_dataset(name)
    truth = np.load(folder / "truth.npz")
    figures = {}
    for view_name, view in data.views(dataset, truth["picked ids"].tolist()).items():
        rows = []
        for sample_id in truth["asked"].tolist():
            spent.clear()
            total = timed(lambda: ask(view, sample_id))  # noqa: B023
            rows.append({**spent, "Python": total - sum(spent.values())})

        for part in dict.fromkeys(part for row in rows for part in row):
            times = [row.get(part, 0.0) for row in rows[_WARM_UP:]]
            figures[f"part {view_name}: {part}"] = 1000 * median(times)

    print(json.dumps(figures))


def ask(view: Any, sample_id: str) -> list[str]:
    """Queries as a user does."""
    hits = view.sort_by_similarity(sample_id, k=data.K, brain_key=BRAIN_KEY)
    return hits.values("id")


def watch_calls(spent: Spent) -> None:
    """Adds the seconds of each call to the store."""
    call = session.Session.call

    def timed_call(self: session.Session, op: str, *args: Any, **kwargs: Any) -> Any:
        result = []
        seconds = timed(lambda: result.append(call(self, op, *args, **kwargs)))
        spent[_CALLS.get(op, f"Qdrant: {op}")] += seconds
        return result[0]

    session.Session.call = timed_call


if __name__ == "__main__":
    main()
