"""Wrong input to an index gets one clear sentence, and nothing is lost."""

from __future__ import annotations

import fiftyone.brain as fob
import numpy as np
import pytest
from bson import ObjectId
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant import errors
from tests.plugin.bad_input.conftest import (
    BAD_VALUE,
    UNKNOWN_ID,
    VECTORS,
    both_doors,
    check_sentence,
    create,
    refused,
)
from tests.plugin.calls import call, snapshot

ids_of_2 = [str(ObjectId()), str(ObjectId())]
ADDS = {
    "dimension": (VECTORS[:2, :63], ids_of_2, errors.CollectionMismatch, "63.*has 64"),
    "nan": (BAD_VALUE[:2], ids_of_2, errors.VectorError, "2 of 2 vectors have NaN"),
    "infinity": (
        np.full((2, 64), np.inf),
        ids_of_2,
        errors.VectorError,
        "NaN or infinite",
    ),
    "text": ([["a"] * 64] * 2, ids_of_2, errors.VectorError, "must be real numbers"),
    "three-dimensional": (
        np.ones((2, 8, 8)),
        ids_of_2,
        errors.VectorError,
        r"shape \(num_points, size\)",
    ),
    "fewer-ids": (VECTORS[:2], ids_of_2[:1], errors.ConfigError, "2 embeddings but 1"),
    "id-is-text": (
        VECTORS[:2],
        ["a", "b"],
        errors.MissingIDs,
        "'a' is not a FiftyOne id",
    ),
    "id-is-number": (VECTORS[:2], [1, 2], errors.MissingIDs, "'1' is not a FiftyOne"),
}


@pytest.mark.parametrize("case", ADDS)
def test_add_to_index_refuses(case, indexed, nothing_lost):
    vectors, ids, error, saying = ADDS[case]
    index = indexed.load_brain_results("pixels")
    with pytest.raises(error, match=saying) as caught:
        index.add_to_index(vectors, ids)
    check_sentence(caught.value)


def test_add_to_index_refuses_existing_ids_where_told_to(indexed, nothing_lost):
    index = indexed.load_brain_results("pixels")
    ids = [indexed.first().id, str(ObjectId())]
    with pytest.raises(errors.ConfigError, match="already in the index") as caught:
        index.add_to_index(VECTORS[:2], ids, overwrite=False, allow_existing=False)
    check_sentence(caught.value)


QUERIES = {
    "dimension": (
        [1.0] * 63,
        errors.VectorError,
        "63 dimensions but the index has 64",
    ),
    "nan": ([float("nan")] * 64, errors.VectorError, "NaN or infinite"),
    "infinity": ([float("inf")] * 64, errors.VectorError, "NaN or infinite"),
    "unknown-id": (UNKNOWN_ID, errors.MissingIDs, f"{UNKNOWN_ID}.*not in the index"),
    "one-of-two-unknown": ([UNKNOWN_ID], errors.MissingIDs, UNKNOWN_ID),
    "text": ("a three", ValueError, "'a three'.*does not support prompts"),
}


@both_doors
@pytest.mark.parametrize("case", QUERIES)
def test_query_refuses(case, door, indexed, nothing_lost):
    query, error, saying = QUERIES[case]
    if case == "one-of-two-unknown":
        query = [indexed.first().id, *query]
    with refused(door, error, saying) as caught:
        if door == "operator":
            call("query_similar", indexed, brain_key="pixels", query=query, k=3)
        else:
            indexed.sort_by_similarity(query, k=3, brain_key="pixels")
    check_sentence(caught.value)


@pytest.mark.parametrize("k", [0, -1, 2.5, True])
def test_query_refuses_k(k, indexed, nothing_lost):
    index = indexed.load_brain_results("pixels")
    with pytest.raises(errors.ConfigError, match="k must be a whole number") as caught:
        index.search(indexed.first().id, k=k)
    check_sentence(caught.value)


def test_sample_id_is_no_query_for_patches(patches, client):
    create("operator", patches, "objects", patches_field="detections")
    before = snapshot(client)
    with pytest.raises(ExecutionError, match="not in the index") as caught:
        call("query_similar", patches, brain_key="objects", query=patches.first().id)
    check_sentence(caught.value)
    assert snapshot(client) == before


def test_label_ids_are_refused_by_an_index_of_samples(indexed, nothing_lost):
    index = indexed.load_brain_results("pixels")
    with pytest.raises(errors.ConfigError, match="no label ids") as caught:
        index.get_embeddings(label_ids=[UNKNOWN_ID])
    check_sentence(caught.value)


