"""Qdrant Curate beside the grid, as a person uses it: each of its three parts."""

from __future__ import annotations

import re

import fiftyone as fo
import fiftyone.brain as fob
import pytest
from playwright.sync_api import expect

from fiftyone_qdrant import audit_labels, near_duplicates, select_samples
from fiftyone_qdrant.curate import stored
from fiftyone_qdrant.curate.duplicates import groups_at
from tests.browser.app import App, Form

COUNT = 40


@pytest.fixture
def dataset(make_shown, digits):
    """40 indexed digits with labels, the first one wrong; each answer is kept."""
    dataset = make_shown(COUNT)
    labels = ["7", *map(str, digits.labels[1:COUNT])]
    dataset.set_values("truth", [fo.Classification(label=v) for v in labels])
    fob.compute_similarity(
        dataset, embeddings="embedding", backend="qdrant", brain_key="pixels"
    )
    answers = {
        "find_near_duplicates": near_duplicates(dataset, "pixels", 0.2, keep="number"),
        "audit_labels": audit_labels(dataset, "pixels", "truth", k=5),
        "select_samples": select_samples(dataset, "pixels", 6),
    }
    for kind, answer in answers.items():
        slot = "truth" if kind == "audit_labels" else ""
        stored.keep(dataset, answer, kind, slot=slot)

    return dataset


@pytest.fixture
def panel(app, dataset):
    """The panel, opened beside the grid."""
    app.open_dataset(dataset.name)
    app._start_operator("Open Qdrant Curate")
    box = app.page.locator('[data-cy="panel-content-qdrant_curate"]')
    box.wait_for()
    return box


def click(panel, name):
    panel.get_by_role("button", name=name, exact=True).click()


def turn_to(panel, part, shown):
    """Turn to a part, again if FiftyOne drew an older answer over the newer one."""
    App._until(shown, lambda: click(panel, part))


def numbers(dataset, ids):
    of = dict(zip(*dataset.values(["id", "number"]), strict=True))
    return [of[i] for i in ids]


def test_the_three_parts_are_gone_through(app, dataset, digits, panel):
    """One page for all of them: to open another takes longer than what is tested."""
    _, groups = groups_at(dataset, "pixels", 0.1)
    expect(panel.get_by_text(f"{len(groups)} groups")).to_be_visible()
    click(panel, "Show groups")
    app.expect_shown("number", numbers(dataset, [g[0] for g in groups]))

    gone = [i for group in groups for i in group[1:]]
    click(panel, f"Delete {len(gone)}…")
    form = Form(app.page)
    form.fill(f"Type {len(gone)} to delete them", str(len(gone) - 1))
    form.expect_refused(f"That is not {len(gone)}")
    form.fill(f"Type {len(gone)} to delete them", str(len(gone)))
    form.execute()
    form.result("Near-duplicates deleted")
    form.close()
    expect(panel.get_by_text(re.compile("^0 groups"))).to_be_visible()
    dataset.reload()
    assert len(dataset) == COUNT - len(gone)
    assert not set(gone) & set(dataset.values("id"))

    right = str(digits.labels[0])
    accept = panel.get_by_role("button", name=f"Accept '{right}'")
    turn_to(panel, "Doubtful labels", accept)
    accept.click()
    expect(panel.get_by_role("button", name="Undo")).to_be_visible()
    assert label_of_first(dataset) == right
    turn_to(panel, "Near-duplicates", panel.get_by_text(re.compile("^0 groups")))
    turn_to(panel, "Doubtful labels", panel.get_by_role("button", name="Undo"))
    expect(accept).to_have_count(0)
    click(panel, "Undo")
    expect(panel.get_by_role("button", name="Undo")).to_have_count(0)
    assert label_of_first(dataset) == "7"

    show = panel.get_by_role("button", name="Show 6 in the grid")
    turn_to(panel, "Label next", show)
    expect(panel.get_by_text("Out of date")).to_be_visible()
    show.click()
    chosen = stored.latest(dataset, "select_samples", "pixels")
    ids = [i for i in stored.read(dataset, chosen).ids if i not in gone]
    app.expect_shown("number", numbers(dataset, ids))


def label_of_first(dataset):
    """The label of the digit whose number is 0, as it is in the database."""
    return dataset.match({"number": 0}).values("truth.label")[0]
