"""Wrong input to a new index gets one clear sentence, and leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant import errors
from fiftyone_qdrant.qdrant import writing
from tests.plugin.bad_input.conftest import (
    BAD_VALUE,
    KEY,
    VECTORS,
    both_doors,
    check_sentence,
    create,
    refused,
)
from tests.plugin.calls import call

CREATES = {
    "metric": (
        {"metric": "hamming"},
        errors.ConfigError,
        "Unknown metric 'hamming'|Path: metric",
    ),
    "key-exists": (
        {"brain_key": "pixels"},
        ValueError,
        "'pixels'.* already exists|a brain run 'pixels' already",
    ),
    "key-is-no-identifier": (
        {"brain_key": "my index"},
        ValueError,
        "key 'my index'|'my index' cannot be a brain key",
    ),
    "key-is-empty": (
        {"brain_key": ""},
        ValueError,
        "key ''|Give it a brain key",
    ),
    "parameter-unknown": (
        {"hnsw_config": {"edges": 16}},
        errors.ConfigError,
        "hnsw_config has no parameter 'edges'",
    ),
    "parameter-of-wrong-type": (
        {"hnsw_config": {"m": "many"}},
        errors.ConfigError,
        "hnsw_config.m must be a whole number",
    ),
    "parameter-out-of-range": (
        {"optimizers_config": {"deleted_threshold": 7.5}},
        errors.ConfigError,
        "deleted_threshold must be between 0 and 1",
    ),
    "group-is-no-dict": (
        {"wal_config": 32},
        errors.ConfigError,
        "wal_config must be a dict|Path: wal_config",
    ),
    "write-consistency-beyond-copies": (
        {"replication_factor": 1, "write_consistency_factor": 2},
        errors.ConfigError,
        "no write could ever succeed",
    ),
    "quantization-unknown": (
        {"quantization_config": {"magic": {"bits": 1}}},
        errors.ConfigError,
        "Unknown quantization 'magic'",
    ),
    "collection-of-another-metric": (
        {"collection_name": "existing", "metric": "euclidean"},
        errors.CollectionMismatch,
        "exists with metric 'cosine'.*another collection_name",
    ),
    "collection-of-another-size": (
        {"collection_name": "existing", "embeddings": "short"},
        errors.CollectionMismatch,
        "has 64.*another collection_name",
    ),
    "url-and-path": (
        {"url": "http://127.0.0.1:9", "path": "/nowhere"},
        errors.ConfigError,
        "not both",
    ),
    "url-is-none": ({"url": "ftp://example"}, errors.ConfigError, "no URL"),
    "vectors-with-nan": (
        {"embeddings": "holes"},
        errors.VectorError,
        "40 of 40 vectors have NaN or infinite values: sample [0-9a-f]{24}.*None",
    ),
    "vectors-with-infinity": (
        {"embeddings": "endless"},
        errors.VectorError,
        "1 of 40 vectors have NaN or infinite values: sample [0-9a-f]{24}",
    ),
}


@both_doors
@pytest.mark.parametrize("case", CREATES)
def test_create_refuses(case, door, indexed, nothing_lost):
    arguments, error, saying = CREATES[case]
    endless = VECTORS.copy()
    endless[-1, -1] = np.inf
    indexed.set_values("short", list(VECTORS[:, :8]))
    indexed.set_values("holes", list(BAD_VALUE))
    indexed.set_values("endless", list(endless))
    with refused(door, error, saying) as caught:
        create(door, indexed, **arguments)
    check_sentence(caught.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e39])
def test_create_refuses_an_array_with_bad_values(bad, indexed, nothing_lost):
    vectors = VECTORS.astype(np.float64)
    vectors[7, 3] = bad
    with pytest.raises(errors.VectorError, match=r"1 of 40") as caught:
        create("library", indexed, embeddings=vectors)
    check_sentence(caught.value)
    assert indexed.values("id")[7] in str(caught.value)


@pytest.mark.parametrize("keyword", ["colection_name", "apikey"])
def test_create_refuses_an_unknown_keyword(keyword, indexed, nothing_lost):
    with pytest.raises(errors.ConfigError, match=f"'{keyword}'") as caught:
        create("library", indexed, **{keyword: KEY})
    check_sentence(caught.value)


def test_create_operator_refuses_a_field_that_is_none(indexed, nothing_lost):
    with pytest.raises(ExecutionError, match="There is no field 'nothing'") as caught:
        create("operator", indexed, embeddings="nothing")
    check_sentence(caught.value)


def test_create_operator_refuses_an_unknown_model(indexed, nothing_lost):
    with pytest.raises(ExecutionError, match="'no-such-model' not found") as caught:
        create("operator", indexed, embeddings=None, model="no-such-model")
    check_sentence(caught.value)


def test_create_operator_asks_for_embeddings_or_model(indexed, nothing_lost):
    with pytest.raises(ExecutionError, match="embeddings field or the model"):
        create("operator", indexed, embeddings=None)


def test_create_operator_without_any_embedding_leaves_nothing(indexed, nothing_lost):
    indexed.clone_sample_field("pixels", "empty")
    indexed.clear_sample_field("empty")
    with pytest.raises(ExecutionError, match="Nothing to index: field 'empty'"):
        create("operator", indexed, embeddings="empty")


def test_create_operator_connects_only_to_what_exists(indexed, nothing_lost):
    with pytest.raises(ExecutionError, match="no collection 'missing'"):
        create("operator", indexed, connect=True, collection_name="missing")
    with pytest.raises(ExecutionError, match="Give the collection_name"):
        create("operator", indexed, connect=True)


@pytest.fixture
def break_model(documented_models, monkeypatch):
    """``break_model(after)`` makes the model fail from the ``after``-th image on."""
    model = documented_models
    embed_all = type(model).embed_all

    def break_it(after: int) -> None:
        seen = []

        def failing(images):
            seen.extend(images)
            if len(seen) > after:
                raise RuntimeError("the model broke")
            return embed_all(model, images)

        monkeypatch.setattr(model, "embed_all", failing, raising=False)

    return break_it


MODEL = {"embeddings": None, "model": "clip-vit-base32-torch"}


def test_create_with_a_failing_model_leaves_nothing(indexed, nothing_lost, break_model):
    break_model(29)
    with pytest.raises(RuntimeError, match="the model broke"):
        create("library", indexed, skip_failures=False, **MODEL)


def test_create_with_a_model_that_never_works_leaves_nothing(
    indexed, nothing_lost, break_model
):
    """FiftyOne skips images that fail, by default: here these are all."""
    break_model(0)
    with pytest.raises(ExecutionError, match="Nothing to index: model") as caught:
        create("operator", indexed, **MODEL)
    check_sentence(caught.value)


def test_create_counts_images_on_which_the_model_fails(indexed, break_model):
    break_model(29)
    arguments = {"brain_key": "new", "model": MODEL["model"]}
    made = call("create_qdrant_index", indexed, **arguments)
    assert (made["points"], made["skipped"]) == (29, 11)


@both_doors
def test_create_that_fails_while_writing_leaves_nothing(
    door, indexed, nothing_lost, monkeypatch
):
    def write(*args):
        raise errors.EngineError("the disk broke")

    monkeypatch.setattr(writing, "write", write)
    with refused(door, errors.EngineError, "the disk broke"):
        create(door, indexed)


def test_interrupted_create_leaves_nothing(indexed, nothing_lost, monkeypatch):
    def write(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(writing, "write", write)
    with pytest.raises(KeyboardInterrupt):
        create("library", indexed)
