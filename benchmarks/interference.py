"""How long the embedded store keeps people waiting while it is busy otherwise.

``python -m benchmarks.interference FOLDER`` uploads the vectors of a folder, then times
exact queries by one client: alone, while another process ingests, and while the index
is built, when writes are timed, too. Prints one line of JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
from qdrant_client import models

from benchmarks.data import K
from benchmarks.measure import timed
from fiftyone_qdrant.embedded.client import launcher
from fiftyone_qdrant.embedded.client.embedded_client import EmbeddedClient

_QUERIES = 300
_PAUSE = 0.02  # seconds between two queries of a person's client
_BATCH = 512  # points that an ingest writes at once,
_BATCHES = 5  # in a second: as quickly as a good graphics card embeds images


def main() -> None:
    """Prints percentiles in milliseconds, and the longest stalls."""
    folder = Path(sys.argv[1])
    vectors = np.load(folder / "vectors.npy")
    store = str(folder / "busy")
    client = EmbeddedClient(store)
    params = models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE)
    never = models.OptimizersConfigDiff(indexing_threshold=0)
    for name in ("asked", "other"):
        client.create_collection(name, params, optimizers_config=never)

    client.upload_collection("asked", vectors)
    client.flush("asked")
    figures = spread("quiet", lambda: client_queries(client, vectors))
    for name in ("other", "asked"):
        uploader = upload(store, name, vectors.shape[1])
        key = f"while {name} grows"
        figures.update(spread(key, lambda: client_queries(client, vectors)))
        uploader.kill()
        uploader.wait()

    figures.update(stalls(client, vectors))
    launcher.stop(store)
    print(json.dumps(figures))


def client_queries(client: EmbeddedClient, vectors: np.ndarray) -> list[float]:
    """Returns the seconds of many queries."""
    times = []
    for row in range(_QUERIES):
        times.append(timed(lambda: client.query_points("asked", vectors[row], limit=K)))  # noqa: B023
        time.sleep(_PAUSE)

    return times


def spread(key: str, measured: Callable[[], list[float]]) -> dict[str, float]:
    """Returns median and 95th percentile."""
    p50, p95 = 1000 * np.percentile(measured(), [50, 95])
    return {f"{key}, median ms": p50, f"{key}, p95 ms": p95}


def upload(store: str, name: str, size: int) -> subprocess.Popen[bytes]:
    """Starts a process that writes batches without end; waits for its first."""
    code = (
        "import time\n"
        "import numpy as np\n"
        "from fiftyone_qdrant.embedded.client.embedded_client import EmbeddedClient\n"
        f"client = EmbeddedClient({store!r})\n"
        f"batch = np.random.default_rng(1).normal(size=({_BATCH}, {size}))\n"
        "while True:\n"
        f"    client.upload_collection({name!r}, batch.astype('float32'))\n"
        "    print('.', end='', flush=True)\n"
        f"    time.sleep({1 / _BATCHES})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    if not process.stdout.read(1):
        raise RuntimeError("The uploading process ended")

    return process


def stalls(client: EmbeddedClient, vectors: np.ndarray) -> dict[str, float]:
    """Returns the longest query and the longest write while the index is built."""
    soon = models.OptimizersConfigDiff(indexing_threshold=1)
    client.update_collection("asked", optimizers_config=soon)
    client.flush("asked")
    start = time.perf_counter()
    queries, writes, row = [0.0], [0.0], 0
    while not client.get_collection("asked").indexed_vectors_count:
        row = (row + 1) % len(vectors)
        point = models.PointStruct(id=str(uuid.uuid4()), vector=vectors[row].tolist())
        writes.append(timed(lambda: client.upsert("asked", [point])))  # noqa: B023
        queries.append(
            timed(lambda: client.query_points("asked", vectors[row], limit=K))  # noqa: B023
        )

    return {
        "build of the index, s": time.perf_counter() - start,
        "longest query meanwhile, s": max(queries),
        "longest write meanwhile, s": max(writes),
    }


if __name__ == "__main__":
    main()
