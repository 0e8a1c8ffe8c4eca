"""What the App's form of Query Similar offers, searches, shows and says."""

from __future__ import annotations

import base64

import fiftyone as fo
import fiftyone.operators as foo
import pytest
from fiftyone.operators.executor import ExecutionContext, Executor

from fiftyone_qdrant.dataset import scope
from fiftyone_qdrant.index.distance_field import with_distances
from fiftyone_qdrant.matches import find_similar
from fiftyone_qdrant.runs import load_index
from tests.plugin.calls import labels_of

URI = "@community/qdrant/"


@pytest.fixture
def ids(indexed):
    return indexed.values("id")


@pytest.fixture
def threes(indexed):
    """A view of the dataset: 4 of the 40 digits are threes."""
    return indexed.match(fo.ViewField("ground_truth.label") == "3")


def context(dataset, view=None, selected=(), params=None, **more):
    """The context of a request of the App."""
    asked = {"dataset_name": dataset.name, "selected": list(selected), **more}
    asked["params"] = params or {}
    if view is not None:
        asked["view"] = view._serialize()

    return ExecutionContext(executor=Executor(), request_params=asked)


def fields(ctx):
    """The form's fields, by name."""
    form = foo.get_operator(URI + "query_similar").resolve_input(ctx)
    return form.type.properties


def run(dataset, view=None, selected=(), operator="query_similar", **params):
    """Executes as the App does; returns the result, and what the App is to do."""
    more = params.pop("more", {})
    if operator == "query_similar":
        params = {"brain_key": "pixels", "tab": "selected", "k": 3, **params}

    ctx = context(dataset, view, selected, params, **more)
    result = foo.get_operator(URI + operator).execute(ctx)
    requests = ctx.executor.to_json()["requests"]
    return result, {r["operator_uri"].rpartition("/")[2]: r["params"] for r in requests}


def shown(dataset, told):
    return fo.DatasetView._build(dataset, told["set_view"]["view"])


def offered(ctx):
    field = fields(ctx)["within"]
    return field.default, [choice.label for choice in field.view.choices]


# --- where it searches ----------------------------------------------------------


def test_a_view_is_searched_by_default_and_counted(indexed, threes):
    count = len(threes)
    places = ["Entire dataset (40)", f"This view ({count})"]
    assert offered(context(indexed, threes)) == ("view", places)


def test_after_a_query_the_default_is_what_it_searched(indexed, threes, ids):
    _, told = run(indexed, selected=ids[:1])
    result = shown(indexed, told)
    places = ["Entire dataset (40)", "Within these 3"]
    assert offered(context(indexed, result)) == ("dataset", places)

    _, told = run(indexed, threes, ids[:1], within="view")
    result = shown(indexed, told)
    before = f"The view before ({len(threes)})"
    places = ["Entire dataset (40)", before, "Within these 3"]
    assert offered(context(indexed, result)) == ("view", places)


def test_a_filter_within_a_result_leaves_what_is_searched(indexed, ids):
    _, told = run(indexed, selected=ids[:1])
    result = shown(indexed, told).limit(2)
    places = ["Entire dataset (40)", "Within these 2"]
    assert offered(context(indexed, result)) == ("dataset", places)


@pytest.mark.parametrize("within", ["dataset", "view", "results"])
def test_a_result_is_replaced_unless_it_is_what_to_search(indexed, threes, ids, within):
    _, told = run(indexed, threes, ids[:1], within="view")
    result = shown(indexed, told)
    found, told = run(indexed, result, ids[:1], within=within, k=0)
    searched = {"dataset": indexed, "view": threes, "results": result}[within]
    assert sorted(found["ids"]) == sorted(searched.values("id"))
    stages = len(shown(indexed, told)._stages)
    assert stages == {"dataset": 1, "view": 2, "results": 3}[within]


def test_a_result_of_patches_is_replaced_with_its_patches(indexed_patches):
    labels = labels_of(indexed_patches)
    asked = {"brain_key": "objects", "more": {"selected_labels": picked(labels[0])}}
    _, told = run(indexed_patches, **asked)
    result = shown(indexed_patches, told)
    assert scope.before(result) is indexed_patches
    place = {"within": "dataset"}
    _, told = run(indexed_patches, result, labels[:1], brain_key="objects", **place)
    assert len(shown(indexed_patches, told)._stages) == len(result._stages)


def picked(label_id):
    return [{"label_id": label_id, "sample_id": "0" * 24, "field": "detections"}]


def test_a_count_that_takes_long_is_not_waited_for(indexed):
    slow = {"body": "function() { sleep(100); return true; }", "args": [], "lang": "js"}
    view = indexed.mongo([{"$match": {"$expr": {"$function": slow}}}])
    assert scope.count(view) is None


# --- what it opens on -----------------------------------------------------------


def test_it_opens_on_text_if_nothing_is_selected_and_the_index_takes_text(prompted):
    some = prompted.first().id
    assert fields(context(prompted))["tab"].default == "text"
    assert fields(context(prompted, selected=[some]))["tab"].default == "selected"
    assert fields(context(prompted, current_sample=some))["tab"].default == "selected"


