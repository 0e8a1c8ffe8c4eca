"""Orphans are listed and cleaned up by name; an index is renamed; both by operators."""

import fiftyone as fo
import pytest
from fiftyone.operators.executor import ExecutionError

from tests.plugin.calls import call, operator, snapshot


@pytest.fixture
def indexed(dataset):
    call("create_qdrant_index", dataset, brain_key="pixels", embeddings="pixels")
    return dataset


@pytest.fixture
def orphan(make_dataset, digits):
    """The name of the collection that a deleted dataset left."""
    dataset = make_dataset(10, name="lost")
    dataset.set_values("pixels", list(digits.vectors[:10]))
    made = call("create_qdrant_index", dataset, brain_key="pixels", embeddings="pixels")
    dataset.delete()
    return made["collection_name"]


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


def test_an_index_is_renamed(indexed):
    done = operator("rename_index")(indexed, "pixels", "by_pixels").result
    assert done["brain_key"] == "by_pixels"
    indexed.reload()
    assert indexed.list_brain_runs() == ["by_pixels"]
    found = call(
        "query_similar", indexed, brain_key="by_pixels", query=indexed.first().id
    )
    assert found["ids"][0] == indexed.first().id


@pytest.mark.parametrize("key", ["1bad", "pixels"])
def test_a_bad_or_taken_key_is_refused_before_anything_is_done(indexed, key):
    with pytest.raises(ExecutionError, match=key):
        call("rename_index", indexed, brain_key="pixels", new_brain_key=key)

    indexed.reload()
    assert indexed.list_brain_runs() == ["pixels"]
    assert fo.dataset_exists(indexed.name)
