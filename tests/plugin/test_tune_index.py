"""Tune Index, on an embedded store."""

from __future__ import annotations

import time

import fiftyone.brain as fob
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant.quality import measuring
from fiftyone_qdrant.quality.applying import last_measured
from fiftyone_qdrant.runs import load_index
from fiftyone_qdrant.search import queries
from fiftyone_qdrant.search.kept import kept
from fiftyone_qdrant.tuning import in_force
from tests.plugin.calls import call, form_of, operator

INT8 = {"scalar": {"type": "int8"}}


@pytest.fixture
def indexed(dataset):
    fob.compute_similarity(
        dataset, embeddings="pixels", backend="qdrant", brain_key="index"
    )
    return dataset


def form(dataset, preset="advanced", **params):
    params = {"brain_key": "index", "preset": preset, **params}
    return form_of("tune_index", dataset, **params)


def test_settings_change_and_the_run_keeps_them(indexed):
    tune_index = operator("tune_index")

    done = tune_index(
        indexed, "index", hnsw_config={"m": 24}, quantization_config=INT8, on_disk=True
    ).result

    assert done["changes"] == [
        {"setting": "hnsw_config.m", "before": 16, "after": 24},
        {"setting": "quantization_config", "before": None, "after": INT8},
        {"setting": "on_disk", "before": False, "after": True},
    ]
    index = load_index(indexed, "index")
    assert index.config.hnsw_config == {"m": 24}
    values = in_force(index)
    assert values["hnsw_config"]["m"] == 24
    assert values["quantization_config"] == INT8
    assert values["on_disk"] is True
    assert index.total_index_size == 40


def test_a_dry_run_says_what_would_change_and_what_it_costs(indexed):
    done = call(
        "tune_index", indexed, brain_key="index", hnsw_config={"m": 24}, dry_run=True
    )

    assert done["summary"] == "hnsw_config.m: 16 → 24"
    assert "searched exactly up to 200,000 points" in done["cost"]
    assert in_force(load_index(indexed, "index"))["hnsw_config"]["m"] == 16


def test_what_the_engine_lacks_is_named(indexed):
    done = call(
        "tune_index",
        indexed,
        brain_key="index",
        optimizers_config={"flush_interval_sec": 9, "deleted_threshold": 0.5},
        strict_mode_config={"enabled": True},
    )

    assert done["summary"] == "optimizers_config.deleted_threshold: 0.2 → 0.5"
    assert done["ignored"].split(", ") == [
        "optimizers_config.flush_interval_sec",
        "strict_mode_config.enabled",
    ]


def test_the_form_starts_with_the_values_in_force(indexed):
    call("tune_index", indexed, brain_key="index", quantization_config=INT8)

    fields = form(indexed)

    assert fields["hnsw_config"].type.properties["m"].default == 16
    assert fields["quantization"].default == "scalar"
    assert fields["on_disk"].default is False
    optimizers = fields["optimizers_config"].type.properties
    assert optimizers["indexing_threshold"].default == 50_000  # 200,000 points of 64
    assert "memmap_threshold" not in optimizers  # a server's
    assert "strict_mode_config" not in fields
    assert fields["plan"].invalid


def test_the_form_says_what_was_changed_and_sends_only_that(indexed):
    sent = {
        "quantization": "none",
        "on_disk": False,
        "hnsw_config": {"m": 48, "ef_construct": 100, "payload_m": None},
        "optimizers_config": {"indexing_threshold": 50_000},
    }

    assert form(indexed, **sent)["plan"].view.label == "hnsw_config.m: 16 → 48"

    done = call("tune_index", indexed, brain_key="index", **sent)
    assert done["summary"] == "hnsw_config.m: 16 → 48"
    assert load_index(indexed, "index").config.hnsw_config == {"m": 48}


def test_the_form_marks_a_wrong_value(indexed):
    fields = form(indexed, hnsw_config={"m": 5000})

    assert "hnsw_config.m must be between" in fields["plan"].error_message


def test_an_unknown_parameter_is_refused(indexed):
    with pytest.raises(ExecutionError, match="Unknown parameter 'hnsw'"):
        call("tune_index", indexed, brain_key="index", hnsw={"m": 8})


def test_another_quantization_replaces_the_one_before(indexed):
    for kind in (INT8, {"binary": {"always_ram": True}}):
        operator("tune_index")(indexed, "index", quantization_config=kind)
    assert list(load_index(indexed, "index").config.quantization_config) == ["binary"]


def test_what_is_as_asked_is_no_change(indexed):
    """Nor is ``False`` where nothing was said: it is what holds then."""
    settings = {"on_disk": True, "hnsw_config": {"m": 8, "on_disk": False}}
    told = operator("tune_index")(indexed, "index", **settings).result
    assert told["changes"]
    again = operator("tune_index")(indexed, "index", **settings).result
    assert not again["changes"]


def test_a_preset_sets_what_goes_together(indexed):
    told = form(indexed, "small_memory")
    assert "on_disk: off → on" in told["plan"].view.label
    assert "hnsw_config" not in told

    operator("tune_index")(indexed, "index", preset="small_memory")
    values = in_force(load_index(indexed, "index"))
    assert values["on_disk"] is True
    assert values["quantization_config"]["scalar"]["always_ram"] is True
    assert form(indexed, "small_memory")["plan"].invalid  # nothing to change

    operator("tune_index")(indexed, "index", preset="exact")
    values = in_force(load_index(indexed, "index"))
    assert (values["on_disk"], values["quantization_config"]) == (False, None)


@pytest.fixture
def with_graph(make_dataset, rng):
    """An index of 600 points whose graph finds few of the nearest."""
    dataset = make_dataset(600)
    index = fob.compute_similarity(
        dataset,
        embeddings=rng.normal(size=(600, 32)).astype(np.float32),
        backend="qdrant",
        brain_key="index",
        hnsw_config={"m": 2, "ef_construct": 4, "full_scan_threshold": 10},
        optimizers_config={"indexing_threshold": 10},
    )
    index.collection.flush()
    until = time.monotonic() + 60
    while index.collection.info().indexed_vectors_count < 600:
        assert time.monotonic() < until, "it was not indexed"
        time.sleep(0.05)

    yield dataset
    index.collection.drop()


def test_what_is_measured_is_shown_chosen_applied_and_undone(with_graph, monkeypatch):
    monkeypatch.setattr(measuring, "_FOR_TRUTH", 0.0)  # for the fewest queries only
    monkeypatch.setattr(queries, "_POINTS_PER_HIT", 1)  # no scan of so few points
    first = form(with_graph, "measured")
    assert "curve" not in first
    assert not first["plan"].invalid

    said = call("tune_index", with_graph, brain_key="index", preset="measured")
    assert said["summary"].startswith("Measured: recall 0.")
    best = max(p.recall for p in last_measured(load_index(with_graph, "index")).points)

    fields = form(with_graph, "measured", recall=best)
    measured, _, chosen = fields["curve"].view.data
    assert len(measured["x"]) > 3
    assert chosen["y"][0] >= best
    assert f"recall {chosen['y'][0]:.3f}" in fields["plan"].view.label
    assert form(with_graph, "measured", recall=1.1)["plan"].invalid

    tune_index = operator("tune_index")
    done = tune_index(with_graph, "index", preset="measured", recall=best).result
    (change,) = done["changes"]
    assert change["after"] == kept(load_index(with_graph, "index").collection).options
    assert change["after"]["hnsw_ef"] > 0

    tune_index(with_graph, "index", preset="measured", what="defaults")
    assert kept(load_index(with_graph, "index").collection).options == {}
