"""The FiftyOne App as a person uses it: a page object over Playwright.

Every method waits for what it names; nothing sleeps, and nothing is read before all
of it is drawn. What is clicked too early is clicked again, as a person would.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import (
    Browser,
    Locator,
    Page,
    TimeoutError,
    expect,
    sync_playwright,
)

_PATIENCE = 60_000  # ms, for a slow machine
expect.set_options(timeout=_PATIENCE)
_FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
_TILE = '[data-cy="looker"]'
_SHOWN = """field => [...document.querySelectorAll('[data-cy="looker"]')]
    .map(tile => [tile.getBoundingClientRect(),
                  tile.querySelector(`[data-cy="tag-${field}"]`)])
    .sort(([a], [b]) => Math.abs(a.top - b.top) > 5 ? a.top - b.top : a.left - b.left)
    .map(([, tag]) => tag && tag.textContent)"""
_PROMPT = '[data-cy="operators-prompt-modal"]'
_LINES = """() => [...document.querySelectorAll('[data-cy="operators-prompt-modal"] p')]
    .filter(line => line.textContent.endsWith(":"))
    .map(line => [line.textContent.slice(0, -1), line.nextElementSibling?.textContent])
"""
_RESOLVED_AFTER = 1_500  # ms: a form is resolved after a key and the pause behind it


@contextlib.contextmanager
def open_browser(program: str) -> Iterator[Browser]:
    """Run Chromium. While it runs, this thread counts as an asyncio one."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        yield browser
        browser.close()


@contextlib.contextmanager
def open_app(browser: Browser, url: str) -> Iterator[App]:
    """A fresh page with nothing remembered, and no way out of this machine."""
    context = browser.new_context(viewport={"width": 1500, "height": 900})
    context.set_default_timeout(_PATIENCE)
    context.add_init_script("window.IS_PLAYWRIGHT = true")  # no pop-ups, no analytics
    elsewhere = re.compile(r"^https?://(?!127\.0\.0\.1[:/])")
    context.route(elsewhere, lambda route: route.fulfill(status=204))
    yield App(context.new_page(), url)
    context.close()


def read_once(page: Page, look: str, seen: str, *args: Any) -> Any:
    """Wait until what a function of the page reads is as wanted; returns that reading.

    Args:
        page: Playwright's page
        look: a JavaScript function without side effects, of the first of ``args``
        seen: a JavaScript function of its reading and ``args``; true once it is wanted
        args: passed to both
    """
    both = f"""args => {{
        const reading = ({look})(...args);
        return ({seen})(reading, ...args) ? {{reading}} : null;
    }}"""
    try:
        found = page.wait_for_function(both, arg=list(args))
    except TimeoutError as e:
        instead = page.evaluate(f"args => ({look})(...args)", list(args))
        raise AssertionError(f"The page shows {instead}, not {list(args)}") from e
    return found.json_value()["reading"]


# FiftyOne 1.22's grid throws this when it is resized, as by a panel that opens, while
# images still load; it recovers by itself
_OF_THE_GRID = "entry is loading"


