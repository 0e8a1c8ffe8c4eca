"""Add Selected to Index and Remove Selected: the selection, or else the view."""

from __future__ import annotations

import fiftyone.brain as fob
import numpy as np
import pytest
from fiftyone import ViewField as F
from fiftyone.operators.executor import ExecutionContext, ExecutionError

from fiftyone_qdrant.runs import load_index
from tests.plugin.calls import call, form_of, labels_of, operator

PIXELS = {"brain_key": "pixels", "embeddings": "pixels"}


# --- the selection --------------------------------------------------------------


@pytest.fixture
def half(dataset):
    """The dataset, with an index "half" of its first 20 samples."""
    call(
        "create_qdrant_index",
        {"view": dataset.limit(20)},
        brain_key="half",
        embeddings="pixels",
    )
    return dataset


def test_add_selected_samples(half):
    selected = half.values("id")[18:23]
    ctx = {"dataset": half, "selected": selected}
    added = call("add_selected_to_index", ctx, brain_key="half")
    assert added == {
        "new": 3,
        "replaced": 2,
        "kept": 0,
        "skipped": 0,
        "points": 23,
    }
    index = half.load_brain_results("half")
    assert set(selected) <= set(index.sample_ids)


def test_added_samples_have_their_embeddings(half, digits):
    selected = half.values("id")[30:32]
    call(
        "add_selected_to_index",
        {"dataset": half, "selected": selected},
        brain_key="half",
    )
    stored, _, _ = load_index(half, "half").get_embeddings(selected)
    np.testing.assert_allclose(stored, digits.vectors[30:32], rtol=1e-5)


def test_add_skips_samples_without_an_embedding(half):
    view = half.skip(20).limit(2)
    view.limit(1).clear_sample_field("pixels")
    ctx = {"dataset": half, "selected": view.values("id")}
    added = call("add_selected_to_index", ctx, brain_key="half")
    assert (added["new"], added["skipped"], added["points"]) == (1, 1, 21)


def test_add_embeds_with_the_model_of_the_index(dataset, digits_model):
    view = dataset.limit(10)
    create = operator("create_qdrant_index")
    create(view, "half", model=digits_model)
    new = dataset.values("id")[20:22]
    added = operator("add_selected_to_index")(dataset, "half", selected=new).result
    assert added["points"] == 12


def test_add_selected_labels(indexed_patches):
    labels = labels_of(indexed_patches)[:3]
    index = load_index(indexed_patches, "objects")
    index.remove_from_index(label_ids=labels)
    selected = [{"label_id": i, "field": "detections"} for i in labels[:2]]
    ctx = {"dataset": indexed_patches, "selected_labels": selected}
    added = call("add_selected_to_index", ctx, brain_key="objects")
    assert (added["new"], added["points"]) == (2, 39)
    assert set(labels[:2]) <= set(index.label_ids)
    assert labels[2] not in index.label_ids


def test_add_selected_samples_adds_all_their_labels(indexed_patches):
    sample = indexed_patches.skip(4).first()  # with four labels
    index = load_index(indexed_patches, "objects")
    index.remove_from_index(sample_ids=[sample.id])
    assert index.total_index_size == 36
    ctx = {"dataset": indexed_patches, "selected": [sample.id]}
    added = call("add_selected_to_index", ctx, brain_key="objects")
    assert (added["new"], added["points"]) == (4, 40)


def test_add_as_a_typed_call(half, indexed_patches):
    add = operator("add_selected_to_index")
    assert add(half, "half", selected=half.values("id")[20:21]).result["new"] == 1
    labels = labels_of(indexed_patches)[:2]
    assert add(indexed_patches, "objects", labels=labels).result["replaced"] == 2


def test_remove_selected_samples(indexed):
    selected = indexed.values("id")[:3]
    ctx = {"dataset": indexed, "selected": selected}
    removed = call("remove_selected", ctx, brain_key="pixels")
    assert removed == {"removed": 3, "missing": 0, "points": 37}
    assert not set(selected) & set(load_index(indexed, "pixels").sample_ids)
    assert len(indexed) == 40


def test_remove_selected_labels(indexed_patches):
    labels = labels_of(indexed_patches)[:3]
    selected = [{"label_id": i, "field": "detections"} for i in labels]
    ctx = {"dataset": indexed_patches, "selected_labels": selected}
    removed = call("remove_selected", ctx, brain_key="objects")
    assert removed == {"removed": 3, "missing": 0, "points": 37}
    assert not set(labels) & set(load_index(indexed_patches, "objects").label_ids)
    assert len(labels_of(indexed_patches)) == 40


