"""A person starts an index, goes on looking, cancels, resumes and is told the end."""

from __future__ import annotations

from playwright.sync_api import expect

from fiftyone_qdrant import load_index
from tests.browser.status_panel import StatusPanel

COUNT = 1500  # more than the two batches that are written while one is looking


def test_an_index_is_begun_cancelled_resumed_and_its_end_told(app, make_shown):
    dataset = make_shown(COUNT)
    app.open_dataset(dataset.name)
    form = app.run_operator("Create Qdrant Index")
    form.execute()

    app.page.locator('[data-cy="panel-tab-qdrant_status"]').wait_for()
    panel = StatusPanel(app)  # beside the grid, which stays free
    panel.click("Cancel")
    panel.expect_text("Creating 'embedding_sim' was cancelled")
    app.select("number", 3)
    panel.click("Resume")
    app.expect_told(f"Creating 'embedding_sim' is done: {COUNT:,} points")
    panel.expect_row("embedding_sim", Missing="0", State="● ready")
    expect(panel.box.get_by_role("button", name="Resume")).to_have_count(0)
    dataset.reload()
    assert load_index(dataset, "embedding_sim").total_index_size == COUNT
