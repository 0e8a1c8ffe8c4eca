"""The panel Qdrant Status as a person reads and uses it."""

from __future__ import annotations

import contextlib

from playwright.sync_api import Locator, Request, TimeoutError, expect

from tests.browser.app import App, Form, read_once

_ROWS = """() => {
    const panel = document.querySelector('[data-cy="panel-content-qdrant_status"]');
    const rows = [...(panel.querySelector("table")?.rows ?? [])]
        .map(row => [...row.cells].map(cell => cell.textContent));
    const [columns, ...indexes] = rows.length ? rows : [[]];
    return columns[0] === "Index" ? indexes.map(cells => Object.fromEntries(
        cells.map((text, n) => [columns[n], text]))) : [];
}"""


class StatusPanel:
    """The open panel.

    Attributes:
        box: where it is on the page
        events: the events it has sent to the server so far, such as ``"refresh"``,
            without those that only watch
    """

    def __init__(self, app: App):
        self.app = app
        self.events: list[str] = []
        app.page.on("request", self._note)
        self.box = app.open_panel("qdrant_status")

    def _note(self, request: Request) -> None:
        if request.url.endswith("/operators/execute"):
            asked = request.post_data_json or {}
            if str(asked.get("operator_uri")).endswith("/qdrant_status"):
                event = asked["params"].get("__method__")
                if event != "watch":  # it comes again and again
                    self.events.append(event)

    def expect_row(self, key: str, **cells: str) -> list[dict[str, str]]:
        """Wait until the row of an index says so, such as ``Missing="0"``.

        Returns all rows of the table as they were then, hidden columns included.
        """
        so = """(rows, key, cells) => rows.some(row => row.Index === key &&
            Object.entries(cells).every(([column, text]) => row[column] === text))"""
        return read_once(self.app.page, _ROWS, so, key, cells)

    def expect_text(self, text) -> None:
        """Wait until it says so."""
        expect(self.box.get_by_text(text).first).to_be_visible()

    def click(self, name: str) -> None:
        """Click a button."""
        self.box.get_by_role("button", name=name, exact=True).click()

    def choose(self, key: str) -> None:
        """Click the row of an index."""
        self.box.get_by_role("cell", name=key, exact=True).click()

    def act(self, key: str, action: str) -> Form:
        """Start an action of a row; returns the operator's form."""
        row: Locator = self.box.locator("tr").filter(has_text=key).first
        item = self.app.page.get_by_role("menuitem", name=action)
        for _ in range(5):  # new figures may close a menu
            row.get_by_role("button").click()
            with contextlib.suppress(TimeoutError):
                item.click(timeout=10_000)
                return Form(self.app.page)
            self.app.page.keyboard.press("Escape")
        raise AssertionError(f"The row of {key} offers no {action}")

    def expect_calm(self) -> None:
        """Wait until it has sent no event for three seconds."""
        page, before = self.app.page, -1
        for _ in range(10):
            if before == len(self.events):
                return
            before = len(self.events)
            with contextlib.suppress(TimeoutError):
                page.wait_for_timeout(3000)
        raise AssertionError(f"It does not come to rest: {self.events}")