def test_remove_selected_samples_removes_all_their_labels(indexed_patches):
    sample = indexed_patches.skip(4).first()
    ctx = {"dataset": indexed_patches, "selected": [sample.id]}
    removed = call("remove_selected", ctx, brain_key="objects")
    assert removed == {"removed": 4, "missing": 0, "points": 36}


def test_remove_takes_the_selection_of_a_patches_view_as_labels(indexed_patches):
    view = indexed_patches.to_patches("detections")
    ctx = {"view": view, "selected": view.values("id")[:2]}
    assert call("remove_selected", ctx, brain_key="objects")["removed"] == 2


def test_remove_as_a_typed_call(indexed, indexed_patches):
    remove = operator("remove_selected")
    ids = indexed.values("id")
    assert remove(indexed, "pixels", selected=ids[:2]).result["removed"] == 2
    labels = labels_of(indexed_patches)
    assert remove(indexed_patches, "objects", labels=labels[:1]).result["removed"] == 1


# --- the view instead of a selection --------------------------------------------


def test_the_view_is_added_when_nothing_is_selected(dataset):
    call("create_qdrant_index", {"view": dataset[:10]}, **PIXELS)
    view = dataset[5:15]
    added = call("add_selected_to_index", {"view": view}, brain_key="pixels")
    assert (added["new"], added["replaced"], added["points"]) == (5, 5, 15)
    params = {"brain_key": "pixels", "skip_existing": True}
    added = call("add_selected_to_index", {"view": dataset[10:20]}, **params)
    assert (added["new"], added["kept"], added["points"]) == (5, 5, 20)


def test_the_view_is_removed_when_nothing_is_selected(indexed):
    view = indexed[35:]
    removed = call("remove_selected", {"view": view}, brain_key="pixels")
    assert removed == {"removed": 5, "missing": 0, "points": 35}
    removed = call("remove_selected", {"view": indexed[30:]}, brain_key="pixels")
    assert removed == {"removed": 5, "missing": 5, "points": 30}


def test_a_selection_comes_before_the_view(indexed):
    ctx = {"view": indexed[10:], "selected": indexed.values("id")[12:14]}
    assert call("remove_selected", ctx, brain_key="pixels")["removed"] == 2


def of_both(dataset, target):
    """Three labels and one sample of others are selected, and one kind chosen."""
    labels = [{"label_id": i, "field": "detections"} for i in labels_of(dataset)[:3]]
    return {
        "dataset": dataset,
        "selected": [dataset.last().id],
        "selected_labels": labels,
        "params": {"view_target": target},
    }


def target_of(request, key):
    """What the form of Remove Selected says of its target."""
    params = {**request["params"], "brain_key": key}
    name = request["dataset"].name
    selection = {k: request[k] for k in ("selected", "selected_labels")}
    ctx = ExecutionContext({"dataset_name": name, "params": params, **selection})
    return operator("remove_selected").resolve_input(ctx).type.get_property("target")


def test_the_chosen_kind_of_selection_is_removed_and_counted(indexed_patches):
    ctx = of_both(indexed_patches, "SELECTED_SAMPLES")
    sample = indexed_patches[ctx["selected"][0]]
    count = len(sample.detections.detections)
    assert target_of(ctx, "objects").view.label == "1 sample selected"
    removed = call("remove_selected", ctx, brain_key="objects", **ctx["params"])
    assert removed["removed"] == count > 0
    ctx = of_both(indexed_patches, "SELECTED_LABELS")
    assert target_of(ctx, "objects").view.label == "3 labels selected"
    removed = call("remove_selected", ctx, brain_key="objects", **ctx["params"])
    assert removed["removed"] == 3


def test_selected_labels_are_no_target_for_an_index_of_samples(indexed_patches):
    vectors = np.eye(20, 4) + 1
    create = {"embeddings": vectors, "brain_key": "whole", "backend": "qdrant"}
    fob.compute_similarity(indexed_patches, **create)
    ctx = of_both(indexed_patches, "SELECTED_LABELS")
    told = target_of(ctx, "whole")
    assert told.invalid
    assert "holds samples" in told.error_message
    with pytest.raises(ExecutionError, match="holds samples"):
        call("remove_selected", ctx, brain_key="whole", **ctx["params"])

    ctx = {**of_both(indexed_patches, None), "selected": []}
    assert target_of(ctx, "whole").invalid
    assert load_index(indexed_patches, "whole").total_index_size == 20


