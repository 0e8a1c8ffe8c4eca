"""Where and how Qdrant Search looks: in which index and samples, for how many."""

from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant import list_indexes, load_index
from fiftyone_qdrant.dataset import scope
from fiftyone_qdrant.dataset.scope import count_in_words, mark_of
from fiftyone_qdrant.explore.sessions import Session
from fiftyone_qdrant.matches import matches_of

from ..guarded_panel import NothingToSay
from .frame import DEFAULT_K, Frame

_SAVED = "saved:"
_DEFAULTS = {"k": DEFAULT_K, "variety": 0, "reverse": False}


class Scope(Frame):
    """The section."""

    def read_scope(self, ctx: Any) -> None:
        """Reads which indexes and views there are to choose from."""
        session = self.session(ctx)
        indexes = {k: _about(ctx.dataset, k) for k in list_indexes(ctx.dataset)}
        asked = session.asked
        if asked.get("key") not in indexes:
            asked["key"] = next(iter(indexes), None)

        places = _places(ctx)
        if asked.get("within") == "these" and session.base is not None:
            places["these"] = f"Within these {count_in_words(session.base)}"
        elif asked.get("within") not in places:
            asked.pop("within", None)  # what was chosen is gone

        session.extra["indexes"], session.extra["places"] = indexes, places

    def searched(self, ctx: Any, session: Session) -> Any:
        if "places" not in session.extra:  # the server forgot, and no event drew since
            self.read_scope(ctx)

        within = self._within(session)
        if within == "these" and session.base is not None:
            return session.base

        if within.startswith(_SAVED):
            return ctx.dataset.load_saved_view(within[len(_SAVED) :])

        if within == "dataset" or not ctx.has_custom_view:
            return ctx.dataset

        return scope.before(ctx.view)

    def _within(self, session: Session) -> str:
        """Where to search: if nothing was chosen, in the view that there is."""
        default = "view" if "view" in session.extra["places"] else "dataset"
        within: str = session.asked.get("within") or default
        return within

    def on_change_view(self, ctx: Any) -> None:
        """Offers the view that a person chose; our own results are none."""
        session = self.session(ctx)
        seen = mark_of(ctx.view) if ctx.has_custom_view else "whole"
        asked = ctx.request_params
        seen = seen or str([asked.get(k) for k in ("view", "filters", "extended")])
        if session.extra.get("seen_view") == seen:
            raise NothingToSay

        session.extra["seen_view"] = seen
        self.read_scope(ctx)

    def change_index(self, ctx: Any) -> None:
        asked, key = self.session(ctx).asked, ctx.params["value"]
        if key == asked.get("key"):
            raise NothingToSay  # FiftyOne sends what a new field has

        asked["key"] = key
        self.search(ctx)

    def change_within(self, ctx: Any) -> None:
        """Searches elsewhere; "within these" are those that are shown now."""
        session, within = self.session(ctx), ctx.params["value"]
        if within == self._within(session):
            raise NothingToSay

        if within == "results" and session.answer is not None:
            session.base = matches_of(session.answer.index, session.answer.shown).view
            within = "these"
            ctx.panel.state.set("where.within", within)
            ctx.panel.state.apply("where.within")

        session.asked["within"] = within
        self.read_scope(ctx)
        self.search(ctx)

    def change_k(self, ctx: Any) -> None:
        self._change(ctx, "k")

    def change_variety(self, ctx: Any) -> None:
        self._change(ctx, "variety")

    def change_reverse(self, ctx: Any) -> None:
        self._change(ctx, "reverse")

    def toggle_options(self, ctx: Any) -> None:
        extra = self.session(ctx).extra
        extra["options"] = not extra.get("options")

    def _change(self, ctx: Any, name: str) -> None:
        asked, value = self.session(ctx).asked, ctx.params["value"]
        if value == (asked.get(name) or _DEFAULTS[name]):
            raise NothingToSay  # FiftyOne sends what a new field has

        asked[name] = value
        self.search(ctx)

    def show_scope(self, panel: Any, ctx: Any) -> None:
        """Adds the choice of an index and of where to search."""
        session = self.session(ctx)
        indexes, places = session.extra["indexes"], dict(session.extra["places"])
        if session.answer is not None:
            places["results"] = f"Within these {len(session.answer.shown.ids):,}"

        line = panel.h_stack("where", gap=2, align_y="center")
        key, within = session.asked["key"], self._within(session)
        _choice(line, "key", "Index", indexes, key, self.change_index)
        _choice(line, "within", "Search in", places, within, self.change_within)
        opened = session.extra.get("options")
        line.btn(
            "options_toggle",
            label="Fewer options" if opened else "Options",
            icon="expand_less" if opened else "tune",
            variant="text",
            on_click=self.toggle_options,
        )

    def show_options(self, panel: Any, ctx: Any) -> None:
        """Adds how many to find, and how."""
        session = self.session(ctx)
        if not session.extra.get("options"):
            return

        asked, line = session.asked, panel.h_stack("how", gap=2, align_y="center")
        line.int(
            "k",
            label="Number of results",
            default=asked.get("k") or DEFAULT_K,
            min=1,
            max=5000,
            view=types.FieldView(),
            on_change=self.change_k,
        )
        line.bool(
            "reverse",
            label="Least similar",
            default=bool(asked.get("reverse")),
            view=types.SwitchView(),
            on_change=self.change_reverse,
        )
        panel.int(
            "variety",
            label="Variety (%)",
            default=int(asked.get("variety") or 0),
            min=0,
            max=100,
            view=types.SliderView(value_label_display="auto", label="Variety"),
            on_change=self.change_variety,
        )


def _choice(
    panel: Any, name: str, label: str, choices: Any, chosen: Any, handler: Any
) -> None:
    view = types.DropdownView(compact=True)
    for value, words in choices.items():
        view.add_choice(value, label=words if isinstance(words, str) else value)

    panel.enum(
        name,
        list(choices),
        label=label,
        default=chosen,
        view=view,
        on_change=handler,
    )


def _about(dataset: Any, key: str) -> dict[str, Any]:
    config = load_index(dataset, key).config
    return {
        "prompts": bool(config.supports_prompts),
        "model": config.model is not None,
        "patches": config.patches_field,
    }


def _places(ctx: Any) -> dict[str, str]:
    places = {"dataset": f"Entire dataset ({count_in_words(ctx.dataset)})"}
    if ctx.has_custom_view:
        before = scope.before(ctx.view)
        if before is ctx.view:
            places["view"] = f"This view ({count_in_words(before)})"
        elif before is not ctx.dataset:
            places["view"] = f"The view before ({count_in_words(before)})"

    for name in ctx.dataset.list_saved_views():
        places[f"{_SAVED}{name}"] = f"View '{name}'"

    return places
