"""The operators, called from Python with nothing but what they need."""

from __future__ import annotations

import fiftyone as fo
import fiftyone.brain as fob
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone import ViewField as F
from fiftyone.operators.executor import ExecutionContext, ExecutionError

from fiftyone_qdrant.runs import load_index
from tests.plugin.calls import call, operator, snapshot

CREATED = {
    "brain_key",
    "collection_name",
    "engine",
    "location",
    "points",
    "skipped",
    "ignored",
}
PIXELS = {"brain_key": "pixels", "embeddings": "pixels"}
FOUND = {"ids", "sample_ids", "distances", "scores"}


def labels_of(dataset) -> list[str]:
    return dataset.values("detections.detections.id", unwind=True)


# --- Create Qdrant Index --------------------------------------------------------


def test_create_from_a_field(dataset, digits, store):
    made = call("create_qdrant_index", dataset, brain_key="mine", embeddings="pixels")
    assert set(made) >= CREATED
    assert made["brain_key"] == "mine"
    assert (made["engine"], made["location"]) == ("embedded", str(store))
    assert (made["points"], made["skipped"], made["ignored"]) == (40, 0, None)
    index = dataset.load_brain_results("mine")
    assert index.config.collection_name == made["collection_name"]
    stored, _, _ = index.get_embeddings(dataset.values("id"))
    np.testing.assert_allclose(stored, digits.vectors[:40], rtol=1e-5)


def test_create_with_a_model(prompted, documented_models):
    index = prompted.load_brain_results("prompted")
    expected = prompted.compute_embeddings(documented_models)
    stored, _, _ = index.get_embeddings(prompted.values("id"))
    np.testing.assert_allclose(stored, expected, atol=1e-5)
    assert index.config.supports_prompts


def test_create_of_patches(indexed_patches):
    index = indexed_patches.load_brain_results("objects")
    assert sorted(index.label_ids) == sorted(labels_of(indexed_patches))
    assert index.total_index_size == 40


def test_create_of_patches_with_a_model(patches, digits_model):
    made = call(
        "create_qdrant_index",
        patches,
        brain_key="objects",
        model=digits_model,
        patches_field="detections",
    )
    assert made["points"] == 40
    assert made["skipped"] == 4  # pictures without any label


def test_create_of_a_view_indexes_the_view(dataset):
    view = dataset.limit(7)
    made = call(
        "create_qdrant_index", {"view": view}, brain_key="some", embeddings="pixels"
    )
    assert made["points"] == 7
    index = dataset.load_brain_results("some")
    assert sorted(index.sample_ids) == sorted(view.values("id"))


def test_create_counts_samples_without_an_embedding(dataset):
    dataset.limit(3).clear_sample_field("pixels")
    made = call("create_qdrant_index", dataset, brain_key="mine", embeddings="pixels")
    assert (made["points"], made["skipped"]) == (37, 3)


def test_create_connects_to_an_existing_collection(indexed, client):
    name = indexed.load_brain_results("pixels").config.collection_name
    before = snapshot(client)["collections"]
    made = call(
        "create_qdrant_index",
        indexed,
        brain_key="again",
        connect=True,
        collection_name=name,
    )
    assert (made["collection_name"], made["points"]) == (name, 40)
    assert snapshot(client)["collections"] == before
    found = indexed.sort_by_similarity(indexed.first().id, k=3, brain_key="again")
    assert len(found) == 3


def test_create_gives_the_parameters_to_the_collection(dataset, client):
    made = call(
        "create_qdrant_index",
        dataset,
        brain_key="mine",
        embeddings="pixels",
        collection_name="by_parameters",
        metric="euclidean",
        hnsw_config={"m": 24, "ef_construct": 77, "payload_m": None},
        optimizers_config={"indexing_threshold": 30000, "flush_interval_sec": 7},
        shard_number=3,
    )
    config = client.get_collection("by_parameters").config
    assert config.params.vectors.distance == "Euclid"
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (24, 77)
    assert config.optimizer_config.indexing_threshold == 30000
    assert "shard_number" in made["ignored"]
    assert "optimizers_config.flush_interval_sec" in made["ignored"]


