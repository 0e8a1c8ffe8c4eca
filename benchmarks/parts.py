"""Where the time of a query goes: ``python -m benchmarks.parts NAME FOLDER``.

Every call to the store and every question to MongoDB is timed as it happens; what is
left is Python: FiftyOne's view stages, ids and distances. Prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import fiftyone as fo
import fiftyone.brain
import numpy as np
import pymongo.collection

import fiftyone_qdrant  # noqa: F401
from benchmarks import data
from benchmarks.contenders import BRAIN_KEY
from benchmarks.measure import timed
from fiftyone_qdrant.embedded import session

_CALLS = {
    "info": "Qdrant: size and metric",
    "retrieve": "Qdrant: the query's vector",
    "query": "Qdrant: search",
}
_WARM_UP = 5


def main() -> None:
    """Prints the medians of each part, in milliseconds, for each view."""
    dataset = fo.load_dataset(sys.argv[1])
    truth = np.load(Path(sys.argv[2]) / "truth.npz")
    asked = truth["asked"].tolist()
    spent: dict[str, float] = defaultdict(float)
    watch(session.Session, "call", spent, lambda op: _CALLS.get(op, f"Qdrant: {op}"))
    watch(pymongo.collection.Collection, "aggregate", spent, lambda _: "MongoDB")
    figures = {}
    for view_name, view in data.views(dataset, truth["picked ids"].tolist()).items():
        rows = []
        for sample_id in asked:
            spent.clear()
            total = timed(lambda: ask(view, sample_id))  # noqa: B023
            rows.append({**spent, "Python": total - sum(spent.values())})

        names = dict.fromkeys(name for row in rows for name in row)
        for name in names:
            times = [row.get(name, 0.0) for row in rows[_WARM_UP:]]
            figures[f"part {view_name}: {name}"] = 1000 * median(times)

    print(json.dumps(figures))


def ask(view: Any, sample_id: str) -> list[str]:
    """Queries as a user does."""
    hits = view.sort_by_similarity(sample_id, k=data.K, brain_key=BRAIN_KEY)
    return hits.values("id")


def watch(
    owner: type, method: str, spent: dict[str, float], name: Callable[[Any], str]
) -> None:
    """Adds the seconds of each call of a method to ``spent``."""
    original = getattr(owner, method)

    def timed_call(self: Any, first: Any, *args: Any, **kwargs: Any) -> Any:
        result = []
        seconds = timed(lambda: result.append(original(self, first, *args, **kwargs)))
        spent[name(first)] += seconds
        return result[0]

    setattr(owner, method, timed_call)


if __name__ == "__main__":
    main()
