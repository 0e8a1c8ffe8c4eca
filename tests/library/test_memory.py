"""An ingest needs no more memory for many samples than for few.

``FQ_TEST_STREAM=200000x512`` runs it at full size.
"""

import os
import resource
import time
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_qdrant.index.batch import Batch
from fiftyone_qdrant.ingest import batches
from fiftyone_qdrant.ingest.ingest import create_index

COUNT, SIZE = map(int, os.environ.get("FQ_TEST_STREAM", "15000x512").split("x"))
MEGABYTE = 2**20


def resident():
    """Bytes of memory that this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads Linux's /proc")
def test_memory_stays_flat_while_a_model_streams(
    rng, digits_model, digit_images, monkeypatch
):
    dataset = fo.Dataset()
    samples = (fo.Sample(str(digit_images[0])) for _ in range(COUNT))
    dataset.add_samples(samples, num_samples=COUNT)

    def embed(index, samples):  # as a model does: a batch at a time, from nowhere
        ids = samples.values("id")
        return Batch(rng.normal(size=(len(ids), SIZE)).astype(np.float32), ids)

    monkeypatch.setattr(batches, "embed", embed)
    held = []
    start = time.monotonic()
    index, ingested = create_index(
        dataset, "index", model=digits_model, progress=lambda _: held.append(resident())
    )
    third = len(held) // 3
    growth = max(held[-third:]) - max(held[:third])
    vectors = COUNT * SIZE * 4
    print(
        f"{COUNT:,} x {SIZE} ({vectors / MEGABYTE:.0f} MB of vectors) in "
        f"{time.monotonic() - start:.1f} s: memory grew by {growth / MEGABYTE:.1f} MB "
        f"from the first third to the last, {max(held) / MEGABYTE:.0f} MB at most"
    )
    assert ingested.new == COUNT == index.total_index_size
    assert growth < vectors / 4  # to hold the vectors would be more than two thirds
    index.collection.drop()
    dataset.delete()
