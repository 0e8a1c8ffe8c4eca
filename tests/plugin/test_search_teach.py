"""Teaching, and other datasets, in Qdrant Search outside the App."""

import fiftyone as fo
import fiftyone.brain as fob
import pytest

from tests.plugin.test_search_panel import Page


@pytest.fixture
def page(indexed):
    page = Page(indexed)
    page.send("on_load")
    return page


def mark(page, likes=(), dislikes=()):
    """Marks tiles as the App does, and learns."""
    page._asked["selected_samples"] = [
        *({"id": i, "type": "default"} for i in likes),
        *({"id": i, "type": "alt"} for i in dislikes),
    ]
    page.send("teach_selected")
    page._asked["selected_samples"] = []


def labels(dataset, ids):
    return dataset.select(ids, ordered=True).values("ground_truth.label")


def test_marks_are_thumbs_while_teaching(page):
    page.send("toggle_teach")
    style = page.told["set_sample_selection_style"]
    assert style == {"default": "thumbsup", "alt": "thumbsdown"}
    assert "learn" not in page.drawn["teaching"].type.properties
    page.send("toggle_teach")
    assert "clear_sample_selection_style" in page.told


def test_rounds_teach_a_ranking_that_is_shown(page, indexed):
    found = indexed.values(["id", "ground_truth.label"])
    ids = {label: [] for label in found[1]}
    for i, label in zip(*found, strict=True):
        ids[label].append(i)

    one, two = list(ids.values())[:2]
    page.send("toggle_teach")
    mark(page, likes=one[:2], dislikes=two[:1])
    assert set(page.shown[:2]) == set(one[:2])
    assert "clear_selected_samples" in page.told
    mark(page, dislikes=two[1:2])
    words = page.drawn["taught_words"].view.description or ""
    told = words or page.drawn["taught_words"].default
    assert "Round 2" in told
    assert "2 liked · 2 not" in told

    page.send("show_unsure")
    assert not {*one[:2], *two[:2]} & set(page.shown)
    page.send("show_taught")
    assert set(page.shown[:2]) == set(one[:2])

    page.state["taught"] = {"field": "liked"}
    page.send("store_taught")
    indexed.reload()
    (best,) = indexed.select(one[0]).values("liked")
    (worst,) = indexed.select(two[0]).values("liked")
    assert best > 0.5 > worst

    page.send("forget_taught")
    assert "taught" not in page.state["kept"]["asked"]


def test_another_page_goes_on_with_what_was_taught(page, indexed):
    ids = indexed.values("id")
    mark(page, likes=ids[:1], dislikes=ids[1:2])
    page.state["token"] = "another server"
    mark(page, likes=ids[2:3])
    assert page.state["kept"]["asked"]["taught"] == {
        "likes": [ids[0], ids[2]],
        "dislikes": [ids[1]],
        "rounds": 2,
    }


@pytest.fixture
def other(indexed, make_dataset, digits):
    """Twenty more digits of another dataset, of which the first ten are the same."""
    dataset = make_dataset(50)
    dataset.delete_samples(dataset.values("id")[10:40])
    index = fob.compute_similarity(
        dataset,
        embeddings=digits.vectors[[*range(10), *range(40, 50)]],
        backend="qdrant",
        brain_key="theirs",
    )
    yield dataset
    index.collection.drop()


def choose(page, other):
    page.send("toggle_other")
    page.send("change_other", value=f"{other.name} · theirs")


def test_unknown_models_are_refused_unless_forced(page, indexed, other):
    page.ask(indexed.first().id)
    choose(page, other)
    page.send("find_there")
    assert "force" in page.problem
    page.send("change_force", value=True)
    page.send("find_there")
    assert "there_words" in page.drawn


def test_what_is_found_there_is_kept_there_and_brought_here(
    page,
    indexed,
    other,
):
    page.ask(indexed.first().id)
    choose(page, other)
    page.send("change_force", value=True)
    page.send("find_there")
    page.state["kept_there"] = {"name": "From here"}
    page.send("save_there")
    other.reload()
    assert other.load_saved_view("From here").first().id == other.first().id
    assert "there_link" in page.drawn

    before = len(indexed)
    page.send("add_here")
    new = indexed.exists("found_in")
    assert len(indexed) == before + len(new) == before + 10
    assert new.distinct("found_in") == [other.name]


def test_what_one_of_both_lacks(page, indexed, other):
    choose(page, other)
    page.send("change_force", value=True)
    page.send("find_missing_there")
    assert set(page.shown[-10:]) == set(indexed.values("id")[:10])
    page.send("find_missing_here")
    page.state["kept_there"] = {"name": "Missing"}
    page.send("save_there")
    other.reload()
    missing = fo.load_dataset(other.name).load_saved_view("Missing").values("id")
    assert set(missing[:10]) == set(other.values("id")[10:])