def test_the_filtered_labels_of_a_view_are_removed(indexed_patches):
    label = indexed_patches.values("detections.detections.label", unwind=True)[0]
    view = indexed_patches.filter_labels("detections", F("label") == label)
    count = view.count("detections.detections")
    removed = call("remove_selected", {"view": view}, brain_key="objects")
    assert removed == {"removed": count, "missing": 0, "points": 40 - count}


@pytest.mark.parametrize("name", ["add_selected_to_index", "remove_selected"])
def test_the_whole_dataset_must_be_confirmed(indexed, name):
    with pytest.raises(ExecutionError, match="confirm that the whole dataset is meant"):
        call(name, indexed, brain_key="pixels")

    done = call(name, indexed, brain_key="pixels", confirm=True)
    assert done["points"] == (0 if name == "remove_selected" else 40)


# --- undo -----------------------------------------------------------------------


@pytest.mark.parametrize("of_labels", [False, True])
def test_what_was_removed_is_put_back(request, of_labels):
    dataset = request.getfixturevalue("indexed_patches" if of_labels else "indexed")
    key = "objects" if of_labels else "pixels"
    index = load_index(dataset, key)
    before, ids, labels = index.get_embeddings()
    selected = dataset.values("id")[:5]
    remove, undo = operator("remove_selected"), operator("undo_remove")

    removed = remove(dataset, key, selected=selected).result["removed"]
    assert index.total_index_size == 40 - removed < 40
    assert undo(dataset, key).result == {"restored": removed, "points": 40}

    chosen = {"sample_ids": ids} if labels is None else {"label_ids": labels}
    after, _, _ = load_index(dataset, key).get_embeddings(**chosen)
    np.testing.assert_allclose(after, before, rtol=1e-5)
    with pytest.raises(ExecutionError, match="nothing to put back"):
        undo(dataset, key)


def test_the_result_of_a_removal_offers_to_undo_it(indexed):
    for removed in (0, 3):
        ctx = ExecutionContext(
            {
                "dataset_name": indexed.name,
                "params": {"brain_key": "pixels"},
                "results": {"removed": removed, "missing": 0, "points": 40},
            }
        )
        shown = operator("remove_selected").resolve_output(ctx).type.properties
        assert ("undo" in shown) == bool(removed)


# --- what the forms say -----------------------------------------------------------


def test_the_form_counts_how_many_of_the_selected_are_indexed(half):
    selected = half.values("id")[18:23]
    for name in ("add_selected_to_index", "remove_selected"):
        target = form_of(name, half, selected, brain_key="half")["target"]
        assert target.view.label == "5 samples selected, 2 of them indexed"
        assert not target.invalid


def test_nothing_of_the_selected_can_be_removed(half):
    selected = half.values("id")[30:32]
    fields = form_of("remove_selected", half, selected, brain_key="half")
    assert fields["target"].invalid


def test_nothing_of_the_selected_is_missing(half):
    chosen = {"brain_key": "half", "skip_existing": True}
    name, ids = "add_selected_to_index", half.values("id")
    assert form_of(name, half, ids[:3], **chosen)["obstacle"].invalid
    assert "obstacle" not in form_of(name, half, ids[18:23], **chosen)
    assert "obstacle" not in form_of(name, half, **chosen)
    call(name, half, brain_key="half", confirm=True)
    assert form_of(name, half, **chosen)["obstacle"].invalid


def test_selected_samples_that_were_deleted_cannot_be_added(half):
    selected = half.values("id")[30:32]
    half.delete_samples(selected[:1])
    fields = form_of("add_selected_to_index", half, selected, brain_key="half")
    assert "1 of the selected are no longer" in fields["obstacle"].error_message


def test_an_index_that_cannot_embed_takes_no_more(dataset, digits):
    vectors = digits.vectors[:40]
    fob.compute_similarity(
        dataset, embeddings=vectors, backend="qdrant", brain_key="given"
    )
    fields = form_of("add_selected_to_index", dataset, brain_key="given")
    assert "made from given vectors" in fields["obstacle"].error_message


def test_without_a_selection_one_box_means_all_and_only_what_is_missing_is_added(half):
    fields = form_of("add_selected_to_index", half, brain_key="half")
    assert fields["confirm"].view.label == "All 40 samples (nothing is selected)"
    assert fields["confirm"].invalid
    assert fields["skip_existing"].default is True
    fields = form_of("add_selected_to_index", half, half.values("id")[:1])
    assert fields["skip_existing"].default is False
