"""Made the archive beside it, with 0.1.0 as of commit 9086253.

Three folders: a FiftyOne dataset with its runs as FiftyOne exports it, the embedded
store of these runs, and a backup of that store. It is not part of the tests: it says
how they came to what they open. Run it with that commit checked out:

    python make_first.py FOLDER
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np

import fiftyone_qdrant  # noqa: F401
from fiftyone_qdrant.embedded import administration, launcher

root = Path(sys.argv[1]).resolve()
store = str(root / "store")
rng = np.random.default_rng(20251125)

dataset = fo.Dataset("landed")
vectors = rng.normal(size=(300, 8)) * rng.choice([0.5, 1, 20], size=(300, 1))
dataset.add_samples(
    [
        fo.Sample(
            filepath=f"/images/{i:03}.png",
            embedding=vectors[i],
            objects=fo.Detections(
                detections=[
                    fo.Detection(label="one", bounding_box=[0, 0, 1, 1])
                    for _ in range(i % 3)
                ]
            ),
        )
        for i in range(300)
    ]
)
samples = fob.compute_similarity(
    dataset,
    embeddings="embedding",
    backend="qdrant",
    brain_key="samples",
    path=store,
    hnsw_config={"m": 8, "full_scan_threshold": 10},
    optimizers_config={"indexing_threshold": 1},
)
samples.remove_from_index(sample_ids=dataset.values("id")[10:20])
patches = fob.compute_similarity(
    dataset,
    patches_field="objects",
    embeddings={
        sample.id: rng.normal(size=(len(sample.objects.detections), 4))
        for sample in dataset
        if sample.objects.detections
    },
    backend="qdrant",
    brain_key="patches",
    path=store,
    metric="euclidean",
)
info = samples.collection.info
until = time.monotonic() + 60
while not info().indexed_vectors_count:
    assert time.monotonic() < until, "no graph was built"
    time.sleep(0.1)

samples.remove_from_index(sample_ids=dataset.values("id")[20:25])
launcher.stop(store)
assert samples.total_index_size == 285  # opened again, after points were removed
administration.back_up(store, str(root / "backup"))
launcher.stop(store)
dataset.export(
    export_dir=str(root / "dataset"),
    dataset_type=fo.types.FiftyOneDataset,
    export_media=False,
)
