"""The panel's events outside the App: whatever fails is said, and nothing is raised."""

import logging
import sys
from dataclasses import replace
from functools import partial

import fiftyone.operators as foo
import pytest
from bson import ObjectId
from fiftyone.operators.delegated import DelegatedOperationService

from fiftyone_qdrant.errors import ConnectionFailed
from fiftyone_qdrant.qdrant.connection import Connection
from tests.plugin.calls import call, delegate, fall_silent, panel_context

PANEL = "@community/qdrant/qdrant_status"


@pytest.fixture
def panel():
    return foo.get_operator(PANEL)


@pytest.fixture
def module(panel):
    """The module whose names the panel's events use."""
    return sys.modules[type(panel).__module__]


def send(panel, dataset, event, state=None, **params):
    """Sends an event as the App does; returns the state, and what the App is to do."""
    ctx = panel_context(dataset, state, __method__=event, **params)
    panel.execute(ctx)
    requests = [r["operator_uri"] for r in ctx.executor.to_json()["requests"]]
    return ctx.panel_state, [r.rpartition("/")[2] for r in requests]


def test_counts_come_first_and_exact_figures_in_the_next_event(panel, dataset):
    call("create_qdrant_index", dataset, brain_key="pixels", embeddings="pixels")
    state, drawn = send(panel, dataset, "on_load")
    (row,) = state["rows"]
    assert (row["points"], row["total"], row["indexed"]) == (40, 40, None)
    assert state["comparing"]
    assert drawn[-1] == "show_panel_output"

    state, _ = send(panel, dataset, "compare", state)
    (row,) = state["rows"]
    assert (row["indexed"], row["orphans"], state["comparing"]) == (40, 0, False)
    assert state["shares"]["values"] == 10


def test_a_look_at_what_has_not_changed_sets_no_state(panel, dataset):
    call("create_qdrant_index", dataset, brain_key="pixels", embeddings="pixels")
    state, _ = send(panel, dataset, "on_load")
    state, _ = send(panel, dataset, "compare", state)
    _, drawn = send(panel, dataset, "tick", state)
    assert "patch_panel_state" not in drawn
    assert drawn[-1] == "show_panel_output"


def test_latency_is_read_anew_by_refresh_and_stands_still_between(
    panel, module, dataset, monkeypatch
):
    given = module.survey

    def survey(*args, latency, **kwargs):
        engines, statuses = given(*args, **kwargs)
        return [replace(e, latency_ms=latency) for e in engines], statuses

    def latency_after(event, state, latency):
        monkeypatch.setattr(module, "survey", partial(survey, latency=latency))
        state, _ = send(panel, dataset, event, state)
        return state, state["engines"][0]["latency"]

    state, shown = latency_after("on_load", None, 7.6)
    assert shown == 8
    state, shown = latency_after("tick", state, 31.2)
    assert shown == 8
    state, shown = latency_after("refresh", state, 0.3)
    assert shown == 1


def ticks(panel, dataset, state):
    """Whether the panel comes back by itself to see how far what runs is."""
    drawn = panel.render(panel_context(dataset, state))
    return "tick_timer" in drawn.type.properties


def test_work_that_gives_no_news_keeps_the_panel_neither_busy_nor_blind(panel, dataset):
    call("create_qdrant_index", dataset, brain_key="pixels", embeddings="pixels")
    operation = delegate("sync_index", dataset, brain_key="pixels")
    service = DelegatedOperationService()
    service.set_running(operation)
    state, _ = send(panel, dataset, "on_load")
    assert not state["comparing"]  # what is written is not compared meanwhile
    assert ticks(panel, dataset, state)

    fall_silent(operation)
    state, _ = send(panel, dataset, "tick", state)
    assert state["comparing"]
    state, _ = send(panel, dataset, "compare", state)
    assert state["rows"][0]["indexed"] == 40
    assert len(state["works"]) == 1
    assert not ticks(panel, dataset, state)
    service.delete_operation(ObjectId(operation))


def test_an_error_of_ours_is_shown_in_its_own_words(
    panel, module, dataset, monkeypatch
):
    def fail(*args, **kwargs):
        raise ConnectionFailed("Qdrant is away. Bring it back")

    monkeypatch.setattr(module, "survey", fail)
    state, drawn = send(panel, dataset, "on_load")
    assert state["problem"] == "Qdrant is away. Bring it back"
    assert drawn[-1] == "show_panel_output"


def test_what_nobody_expected_is_shown_in_a_sentence_and_logged(
    panel, module, dataset, monkeypatch, caplog
):
    monkeypatch.setattr(module, "survey", lambda *args, **kwargs: 1 / 0)
    with caplog.at_level(logging.ERROR):
        state, drawn = send(panel, dataset, "on_load")

    assert state["problem"].startswith("Something unexpected happened: ZeroDivision")
    assert drawn[-1] == "show_panel_output"
    assert "Traceback" in caplog.text

    monkeypatch.undo()
    state, _ = send(panel, dataset, "refresh", state)
    assert state["problem"] is None


def test_a_place_that_does_not_answer_hides_no_other_place(
    panel, module, dataset, monkeypatch
):
    call("create_qdrant_index", dataset, brain_key="pixels", embeddings="pixels")
    away = Connection("server", url="http://127.0.0.1:1", timeout=2)
    given = module.places(dataset)
    monkeypatch.setattr(module, "places", lambda dataset: [away, *given])
    state, drawn = send(panel, dataset, "toggle_collections")
    assert "this dataset" in {entry["kind"] for entry in state["entries"]}
    (lacking,) = state["unread"]
    assert "127.0.0.1:1" in lacking["location"]
    assert "Is the server running" in lacking["problem"]
    assert state.get("problem") is None
    assert drawn[-1] == "show_panel_output"


def test_a_click_that_no_row_fits_any_more_is_said(panel, dataset):
    state, _ = send(panel, dataset, "on_load")
    state, drawn = send(panel, dataset, "query", state, row=3)
    assert state["problem"].startswith("That row is gone")
    assert drawn[-1] == "show_panel_output"
