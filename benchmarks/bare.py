"""The engine without FiftyOne and without an owner process: what is possible at best.

``python -m benchmarks.bare`` prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as qe

from benchmarks import data
from benchmarks.measure import peak_mb, repeated, timed

_BATCH = 1000


def main() -> None:
    """Writes, indexes, queries and reads the vectors of a folder."""
    folder = Path(sys.argv[1])
    vectors = np.load(folder / "vectors.npy")
    ids = point_ids(len(vectors))
    place = folder / "bare"
    place.mkdir()
    params = qe.EdgeVectorParams(size=vectors.shape[1], distance=qe.Distance.Cosine)
    config = qe.EdgeConfig(vectors=params)
    shard = qe.EdgeShard.create(str(place), config)
    figures = {"build_s": timed(lambda: write(shard, ids, vectors))}
    asked = vectors[data.queries(len(vectors))].tolist()

    def query(vector: list[float], exact: bool) -> Any:
        params = qe.SearchParams(exact=exact)
        request = qe.QueryRequest(
            query=qe.Query.Nearest(vector), limit=data.K, params=params
        )
        return shard.query(request)

    turns = iter(asked * 2)
    figures["query_ms whole"] = 1000 * repeated(
        lambda: query(next(turns), True), len(asked)
    )
    some = ids[: data.FETCHED]
    figures["get_ms"] = 1000 * repeated(lambda: read(shard, some), 3)
    figures["ask_peak_mb"] = peak_mb()
    shard.close()
    print(json.dumps(figures))


def point_ids(num_points: int) -> list[uuid.UUID]:
    """Returns ids of the form that samples' points have."""
    return [uuid.UUID(int=(n << 32)) for n in range(num_points)]


def write(shard: Any, ids: list[uuid.UUID], vectors: np.ndarray) -> None:
    """Writes the points that an index has: a vector, the sample's id, the norm."""
    index = qe.UpdateOperation.create_field_index(
        "sample_id", qe.PayloadSchemaType.Keyword
    )
    shard.update(index)
    norms = np.linalg.norm(vectors, axis=1)
    for start in range(0, len(ids), _BATCH):
        points = [
            qe.Point(i, v, {"sample_id": i.hex[:24], "norm": float(n)})
            for i, v, n in zip(
                ids[start : start + _BATCH],
                vectors[start : start + _BATCH],
                norms[start : start + _BATCH],
                strict=True,
            )
        ]
        shard.update(qe.UpdateOperation.upsert_points(points))

    shard.flush()


def read(shard: Any, ids: list[uuid.UUID]) -> np.ndarray:
    """Returns vectors as one matrix."""
    pages = [
        shard.retrieve(ids[start : start + _BATCH], True, True)
        for start in range(0, len(ids), _BATCH)
    ]
    return np.array([r.vector for page in pages for r in page], dtype=np.float32)


if __name__ == "__main__":
    main()