def test_missing_ids_are_refused_where_told_to(indexed, nothing_lost):
    index = indexed.load_brain_results("pixels")
    ids = [indexed.first().id, UNKNOWN_ID]
    for method in (index.get_embeddings, index.remove_from_index):
        with pytest.raises(errors.MissingIDs, match=UNKNOWN_ID) as caught:
            method(sample_ids=ids, allow_missing=False)
        check_sentence(caught.value)


def test_removing_an_id_that_is_none_removes_nothing(indexed, nothing_lost):
    index = indexed.load_brain_results("pixels")
    with pytest.raises(errors.MissingIDs, match="'nonsense' is not a FiftyOne id"):
        index.remove_from_index(sample_ids=[indexed.first().id, "nonsense"])


def test_remove_needs_ids(indexed, nothing_lost):
    index = indexed.load_brain_results("pixels")
    with pytest.raises(errors.ConfigError, match="Give the sample_ids") as caught:
        index.remove_from_index()
    check_sentence(caught.value)


# --- selections and brain keys of the operators --------------------------------

BY_SELECTION = ["add_selected_to_index", "remove_selected", "query_similar"]


@pytest.mark.parametrize("name", BY_SELECTION)
def test_nothing_selected_is_said(name, indexed, nothing_lost):
    with pytest.raises(ExecutionError, match=r"(?i)nothing is selected") as caught:
        call(name, indexed, brain_key="pixels")
    check_sentence(caught.value)


@pytest.mark.parametrize(
    ("name", "saying"),
    [
        ("add_selected_to_index", UNKNOWN_ID),
        ("query_similar", "1 of the 2 examples is not in index 'pixels'"),
    ],
)
def test_selection_of_an_unknown_sample_is_refused(name, saying, indexed, nothing_lost):
    ctx = {"dataset": indexed, "selected": [indexed.first().id, UNKNOWN_ID]}
    with pytest.raises(ExecutionError, match=saying) as caught:
        call(name, ctx, brain_key="pixels")
    check_sentence(caught.value)


@pytest.mark.parametrize("name", BY_SELECTION)
def test_selection_of_what_is_no_id_is_refused(name, indexed, nothing_lost):
    ctx = {"dataset": indexed, "selected": [indexed.first().id, "nonsense"]}
    with pytest.raises(ExecutionError) as caught:
        call(name, ctx, brain_key="pixels")
    check_sentence(caught.value)
    told_by_form = name == "query_similar"
    said = "Validation error" if told_by_form else "fiftyone_qdrant.errors."
    assert said in str(caught.value).splitlines()[-1]


@pytest.mark.parametrize("name", [*BY_SELECTION, "cleanup_collection"])
def test_unknown_brain_key_is_refused(name, indexed, nothing_lost):
    ctx = {"dataset": indexed, "selected": indexed.values("id")[:1]}
    with pytest.raises(ExecutionError, match="Qdrant index 'missing'") as caught:
        call(name, ctx, brain_key="missing")
    check_sentence(caught.value)


@pytest.mark.parametrize("name", [*BY_SELECTION, "cleanup_collection"])
def test_index_of_another_backend_is_refused(name, indexed, client):
    fob.compute_similarity(
        indexed, embeddings="pixels", backend="sklearn", brain_key="other"
    )
    before = snapshot(client)
    ctx = {"dataset": indexed, "selected": indexed.values("id")[:1]}
    with pytest.raises(ExecutionError, match="Qdrant index 'other'") as caught:
        call(name, ctx, brain_key="other")
    check_sentence(caught.value)
    assert snapshot(client) == before


@pytest.mark.parametrize("name", [*BY_SELECTION, "cleanup_collection"])
def test_missing_brain_key_is_asked_for(name, indexed, nothing_lost):
    """A form's default is not applied to calls from Python."""
    ctx = {"dataset": indexed, "selected": indexed.values("id")[:1]}
    with pytest.raises(ExecutionError, match="brain_key") as caught:
        call(name, ctx, confirm="existing")
    check_sentence(caught.value)


@pytest.mark.parametrize("name", BY_SELECTION)
def test_collection_that_is_gone_is_said(name, indexed, client):
    """Somebody deleted the collection: the run stays, and the error names it."""
    client.delete_collection("existing")
    before = snapshot(client)
    ctx = {"dataset": indexed, "selected": indexed.values("id")[:1]}
    if name == "add_selected_to_index":  # starts it anew
        assert call(name, ctx, brain_key="pixels")["points"] == 1
        return
    with pytest.raises(
        ExecutionError, match=r"collection 'existing'|'existing' does not"
    ) as caught:
        call(name, ctx, brain_key="pixels")
    check_sentence(caught.value)
    assert snapshot(client) == before
