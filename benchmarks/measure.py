"""Times one contender in a process of its own: ``python -m benchmarks.measure``.

Prints one line of JSON. Two processes per contender: one builds the index, one opens
it and asks. Imports are not counted.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.contenders import BRAIN_KEY, CONTENDERS, Contender

_BATCH = 200
_SECONDS_PER_VIEW = 15
_FEWEST_QUERIES = 5
_TURNS = 5


def build(contender: Contender, name: str, folder: Path) -> dict[str, float]:
    """Makes the index; the vectors are in memory before."""
    import fiftyone as fo

    dataset = fo.load_dataset(name)
    vectors = np.load(folder / "vectors.npy")
    if dataset.has_brain_run(BRAIN_KEY):
        contender.remove(dataset)

    seconds = timed(lambda: contender.build(dataset, vectors))
    return {"build_s": seconds, "build_peak_mb": peak_mb()}


def ask(contender: Contender, name: str, folder: Path) -> dict[str, float]:
    """Opens the index and queries it."""
    import fiftyone as fo

    truth = np.load(folder / "truth.npz")
    asked = truth["asked"].tolist()
    dataset = fo.load_dataset(name)
    views = data.views(dataset, truth["picked ids"].tolist())

    def query(view: Any, sample_id: str) -> list[str]:
        hits = view.sort_by_similarity(sample_id, k=data.K, brain_key=BRAIN_KEY)
        return hits.values("id")

    contender.rest()
    figures = {"open_s": timed(lambda: query(dataset, asked[-1]))}
    for view_name, view in views.items():
        found, times = [], []
        for sample_id in asked:
            times.append(timed(lambda: found.append(query(view, sample_id))))  # noqa: B023
            if sum(times) > _SECONDS_PER_VIEW and len(times) >= _FEWEST_QUERIES:
                break

        figures[f"query_ms {view_name}"] = 1000 * median(times)
        figures[f"recall {view_name}"] = recall(found, truth[view_name])

    index = dataset.load_brain_results(BRAIN_KEY)
    some = truth["some"].tolist()
    figures["get_ms"] = 1000 * repeated(
        lambda: index.get_embeddings(sample_ids=some), 3
    )
    figures["ask_peak_mb"] = peak_mb()
    return figures


def change(contender: Contender, name: str, folder: Path) -> dict[str, float]:
    """Adds 2 % to the index and takes out 1 %, some times; then it is as before."""
    import fiftyone as fo

    dataset = fo.load_dataset(name)
    index = dataset.load_brain_results(BRAIN_KEY)
    ids = dataset[: len(dataset) // 50].values("id")
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")[: len(ids)].copy()
    half = len(ids) // 2
    added, removed = [], []
    for _ in range(_TURNS):
        removed += [
            timed(lambda: index.remove_from_index(sample_ids=ids[:half])),
            timed(lambda: index.remove_from_index(sample_ids=ids[half:])),
        ]
        added.append(timed(lambda: index.add_to_index(vectors, ids)))

    return {"add_ms": 1000 * median(added), "remove_ms": 1000 * median(removed)}


def remove(contender: Contender, name: str, folder: Path) -> dict[str, float]:
    """Deletes the index, which other environments could not."""
    import fiftyone as fo

    contender.remove(fo.load_dataset(name))
    return {}


def batch(contender: Contender, name: str, folder: Path) -> dict[str, float]:
    """Asks for the neighbors of many samples one by one and at once."""
    import fiftyone as fo

    index = fo.load_dataset(name).load_brain_results(BRAIN_KEY)
    ids = np.load(folder / "truth.npz")["some"][:_BATCH].tolist()
    index.search(ids[:1], k=data.K)
    one_by_one = timed(lambda: [index.search(i, k=data.K) for i in ids])
    at_once = timed(lambda: index.search(ids, k=data.K, aggregation=None))
    return {"loop_s": one_by_one, "at_once_s": at_once}


def duplicates(contender: Contender, name: str, folder: Path) -> dict[str, float]:
    """Compares all samples with all others."""
    import fiftyone as fo

    index = fo.load_dataset(name).load_brain_results(BRAIN_KEY)
    seconds = timed(lambda: index.find_duplicates(thresh=0.01))
    return {"duplicates_s": seconds, "duplicates_peak_mb": peak_mb()}


def recall(found: list[list[str]], truth: np.ndarray) -> float:
    """Returns which part of the true neighbors was found."""
    pairs = zip(found, truth.tolist(), strict=False)  # the slow are asked less
    return float(np.mean([len(set(f) & set(t)) / len(t) for f, t in pairs]))


def timed(action: Callable[[], Any]) -> float:
    """Returns the seconds of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def repeated(action: Callable[[], Any], times: int) -> float:
    """Returns the median of the seconds of several calls."""
    return median(timed(action) for _ in range(times))


def peak_mb() -> float:
    """Returns the largest memory this process has had, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss also knows what the parent had before the fork
        (line,) = [r for r in status.read_text().splitlines() if r.startswith("VmHWM")]
        return int(line.split()[1]) / 1024

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


PHASES = {
    "build": build,
    "ask": ask,
    "change": change,
    "remove": remove,
    "batch": batch,
    "duplicates": duplicates,
}


def main() -> None:
    """Runs one phase of one contender."""
    who, phase, name, folder = sys.argv[1:]
    contender = CONTENDERS[who](Path(folder))
    contender.load()
    print(json.dumps(PHASES[phase](contender, name, Path(folder))))


if __name__ == "__main__":
    main()