@pytest.mark.parametrize("kind", ["binary", "scalar"])
def test_create_gives_the_quantization_to_the_collection(dataset, client, kind):
    """``{"binary": {}}`` is Qdrant's way to say: with all defaults."""
    made = call(
        "create_qdrant_index",
        dataset,
        brain_key="mine",
        embeddings="pixels",
        quantization_config={kind: {}},
    )
    config = client.get_collection(made["collection_name"]).config
    assert config.quantization_config is not None
    assert getattr(config.quantization_config, kind) is not None


def test_create_equals_compute_similarity(indexed):
    library = fob.compute_similarity(
        indexed, embeddings="pixels", backend="qdrant", brain_key="library"
    )
    ours = indexed.load_brain_results("pixels")
    for a, b in zip(library.get_embeddings(), ours.get_embeddings(), strict=True):
        np.testing.assert_array_equal(a, b)
    ignored = {"collection_name"}
    configs = [i.config.serialize() for i in (library, ours)]
    a, b = ({k: v for k, v in c.items() if k not in ignored} for c in configs)
    assert a == b


def test_create_as_a_typed_call(dataset):
    create = operator("create_qdrant_index")
    made = create(dataset, "mine", embeddings="pixels", metric="manhattan").result
    assert set(made) >= CREATED
    assert dataset.load_brain_results("mine").metric == "manhattan"


def test_typed_create_on_a_view_indexes_the_view(dataset):
    create = operator("create_qdrant_index")
    made = create(dataset.limit(5), "mine", embeddings="pixels").result
    assert made["points"] == 5


# --- Add Selected to Index, Remove Selected -------------------------------------


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


# --- Query Similar --------------------------------------------------------------


def ranked(samples, query, key, **kwargs) -> list[str]:
    """What FiftyOne itself answers."""
    return samples.sort_by_similarity(query, brain_key=key, **kwargs).values("id")


def test_query_by_id(indexed):
    query = indexed.values("id")[5]
    found = call("query_similar", indexed, brain_key="pixels", query=query)
    assert set(found) == FOUND
    assert len(found["ids"]) == 25  # the documented default of k
    assert found["ids"] == found["sample_ids"] == ranked(indexed, query, "pixels", k=25)
    assert found["ids"][0] == query
    assert found["distances"] == sorted(found["distances"])
    np.testing.assert_allclose(
        found["scores"], 1 - np.array(found["distances"]), atol=1e-6
    )


def test_query_distances_are_true(indexed, digits):
    query = indexed.values("id")[5]
    found = call("query_similar", indexed, brain_key="pixels", query=query, k=40)
    unit = digits.vectors[:40] / np.linalg.norm(digits.vectors[:40], axis=1)[:, None]
    true = dict(zip(indexed.values("id"), 1 - unit @ unit[5], strict=True))
    np.testing.assert_allclose(
        found["distances"], [true[i] for i in found["ids"]], atol=1e-5
    )


def test_query_by_several_ids(indexed):
    query = indexed.values("id")[3:6]
    found = call("query_similar", indexed, brain_key="pixels", query=query, k=8)
    assert found["ids"] == ranked(indexed, query, "pixels", k=8)


def test_query_by_vector(indexed, digits):
    query = digits.vectors[100].tolist()
    found = call("query_similar", indexed, brain_key="pixels", query=query, k=8)
    assert found["ids"] == ranked(indexed, query, "pixels", k=8)


def test_query_by_text(prompted):
    query = "a photo of a three"
    found = call("query_similar", prompted, brain_key="prompted", query=query, k=4)
    assert found["ids"] == ranked(prompted, query, "prompted", k=4)
    truths = prompted.select(found["ids"]).values("ground_truth.label")
    assert truths.count("3") >= 3


@pytest.mark.parametrize("kind", ["ids", "vector"])
def test_query_by_list_where_text_is_possible_too(prompted, kind):
    """The form has a text field; from Python a query may still be a list."""
    ids = prompted.values("id")[:2]
    query = ids if kind == "ids" else [0.5] * 512
    found = call("query_similar", prompted, brain_key="prompted", query=query, k=4)
    assert found["ids"] == ranked(prompted, query, "prompted", k=4)


