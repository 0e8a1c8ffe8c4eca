"""Query Similar with all it can be asked, from Python and as its form sends it."""

from __future__ import annotations

import base64

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant.matches import find_similar
from fiftyone_qdrant.runs import load_index
from tests.plugin.calls import call, labels_of, operator, sentence

FOUND = {"ids", "sample_ids", "distances", "scores"}
URI = "@community/qdrant/query_similar"


@pytest.fixture
def ids(indexed):
    return indexed.values("id")


def answer(dataset, key, query=None, **how):
    """What the library finds."""
    return find_similar(load_index(dataset, key), query, **how).to_dict()


def form(dataset, tab, selected=(), **params):
    """What the operator returns when the App sends its form."""
    ctx = {"dataset": dataset, "selected": list(selected)}
    return call("query_similar", ctx, tab=tab, **{"k": 25, **params})


# --- from Python ----------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        {"max_distance": 0.3},
        {"diversity": 0.6},
        {"exact": True},
        {"hnsw_ef": 64},
        {"diversity": 0.3, "max_distance": 0.4, "exact": True},
    ],
    ids=str,
)
def test_options_are_those_of_the_library(indexed, ids, how):
    found = call("query_similar", indexed, brain_key="pixels", query=ids[5], k=6, **how)
    assert found == answer(indexed, "pixels", ids[5], k=6, **how)
    typed = operator("query_similar")(indexed, "pixels", query=ids[5], k=6, **how)
    assert typed.result == found


@pytest.mark.parametrize("kind", ["ids", "vectors"])
def test_negatives_are_ids_or_vectors(indexed, ids, digits, kind):
    negatives = ids[7:9] if kind == "ids" else digits.vectors[7:9].tolist()
    params = {"query": ids[5], "negatives": negatives, "k": 6}
    found = call("query_similar", indexed, brain_key="pixels", **params)
    assert found == answer(indexed, "pixels", ids[5], negatives=negatives, k=6)
    assert ids[5] not in found["ids"]
    assert operator("query_similar")(indexed, "pixels", **params).result == found


@pytest.mark.parametrize("form", ["path", "bytes", "text"])
def test_image_is_a_path_or_its_bytes(prompted, digit_images, form):
    path = digit_images[100]
    image = {"path": path, "bytes": path.read_bytes(), "text": str(path)}[form]
    found = operator("query_similar")(prompted, "prompted", image=image, k=5).result
    assert found == answer(prompted, "prompted", image=path, k=5)


@pytest.mark.parametrize(
    ("how", "saying"),
    [
        ({"reverse": True, "diversity": 0.5}, "reverse asks for the farthest"),
        ({"reverse": True, "max_distance": 1.0}, "reverse asks for the farthest"),
        ({"exact": True, "hnsw_ef": 9}, "hnsw_ef is for approximate searches"),
        ({"diversity": 3}, "diversity must be a number from 0 to 1"),
        ({"k": 0, "diversity": 0.5}, "give a k of 1 to 1000"),
    ],
    ids=str,
)
def test_contradictions_are_refused(indexed, ids, how, saying):
    with pytest.raises(ExecutionError) as caught:
        call("query_similar", indexed, brain_key="pixels", query=ids[0], **how)
    assert saying in sentence(caught.value)


def test_no_matches_leave_the_app_as_it_is(indexed, ids):
    params = {"brain_key": "pixels", "query": ids[0], "negatives": ids[1:2]}
    done = foo.execute_operator(
        URI, {"dataset": indexed}, params={**params, "max_distance": 1e-6}
    )
    assert done.result["ids"] == []
    (request,) = done.executor._requests
    assert request.operator_uri.endswith("notify")


# --- as the form sends it -------------------------------------------------------


def test_tab_of_the_selection(indexed, ids):
    found = form(indexed, "selected", ids[3:5], brain_key="pixels", query="a text")
    assert found == answer(indexed, "pixels", ids[3:5], k=25)


def test_an_emptied_number_of_matches_is_the_default_and_0_is_all(indexed, ids):
    for k, expected in ((None, 25), (0, len(ids))):
        found = form(indexed, "selected", ids[:1], brain_key="pixels", k=k)
        assert len(found["ids"]) == expected


def test_tab_of_text(prompted):
    found = form(prompted, "text", brain_key="prompted", query="a seven", k=4)
    assert found == answer(prompted, "prompted", "a seven", k=4)


def test_tab_of_an_image(prompted, digit_images):
    content = base64.b64encode(digit_images[100].read_bytes()).decode()
    image = {"name": "a.png", "type": "image/png", "size": 9, "content": content}
    found = form(prompted, "image", brain_key="prompted", image=image, k=4)
    assert found == answer(prompted, "prompted", image=digit_images[100], k=4)


@pytest.mark.parametrize("mark", [", ", ";", " \n"], ids=repr)
def test_tab_of_a_vector(indexed, digits, mark):
    vector = digits.vectors[100].tolist()
    text = "[" + mark.join(map(str, vector)) + "]"
    found = form(indexed, "vector", brain_key="pixels", vector=text, k=4)
    assert found == answer(indexed, "pixels", vector, k=4)


@pytest.mark.parametrize("unlike", ["tag", "ids", "selection"])
def test_negatives_of_the_form(indexed, ids, digits, unlike):
    indexed.select(ids[7:9]).tag_samples("bad")
    found = form(
        indexed,
        "vector",
        ids[7:9],
        brain_key="pixels",
        vector=str(digits.vectors[5].tolist()),
        refine=True,
        negatives_from=unlike,
        negatives_tag="bad",
        negatives_ids=f"{ids[7]}, {ids[8]}\n",
    )
    vector = digits.vectors[5]
    assert found == answer(indexed, "pixels", vector, k=25, negatives=ids[7:9])