class App:
    """One page of the App.

    Attributes:
        page: Playwright's page
        complaints: uncaught exceptions and errors in the browser's console
    """

    def __init__(self, page: Page, url: str):
        self.page = page
        self.complaints: list[str] = []
        self._url = url
        page.on("pageerror", lambda error: self._complain(str(error)))
        page.on("console", self._listen)

    def _listen(self, message) -> None:
        if message.type == "error":
            self._complain(message.text)

    def _complain(self, text: str) -> None:
        if text != _OF_THE_GRID:
            self.complaints.append(text)

    # --- the grid ---------------------------------------------------------------

    def open_dataset(self, name: str, view: str | None = None) -> None:
        """Open a dataset, or a saved view of it, and wait for its first image."""
        address = f"{self._url}/datasets/{name}" + (f"?view={view}" if view else "")
        self.page.goto(address, wait_until="domcontentloaded")
        self.page.locator(f'{_TILE} canvas[canvas-loaded="true"]').first.wait_for()

    @property
    def tiles(self) -> Locator:
        """The images that the grid shows, in the order of the page's source."""
        return self.page.locator(_TILE)

    def shown(self, field: str, count: int) -> list[str]:
        """Wait for so many images that all show a field; its values, row by row."""
        drawn = "(shown, _, count) => shown.length === count && !shown.includes(null)"
        return read_once(self.page, _SHOWN, drawn, field, count)

    def expect_shown(self, field: str, values: list) -> None:
        """Wait until the grid shows exactly these values of a field, in order."""
        same = "(shown, _, wanted) => String(shown) === String(wanted)"
        read_once(self.page, _SHOWN, same, field, [str(value) for value in values])

    def select(self, field: str, *values) -> None:
        """Tick the first image that shows each of these values of a field."""
        for value in values:
            tag = self.page.locator(
                f'[data-cy="tag-{field}"][title="{field}: {value}"]'
            )
            tile = self.tiles.filter(has=tag).first
            tile.locator('canvas[canvas-loaded="true"]').wait_for()
            box = tile.locator("input[type=checkbox]")
            for _ in range(5):  # the grid may not listen yet
                tile.hover()
                if not (box.count() and box.is_checked()):
                    tile.locator('[data-cy="looker-checkbox-"]').click()
                with contextlib.suppress(AssertionError):
                    expect(box).to_be_checked(timeout=2500)
                    break
            expect(box).to_be_checked()
        tab = self.page.locator('[data-cy="panel-tab-samples"]')
        expect(tab).to_contain_text(str(len(values)))

    def toggle(self, place: int) -> None:
        """Tick or untick an image by its place in the page's source."""
        tile = self.tiles.nth(place)
        tick = tile.locator('[data-cy="looker-checkbox-"]')
        tile.locator('canvas[canvas-loaded="true"]').wait_for()
        self._until(tick, tile.hover)
        tick.click()

    def choose_view(self, name: str | None) -> None:
        """Choose a saved view, or ``None`` after one to see the whole dataset."""
        chosen = self.page.locator('[data-cy="saved-views-btn-selection-clear"]')
        if name is None:
            chosen.click()
            expect(chosen).to_have_count(0)
        else:
            self.page.locator('[data-cy="saved-views-selection"]').click()
            menu = self.page.locator('[data-cy="saved-views-selection-view"]')
            menu.get_by_text(name, exact=True).click()
            chosen.wait_for()

    def expect_selected(self, field: str, value) -> None:
        """Wait until the image that shows this value of a field is ticked."""
        tag = self.page.locator(f'[data-cy="tag-{field}"][title="{field}: {value}"]')
        box = self.tiles.filter(has=tag).locator("input[type=checkbox]")
        expect(box).to_be_checked()

    # --- operators --------------------------------------------------------------

    def run_operator(self, label: str) -> Form:
        """Start an operator from the operator browser; returns its form."""
        self._start_operator(label)
        return Form(self.page)

    def clear_selection(self) -> None:
        """Untick all images, on the server as well."""
        self._start_operator("Clear selected samples")
        tab = self.page.locator('[data-cy="panel-tab-samples"]')
        expect(tab).not_to_contain_text(re.compile(r"\d"))

    def _start_operator(self, label: str) -> None:
        search = self.page.get_by_placeholder("Search operations by name...")
        self._until(search, lambda: self.page.keyboard.press("`"))
        search.fill(label)
        browser = self.page.locator('[data-cy="operators-browser"]')
        browser.get_by_text(label, exact=True).click()

    @staticmethod
    def _until(sought: Locator, act: Callable[[], None]) -> None:
        """Do what opens something, again if the page did not listen yet."""
        for _ in range(5):
            if not sought.is_visible():
                act()
            with contextlib.suppress(AssertionError):
                expect(sought).to_be_visible(timeout=2500)
                return
        expect(sought).to_be_visible()

    @property
    def toast(self) -> Locator:
        """The message that slides in when something went wrong."""
        return self.page.locator("#notistack-snackbar")

    def expect_told(self, message: str) -> None:
        """Wait for a message of what was done in the background."""
        told = self.page.get_by_text(message, exact=True).first
        expect(told).to_be_visible(timeout=90_000)

    # --- panels -----------------------------------------------------------------

    def open_panel(self, name: str) -> Locator:
        """Open a panel from the + beside the tabs, or go to it."""
        tab = self.page.locator(f'[data-cy="panel-tab-{name}"]')
        if tab.count():
            tab.click()
        else:
            option = self.page.locator(f'[data-cy="new-panel-option-{name}"]')
            more = self.page.locator('[data-cy="new-panel-btn"]').first
            self._until(option, more.click)
            option.click()
        panel = self.page.locator(f'[data-cy="panel-content-{name}"]')
        panel.wait_for()
        return panel

    def screenshot(self, path: Path) -> Path:
        """Save what the page shows."""
        self.page.screenshot(path=path)
        return path


