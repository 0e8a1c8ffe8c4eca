"""Cleanup Collection: of an index, by confirming its name; of an orphan, by name."""

from __future__ import annotations

import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant.runs import load_index
from tests.plugin.calls import call, form_of, operator, snapshot


@pytest.fixture
def collection_name(indexed):
    return indexed.load_brain_results("pixels").config.collection_name


def test_cleanup_dry_run_deletes_nothing(indexed, collection_name, client):
    before = snapshot(client)
    plan = call("cleanup_collection", indexed, brain_key="pixels", dry_run=True)
    assert snapshot(client) == before
    assert plan["collection_name"] == collection_name
    assert (plan["points"], plan["deleted"]) == (40, False)
    assert plan["obstacle"] is None
    assert len(plan["users"]) == 1
    assert collection_name in plan["summary"]


def test_cleanup_says_who_else_uses_the_collection(indexed, collection_name):
    copy = indexed.clone()
    try:
        plan = call("cleanup_collection", indexed, brain_key="pixels", dry_run=True)
        assert any(copy.name in user for user in plan["users"])
        assert copy.name in plan["obstacle"]
    finally:
        copy.delete()


@pytest.mark.parametrize("confirm", [None, "", "another-name"])
def test_cleanup_without_the_right_name_refuses(
    indexed, collection_name, client, confirm
):
    before = snapshot(client)
    with pytest.raises(ExecutionError, match=collection_name):
        call("cleanup_collection", indexed, brain_key="pixels", confirm=confirm)
    assert snapshot(client) == before


def test_cleanup_with_the_right_name_deletes(indexed, collection_name, client):
    done = call(
        "cleanup_collection", indexed, brain_key="pixels", confirm=collection_name
    )
    assert done["deleted"] is True
    assert snapshot(client)["collections"] == {}
    indexed.reload()
    assert indexed.list_brain_runs() == []


def test_cleanup_can_keep_the_run(indexed, collection_name, client):
    clean = operator("cleanup_collection")
    clean(indexed, "pixels", confirm=collection_name, delete_run=False)
    assert snapshot(client)["collections"] == {}
    assert indexed.list_brain_runs() == ["pixels"]


def test_cleanup_of_a_shared_collection_refuses(indexed, collection_name, client):
    copy = indexed.clone()
    try:
        before = snapshot(client)
        clean = operator("cleanup_collection")
        with pytest.raises(ExecutionError, match=copy.name):
            clean(indexed, "pixels", confirm=collection_name)
        assert snapshot(client) == before
    finally:
        copy.delete()


def test_cleanup_as_a_typed_call(indexed, collection_name, client):
    clean = operator("cleanup_collection")
    assert clean(indexed, "pixels", dry_run=True).result["deleted"] is False
    assert clean(indexed, "pixels", confirm=collection_name).result["deleted"] is True
    assert snapshot(client)["collections"] == {}


def test_a_disconnected_index_is_forgotten_and_its_collection_stays(
    indexed, collection_name, client
):
    form = form_of("cleanup_collection", indexed, what="disconnect")
    assert "stays" in form["plan"].view.label
    assert "confirm" not in form

    done = operator("cleanup_collection")(indexed, "pixels", disconnect=True).result

    assert (done["deleted"], done["kept"]) == (False, True)
    assert snapshot(client)["collections"] == {collection_name: 40}
    indexed.reload()
    assert indexed.list_brain_runs() == []


# --- orphans --------------------------------------------------------------------


@pytest.fixture
def leave_an_orphan(make_dataset, digits):
    """``leave_an_orphan(name)`` -> the collection that a dataset leaves behind."""

    def leave(name):
        dataset = make_dataset(10, name=name)
        dataset.set_values("pixels", list(digits.vectors[:10]))
        asked = {"brain_key": "pixels", "embeddings": "pixels"}
        made = call("create_qdrant_index", dataset, **asked)
        dataset.delete()
        return made["collection_name"]

    return leave


@pytest.fixture
def orphan(leave_an_orphan):
    """The name of the collection that a deleted dataset left."""
    return leave_an_orphan("lost")


def test_a_dry_run_that_names_nothing_lists_the_orphans(indexed, orphan, client):
    before = snapshot(client)
    found = call("cleanup_collection", indexed, dry_run=True)
    (entry,) = found["orphans"]
    assert (entry["collection_name"], entry["dataset"]) == (orphan, "lost")
    assert entry["points"] == 10
    assert f"'{orphan}' (of 'lost')" in found["summary"]
    assert snapshot(client) == before


def test_an_orphan_is_deleted_by_its_name_and_nothing_else(indexed, orphan, client):
    done = call("cleanup_collection", indexed, collection_name=orphan, confirm=orphan)
    assert (done["deleted"], done["points"]) == (True, 10)
    assert orphan not in snapshot(client)["collections"]
    indexed.reload()
    assert indexed.list_brain_runs() == ["pixels"]


def test_an_orphan_is_meant_though_an_index_was_chosen_before(indexed, orphan, client):
    done = call(
        "cleanup_collection",
        indexed,
        what="orphan",
        brain_key="pixels",
        collection_name=orphan,
        confirm=orphan,
    )
    assert (done["deleted"], done["collection_name"]) == (True, orphan)
    assert load_index(indexed, "pixels").total_index_size == 40


def test_an_orphan_is_not_deleted_without_its_name(indexed, orphan, client):
    before = snapshot(client)
    with pytest.raises(ExecutionError, match=orphan):
        call("cleanup_collection", indexed, collection_name=orphan, confirm="x")

    assert snapshot(client) == before


def test_a_collection_of_another_dataset_is_not_deleted_by_name(
    indexed, make_dataset, client
):
    (name,) = snapshot(client)["collections"]
    other = make_dataset(1)
    with pytest.raises(ExecutionError, match=indexed.name):
        call("cleanup_collection", other, collection_name=name, confirm=name)

    assert snapshot(client)["collections"] == {name: 40}


def test_all_orphans_are_deleted_at_once_by_a_typed_word(
    indexed, collection_name, orphan, leave_an_orphan, client
):
    other = leave_an_orphan("lost too")
    chosen = {"what": "orphan", "collection_name": "*"}
    form = form_of("cleanup_collection", indexed, **chosen)
    assert form["plan"].view.label == "Deletes 2 collections with 20 points"
    assert form["confirm"].invalid

    before = snapshot(client)
    for confirm in (orphan, "*", None):
        with pytest.raises(ExecutionError, match="ORPHANS"):
            call("cleanup_collection", indexed, **chosen, confirm=confirm)

    assert snapshot(client) == before
    done = call("cleanup_collection", indexed, **chosen, confirm="ORPHANS")
    assert {e["collection_name"] for e in done["orphans"]} == {orphan, other}
    assert snapshot(client)["collections"] == {collection_name: 40}
