"""Compare Indexes and Swap Indexes: a second index in the place of the first."""

from __future__ import annotations

import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant import load_index
from fiftyone_qdrant.status import jobs
from tests.plugin.calls import call, form_of, operator


@pytest.fixture
def two(indexed):
    """A dataset with a second index of half of the pixels."""
    halves = [vector[:32] for vector in indexed.values("pixels")]
    indexed.set_values("halves", halves)
    call("create_qdrant_index", indexed, brain_key="halves", embeddings="halves")
    return indexed


def test_two_indexes_are_compared_and_change_places(two):
    found = operator("compare_indexes")(two, "pixels", "halves", queries=10, k=5).result
    assert 0 < found["overlap"] < 1
    assert found["overlaps"] == sorted(found["overlaps"])
    assert len(found["queries"]) == 10

    operator("swap_indexes")(two, "pixels", "halves")
    two.reload()
    assert load_index(two, "pixels").config.embeddings_field == "halves"
    assert load_index(two, "halves").config.embeddings_field == "pixels"


def test_the_forms_say_what_will_be_and_want_two_indexes(two):
    plan = form_of("swap_indexes", two, brain_key="pixels")["plan"]
    assert plan.view.label == "'pixels' becomes 'halves', and 'halves' 'pixels'"
    two.delete_brain_run("halves")
    assert form_of("swap_indexes", two)["other_key"].invalid


def test_an_index_that_is_written_to_stays_in_its_place(two):
    with jobs.job(two, "add", "halves", 5):
        jobs.announce(two, "add", "halves")
        with pytest.raises(ExecutionError, match="an ingest into index 'halves'"):
            call("swap_indexes", two, brain_key="pixels", other_key="halves")


def test_a_number_that_is_none_is_refused(two):
    with pytest.raises(ExecutionError, match="queries"):
        call("compare_indexes", two, brain_key="pixels", other_key="halves", queries=0)