def test_the_open_sample_is_the_query_if_nothing_is_selected(indexed, ids):
    opened = {"current_sample": ids[5]}
    assert "open sample" in fields(context(indexed, **opened))["selection"].view.label
    found, told = run(indexed, more=opened)
    expected = find_similar(load_index(indexed, "pixels"), ids[5], k=3)
    assert found == expected.to_dict()
    assert "close_sample" in told
    assert told["notify"]["message"].startswith("3 nearest to the open sample (pixels)")


def test_a_selected_label_of_the_open_sample_is_the_query(indexed_patches):
    label = labels_of(indexed_patches)[1]
    opened = {"current_sample": indexed_patches.first().id}
    found, _ = run(
        indexed_patches,
        brain_key="objects",
        more={**opened, "selected_labels": picked(label)},
    )
    assert found["ids"][0] == label


def test_the_last_choices_come_back(indexed, ids):
    chosen = {"k": 7, "refine": True, "hnsw_ef": 64, "max_distance": 0.5}
    chosen |= {"show_distances": False, "dist_field": "dist"}
    run(indexed, selected=ids[:1], **chosen)
    now = fields(context(indexed, selected=ids[:1]))
    assert {name: now[name].default for name in chosen} == chosen
    assert now["brain_key"].default == "pixels"


# --- what it refuses ------------------------------------------------------------


def test_an_upload_is_opened_when_it_arrives(prompted, digit_images):
    for content, wrong in ((digit_images[0].read_bytes(), False), (b"PNG", True)):
        image = {"name": "a.png", "content": base64.b64encode(content).decode()}
        params = {"tab": "image", "image": image}
        field = fields(context(prompted, params=params))["image"]
        assert bool(getattr(field, "invalid", False)) is wrong


# --- what the App shows ---------------------------------------------------------


def test_distances_are_shown_without_being_stored(indexed, ids):
    written = indexed.values("last_modified_at")
    found, told = run(
        indexed, selected=ids[:1], show_distances=True, more={"active_fields": ["tags"]}
    )
    assert told["set_active_fields"]["fields"] == ["tags", "distance"]
    view = shown(indexed, told)
    assert view.values("distance") == pytest.approx(found["distances"])
    assert indexed.count("distance") == 0
    assert indexed.values("last_modified_at") == written


def test_distances_of_patches_are_shown_on_their_tiles(indexed_patches):
    label = labels_of(indexed_patches)[0]
    found, told = run(
        indexed_patches,
        brain_key="objects",
        show_distances=True,
        more={"selected_labels": picked(label)},
    )
    view = shown(indexed_patches, told)
    assert view.values("distance") == pytest.approx(found["distances"])


def test_distances_of_very_many_are_not_shown(indexed, ids):
    many = dict.fromkeys(map(str, range(10_000)), 0.5)
    view = indexed.view()
    assert with_distances(view, many) == (view, None)


def test_a_field_of_others_keeps_its_name_and_values(indexed, ids):
    indexed.set_values("distance", [1.5] * len(ids))
    _, told = run(indexed, selected=ids[:1], show_distances=True)
    assert told["set_active_fields"]["fields"] == ["qdrant_distance"]
    assert shown(indexed, told).values("distance") == [1.5] * 3


def test_a_field_that_stores_distances_becomes_visible(indexed, ids):
    _, told = run(indexed, selected=ids[:1], show_distances=True, dist_field="dist")
    assert told["set_active_fields"]["fields"] == ["dist"]
    assert not indexed.has_field("distance")


def test_what_was_selected_is_selected_again_once_its_matches_are_shown(indexed, ids):
    _, told = run(indexed, selected=ids[:1])
    asked = told["select_examples"]
    assert asked["ids"] == ids[:1]

    _, waiting = run(indexed, operator="select_examples", **asked)
    assert waiting["select_examples"]["tries"] == asked["tries"] - 1
    view = shown(indexed, told)
    _, done = run(indexed, view, operator="select_examples", **asked)
    assert [s["id"] for s in done["set_selected_samples"]["samples"]] == ids[:1]


def test_a_sentence_says_what_was_found_and_how_near(prompted):
    _, told = run(prompted, brain_key="prompted", tab="text", query="a seven")
    words = told["notify"]["message"]
    assert words.startswith("3 nearest to 'a seven' (prompted), 0.")


def test_a_sentence_says_how_near_the_nearest_is_if_nothing_is_near(indexed, digits):
    far = {"tab": "vector", "vector": str((-digits.vectors[3]).tolist())}
    _, told = run(indexed, refine=True, max_distance=0.01, **far)
    assert told["notify"]["message"].startswith("Nothing is within 0.010: the nearest")
    assert "set_view" not in told


def test_a_label_of_the_open_sample_stands_for_it_where_samples_are_indexed(
    indexed, ids
):
    opened = {"current_sample": ids[5], "selected_labels": picked("0" * 24)}
    found, told = run(indexed, more=opened)
    assert found["ids"][0] == ids[5]
    assert "the open sample" in told["notify"]["message"]
