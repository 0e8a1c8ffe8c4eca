"""What was asked for is read back, and what became otherwise is said."""

from __future__ import annotations

import logging

import pytest

from tests.server.misbehaviour import Fault

ASKED = {
    "on_disk": True,
    "shard_number": 3,
    "replication_factor": 2,
    "write_consistency_factor": 2,
    "hnsw_config": {"m": 24, "ef_construct": 64, "on_disk": True},
    "optimizers_config": {"deleted_threshold": 0.3, "indexing_threshold": 777},
    "wal_config": {"wal_capacity_mb": 8},
    "strict_mode_config": {"enabled": True, "search_max_batchsize": 4},
    "quantization_config": {"scalar": {"quantile": 0.97, "always_ram": True}},
}


@pytest.fixture
def said(create, server, caplog):
    """What creating an index with all parameters says of the collection."""

    def make(**reported):
        server.reported = reported
        with caplog.at_level(logging.INFO, "fiftyone_qdrant.index.naming"):
            create(server.url, collection_name="asked", **ASKED)
        return [r.getMessage() for r in caplog.records if "asked" in r.getMessage()]

    return make


def test_what_was_asked_for_is_sent_and_agreed(said, server):
    assert said() == []
    made = server._made["asked"]
    assert {
        k: made[k] for k in ASKED if k not in ("on_disk", "quantization_config")
    } == {k: v for k, v in ASKED.items() if k not in ("on_disk", "quantization_config")}
    assert made["vectors"]["on_disk"] is True
    assert made["quantization_config"] == {
        "scalar": {"type": "int8", "quantile": 0.97, "always_ram": True}
    }


def test_what_became_otherwise_is_said_once(said):
    (told,) = said(
        params={"replication_factor": 1, "shard_number": 1},
        hnsw_config={"m": 16},
        optimizer_config={"deleted_threshold": 0.30000001192},
        quantization_config=None,
    )
    assert "'asked' is not quite as asked for" in told
    for words in (
        "replication_factor: asked for 2, got 1",
        "shard_number: asked for 3, got 1",
        "hnsw_config.m: asked for 24, got 16",
        "quantization_config.scalar: asked for on, got off",
    ):
        assert words in told
    assert "deleted_threshold" not in told  # a float32, and the same


def test_nothing_is_compared_that_was_left_to_the_server(create, server, caplog):
    server.reported = {"hnsw_config": {"m": 99}, "params": {"shard_number": 6}}
    create(server.url)
    assert "not quite" not in caplog.text


def test_a_collection_that_cannot_be_read_back_is_made_all_the_same(create, server):
    server.faults = [Fault("GET /collections/mine$", 500, "no", after=2, times=1)]
    assert create(server.url, collection_name="mine").total_index_size == 60
