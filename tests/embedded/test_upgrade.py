"""A store that the previous minor version of the engine has written."""

from __future__ import annotations

import json
import tarfile
import time
from pathlib import Path

import numpy as np
from qdrant_client.http import models

from fiftyone_qdrant.embedded import EmbeddedClient
from fiftyone_qdrant.embedded.client import administration

OLD = Path(__file__).with_name("stores") / "edge-0.8.tar.xz"


def test_a_store_of_the_previous_engine_opens_searches_and_is_written(store):
    with tarfile.open(OLD) as archive:
        archive.extractall(store, filter="data")
    assert json.loads((store / "store.json").read_text())["engine"].endswith(" 0.8.0")

    with EmbeddedClient(store) as client:
        assert client.count("old").count == 500
        assert client.get_collection("old").indexed_vectors_count == 400
        records, _ = client.scroll("old", limit=500, with_vectors=True)
        vectors = np.stack([r.vector for r in records])
        for row in (3, 450):  # indexed, and not
            hits = client.query_points("old", query=vectors[row], limit=5).points
            best = np.argsort(-vectors @ vectors[row])[:5]
            assert [h.id for h in hits] == [records[i].id for i in best]
        one = models.FieldCondition(
            key="sample_id", match=models.MatchValue(value=f"{7:024x}")
        )
        found, _ = client.scroll("old", scroll_filter=models.Filter(must=[one]))
        assert [r.payload["norm"] for r in found] == [2.0]

        client.upsert("old", [models.PointStruct(id=1, vector=[1.0] * 16)])
        client.update_collection("old", hnsw_config=models.HnswConfigDiff(m=8))
        until = time.monotonic() + 60
        while client.get_collection("old").indexed_vectors_count < 500:
            assert time.monotonic() < until, "its index was not built anew"
            time.sleep(0.05)
        assert client.count("old").count == 501
    assert [c["problems"] for c in administration.verify(store)] == [[]]
    assert not json.loads((store / "store.json").read_text())["engine"].endswith(
        " 0.8.0"
    )
