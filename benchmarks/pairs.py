"""All pairs beside the bare products and sklearn: ``python -m benchmarks.pairs``.

Prints a table of processor time, which other work on the machine hardly changes:
clusters, a manifold and noise, each with planted near-duplicates, at some thresholds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.data import SEED, make_vectors
from fiftyone_qdrant.index.all_pairs import AllPairs
from fiftyone_qdrant.points import to_unit

_PLANTED = 100  # each of so many has a near-duplicate
_TILE = 1024


class Memory:
    """Vectors, as :class:`AllPairs` reads those of an index."""

    def __init__(self, vectors: np.ndarray) -> None:
        self._rows = vectors

    def vectors(self, ids: Any) -> np.ndarray:
        """Returns those of some rows."""
        return self._rows[ids[0] : ids[-1] + 1]


def data(kind: str, count: int, size: int) -> np.ndarray:
    """Returns float32 vectors at length 1, the last ones near the first ones."""
    rng = np.random.default_rng(SEED)
    if kind == "clusters":
        vectors = make_vectors(count, size)
    elif kind == "noise":
        vectors = rng.normal(size=(count, size)).astype(np.float32)
    else:
        inner = np.tanh(rng.normal(size=(count, 8)) @ rng.normal(size=(8, 64)))
        vectors = (inner @ rng.normal(size=(64, size))).astype(np.float32)
        vectors += rng.normal(scale=0.05, size=vectors.shape).astype(np.float32)

    planted = count // _PLANTED
    spread = 0.02 * float(np.abs(vectors).mean())
    vectors[-planted:] = vectors[:planted]
    vectors[-planted:] += rng.normal(scale=spread, size=(planted, size))
    return to_unit(vectors)


def multiply(vectors: np.ndarray) -> None:
    """Makes the product of each pair, once, and looks at none."""
    for row in range(0, len(vectors), _TILE):
        for column in range(row, len(vectors), _TILE):
            vectors[row : row + _TILE] @ vectors[column : column + _TILE].T


def sklearn(vectors: np.ndarray, threshold: float) -> None:
    """Finds the same pairs as FiftyOne's default backend does."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(metric="cosine", algorithm="brute").fit(vectors)
    found.radius_neighbors(radius=threshold, return_distance=False)


def ours(vectors: np.ndarray, threshold: float) -> int:
    """Returns how many pairs there are."""
    counts: list[int] = []
    pairs = AllPairs(Memory(vectors), range(len(vectors)), vectors.shape[1], "cosine")
    pairs.scan(threshold, lambda i, *_: counts.append(len(i)))
    return sum(counts)


def spent(action: Callable[[], Any]) -> float:
    """Returns the seconds of processor time that a call takes."""
    start = time.process_time()
    action()
    return time.process_time() - start


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pairs")
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--sklearn", action="store_true", help="takes long")
    parser.add_argument(
        "--thresholds", type=float, nargs="+", default=[0.001, 0.01, 0.1]
    )
    given = parser.parse_args()

    print("| data | threshold | pairs | ours, s | bare products, s | sklearn, s |")
    print("|---|---|---|---|---|---|")
    for kind in ("clusters", "manifold", "noise"):
        vectors = data(kind, given.points, given.size)
        bare = spent(lambda: multiply(vectors))  # noqa: B023
        for threshold in given.thresholds:
            found: list[int] = []
            mine = spent(lambda: found.append(ours(vectors, threshold)))  # noqa: B023
            theirs = "-"
            if given.sklearn:
                theirs = f"{spent(lambda: sklearn(vectors, threshold)):.1f}"  # noqa: B023

            row = f"{found[0]:,} | {mine:.2f} | {bare:.1f} | {theirs}"
            print(f"| {kind} | {threshold:g} | {row} |", flush=True)


if __name__ == "__main__":
    main()
