"""The events of Qdrant Curate outside the App."""

from __future__ import annotations

import fiftyone as fo
import pytest

from fiftyone_qdrant import load_index, make_map
from fiftyone_qdrant.qdrant.reads import CollectionReads
from tests.plugin.calls import call
from tests.plugin.test_search_panel import Page as SearchPage

FOUND = {"brain_key": "pixels", "threshold": 0.2}
AUDITED = {"brain_key": "pixels", "field": "truth", "k": 5}


class Page(SearchPage):
    """The panel in a browser."""

    panel = "@community/qdrant/qdrant_curate"


@pytest.fixture
def labelled(indexed, digits):
    """The indexed digits with their labels in the field "truth", the first wrong."""
    labels = [fo.Classification(label=str(n)) for n in digits.labels[:40]]
    labels[0] = fo.Classification(label="7")
    indexed.set_values("truth", labels)
    return indexed


@pytest.fixture
def page(labelled):
    """The panel, just opened."""
    opened = Page(labelled)
    opened.send("on_load")
    return opened


def test_without_an_index_one_is_offered(dataset):
    page = Page(dataset)
    page.send("on_load")
    assert "create" in page.drawn
    page.send("create")
    assert page.told["show_panel_output"]
    assert "create_qdrant_index" in str(page.told)


@pytest.mark.parametrize(
    ("part", "name"), [("duplicates", "find"), ("labels", "audit"), ("next", "choose")]
)
def test_a_part_that_was_not_asked_says_what_it_is_for(page, part, name):
    page.send("choose_part", part=part)
    assert {"empty", name} <= page.drawn.keys()


@pytest.fixture
def duplicates(labelled, page):
    """The panel, with near-duplicates found."""
    call("find_near_duplicates", labelled, **FOUND)
    page.send("refresh")
    return page


def test_moving_the_slider_asks_qdrant_nothing(duplicates, monkeypatch):
    before = duplicates.state["dup"]["groups"]
    with_nothing_to_ask(monkeypatch)
    duplicates.send("change_cut", value=0.2)
    assert "problem_alert" not in duplicates.drawn
    assert duplicates.state["dup"]["groups"] > before
    assert f"**{duplicates.state['dup']['groups']}** groups" in words(duplicates, "dup")


def with_nothing_to_ask(monkeypatch):
    """Has every call to an engine fail."""

    def fail(*args, **kwargs):
        raise AssertionError("Qdrant was asked")

    for name in ("retrieve", "scroll", "count"):
        monkeypatch.setattr(CollectionReads, name, fail)


def words(page, part):
    return page.drawn[f"{part}_words"].default or str(vars(page.drawn[f"{part}_words"]))


def test_groups_that_may_stay_are_left_out_until_they_are_looked_at_again(duplicates):
    duplicates.send("show_tiles")
    count = duplicates.state["dup"]["groups"]
    duplicates.selected = duplicates.view.values("id")[:1]
    duplicates.send("leave_selected")
    assert duplicates.state["dup"]["groups"] == count - 1
    again = Page(duplicates._dataset)
    again.send("on_load")
    assert again.state["dup"]["reviewed"] == 1
    again.send("look_again")
    assert again.state["dup"]["groups"] == count


def test_what_is_kept_is_chosen_without_a_search(duplicates):
    duplicates.send("change_keep", value="newest")
    duplicates.send("show_flat")
    newest = duplicates.view.values("id")[0]
    assert newest > min(duplicates.view.values("id"))
    assert duplicates.state["dup"]["keep"] == "newest"


@pytest.fixture
def audited(labelled, page):
    """The panel, with labels audited."""
    call("audit_labels", labelled, **AUDITED)
    page.send("choose_part", part="labels")
    return page


def test_a_suggestion_is_accepted_and_undone(labelled, digits, audited):
    first = audited.state["audit"]["one"]
    path = "truth.label"
    assert labelled.select([first]).values(path) == ["7"]
    audited.send("accept_one")
    assert labelled.select([first]).values(path) == [str(digits.labels[0])]
    assert audited.state["audit"]["one"] != first
    assert not audited.state["audit"]["outdated"]
    audited.send("undo")
    assert labelled.select([first]).values(path) == ["7"]
    assert audited.state["audit"]["one"] == first


def test_what_is_right_stays_right_in_the_next_audit(labelled, audited):
    first = audited.state["audit"]["one"]
    audited.selected = [first]
    audited.send("ignore_selected")
    call("audit_labels", labelled, **AUDITED)
    audited.send("refresh")
    assert audited.state["audit"]["one"] != first


def test_a_cell_of_the_matrix_opens_in_the_grid(digits, audited):
    first = audited.state["audit"]["one"]
    audited.send("show_cell", y="7", x=str(digits.labels[0]))
    assert first in audited.shown


def test_the_first_of_those_chosen_are_shown_in_order(labelled, page):
    ids = call("select_samples", labelled, brain_key="pixels", n=6)["ids"]
    page.send("choose_part", part="next")
    page.send("change_first", value=4)
    page.send("show_chosen")
    assert page.shown == ids[:4]
    page.send("save_chosen")
    assert labelled.load_saved_view("label next").values("id") == ids[:4]


def test_an_answer_that_is_out_of_date_says_so(labelled, duplicates):
    index = load_index(labelled, "pixels")
    index.remove_from_index(sample_ids=labelled.values("id")[:2])
    duplicates.send("refresh")
    assert "held 40 then" in duplicates.drawn["outdated"].view.description


def test_an_audit_made_again_is_not_out_of_date(labelled, audited):
    second = labelled.skip(1).first()
    second["truth"].label = "8"
    second.save()
    audited.send("refresh")
    assert "1 labels" in audited.drawn["outdated"].view.description
    call("audit_labels", labelled, **AUDITED)
    audited.send("refresh")
    assert "outdated" not in audited.drawn


def test_where_all_is_given_nothing_is_chosen(labelled, page):
    labelled.tag_samples("done")
    done = call("select_samples", labelled, brain_key="pixels", n=6, given="done")
    assert done["ids"] == []
    page.send("choose_part", part="next")
    assert "problem_alert" not in page.drawn
    assert "like what is labelled" in words(page, "next")
    assert "curve" not in page.drawn


def test_patches_are_curated_as_patches(indexed_patches):
    key = {"brain_key": "objects"}
    call("find_near_duplicates", indexed_patches, threshold=0.1, **key)
    call("audit_labels", indexed_patches, field="detections", k=5, **key)
    ids = call("select_samples", indexed_patches, n=6, **key)["ids"]
    page = Page(indexed_patches)
    page.send("on_load")
    page.send("show_tiles")
    count = page.state["dup"]["groups"] + page.state["dup"]["remove"]
    assert len(page.shown) == count
    page.send("choose_part", part="labels")
    assert page.state["closely"]["others"][0]["picture"].startswith("data:image")
    page.send("choose_part", part="next")
    page.send("show_chosen")
    assert page.shown == ids


def test_the_map_gets_a_field_to_color_it_by(labelled, audited):
    make_map(labelled, "pixels")
    audited.send("open_map")
    assert audited.told["notify"]["message"].endswith("color it by 'doubt_1'")
    assert max(labelled.values("doubt_1")) > 0.5
