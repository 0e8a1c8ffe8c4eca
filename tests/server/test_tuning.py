"""Changing an index in place on a server: one call, with Qdrant's own words."""

from __future__ import annotations

import pytest

from fiftyone_qdrant.errors import CollectionNotFound, ConfigError
from fiftyone_qdrant.runs import load_index
from fiftyone_qdrant.tuning import Change, in_force, plan_tuning, tune

INT8 = {"scalar": {"type": "int8", "quantile": 0.99}}


def patches(server):
    return [r for r in server.requests if r.startswith("PATCH")]


def test_only_what_changes_is_sent_and_kept_with_the_run(index, server):
    done = tune(
        index,
        hnsw_config={"m": 32, "ef_construct": 100},
        optimizers_config={"indexing_threshold": 5000},
        quantization_config=INT8,
        on_disk=True,
    )

    assert done.changes == (
        Change("hnsw_config.m", 16, 32),
        Change("optimizers_config.indexing_threshold", 10000, 5000),
        Change("quantization_config", None, INT8),
        Change("on_disk", False, True),
    )
    assert patches(server) == ["PATCH /collections/points"]
    config = load_index(index.samples, "index").config
    assert config.hnsw_config == {"m": 32}
    assert config.optimizers_config == {"indexing_threshold": 5000}
    assert config.quantization_config == INT8
    assert config.on_disk is True


@pytest.mark.parametrize("word", ["Disabled", "models"])
def test_quantization_is_taken_away(index, word):
    from qdrant_client import models

    tune(index, quantization_config=INT8)

    off = models.Disabled.DISABLED if word == "models" else word
    done = tune(index, quantization_config=off)

    assert (
        done.summary == "quantization_config: scalar (type=int8, quantile=0.99) → none"
    )
    assert in_force(index)["quantization_config"] is None
    assert load_index(index.samples, "index").config.quantization_config is None


def test_settings_of_two_calls_add_up(index):
    tune(index, hnsw_config={"m": 32})
    tune(index, hnsw_config={"ef_construct": 200})

    stored = load_index(index.samples, "index").config
    assert stored.hnsw_config == {"m": 32, "ef_construct": 200}


def test_what_is_in_force_already_sends_nothing(index, server):
    assert tune(index, hnsw_config={"m": 16}).summary == "Nothing to change"
    assert tune(index, quantization_config="Disabled").changes == ()

    assert patches(server) == []


def test_a_plan_changes_nothing(index, server):
    plan = plan_tuning(index, hnsw_config={"m": 32})

    assert plan.summary == "hnsw_config.m: 16 → 32"
    assert "30 points in the background" in plan.cost
    assert patches(server) == []
    assert load_index(index.samples, "index").config.hnsw_config is None


@pytest.mark.parametrize(
    ("settings", "saying"),
    [
        ({"shard_number": 2}, "shard_number cannot be changed in place"),
        ({"hnsw_config": {"m": -1}}, "hnsw_config.m must be between"),
        ({"hnsw_config": {"edges": 1}}, "no parameter 'edges'"),
        ({"quantization_config": {"octal": {}}}, "Unknown quantization"),
        ({"on_disk": "yes"}, "on_disk must be true or false"),
    ],
)
def test_wrong_settings_change_nothing(index, server, settings, saying):
    with pytest.raises(ConfigError, match=saying):
        tune(index, **settings)

    assert patches(server) == []


def test_a_collection_that_is_gone_is_said(index):
    index.collection.drop()

    with pytest.raises(CollectionNotFound, match="points"):
        tune(index, hnsw_config={"m": 32})


def test_limits_are_shown_set_and_kept_to(index, server):
    assert in_force(index)["strict_mode_config"] == {}

    done = tune(index, strict_mode_config={"enabled": True, "search_max_batchsize": 2})

    assert done.changes == (
        Change("strict_mode_config.enabled", None, True),
        Change("strict_mode_config.search_max_batchsize", None, 2),
    )
    assert "Nothing to build" in done.cost
    server.requests.clear()
    index.search(index.samples.limit(5).values("id"), k=3, aggregation=None)
    asked = [r for r in server.requests if "query/batch" in r]
    assert len(asked) == 3
    config = load_index(index.samples, "index").config
    assert config.strict_mode_config == {"enabled": True, "search_max_batchsize": 2}


def test_what_is_allowed_unless_forbidden_is_forbidden(index):
    allowed = {"search_allow_exact": True}
    assert plan_tuning(index, strict_mode_config=allowed).changes == ()

    done = tune(
        index, strict_mode_config={"enabled": True, "search_allow_exact": False}
    )

    assert done.summary.endswith("strict_mode_config.search_allow_exact: none → off")
    assert in_force(index)["strict_mode_config"]["search_allow_exact"] is False
    assert index.total_index_size == 30