class Form:
    """The form of an operator, then its result."""

    def __init__(self, page: Page):
        self.page = page
        self.box = page.locator(_PROMPT)
        self.execute_button.wait_for()

    @property
    def execute_button(self) -> Locator:
        """The button that runs the operator."""
        return self.box.get_by_role("button", name="Execute", exact=True)

    def _after(self, label: str, what: str) -> Locator:
        text = f'.//p[normalize-space(text())="{label}"]'
        return self.box.locator(f"xpath={text}/following::{what}[1]")

    def fill(self, label: str, text: str) -> None:
        """Type into a text or number field."""
        field = self._after(label, "input")
        field.fill(text)
        expect(field).to_have_value(text)

    def expect_filled(self, label: str, text: str) -> None:
        """Wait until a text or number field has this in it."""
        expect(self._after(label, "input")).to_have_value(text)

    def choose(self, label: str, option: str) -> None:
        """Pick an entry of a dropdown."""
        dropdown = self._after(label, '*[@role="combobox"]')
        dropdown.click()
        self.page.get_by_role("option", name=option, exact=True).click()
        expect(dropdown).to_have_text(option)

    def expect_chosen(self, label: str, option: str) -> None:
        """Wait until a dropdown says so."""
        expect(self._after(label, '*[@role="combobox"]')).to_have_text(option)

    def expect_tab(self, label: str) -> None:
        """Wait until a tab is the open one."""
        tab = self.box.get_by_role("tab", name=label)
        expect(tab).to_have_attribute("aria-selected", "true")

    def tick(self, label: str) -> None:
        """Tick a checkbox."""
        self.box.locator("label").filter(has_text=label).locator("input").check()

    def upload(self, path: Path) -> None:
        """Choose a file in the form's only field for one."""
        self.box.locator("input[type=file]").set_input_files(path)
        expect(self.box.get_by_text(path.name)).to_be_visible()

    def open_tab(self, label: str) -> None:
        """Go to a tab of the form."""
        self.box.get_by_role("tab", name=label).click()
        self.expect_tab(label)

    def execute(self) -> None:
        """Run the operator, as soon as the form allows."""
        expect(self.execute_button).to_be_enabled()
        self.execute_button.click()
        expect(self.execute_button).to_have_count(0)

    def expect_refused(self, sentence: str | re.Pattern) -> None:
        """Wait until the form shows why it cannot be sent, and stays so.

        The button is disabled for a moment whenever the form is resolved, so it
        counts only once that is over.
        """
        expect(self.box.get_by_text(sentence)).to_be_visible()
        self.page.wait_for_timeout(_RESOLVED_AFTER)
        assert self.execute_button.is_disabled()

    def result(self, title: str) -> dict[str, str]:
        """Wait for the result; returns its lines as ``{label: value}``."""
        expect(self.box.get_by_text(title, exact=True)).to_be_visible(timeout=60_000)
        expect(self.box.get_by_role("button", name="Close")).to_be_visible()
        drawn = (
            "lines => lines.length && lines.every(([, value]) => value !== undefined)"
        )
        return dict(read_once(self.page, _LINES, drawn))

    def close(self) -> None:
        """Close the result."""
        self.box.get_by_role("button", name="Close").click()
        expect(self.box).to_have_count(0)
