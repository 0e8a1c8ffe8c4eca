"""Qdrant Search: ask, see what is found at once, and go on from there.

The panel is made of sections, one module each. A section is a mixin of :class:`.Frame`
with events (public methods) and a method ``show_<section>(panel, ctx)`` that draws it.
To add one, write its module, add the class below, and its method to ``_SECTIONS``: the
order there is the order on the page. A section

- reads and keeps what it knows in ``self.session(ctx)``: ``.asked`` and ``.parts`` are
  the question, ``.answer`` the hits and their cut, ``.extra[<section>]`` is its own;
- calls ``self.search(ctx)`` once the question has changed, or ``self.show(ctx)`` once
  only what is shown of the answer has; both redraw the grid;
- may be called after each new answer: ``answered(ctx, answer)``, with ``super()``;
- raises ``NothingToSay`` from an ``on_change_...`` event that changes nothing.
"""

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types
from fiftyone.operators.categories import Categories

from ..guarded_panel import NothingToSay, show_problem
from .actions import Actions
from .earlier import Earlier
from .other_dataset import OtherDataset
from .results import Results
from .scope import Scope
from .teach import Teach
from .ways import Ways
from .why import Why

_SECTIONS = (
    "show_asked",
    "show_ways",
    "show_scope",
    "show_options",
    "show_results",
    "show_twins",
    "show_why",
    "show_teach",
    "show_actions",
    "show_other",
    "show_earlier",
)


class QdrantSearch(Earlier, Why, Teach, OtherDataset, Ways, Scope, Results, Actions):
    """The search panel."""

    @property
    def config(self) -> foo.PanelConfig:
        return foo.PanelConfig(
            name="qdrant_search",
            label="Qdrant Search",
            category=Categories.CURATE,
            icon="search",
            surfaces="grid modal",
            help_markdown="Find samples by text, by example or by picture",
        )

    def on_load(self, ctx: Any) -> None:
        self._begin(ctx)
        if self.session(ctx).extra.get("indexes"):
            self.ask_left(ctx)

    def on_change_dataset(self, ctx: Any) -> None:
        """Begins anew, unless FiftyOne sent the same event again."""
        session = self.session(ctx)
        name = None if ctx.dataset is None else ctx.dataset.name
        if session.extra.get("dataset") == name:
            raise NothingToSay

        session.asked.clear()
        session.parts, session.answer, session.base = [], None, None
        session.extra.clear()
        self._empty(ctx, "ask.text")
        self._begin(ctx)

    def create(self, ctx: Any) -> None:
        """Opens the form that makes an index."""
        uri = f"{self.plugin_name}/create_qdrant_index"
        ctx.prompt(uri, on_success=self.refresh)

    def refresh(self, ctx: Any) -> None:
        """Reads anew which indexes there are."""
        self._begin(ctx)

    def _begin(self, ctx: Any) -> None:
        session = self.session(ctx)
        session.extra["dataset"] = None if ctx.dataset is None else ctx.dataset.name
        if ctx.dataset is not None:
            ctx.dataset.reload()  # others may have made an index
            self.read_scope(ctx)

    def render(self, ctx: Any) -> types.Property:
        session, panel = self.session(ctx), types.Object()
        show_problem(panel, session.extra.get("problem"))
        if ctx.dataset is None:
            panel.md("Open a dataset to search it.", name="no_dataset")
        elif not session.extra.get("indexes"):
            if "indexes" not in session.extra:
                self.read_scope(ctx)

            self._offer_index(panel, session)

        if session.extra.get("indexes"):
            for section in _SECTIONS:
                getattr(self, section)(panel, ctx)

        padding = {"container": {"sx": {"pt": 2, "pr": 2, "pb": 4}}}
        return types.Property(panel, view=types.ObjectView(componentsProps=padding))

    def _offer_index(self, panel: Any, session: Any) -> None:
        if session.extra.get("indexes"):
            return

        panel.md("This dataset has no Qdrant index yet.", name="no_index")
        panel.btn(
            "create",
            label="Create index",
            icon="add",
            variant="contained",
            on_click=self.create,
        )
