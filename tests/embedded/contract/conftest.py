"""The embedded client and ``QdrantClient``, and the same points for both."""

from __future__ import annotations

import uuid
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http import models

SIZE = 16
COUNT = 200
METRICS = [
    models.Distance.COSINE,
    models.Distance.DOT,
    models.Distance.EUCLID,
    models.Distance.MANHATTAN,
]
VECTORS = np.random.default_rng(7).standard_normal((COUNT, SIZE)).astype(np.float32)
IDS = [str(uuid.UUID(int=(i * 7919 % 1000 << 96) + i)) for i in range(COUNT)]
PAYLOADS = [
    {
        "number": i,
        "label": "abcde"[i % 5],
        "flag": i % 2 == 0,
        "score": i / 10,
        "tags": ["x", "y"][: i % 3],
        "when": f"2024-01-{i % 28 + 1:02d}T00:00:00Z",
        "nested": [{"a": i % 4, "b": i % 3}],
        "place": {"lon": i / 10, "lat": 10.0},
    }
    for i in range(COUNT)
]
EXACT = models.SearchParams(exact=True)
_numbers = count()


@pytest.fixture(params=["embedded", "memory"], scope="module")
def qdrant(request):
    if request.param == "embedded":
        yield request.getfixturevalue("shared_client")
    else:
        yield QdrantClient(":memory:")


@pytest.fixture(scope="module")
def both(shared_client):
    """Both, to compare."""
    return shared_client, QdrantClient(":memory:")


def make(qdrant, metric=models.Distance.COSINE, filled=True) -> str:
    name = f"c{next(_numbers)}"
    qdrant.create_collection(
        name, vectors_config=models.VectorParams(size=SIZE, distance=metric)
    )
    if filled:
        qdrant.upload_collection(
            name, vectors=VECTORS, payload=PAYLOADS, ids=IDS, wait=True
        )
    return name


_filled: WeakKeyDictionary[Any, dict[str, str]] = WeakKeyDictionary()


def read_only(qdrant, metric=models.Distance.COSINE) -> str:
    """Return a collection that no test changes."""
    names = _filled.setdefault(qdrant, {})
    if metric not in names:
        names[metric] = make(qdrant, metric)
    return names[metric]


def hits(points):
    return [(p.id, p.score) for p in points]


def assert_same_hits(found, wanted):
    assert [p.id for p in found] == [p.id for p in wanted]
    np.testing.assert_allclose(
        [p.score for p in found], [p.score for p in wanted], atol=1e-5, rtol=1e-5
    )
