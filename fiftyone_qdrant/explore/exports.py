"""Hits as files: CSV or JSON, with their distances."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

FORMATS = ("csv", "json")


def export(index: QdrantSimilarityIndex, hits: Hits, kind: str) -> str:
    """Returns hits as text, best first, from rank 1.

    Distances are smaller the nearer; scores are as Qdrant gives them.

    Args:
        index: the index that found them
        hits: the hits
        kind: ``"csv"`` or ``"json"``
    """
    rows = _rows(index, hits)
    if kind == "json":
        return json.dumps(rows, indent=1)

    file = io.StringIO()
    writer = csv.DictWriter(file, rows[0] if rows else ("rank",))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _rows(index: QdrantSimilarityIndex, hits: Hits) -> list[dict[str, Any]]:
    samples = hits.sample_ids or hits.ids
    found = index.samples.select(samples).values(["id", "filepath"])
    paths = dict(zip(*found, strict=True))
    rows = []
    for n, (i, sample) in enumerate(zip(hits.ids, samples, strict=True)):
        row: dict[str, Any] = {"rank": n + 1, "id": i}
        if hits.sample_ids is not None:
            row["sample_id"] = sample

        row["filepath"] = paths.get(sample)
        row["distance"] = float(hits.distances[n])
        row["score"] = float(hits.scores[n])
        rows.append(row)

    return rows
