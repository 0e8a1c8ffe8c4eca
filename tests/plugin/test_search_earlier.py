"""Qdrant Search: what was asked before, what is new of it, and why one is not found."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_qdrant.explore import history, standing
from tests.plugin.calls import call
from tests.plugin.test_search_panel import Page


@pytest.fixture
def page(indexed):
    page = Page(indexed)
    page.send("on_load")
    return page


@pytest.fixture
def ids(indexed):
    return indexed.values("id")


def kept(dataset):
    return history.searches(dataset)


def test_each_search_is_kept_and_asked_again(page, indexed, ids):
    page.ask(ids[0])
    first = page.shown
    page.ask(ids[1])
    last, before = kept(indexed)
    assert (last.count, before.count) == (len(ids), len(ids))

    page.send("toggle_history")
    assert f"earlier_{before.id}" in page.drawn
    page.send("ask_again", search=before.id)
    assert page.shown == first
    assert len(kept(indexed)) == 2


def test_a_search_is_named_pinned_and_deleted(page, indexed, ids):
    page.ask(ids[0])
    (search,) = kept(indexed)
    page.send("open_search", search=search.id)
    page.state[f"named_{search.id}"] = {"name": "zeros"}
    page.send("rename", search=search.id)
    page.send("pin", search=search.id)
    (search,) = kept(indexed)
    assert (search.name, search.pinned) == ("zeros", True)

    page.send("delete", search=search.id)
    assert kept(indexed) == []


def test_a_pinned_search_tells_what_is_new_and_shows_it(page, indexed, ids, digits):
    page.ask(ids[0])
    (search,) = kept(indexed)
    page.send("stand", search=search.id)
    (new,) = indexed.add_samples([fo.Sample("/new.png", pixels=digits.vectors[0])])
    call("sync_index", indexed, brain_key="pixels")

    page.send("refresh")
    assert (
        "1 new since"
        in page.drawn[f"news_{search.id}"].type.properties["words"].default
    )
    page.send("show_news", search=search.id)
    assert page.shown == [new]
    assert standing.news(indexed) == []


def why(page, *selected):
    page.selected = list(selected)
    page.send("explain_selected")
    return [
        field.type.properties["words"].default
        for name, field in page.drawn.items()
        if name.startswith("why_") and name != "why_close"
    ]


def test_why_one_is_not_here_and_a_button_that_brings_it_in(page, ids):
    page.ask(ids[0])
    page.send("change_k", value=5)
    missing = next(i for i in ids if i not in page.shown)
    (words,) = why(page, missing)
    assert "and 5 were asked for" in words

    rank = int(words.split()[1])
    page.send("bring_in", cause="beyond k", value=rank)
    assert page.shown[-1] == missing


def test_why_of_what_is_there_and_of_what_is_not_indexed(page, indexed, ids):
    (new,) = indexed.add_samples([fo.Sample("/new.png", pixels=np.ones(64))])
    page.ask(ids[0])
    here, outside = why(page, ids[0], new)
    assert here == "It is there: hit 1, at 0"
    assert outside.startswith("Not indexed")
    page.send("bring_in", cause="not indexed", value=None)
    assert page.told["prompt_user_for_operation"]["params"] == {"brain_key": "pixels"}


def test_what_is_typed_is_one_search(prompted):
    page = Page(prompted)
    page.send("on_load")
    for text in ("ze", "zer", "zero"):
        page.send("type_text", value=text)

    (search,) = kept(prompted)
    assert search.name == "zero"
