"""Move Index: there, back, and the old copy away; from Python and from the App."""

from __future__ import annotations

import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant import load_index
from fiftyone_qdrant.status.activity import work_under_way
from tests.plugin.calls import call, ended, form_of, operator


@pytest.fixture
def elsewhere(tmp_path):
    return str(tmp_path / "store")


def place(dataset):
    dataset.reload()
    return load_index(dataset, "pixels").collection.connection.path


def test_an_index_is_moved_and_moved_back_and_its_old_copy_deleted(indexed, elsewhere):
    here = place(indexed)
    moved = operator("move_index")(indexed, "pixels", path=elsewhere).result
    assert (moved["points"], moved["agreement"]) == (len(indexed), 1)
    assert (moved["place"], moved["old_place"]) == (elsewhere, here)
    assert place(indexed) == elsewhere

    call("move_index", indexed, brain_key="pixels", what="undo")
    assert place(indexed) == here

    name = load_index(indexed, "pixels").config.move["was"]["collection_name"]
    with pytest.raises(ExecutionError, match=f"Type {name}"):
        call("move_index", indexed, brain_key="pixels", what="drop", confirm="no")

    call("move_index", indexed, brain_key="pixels", what="drop", confirm=name)
    assert load_index(indexed, "pixels").config.move is None


def test_from_the_app_it_goes_on_by_itself(indexed, elsewhere, in_this_process):
    params = {"brain_key": "pixels", "where": "embedded", "path": elsewhere}
    asked = {"dataset": indexed, "extended": {}}
    assert call("move_index", asked, **params)["started"]
    words = f"{len(indexed):,} points are at {elsewhere} now"
    assert ended(indexed).message == f"Moving 'pixels' is done: {words}"
    assert place(indexed) == elsewhere
    assert work_under_way(indexed) == []


def test_the_form_says_from_where_to_where_and_how_much(indexed, elsewhere):
    here = place(indexed)
    plan = form_of("move_index", indexed, brain_key="pixels")["plan"]
    assert plan.invalid
    assert "choose another place" in plan.view.label
    plan = form_of(
        "move_index", indexed, brain_key="pixels", where="embedded", path=elsewhere
    )["plan"]
    assert plan.view.label == f"{here} → {elsewhere}"
    assert f"{len(indexed)} points" in plan.view.description


def test_settings_change_on_the_way(indexed):
    call("move_index", indexed, brain_key="pixels", hnsw_config={"m": 32})
    indexed.reload()
    info = load_index(indexed, "pixels").collection.info()
    assert info.config.hnsw_config.m == 32


@pytest.mark.parametrize(
    ("params", "words"),
    [({"whre": "x"}, "Unknown parameter whre"), ({"what": "undo"}, "has no old copy")],
)
def test_a_typing_mistake_is_said(indexed, elsewhere, params, words):
    with pytest.raises(ExecutionError, match=words):
        call("move_index", indexed, brain_key="pixels", path=elsewhere, **params)
