"""Query Similar in the App, tab by tab, against what numpy says."""

from __future__ import annotations

import fiftyone.brain as fob
import numpy as np
import pytest
from playwright.sync_api import expect

import fiftyone_qdrant  # noqa: F401  (registers the backend)

COUNT, K = 60, 6
UNLIKE = [13, 23]


@pytest.fixture
def dataset(make_shown, digits_model):
    """60 digits, two of them tagged, indexed with a model that embeds text."""
    dataset = make_shown(COUNT)
    ids = dataset.values("id")
    dataset.select([ids[n] for n in UNLIKE]).tag_samples("unlike")
    fob.compute_similarity(
        dataset, model=digits_model, backend="qdrant", brain_key="digits"
    )
    return dataset


@pytest.fixture
def model(documented_models):
    return documented_models


@pytest.fixture
def embeddings(dataset, model):
    """Of the model: float64, shape (60, 512), of length 1."""
    return unit(dataset.compute_embeddings(model, progress=False))


def unit(vectors):
    vectors = np.asarray(vectors, dtype=np.float64)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def nearest(embeddings, query, without=()):
    order = np.argsort(-embeddings @ query, kind="stable")
    return [int(n) for n in order if n not in without][:K]


def test_query_similar_tab_by_tab(
    app, dataset, model, embeddings, digits, digit_images
):
    app.open_dataset(dataset.name)
    app.select("number", 3)
    form = app.run_operator("Query Similar")
    form.fill("Number of matches", str(K))
    form.tick("More options")
    form.choose("Unlike", "What has a tag")
    form.expect_refused("Choose a tag")
    form.choose("Tag", "unlike")
    form.execute()
    steered = 2 * embeddings[3] - embeddings[UNLIKE].mean(axis=0)
    app.expect_shown("number", nearest(embeddings, steered, without=[3, *UNLIKE]))

    form = app.run_operator("Query Similar")
    form.expect_tab("Text")  # as nothing is selected
    form.expect_refused("Type what to look for")
    form.expect_chosen("Search in", f"Entire dataset ({COUNT})")  # not in the result
    form.fill("Text", "a photo of a seven")
    form.execute()
    expect(app.toast).to_contain_text(f"{K} nearest to 'a photo of a seven' (digits)")
    seven = unit(model.embed_prompt("a photo of a seven"))
    order = nearest(embeddings, seven)
    app.expect_shown("number", order)
    distances = 1 - embeddings[order] @ seven
    shown = [float(text) for text in app.shown("distance", K)]
    assert shown == pytest.approx(list(distances), abs=0.002)

    app.select("number", order[2])
    form = app.run_operator("Query Similar")
    form.choose("Search in", f"Within these {K}")
    form.execute()
    place = [order[n] for n in np.argsort(-embeddings[order] @ embeddings[order[2]])]
    app.expect_shown("number", place)
    app.expect_selected("number", order[2])
    app.clear_selection()

    form = app.run_operator("Query Similar")
    form.open_tab("Image")
    form.expect_refused("Choose a file")
    form.upload(digit_images[COUNT + 12])
    form.execute()
    picture = np.asarray(digits.vectors[COUNT + 12] * (255 / 16)).reshape(8, 8)
    app.expect_shown("number", nearest(embeddings, unit(model.embed(picture))))

    form = app.run_operator("Query Similar")
    form.open_tab("Vector")
    form.fill("Vector", "1, 2, three")
    form.expect_refused("'three' is not a number")
    form.fill("Vector", "1, 2, 3")
    form.expect_refused("The vectors have 3 dimensions but the index has 512")
    form.fill("Vector", str(embeddings[8].tolist()))
    form.tick("More options")
    form.fill("Diversity", "2")
    form.expect_refused("diversity must be a number from 0 to 1, not 2")
    form.fill("Diversity", "0")
    form.execute()
    app.expect_shown("number", nearest(embeddings, embeddings[8]))
