"""The events of Qdrant Search outside the App."""

import fiftyone as fo
import fiftyone.operators as foo
import pytest

from tests.plugin.calls import panel_context

PANEL = "@community/qdrant/qdrant_search"


class Page:
    """A panel in a browser: its state, and what the App was told last.

    Attributes:
        dataset: the dataset that is open
        state: the panel's state
        told: the parameters of what the App is to do, by its name
        view: the view that the grid shows
    """

    def __init__(self, dataset):
        self.dataset, self.view = dataset, None
        self.state, self.told, self.selected = {}, {}, []
        self._panel = foo.get_operator(PANEL)

    def send(self, event, **params):
        ctx = panel_context(self.dataset, self.state, __method__=event, **params)
        asked = ctx.request_params
        asked["selected"] = self.selected
        if self.view is not None:
            asked["view"] = self.view._serialize()
        self._panel.execute(ctx)
        self.state = ctx.panel_state
        self.told = {
            r["operator_uri"].rpartition("/")[2]: r["params"]
            for r in ctx.executor.to_json()["requests"]
        }
        if "set_view" in self.told:
            self.view = fo.DatasetView._build(
                self.dataset, self.told["set_view"]["view"]
            )
        return self.told

    def drawn(self):
        """The properties of the panel, by name."""
        ctx = panel_context(self.dataset, self.state)
        return self._panel.render(ctx).type.properties


@pytest.fixture
def page(indexed):
    page = Page(indexed)
    page.send("on_load")
    return page


def test_the_selection_is_asked_and_shown_nearest_first(page, indexed):
    page.selected = [indexed.first().id]
    page.send("ask_selected", how="only")
    assert page.view.first().id == indexed.first().id
    assert len(page.view) == 40
