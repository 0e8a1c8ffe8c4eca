"""Take the documentation's pictures from the real App: ``make shots``."""

from __future__ import annotations

import os
import sys

from tests import isolation

WORLD = isolation.start()  # before FiftyOne is imported
del os.environ["FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"]  # as a newcomer has it

import shutil  # noqa: E402

import fiftyone as fo  # noqa: E402
import fiftyone.brain as fob  # noqa: E402
from playwright.sync_api import expect  # noqa: E402

import digits as digits_package  # noqa: E402
import fiftyone_qdrant  # noqa: E402, F401  its import registers the backend
from tests.browser.app import App, open_app, open_browser  # noqa: E402
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
        for picture in (*pictures, status_panel, status_panel_light):
            path = IMAGES / f"{picture.__name__.replace('_', '-')}.png"
            path.write_bytes(picture(app))
            size = path.stat().st_size / 1000
            print(f"{path.relative_to(isolation.REPO)}  {size:.0f} kB")
    dataset.delete()


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
    dataset.app_config.active_fields = fo.ActiveFields(
        paths=["ground_truth", "distance"]
    )
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
    expect(form.execute_button).to_be_enabled()
    picture = still(app, form.box.bounding_box())
    form.box.get_by_role("button", name="Cancel").click()
    expect(form.box).to_have_count(0)
    app.page.set_viewport_size({"width": 1500, "height": 900})
    return picture


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
    form.fill("Distance field", "distance")
    form.execute()
    expect(app.tiles).to_have_count(18)
    end = app.tiles.last.bounding_box()
    height = end["y"] + end["height"] + 16
    return still(app, {"x": 0, "y": 0, "width": 1500, "height": height})


def status_panel(app: App) -> bytes:
    """What is indexed, beside those matches."""
    panel = app.open_panel("qdrant_status")
    expect(panel.get_by_text("1,200 of 1,797")).to_be_visible()
    return still(app, {"x": 0, "y": 0, "width": 1500, "height": 600})


def status_panel_light(app: App) -> bytes:
    """The same by daylight."""
    app.page.get_by_title("Light mode").click()
    expect(app.page.get_by_title("Dark mode")).to_be_visible()
    return status_panel(app)


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
