"""What Sync Index says before it is run."""

from __future__ import annotations

import fiftyone.brain as fob
import pytest

from fiftyone_qdrant.ingest import sync
from fiftyone_qdrant.runs import load_index
from tests.plugin.calls import call, form_of


def plan(dataset, key="pixels", **params):
    return form_of("sync_index", dataset, brain_key=key, **params)["drift"]


def test_a_sync_of_models_says_what_was_not_compared(prompted):
    told = plan(prompted, "prompted")
    assert told.view.description == "Their pictures on disk were not compared"
    assert plan(prompted, "prompted", compare=True).view.description == ""


def test_what_would_be_done_is_said(indexed):
    load_index(indexed, "pixels").remove_from_index(indexed.values("id")[:5])
    indexed.delete_samples(indexed.values("id")[10])

    told = plan(indexed)

    assert not told.invalid
    removes = "remove 1 that the dataset no longer has"
    assert told.view.label == f"Will add 5 samples, {removes}"


def test_with_nothing_to_do_the_form_cannot_be_sent(indexed):
    assert plan(indexed).invalid
    assert call("sync_index", indexed, brain_key="pixels")["added"] == 0


def test_embeddings_are_compared_where_that_is_asked_for(indexed):
    sample = indexed.first()
    sample["pixels"] = sample["pixels"] + 1
    sample.save()

    assert plan(indexed).invalid
    assert plan(indexed, compare=True).view.label == (
        "Will update 1 whose embeddings changed"
    )
    assert (
        call("sync_index", indexed, brain_key="pixels", compare=False)["changed"] == 0
    )
    assert call("sync_index", indexed, brain_key="pixels")["updated"] == 1


def test_what_a_form_found_is_not_looked_for_again(indexed, monkeypatch):
    calls = []

    def find(*args):
        calls.append(args)
        return find_drift(*args)

    find_drift = sync.find_drift
    monkeypatch.setattr(sync, "find_drift", find)
    indexed.delete_samples(indexed.values("id")[10])
    for _ in range(2):
        plan(indexed, compare=True)
    assert call("sync_index", indexed, brain_key="pixels")["removed"] == 1
    assert len(calls) == 1
    assert plan(indexed).invalid
    indexed.delete_samples(indexed.values("id")[11])
    assert "remove 1" in plan(indexed).view.label


def test_an_index_that_cannot_embed_says_so(dataset, digits):
    half = dataset[:20]
    fob.compute_similarity(
        half, embeddings=digits.vectors[:20], backend="qdrant", brain_key="given"
    )
    told = plan(dataset, "given")
    assert told.invalid
    assert "made from given vectors" in told.view.description


@pytest.mark.parametrize("look", [False, True])
def test_of_many_samples_only_counts_are_read_unasked(indexed, look, monkeypatch):
    monkeypatch.setattr(form_module(), "FEW", 30)
    indexed.delete_samples(indexed.values("id")[10])
    label = plan(indexed, look=look).view.label
    if look:
        assert label == "Will remove 1 that the dataset no longer has"
    else:
        assert label == "The dataset has 1 fewer than the index"


def form_module():
    """The module that the plugin's operator is from."""
    import sys

    from tests.plugin.calls import operator

    return sys.modules[type(operator("sync_index")).__module__]
