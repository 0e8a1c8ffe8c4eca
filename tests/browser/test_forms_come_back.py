"""A form whose call fails is there again, filled in, and says what went wrong."""

from __future__ import annotations

import fiftyone.brain as fob
import pytest
from playwright.sync_api import expect

from fiftyone_qdrant.runs import load_index
from tests.browser.app import Form
from tests.browser.status_panel import StatusPanel

GONE = "There is no collection"


@pytest.fixture
def dataset(make_shown, digits_model):
    dataset = make_shown(20)
    fob.compute_similarity(
        dataset, model=digits_model, backend="qdrant", brain_key="digits"
    )
    return dataset


def from_the_browser(app) -> Form:
    return app.run_operator("Query Similar")


def from_a_row(app) -> Form:
    return StatusPanel(app).act("digits", "Search")


@pytest.mark.parametrize("door", [from_the_browser, from_a_row])
def test_a_form_whose_call_fails_comes_back_as_it_was(app, dataset, door):
    app.open_dataset(dataset.name)
    form = door(app)
    form.open_tab("Text")
    form.fill("Text", "a photo of a seven")
    form.fill("Number of matches", "7")
    load_index(dataset, "digits").collection.drop()
    form.execute_button.click()
    expect(app.toast.first).to_contain_text(GONE)
    expect(form.box.get_by_text("That did not work")).to_be_visible()
    expect(form.box.get_by_text(GONE)).to_be_visible()
    form.expect_filled("Text", "a photo of a seven")
    form.expect_filled("Number of matches", "7")
