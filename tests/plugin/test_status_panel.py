"""The panel's events outside the App: whatever fails is said, and nothing is raised."""

import logging
import sys
from dataclasses import replace
from functools import partial

import fiftyone as fo
import fiftyone.operators as foo
import pytest
from bson import ObjectId
from fiftyone.operators.delegated import DelegatedOperationService

from fiftyone_qdrant.errors import ConnectionFailed
from fiftyone_qdrant.qdrant.connection import Connection
from fiftyone_qdrant.runs import load_index
from tests.plugin.calls import call, delegate, fall_silent, panel_context

PANEL = "@community/qdrant/qdrant_status"
COLUMNS = ["brain_key", "holds", "model", "vectors", "points", "coverage", "missing"]


@pytest.fixture
def panel():
    return foo.get_operator(PANEL)


@pytest.fixture
def module(panel):
    """The module whose names the panel's events use."""
    return sys.modules[type(panel).__module__]


def send(panel, dataset, event, state=None, **params):
    """Sends an event as the App does; returns the state, and what the App is to do."""
    state, told = tell(panel, dataset, event, state, **params)
    return state, list(told)


def tell(panel, dataset, event, state=None, **params):
    """The same with the parameters of what the App is to do, by its name."""
    ctx = panel_context(dataset, state, __method__=event, **params)
    panel.execute(ctx)
    requests = ctx.executor.to_json()["requests"]
    told = {r["operator_uri"].rpartition("/")[2]: r["params"] for r in requests}
    return ctx.panel_state, told


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
    assert state["shares"] == {"complete": "All 40 samples are indexed."}


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


# --- what a click shows in the grid ---------------------------------------------


@pytest.fixture
def partly(dataset):
    """The dataset with an index that lacks its last 4 samples."""
    call("create_qdrant_index", dataset, brain_key="pixels", embeddings="pixels")
    lacking = dataset.values("id")[-4:]
    load_index(dataset, "pixels").remove_from_index(sample_ids=lacking)
    return lacking


@pytest.fixture
def looked_at(panel, dataset, partly):
    """The panel's state once all ids were compared."""
    state, _ = send(panel, dataset, "on_load")
    state, _ = send(panel, dataset, "compare", state)
    return state


def shown(dataset, told):
    return fo.DatasetView._build(dataset, told["set_view"]["view"])


@pytest.mark.parametrize("click", ["choose", "show_missing"])
def test_what_is_missing_is_shown_in_the_grid(panel, dataset, partly, looked_at, click):
    where = {"row": 0, "column": COLUMNS.index("missing")} if click == "choose" else {}
    _, told = tell(panel, dataset, click, looked_at, **where)
    assert set(shown(dataset, told).values("id")) == set(partly)
    assert told["notify"]["message"] == "4 samples missing from 'pixels'"


@pytest.mark.parametrize("trace", ["indexed", "missing"])
def test_a_bar_is_shown_in_the_grid(panel, dataset, partly, looked_at, trace):
    label = dataset[partly[0]].ground_truth.label
    _, told = tell(panel, dataset, "show_bar", looked_at, trace=trace, y=f"{label} ")
    alike = dataset.match(fo.ViewField("ground_truth.label") == label).values("id")
    expected = [i for i in alike if (i in partly) is (trace == "missing")]
    assert shown(dataset, told).values("id") == expected
    assert f"with '{label}'" in told["notify"]["message"]


def test_a_bar_of_a_tag_is_shown_in_the_grid(panel, dataset, partly, looked_at):
    dataset.select(partly[1:3]).tag_samples("odd")
    state, _ = send(panel, dataset, "group_by", looked_at, grouping="tags")
    _, told = tell(panel, dataset, "show_bar", state, trace="missing", y="odd ")
    assert shown(dataset, told).values("id") == partly[1:3]


def test_the_first_of_very_many_are_shown(panel, module, dataset, looked_at):
    showing = module.showing
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(showing, "MOST", 3)
        _, told = tell(panel, dataset, "show_missing", looked_at)

    assert len(shown(dataset, told)) == 3
    assert told["notify"]["message"].startswith("The first 3 of 4 samples missing")


def test_an_error_of_a_form_that_was_opened_here_is_said(panel, dataset):
    error = "Traceback ..\nsome.Error: Nothing is selected\n"
    _, told = tell(panel, dataset, "say", error=error)
    assert told["notify"]["message"].endswith("Nothing is selected")
    assert told["notify"]["variant"] == "error"
