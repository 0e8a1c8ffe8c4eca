"""How long Query Similar takes in the App: in its server, and from click to grid."""

from __future__ import annotations

import json
import shutil
import urllib.request
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.contenders import BRAIN_KEY
from benchmarks.data import K
from benchmarks.measure import timed
from tests.browser.app import App, Form, open_app, open_browser
from tests.browser.server import app_server

_URI = "@community/qdrant/query_similar"


_CLICKS = 7


def measure(name: str, folder: Path) -> dict[str, float]:
    """Returns milliseconds; those from click to grid only where there is a browser."""
    asked = np.load(folder / "truth.npz")["asked"].tolist()
    with app_server(folder / "app.log") as url:
        execute(url, name, asked[0])  # the first one imports
        times = [timed(lambda: execute(url, name, i)) for i in asked[1:]]  # noqa: B023
        figures = {"app_ms": 1000 * median(times)}
        program = shutil.which("chromium") or shutil.which("google-chrome")
        if program is not None:
            figures["click_ms"] = 1000 * median(clicks(program, url, name))

    return figures


def execute(url: str, name: str, sample_id: str) -> None:
    """Runs the operator as the App does."""
    body = {
        "operator_uri": _URI,
        "dataset_name": name,
        "selected": [sample_id],
        "params": {"brain_key": BRAIN_KEY, "k": K},
    }
    request = urllib.request.Request(
        f"{url}/operators/execute",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        reply = json.load(answer)

    if reply.get("error") or len(reply["result"]["ids"]) != K:
        raise RuntimeError(f"Query Similar failed: {reply.get('error_message')}")


def clicks(program: str, url: str, name: str) -> list[float]:
    """Returns the seconds from a click on Execute until the grid has its samples."""
    times = []
    with open_browser(program) as browser:
        for n in range(_CLICKS):
            with open_app(browser, url) as app:
                app.open_dataset(name)
                if n > 0:
                    app.clear_selection()  # a query stays selected

                app.tiles.first.hover()
                app.tiles.first.locator('[data-cy="looker-checkbox-"]').click()
                form = app.run_operator("Query Similar")
                form.box.get_by_text("1 selected").wait_for()
                times.append(timed(lambda: until_the_grid(app, form)))  # noqa: B023

    return times


def until_the_grid(app: App, form: Form) -> None:
    """Executes, and waits for the answer with the samples that the grid shows."""
    with app.page.expect_response(
        lambda r: r.ok and "paginateSamples" in (r.request.post_data or "")
    ):
        form.execute_button.click()
