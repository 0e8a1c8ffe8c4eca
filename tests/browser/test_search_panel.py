"""Qdrant Search beside the grid, as a person uses it, against what numpy says."""

from __future__ import annotations

import fiftyone.brain as fob
import numpy as np
import pytest
from playwright.sync_api import expect

import fiftyone_qdrant  # noqa: F401  (registers the backend)

COUNT, K = 60, 12


@pytest.fixture
def dataset(make_shown, digits_model):
    """60 digits, indexed with a model that embeds text."""
    dataset = make_shown(COUNT)
    fob.compute_similarity(
        dataset, model=digits_model, backend="qdrant", brain_key="digits"
    )
    return dataset


@pytest.fixture
def embeddings(dataset, documented_models):
    """Of the model: float64, shape (60, 512), of length 1."""
    return unit(dataset.compute_embeddings(documented_models, progress=False))


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float64)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def nearest(embeddings, query, without=()):
    order = np.argsort(-embeddings @ query, kind="stable")
    return [int(n) for n in order if n not in without][:K]


class Panel:
    """The open panel."""

    def __init__(self, app):
        app._start_operator("Open Qdrant Search")
        self.app = app
        self.box = app.page.locator('[data-cy="panel-content-qdrant_search"]')
        self.text = self.box.get_by_placeholder("Type, or select in the grid")
        self.text.wait_for()

    def click(self, name, nth=0):
        """Click a button."""
        self.box.get_by_role("button", name=name, exact=True).nth(nth).click()

    def expect_found(self, words):
        """Wait until it says how many are shown."""
        expect(self.box.get_by_text(words).first).to_be_visible()

    def bar(self, number):
        """Click a bar of the histogram, where it stands."""
        bar = self.box.locator(".js-plotly-plot .bars path").nth(number)
        bar.wait_for()
        box = bar.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.app.page.mouse.click(x, y)


def test_a_person_searches_beside_the_grid(
    app, dataset, embeddings, documented_models, digits, digit_images
):
    app.open_dataset(dataset.name)
    panel = Panel(app)
    panel.click("Options")
    number = panel.box.locator("input[type=number]").first
    number.fill(str(K))
    panel.text.fill("a photo of a seven")
    seven = unit(documented_models.embed_prompt("a photo of a seven"))
    order = nearest(embeddings, seven)
    app.expect_shown("number", order)
    distances = 1 - embeddings[order] @ seven
    shown = [float(text) for text in app.shown("distance", K)]
    assert shown == pytest.approx(list(distances), abs=0.002)

    # the cut is moved, and taken away
    panel.bar(0)
    edge = distances[0] + (distances[-1] - distances[0]) / 40
    within = int(np.count_nonzero(distances <= edge))
    panel.expect_found(f"{within} of {K}")
    app.expect_shown("number", order[:within])
    panel.click(f"Show all {K}")
    app.expect_shown("number", order)

    # an example instead, and what it should be unlike
    app.select("number", order[0])
    panel.click("Find similar")
    app.expect_shown("number", nearest(embeddings, embeddings[order[0]]))
    expect(panel.text).to_have_value("")
    app.clear_selection()
    app.clear_selection()
    other = nearest(embeddings, embeddings[order[0]])[3]
    app.select("number", other)
    panel.click("Add unlike")
    steered = 2 * embeddings[order[0]] - embeddings[other]
    app.expect_shown("number", nearest(embeddings, steered, without=(order[0], other)))

    # a picture of one's own
    panel.click("Drop", nth=1)
    app.expect_shown("number", nearest(embeddings, embeddings[order[0]]))
    panel.click("Drop")
    panel.click("Picture")
    panel.box.locator("input[type=file]").set_input_files(digit_images[COUNT + 12])
    picture = np.asarray(digits.vectors[COUNT + 12] * (255 / 16)).reshape(8, 8)
    order = nearest(embeddings, unit(documented_models.embed(picture)))
    app.expect_shown("number", order)
    expect(panel.box.get_by_text(digit_images[COUNT + 12].name)).to_have_count(1)

    # and what is found is kept
    panel.click("Tag", nth=1)
    panel.box.get_by_role("button", name=f"Tag {K}").wait_for()
    panel.box.get_by_role("textbox").last.fill("mine")
    panel.click(f"Tag {K}")
    app.expect_told(f"Tagged {K} with 'mine'")
    dataset.reload()
    assert set(dataset.match_tags("mine").values("number")) == set(order)


def test_a_person_teaches_with_thumbs_on_tiles(app, dataset):
    app.open_dataset(dataset.name)
    panel = Panel(app)
    panel.click("Teach")
    app.select("number", 0)
    tile = app.tiles.filter(has=app.page.locator('[title="number: 1"]')).first
    tile.hover()
    tile.locator('[data-cy="looker-checkbox-"]').click(modifiers=["Alt"])
    panel.click("Learn from 2")
    panel.expect_found("1 liked · 1 not")
    panel.click("Unsure ones")
    panel.expect_found("50")
