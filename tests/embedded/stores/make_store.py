"""Made edge-0.8.tar.xz (packed by `tar -cSJf`), with qdrant-edge-py 0.8 installed.

make_store.py TARGET
"""

import json
import random
import sys
import uuid
from importlib import metadata
from pathlib import Path

import qdrant_edge as qe

ENGINE = metadata.version("qdrant-edge-py")
SETTINGS = {
    "name": "old",
    "vectors": {"size": 16, "distance": "Cosine"},
    "on_disk_payload": None,
    "hnsw_config": {"full_scan_threshold": 10},
    "optimizers_config": {"indexing_threshold": 10},
    "quantization_config": None,
    "metadata": None,
    "built": {
        "hnsw_config": {"full_scan_threshold": 10},
        "quantization_config": None,
        "points": 100,
    },
}


def main(target):
    place = Path(target, "collections", "old")
    (place / "shard").mkdir(parents=True)
    shard = qe.EdgeShard.create(
        str(place / "shard"),
        qe.EdgeConfig(
            vectors=qe.EdgeVectorParams(size=16, distance=qe.Distance.Cosine),
            hnsw_config=qe.HnswIndexConfig(
                m=16, ef_construct=100, full_scan_threshold=10
            ),
            optimizers=qe.EdgeOptimizersConfig(indexing_threshold=10),
        ),
    )
    make_index = qe.UpdateOperation.create_field_index
    shard.update(make_index("sample_id", qe.PayloadSchemaType.Keyword))
    rng = random.Random(8)
    points = [point(f"{i:024x}", rng) for i in range(500)]
    shard.update(qe.UpdateOperation.upsert_points(points[:400]))
    shard.optimize()
    shard.update(qe.UpdateOperation.upsert_points(points[400:]))
    shard.flush()
    shard.close()
    record = {"format": 1, "engine": f"qdrant-edge {ENGINE}", "created_at": 1.0}
    (place / "collection.json").write_text(json.dumps(SETTINGS))
    Path(target, "store.json").write_text(json.dumps(record))


def point(sample_id, rng):
    vector = [rng.gauss(0, 1) for _ in range(16)]
    key = str(uuid.UUID(f"{sample_id}00000000"))
    return qe.Point(key, vector, {"sample_id": sample_id, "norm": 2.0})


if __name__ == "__main__":
    main(sys.argv[1])