def test_query_by_the_selection(indexed):
    selected = indexed.values("id")[7:8]
    ctx = {"dataset": indexed, "selected": selected}
    found = call("query_similar", ctx, brain_key="pixels", k=5)
    assert found["ids"] == ranked(indexed, selected[0], "pixels", k=5)


def test_query_in_reverse(indexed):
    query = indexed.values("id")[5]
    found = call(
        "query_similar", indexed, brain_key="pixels", query=query, k=6, reverse=True
    )
    assert found["ids"] == ranked(indexed, query, "pixels", k=6, reverse=True)
    assert found["distances"] == sorted(found["distances"], reverse=True)
    everything = call("query_similar", indexed, brain_key="pixels", query=query, k=40)
    assert found["ids"] == everything["ids"][::-1][:6]


def test_query_stores_distances(indexed):
    query = indexed.values("id")[5]
    found = call(
        "query_similar",
        indexed,
        brain_key="pixels",
        query=query,
        k=6,
        dist_field="distance",
    )
    indexed.reload()
    view = indexed.select(found["ids"], ordered=True)
    np.testing.assert_allclose(view.values("distance"), found["distances"])
    assert indexed.count("distance") == 6


def test_query_within_a_view(indexed):
    view = indexed.match(fo.ViewField("ground_truth.label") == "3")
    query = indexed.first().id  # a zero, not in the view
    found = call("query_similar", {"view": view}, brain_key="pixels", query=query)
    assert sorted(found["ids"]) == sorted(view.values("id"))
    assert found["ids"] == ranked(view, query, "pixels")


def test_query_of_patches(indexed_patches):
    label = labels_of(indexed_patches)[0]
    found = call("query_similar", indexed_patches, brain_key="objects", query=label)
    assert set(found) == FOUND | {"label_ids"}
    assert found["label_ids"] == found["ids"]
    objects = indexed_patches.to_patches("detections")
    assert found["ids"] == ranked(objects, label, "objects", k=25)
    sample_of = dict(zip(*objects.values(["id", "sample_id"]), strict=True))
    assert found["sample_ids"] == [sample_of[i] for i in found["ids"]]


def test_query_of_patches_stores_distances_in_the_labels(indexed_patches):
    label = labels_of(indexed_patches)[0]
    found = call(
        "query_similar",
        indexed_patches,
        brain_key="objects",
        query=label,
        k=3,
        dist_field="distance",
    )
    path = "detections.detections"
    ids, stored = indexed_patches.values(
        [f"{path}.id", f"{path}.distance"], unwind=True
    )
    kept = {i: d for i, d in zip(ids, stored, strict=True) if d is not None}
    assert kept == pytest.approx(
        dict(zip(found["ids"], found["distances"], strict=True))
    )


def test_query_shows_its_matches_in_the_app(indexed):
    """The result's view is what the App is told to show, in order."""
    ctx = {"dataset": indexed}
    params = {"brain_key": "pixels", "query": indexed.first().id, "k": 4}
    done = foo.execute_operator("@community/qdrant/query_similar", ctx, params=params)
    (request,) = done.executor._requests
    assert request.operator_uri.endswith("set_view")
    view = fo.DatasetView._build(indexed, request.params["view"])
    assert view.values("id") == done.result["ids"]


def test_query_as_a_typed_call(indexed):
    query = operator("query_similar")
    ids = indexed.values("id")
    by_id = query(indexed, "pixels", query=ids[0], k=3).result
    assert query(indexed, "pixels", selected=ids[:1], k=3).result == by_id
    assert query(indexed.limit(2), "pixels", query=ids[0]).result["ids"][0] == ids[0]
    assert len(query(indexed.limit(2), "pixels", query=ids[0]).result["ids"]) == 2


# --- Cleanup Collection ---------------------------------------------------------


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


def test_a_sync_of_models_says_what_it_cannot_know(prompted):
    ctx = ExecutionContext(
        {"dataset_name": prompted.name, "params": {"brain_key": "prompted"}}
    )
    form = operator("sync_index").resolve_input(ctx).type
    told = form.get_property("drift").view.description
    assert "changed in place go unnoticed" in told
