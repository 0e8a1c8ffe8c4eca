"""The real App, served once, and a fresh page of it for each test."""

from __future__ import annotations

import pytest

from tests.browser.app import open_app, open_browser
from tests.browser.server import app_server

_shown = pytest.StashKey()


def pytest_collection_modifyitems(items):
    for item in items:
        if {"app", "browser"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.browser)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """After a failure, keep what the page showed and what the server said."""
    report = yield
    if report.failed and _shown in item.stash:
        app, log, folder = item.stash[_shown]
        tail = log.read_text(errors="replace").splitlines()[-40:]
        report.sections.append(("App server", "\n".join([str(log), "...", *tail])))
        if report.when == "call":  # afterwards the page is closed
            picture = folder / "page.png"
            try:
                app.screenshot(picture)
            except Exception as e:  # noqa: BLE001  the page may be what broke
                picture = f"no picture of the page: {e}"
            said = "\n".join([str(picture), *app.complaints])
            report.sections.append(("Browser", said))
            app.complaints.clear()  # one failure is enough
    return report


@pytest.fixture(scope="session")
def app_log(tmp_path_factory):
    """What the App's server prints; kept after the tests."""
    return tmp_path_factory.mktemp("app") / "server.log"


@pytest.fixture(scope="session")
def app_url(app_log):
    """The App's server, for all browser tests."""
    with app_server(app_log) as url:
        yield url


@pytest.fixture(scope="module")
def browser(chromium):
    """Chromium. Not for the session: other tests need this thread's event loop."""
    with open_browser(chromium) as browser:
        yield browser


@pytest.fixture
def make_shown(make_dataset, digits):
    """``make_shown(n)`` -> a dataset of digits that the grid shows by number.

    ``number`` is the digit's position, in the data set and in the grid, and
    ``embedding`` its pixels.
    """
    import fiftyone as fo

    def make(n=60):
        dataset = make_dataset(n)
        dataset.set_values("number", list(range(n)))
        dataset.set_values("embedding", digits.vectors[:n])
        dataset.app_config.active_fields = fo.ActiveFields(paths=["number"])
        dataset.save()
        return dataset

    return make


@pytest.fixture
def app(request, app_url, app_log, browser, make_shown, tmp_path):
    """A page of the App; whatever went wrong in it unseen fails the test.

    It closes before ``make_shown`` deletes what it shows.
    """
    with open_app(browser, app_url) as app:
        request.node.stash[_shown] = app, app_log, tmp_path
        yield app
        assert app.complaints == []
