"""An index that bad input must leave as it is, and what is expected of an error."""

from __future__ import annotations

from typing import Any

import fiftyone.brain as fob
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError

from tests.plugin.calls import call, sentence, snapshot

UNKNOWN_ID = "5" * 24
KEY = "planted-key-51"
VECTORS = np.eye(40, 64, dtype=np.float32)
BAD_VALUE = np.where(np.eye(40, 64) > 0, np.nan, 1)


@pytest.fixture
def indexed(dataset):
    """The dataset, with an index "pixels" in the collection "existing"."""
    fob.compute_similarity(
        dataset,
        embeddings="pixels",
        backend="qdrant",
        brain_key="pixels",
        collection_name="existing",
    )
    return dataset


@pytest.fixture
def nothing_lost(indexed, client):
    """Compares all runs and collections before and after the test."""
    before = snapshot(client)
    assert before["collections"] == {"existing": 40}
    yield
    assert snapshot(client) == before
    indexed.reload()
    assert indexed.list_brain_runs() == ["pixels"]
    index = indexed.load_brain_results("pixels")
    assert sorted(index.sample_ids) == sorted(indexed.values("id"))


def check_sentence(error: BaseException) -> None:
    said = sentence(error)
    assert 15 < len(said) < 300, said
    assert "Traceback" not in said
    assert KEY not in str(error)


def create(door: str, dataset: Any, brain_key: str = "new", **arguments: Any) -> None:
    """Creates an index through the library or the operator."""
    arguments = {"embeddings": "pixels", **arguments}
    if door == "operator":
        call("create_qdrant_index", dataset, brain_key=brain_key, **arguments)
    else:
        fob.compute_similarity(
            dataset, backend="qdrant", brain_key=brain_key, **arguments
        )


def refused(door: str, error: type[Exception], saying: str) -> Any:
    """Expects an error: the operator reports it as FiftyOne's ExecutionError."""
    kind = ExecutionError if door == "operator" else error
    return pytest.raises(kind, match=saying)


both_doors = pytest.mark.parametrize("door", ["library", "operator"])
