"""Take the documentation's pictures from the real App: ``make shots``."""

from __future__ import annotations

import os
import re
import sys

from tests import isolation

WORLD = isolation.start()  # before FiftyOne is imported
del os.environ["FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"]  # as a newcomer has it

import shutil  # noqa: E402
import time  # noqa: E402

import fiftyone as fo  # noqa: E402
import fiftyone.brain as fob  # noqa: E402
import numpy as np  # noqa: E402
from playwright.sync_api import Browser, expect  # noqa: E402

import digits as digits_package  # noqa: E402
import fiftyone_qdrant  # noqa: E402  its import registers the backend
from fiftyone_qdrant import measure  # noqa: E402
from fiftyone_qdrant.curate import stored  # noqa: E402
from fiftyone_qdrant.quality.applying import record  # noqa: E402
from fiftyone_qdrant.status import jobs  # noqa: E402
from tests.browser.app import App, Form, open_app, open_browser  # noqa: E402
from tests.browser.server import app_server  # noqa: E402

IMAGES = isolation.REPO / "docs" / "images"
NAME = "digits"


def main() -> None:
    """Prepare the digits, then take one picture after the other."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.exit("Taking pictures needs Chromium or Chrome on the PATH.")
    IMAGES.mkdir(parents=True, exist_ok=True)
    dataset = prepare()
    with (
        app_server(WORLD.root / "app.log") as url,
        open_browser(program) as browser,
        open_app(browser, url) as app,
    ):
        app.open_dataset(NAME)
        pictures = (create_index, query_form, query_similar)
        panels = (status_panel, status_panel_light, status_panel_narrow)
        for picture in (*pictures, *panels, status_panel_wide):
            path = IMAGES / f"{picture.__name__.replace('_', '-')}.png"
            path.write_bytes(picture(app))
            size = path.stat().st_size / 1000
            print(f"{path.relative_to(isolation.REPO)}  {size:.0f} kB")
        with open_app(browser, url) as app:  # nothing is open there
            app.open_dataset(NAME)
            for picture in (search_panel, search_panel_light):
                path = IMAGES / f"{picture.__name__.replace('_', '-')}.png"
                path.write_bytes(picture(app))
        curate_panel(browser, url)
        tuned = prepare_tuned()
        with open_app(browser, url) as app:
            app.open_dataset(tuned.name)
            (IMAGES / "tune-measured.png").write_bytes(tune_measured(app))
    dataset.delete()
    tuned.delete()


def prepare_tuned() -> fo.Dataset:
    """6,000 vectors, whose graph has few edges, measured."""
    rng = np.random.default_rng(51)
    dataset = fo.Dataset("noise")
    path = next((WORLD.images / NAME).iterdir())
    dataset.add_samples(fo.Sample(str(path)) for _ in range(6000))
    index = fob.compute_similarity(
        dataset,
        embeddings=rng.normal(size=(6000, 16)).astype(np.float32),
        backend="qdrant",
        brain_key="noise",
        hnsw_config={"m": 5, "ef_construct": 16, "full_scan_threshold": 10},
        optimizers_config={"indexing_threshold": 100},
    )
    index.collection.flush()
    until = time.monotonic() + 60
    while index.collection.info().indexed_vectors_count < 6000:
        if time.monotonic() > until:
            sys.exit("The index was not built.")
        time.sleep(0.1)
    record(index, measure(index, queries=100))
    return dataset


def prepare() -> fo.Dataset:
    """All digits, indexed by their pixels: once whole, once in part."""
    digits = digits_package.load_digits()
    paths = digits_package.write_images(WORLD.images / NAME, digits)
    dataset = fo.Dataset(NAME)
    dataset.add_samples(
        fo.Sample(str(path), ground_truth=fo.Classification(label=label))
        for path, label in zip(paths, digits.labels, strict=True)
    )
    dataset.set_values("embedding", digits.vectors)
    dataset.skip(1000).limit(2).tag_samples("scribble")
    dataset.app_config.active_fields = fo.ActiveFields(paths=["ground_truth"])
    dataset.save()
    for samples, key in ((dataset, "pixels"), (dataset[:1200], "first_batch")):
        fob.compute_similarity(
            samples, embeddings="embedding", backend="qdrant", brain_key=key
        )
    return dataset


# --- the pictures ---------------------------------------------------------------


def create_index(app: App) -> bytes:
    """The form, filled in."""
    app.page.set_viewport_size({"width": 1500, "height": 1000})  # all of it
    form = app.run_operator("Create Qdrant Index")
    form.fill("Brain key", "by_pixels")
    form.choose("Embeddings field", "embedding")
    return filled_in(app, form)


def query_form(app: App) -> bytes:
    """The form for what is like a 3, and unlike what was tagged."""
    app.page.set_viewport_size({"width": 1500, "height": 1400})  # all of it
    app.select("ground_truth", 3)
    form = app.run_operator("Query Similar")
    form.choose("Index", "pixels")
    form.tick("More options")
    form.choose("Unlike", "What has a tag")
    form.choose("Tag", "scribble")
    form.fill("Diversity", "0.3")
    return filled_in(app, form)


def tune_measured(app: App) -> bytes:
    """The recall that was measured, and the one that is wanted."""
    app.page.set_viewport_size({"width": 1500, "height": 1400})
    form = app.run_operator("Tune Qdrant Index")
    form.box.get_by_text("Measured", exact=True).click()
    expect(form.box.locator(".js-plotly-plot .point").first).to_be_visible()
    return filled_in(app, form)


def filled_in(app: App, form: Form) -> bytes:
    """A form that could be sent, and is not."""
    expect(form.execute_button).to_be_enabled()
    picture = still(app, form.box.bounding_box())
    form.box.get_by_role("button", name="Cancel").click()
    expect(form.box).to_have_count(0)
    app.page.set_viewport_size({"width": 1500, "height": 900})
    return picture


def query_similar(app: App) -> bytes:
    """A 3 and what is most similar to it, nearest first."""
    app.select("ground_truth", 3)
    form = app.run_operator("Query Similar")
    form.choose("Index", "pixels")
    form.fill("Number of matches", "18")
    form.execute()
    expect(app.tiles).to_have_count(18)
    expect(app.toast).to_have_count(0)
    end = app.tiles.last.bounding_box()
    height = end["y"] + end["height"] + 16
    return still(app, {"x": 0, "y": 0, "width": 1500, "height": height})


def status_panel(app: App) -> bytes:
    """What is indexed, beside those matches."""
    panel = app.open_panel("qdrant_status")
    expect(panel.get_by_text("66.7\u00a0% of 1,797")).to_be_visible()
    expect(panel.locator(".js-plotly-plot .bars path").first).to_be_visible()
    expect(panel.get_by_text(re.compile("Current view"))).to_be_visible()
    return still(app, {"x": 0, "y": 0, "width": 1500, "height": 760})


def status_panel_light(app: App) -> bytes:
    """The same by daylight."""
    app.page.get_by_title("Light mode").click()
    expect(app.page.get_by_title("Dark mode")).to_be_visible()
    return status_panel(app)


def status_panel_narrow(app: App) -> bytes:
    """A panel of 400 pixels: what matters most."""
    app.page.set_viewport_size({"width": 1100, "height": 1000})
    panel = app.open_panel("qdrant_status")
    panel.get_by_role("button", name="Health").click()
    expect(panel.get_by_text("In the HNSW graph")).to_be_visible()
    return still(app, panel.bounding_box())


def status_panel_wide(app: App) -> bytes:
    """A panel of 900 pixels: an ingest runs, and a deleted dataset left something."""
    app.page.get_by_title("Dark mode").click()
    app.page.set_viewport_size({"width": 2100, "height": 1000})
    leave_an_orphan()
    panel = app.open_panel("qdrant_status")
    panel.get_by_role("cell", name="pixels", exact=True).click()
    panel.get_by_role("button", name="Parameters").click()
    panel.get_by_role("button", name="All collections").click()
    with jobs.job(fo.load_dataset(NAME), "sync", "first_batch", 1797) as report:
        app.page.wait_for_timeout(3000)  # as long as 1,312 samples may take
        report.advance(1312)
        app.page.wait_for_timeout(1500)  # it is told once a second
        panel.get_by_role("button", name="Refresh").click()
        expect(panel.get_by_text("1,312 of 1,797")).to_be_visible()
        expect(panel.get_by_text("orphan", exact=True)).to_be_visible()
        return still(app, panel.bounding_box())


def search_panel(app: App) -> bytes:
    """Qdrant Search beside the grid: a 3, and a cut at what is nearest."""
    app._start_operator("Open Qdrant Search")
    panel = app.page.locator('[data-cy="panel-content-qdrant_search"]')
    panel.get_by_role("button", name="Options").wait_for()
    app.select("ground_truth", 3)
    panel.get_by_role("button", name="Find similar").click()
    bar = panel.locator(".js-plotly-plot .bars path").nth(16)
    bar.wait_for()
    box = bar.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    app.page.mouse.click(x, y)
    panel.get_by_role("button", name="Show all 500").wait_for()
    found = panel.get_by_text(re.compile(r"^\d+ of 500")).inner_text().split()[0]
    expect(app.page.get_by_text(f"{found} samples")).to_be_visible()
    app.page.locator('[data-cy="looker"] canvas[canvas-loaded="true"]').first.wait_for()
    return still(app, {"x": 0, "y": 0, "width": 1500, "height": 900})


def search_panel_light(app: App) -> bytes:
    """The same by daylight."""
    app.page.get_by_title("Light mode").click()
    expect(app.page.get_by_title("Dark mode")).to_be_visible()
    return still(app, {"x": 0, "y": 0, "width": 1500, "height": 900})


def curate_panel(browser: Browser, url: str) -> None:
    """The parts of Qdrant Curate beside the grid, each with what it shows there."""
    curated = prepare_curated()
    parts = {
        "duplicates": ("Near-duplicates", "Show groups", "groups within"),
        "labels": ("Doubtful labels", "Show in the grid", "most doubtful first"),
        "next": ("Label next", "Show 60 in the grid", "60 chosen, in order"),
    }
    with open_app(browser, url) as app:
        app.open_dataset(curated.name)
        app._start_operator("Open Qdrant Curate")
        panel = app.page.locator('[data-cy="panel-content-qdrant_curate"]')
        for name, (part, show, told) in parts.items():
            panel.get_by_role("button", name=part, exact=True).click()
            panel.get_by_role("button", name=show, exact=True).click()
            expect(app.toast.get_by_text(told)).to_be_visible()
            app.tiles.first.locator('canvas[canvas-loaded="true"]').wait_for()
            expect(app.toast).to_have_count(0)
            picture = still(app, {"x": 0, "y": 0, "width": 1500, "height": 900})
            (IMAGES / f"curate-{name}.png").write_bytes(picture)
    curated.delete()


def prepare_curated() -> fo.Dataset:
    """600 digits, some with a wrong label, and what Qdrant Curate keeps of them."""
    count, digits = 600, digits_package.load_digits()
    paths = digits_package.write_images(WORLD.images / NAME, digits)[:count]
    labels = [str(label) for label in digits.labels[:count]]
    for n in range(0, count, 29):
        labels[n] = str((int(labels[n]) + 3) % 10)
    dataset = fo.Dataset("curated")
    dataset.add_samples(
        fo.Sample(str(path), ground_truth=fo.Classification(label=label))
        for path, label in zip(paths, labels, strict=True)
    )
    dataset.app_config.active_fields = fo.ActiveFields(paths=["ground_truth"])
    dataset.save()
    fob.compute_similarity(
        dataset,
        embeddings=digits.vectors[:count],
        backend="qdrant",
        brain_key="pixels",
    )
    found = fiftyone_qdrant.near_duplicates(dataset, "pixels", 0.04)
    stored.keep(dataset, found, "find_near_duplicates")
    audit = fiftyone_qdrant.audit_labels(dataset, "pixels", "ground_truth")
    stored.keep(dataset, audit, "audit_labels", slot="ground_truth")
    chosen = fiftyone_qdrant.select_samples(dataset, "pixels", 60)
    stored.keep(dataset, chosen, "select_samples")
    return dataset


def leave_an_orphan() -> None:
    """Index a dataset and delete it, which leaves its collection."""
    dataset = fo.Dataset("last-week")
    dataset.add_samples([fo.Sample(f"{n}.png") for n in range(500)])
    vectors = digits_package.load_digits().vectors[:500]
    fob.compute_similarity(
        dataset, embeddings=vectors, backend="qdrant", brain_key="old"
    )
    dataset.delete()


def still(app: App, area: dict) -> bytes:
    """A part of the page once all is drawn and nothing moves, pointing at nothing."""
    app.page.mouse.move(2, 450)
    tiles = app.page.locator('[data-cy="looker"]')
    drawn = app.page.locator('[data-cy="looker"] canvas[canvas-loaded="true"]')
    expect(drawn).to_have_count(tiles.count())
    before, picture = b"", app.page.screenshot(clip=area)
    while picture != before:
        before, picture = picture, app.page.screenshot(clip=area)
    return picture


if __name__ == "__main__":
    main()
