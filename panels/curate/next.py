"""What to label next: what was chosen, and how many are enough."""

from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.curate import stored
from fiftyone_qdrant.curate.duplicates import ordered_view
from fiftyone_qdrant.curate.freshness import why_outdated
from fiftyone_qdrant.curate.relabelling import add_tag
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.words import distance_in_words

from .part import (
    ACCENT,
    FAINT,
    MOST,
    PLOT,
    SELECT,
    Part,
    button,
    empty,
    set_field,
    show_outdated,
    update,
)

_POINTS = 500  # of the curve that are drawn


class Next(Part):
    """The part."""

    # --- events -----------------------------------------------------------------

    def choose_samples(self, ctx: Any) -> None:
        self.prompt(ctx, SELECT)

    def change_first(self, ctx: Any) -> None:
        """Takes just the first ones: any first part is a choice, too."""
        self._take(ctx, ctx.params["value"])

    def take_to_point(self, ctx: Any) -> None:
        """Takes as many as where the curve was clicked."""
        self._take(ctx, ctx.params["x"])
        set_field(ctx, "first", ctx.panel.state.choice["first"])

    def show_chosen(self, ctx: Any) -> None:
        """Shows in the grid what was chosen, in order."""
        ids = self._taken(ctx)
        words = f"{min(len(ids), MOST):,} chosen, in order"
        self.show_view(ctx, self._view(ctx, ids), words)

    def tag_chosen(self, ctx: Any) -> None:
        name = (ctx.panel.state.get("next_more.tag") or "label next").strip()
        done = add_tag(ctx.dataset, self.key(ctx), self._taken(ctx), name)
        ctx.ops.reload_samples()
        ctx.ops.notify(f"{len(done.ids):,} tagged '{name}'", variant="success")

    def save_chosen(self, ctx: Any) -> None:
        """Saves what was chosen as a view, in order."""
        name = (ctx.panel.state.get("next_save.name") or "label next").strip()
        if ctx.dataset.has_saved_view(name):
            raise ConfigError(f"There is a view '{name}' already. Choose another name")

        ctx.dataset.save_view(name, self._view(ctx, self._taken(ctx)))
        ctx.ops.notify(f"Saved as view '{name}'", variant="success")

    def colors_of_next(self, ctx: Any) -> dict[str, Any]:
        """Returns which are chosen, for the map."""
        return (
            dict.fromkeys(self._taken(ctx), "chosen") if ctx.panel.state.choice else {}
        )

    # --- what they do -----------------------------------------------------------

    def _selection(self, ctx: Any) -> Any:
        one = stored.latest(ctx.dataset, SELECT, self.key(ctx))
        if one is None:
            raise ConfigError("Choose samples first")

        return stored.read(ctx.dataset, one)

    def _taken(self, ctx: Any) -> list[str]:
        ids: list[str] = self._selection(ctx).ids[: ctx.panel.state.choice["first"]]
        return ids

    def _view(self, ctx: Any, ids: list[str]) -> Any:
        return ordered_view(ctx.dataset, self.key(ctx), ids[:MOST])

    def begin_next(self, ctx: Any) -> None:
        """Reads what is kept, and whether it is out of date."""
        one = stored.latest(ctx.dataset, SELECT, self.key(ctx))
        if one is None:
            update(ctx, choice=None)
            return

        found = stored.read(ctx.dataset, one)
        before = ctx.panel.state.choice or {}
        first = before.get("first") if before.get("run") == one.key else None
        outdated = why_outdated(ctx.dataset, found, one.stamp)
        about = _asked_in_words(found, one.about)
        first = len(found.ids) if first is None else first
        self._take(ctx, first, run=one.key, outdated=outdated, about=about)

    def _take(self, ctx: Any, first: Any, **more: Any) -> None:
        found = self._selection(ctx)
        first = min(max(1, round(float(first))), len(found.ids))
        chosen = {
            **(ctx.panel.state.choice or {}),
            "first": first,
            "most": len(found.ids),
            "total": found.total,
            "radius": float(found.radius[first - 1]) if first else None,
            "mean": float(found.mean[first - 1]) if first else None,
            **more,
        }
        update(ctx, choice=chosen)
        if first:
            ctx.panel.data.set("curve", _curve(found, first))

    # --- drawing ----------------------------------------------------------------

    def show_next(self, panel: Any, ctx: Any) -> None:
        """Adds the part."""
        chosen = ctx.panel.state.choice
        if not chosen:
            empty(
                panel,
                "What is worth a label?",
                "Choose samples that cover everything, are typical or unusual, or as "
                "many of each class; unlike what is labelled already.",
            )
            label = "Choose samples"
            button(
                panel, "choose", label, "playlist_add", self.choose_samples, "contained"
            )
            return

        outdated, again = chosen.get("outdated"), self.choose_samples
        show_outdated(panel, outdated, "Choose again", again)
        panel.md(_in_words(chosen), name="next_words")
        if chosen["most"]:
            self._show_curve(panel, chosen)
            self._show_what_next(panel, chosen)
        elif not outdated:
            button(panel, "again", "Choose again", "refresh", again)

    def _show_curve(self, panel: Any, chosen: dict[str, Any]) -> None:
        panel.plot(
            "curve",
            layout={
                **PLOT,
                "margin": {"t": 6, "b": 36, "l": 44, "r": 8},
                "xaxis": {"fixedrange": True, "title": {"text": "chosen"}},
                "yaxis": {"fixedrange": True, "rangemode": "tozero"},
            },
            config={"displayModeBar": False},
            height=180,
            on_click=self.take_to_point,
        )
        if chosen["most"] > 1:
            panel.int(
                "first",
                default=chosen["first"],
                min=1,
                max=chosen["most"],
                view=types.SliderView(
                    min=1,
                    max=chosen["most"],
                    label="The first",
                    value_label_display="auto",
                ),
                on_change=self.change_first,
            )

    def _show_what_next(self, panel: Any, chosen: dict[str, Any]) -> None:
        line = panel.h_stack("next_show", gap=1, align_y="center")
        label = f"Show {chosen['first']:,} in the grid"
        button(line, "chosen", label, "grid_view", self.show_chosen, "contained")
        button(line, "again", "Choose again", "refresh", self.choose_samples)
        line = panel.h_stack("next_more", gap=1, align_y="end")
        line.str("tag", label="Tag", default="label next", view=types.TextFieldView())
        label = f"Tag {chosen['first']:,}"
        button(line, "tag_them", label, "sell", self.tag_chosen)
        line = panel.h_stack("next_save", gap=1, align_y="end")
        line.str("name", label="View", default="label next", view=types.TextFieldView())
        button(line, "save", "Save as a view", "bookmark", self.save_chosen)