def test_negatives_by_the_tags_of_labels(indexed_patches):
    labels = indexed_patches.values("detections.detections.id", unwind=True)
    bad = labels[20:22]
    indexed_patches.select_labels(ids=bad).tag_labels("bad", "detections")
    view = indexed_patches.to_patches("detections")
    found = call(
        "query_similar",
        {"view": view, "selected": labels[:1]},
        brain_key="objects",
        k=5,
        tab="selected",
        refine=True,
        negatives_from="tag",
        negatives_tag="bad",
    )
    assert found == answer(indexed_patches, "objects", labels[0], k=5, negatives=bad)


def test_what_is_folded_away_does_not_count(indexed, ids):
    hidden = {"max_distance": 0.01, "diversity": 2, "negatives_from": "selection"}
    found = form(
        indexed, "selected", ids[:1], brain_key="pixels", refine=False, **hidden
    )
    assert found == answer(indexed, "pixels", ids[0], k=25)


@pytest.mark.parametrize("within", ["view", "dataset"])
def test_the_form_says_where_to_search(indexed, ids, within):
    view = indexed.match(fo.ViewField("ground_truth.label") == "3")
    searched = view if within == "view" else indexed
    ctx = {"view": view, "selected": ids[:1]}
    params = {"brain_key": "pixels", "k": 25, "tab": "selected", "within": within}
    found = call("query_similar", ctx, **params)
    assert found == answer(searched, "pixels", ids[0], k=25)


REFUSED = {
    "no text": ({"tab": "text", "query": ""}, "does not embed text"),
    "no image": ({"tab": "image"}, "no model to embed the image with"),
    "no vector": ({"tab": "vector", "vector": ""}, "Give the numbers of a vector"),
    "no numbers": ({"tab": "vector", "vector": "1, x"}, "'x' is not a number"),
    "few numbers": ({"tab": "vector", "vector": "1, 2"}, "2 dimensions but the index"),
    "no tag": ({"refine": True, "negatives_from": "tag"}, "Nothing has a tag yet"),
    "no ids": ({"refine": True, "negatives_from": "ids"}, "Paste at least one id"),
    "a prompt": (
        {"refine": True, "negatives_from": "ids", "negatives_ids": "nonsense"},
        "'nonsense' is not a FiftyOne id",
    ),
    "other ids": (
        {"refine": True, "negatives_from": "ids"}
        | {"negatives_ids": f"{'6' * 24} {'7' * 24}"},
        f"2 ids are not in index 'pixels', such as '{'6' * 24}'",
    ),
    "a number": (
        {"refine": True, "negatives_from": "ids", "negatives_ids": 123},
        "'123' is not a FiftyOne id",
    ),
    "itself": (
        {"refine": True, "negatives_from": "selection"},
        "The selection is what you look for",
    ),
    "reverse": (
        {"refine": True, "negatives_from": "ids", "reverse": True}
        | {"negatives_ids": "6" * 24},
        "reverse asks for the farthest",
    ),
    "a dict": ({"tab": "vector", "vector": {"$ne": 1}}, "A vector is written as text"),
    "another tab": ({"tab": "__class__"}, "There is no tab '__class__'"),
    "a field of FiftyOne": ({"dist_field": "_cls"}, "cannot be the name of a field"),
    "a field of others": (
        {"dist_field": "pixels", "overwrite": True},
        "Distances cannot be stored in 'pixels', which is a VectorField",
    ),
    "diverse": ({"refine": True, "diversity": 1.5}, "diversity must be a number"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_form_says_at_the_field_what_is_wrong(indexed, ids, case):
    params, saying = REFUSED[case]
    with pytest.raises(ExecutionError, match="Validation error") as caught:
        form(
            indexed,
            selected=ids[:1],
            brain_key="pixels",
            **{"tab": "selected", **params},
        )
    assert saying in str(caught.value)


def test_the_form_says_that_the_selection_is_not_indexed(indexed, ids):
    load_index(indexed, "pixels").remove_from_index(sample_ids=ids[3:5])
    counts = {"The example is": ids[3:4], "1 of the 2 examples is": ids[2:4]}
    for saying, selected in {**counts, "2 of the 4 examples are": ids[2:6]}.items():
        with pytest.raises(ExecutionError, match=f"{saying} not in index 'pixels'"):
            form(indexed, "selected", selected, brain_key="pixels")


def test_the_form_asks_before_a_field_of_others_is_replaced(indexed, ids):
    indexed.set_values("score", [0.5] * len(ids))
    asked = {"brain_key": "pixels", "k": 3, "dist_field": "score"}
    with pytest.raises(ExecutionError, match=r"score' exists.*overwrite=True"):
        form(indexed, "selected", ids[:1], **asked)
    assert indexed.values("score") == [0.5] * len(ids)
    form(indexed, "selected", ids[:1], overwrite=True, **asked)
    assert indexed.count("score") == 3
    form(indexed, "selected", ids[:1], **{**asked, "k": 2})  # it is ours now
    assert indexed.count("score") == 2
    told = operator("query_similar")(indexed, "pixels", ids[0], 1, dist_field="score")
    assert (len(told.result["ids"]), indexed.count("score")) == (1, 1)


# --- what is asked for ----------------------------------------------------------


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