def _in_words(chosen: dict[str, Any]) -> str:
    if not chosen["most"]:
        return f"All {chosen['total']:,} are like what is labelled already"

    words = f"The first **{chosen['first']:,}** of {chosen['most']:,} chosen"
    if chosen["first"] == chosen["most"]:
        words = f"**{chosen['most']:,}** of {chosen['total']:,} chosen"

    far = distance_in_words(chosen["radius"])
    return f"{words}{chosen['about']} · nothing is farther than {far}"


def _asked_in_words(found: Any, about: dict[str, Any]) -> str:
    words = f" ({', '.join(found.strategy)}"
    if about.get("balance"):
        words += f", balanced by '{about['balance']}'"

    if found.given:
        words += f", unlike {found.given:,} labelled"

    return words + ")"


def _curve(found: Any, first: int) -> list[dict[str, Any]]:
    step = max(1, len(found.ids) // _POINTS)
    numbers = list(range(1, len(found.ids) + 1, step))
    radius = [float(found.radius[n - 1]) for n in numbers]
    mean = [float(found.mean[n - 1]) for n in numbers]
    shown = "%{x} chosen: %{y:.3g}<extra></extra>"
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": numbers,
            "y": radius,
            "line": {"color": ACCENT, "width": 2},
            "hovertemplate": f"farthest, {shown}",
        },
        {
            "type": "scatter",
            "mode": "lines",
            "x": numbers,
            "y": mean,
            "line": {"color": FAINT, "width": 2},
            "hovertemplate": f"on average, {shown}",
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": [first],
            "y": [float(found.radius[first - 1])],
            "marker": {"color": ACCENT, "size": 10},
            "hoverinfo": "skip",
        },
    ]
