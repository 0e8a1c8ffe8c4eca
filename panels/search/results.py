"""What was found: the grid, the numbers, and a cut that is moved after the search."""

from collections import Counter
from typing import Any

import fiftyone.operators.types as types
import numpy as np

from fiftyone_qdrant.explore import thumbnails
from fiftyone_qdrant.explore.cuts import proposed_cut
from fiftyone_qdrant.explore.sessions import Answer, Session
from fiftyone_qdrant.explore.twins import twins
from fiftyone_qdrant.index.distance_field import with_distances
from fiftyone_qdrant.matches import matches_of
from fiftyone_qdrant.words import distance_in_words

from ..guarded_panel import NothingToSay
from .frame import Frame

_BARS = 40
_SMALLEST = 1e-9  # FiftyOne takes a slider that begins at 0 for one without an end
_INSIDE, _OUTSIDE = "#e5732d", "#9a9a9a66"
_IN_MODAL = 12
_SMALL = types.ImageView(height="72px")
_TWINS = {"hide_twins": False, "twins_within": 0.02}


class Results(Frame):
    """The section."""

    # --- events -----------------------------------------------------------------

    def change_cut(self, ctx: Any) -> None:
        """Cuts where the slider, or a number beside it, says; nothing is asked."""
        low, high = ctx.params["value"]
        self.cut(ctx, low, high, from_slider=True)

    def cut_at_bar(self, ctx: Any) -> None:
        """Cuts behind the bar that was clicked."""
        answer = self.session(ctx).answer
        if answer is not None:
            edges, bar = _edges(answer), int(ctx.params["idx"])
            if answer.question.reverse:
                self.cut(ctx, edges[bar], edges[-1])
            else:
                self.cut(ctx, edges[0], edges[bar + 1])

    def cut_to_bars(self, ctx: Any) -> None:
        """Cuts to the bars that were dragged over."""
        answer = self.session(ctx).answer
        bars = [int(p["idx"]) for p in ctx.params.get("data") or []]
        if answer is not None and len(bars) > 1:  # else it was a click
            edges = _edges(answer)
            self.cut(ctx, edges[min(bars)], edges[max(bars) + 1])

    def cut_at_jump(self, ctx: Any) -> None:
        """Cuts where the distances jump."""
        answer = self.session(ctx).answer
        jump = None if answer is None else proposed_cut(answer.hits.distances)
        if answer is not None and jump is not None:
            edges = _edges(answer)
            farthest = answer.question.reverse
            low, high = (jump, edges[-1]) if farthest else (edges[0], jump)
            self.cut(ctx, low, high)

    def show_all(self, ctx: Any) -> None:
        """Takes the cut away."""
        answer = self.session(ctx).answer
        if answer is not None:
            edges = _edges(answer)
            self.cut(ctx, edges[0], edges[-1])

    def show_again(self, ctx: Any) -> None:
        """Shows the answer in the grid, which shows something else now."""
        self.show(ctx, in_grid=True)

    # --- what they do -----------------------------------------------------------

    def cut(self, ctx: Any, low: float, high: float, from_slider: bool = False) -> None:
        """Shows the hits within two distances, which cost no search."""
        answer = self.session(ctx).answer
        if answer is None:
            raise NothingToSay

        edges, before = _edges(answer), answer.cut
        step = (edges[-1] - edges[0]) / 200
        answer.cut = (
            None if low < edges[0] + step else float(low),
            None if high > edges[-1] - step else float(high),
        )
        if answer.cut == before:
            raise NothingToSay  # the slider also tells where it was put

        if not from_slider:
            _move_slider(ctx, answer)

        self.show(ctx)

    def answered(self, ctx: Any, answer: Answer) -> None:
        if _varies(answer):
            _move_slider(ctx, answer)

        self._hide_twins(ctx, answer)

    def change_twins(self, ctx: Any) -> None:
        """Hides hits that are nearly the same as a better one, or shows them."""
        self._change_twins(ctx, "hide_twins", bool(ctx.params["value"]))

    def change_threshold(self, ctx: Any) -> None:
        """Changes how near such hits are to each other."""
        self._change_twins(ctx, "twins_within", ctx.params["value"])

    def _change_twins(self, ctx: Any, name: str, value: Any) -> None:
        asked, answer = self.session(ctx).asked, self.session(ctx).answer
        if value == asked.get(name, _TWINS[name]) or value is None:
            raise NothingToSay  # FiftyOne sends what a new field has

        asked[name] = value
        if answer is not None:
            self._hide_twins(ctx, answer)
            self.show(ctx)

    def _hide_twins(self, ctx: Any, answer: Answer) -> None:
        asked = self.session(ctx).asked
        answer.hidden = {}
        if asked.get("hide_twins"):
            within = float(asked.get("twins_within", _TWINS["twins_within"]))
            answer.hidden = twins(answer.index, answer.hits, within)

    def clear(self, ctx: Any) -> None:
        self.session(ctx).extra.pop("shown", None)

    def show(self, ctx: Any, in_grid: bool = False) -> None:
        session = self.session(ctx)
        answer = session.answer
        if answer is None:
            return

        hits = answer.shown
        if _varies(answer):
            ctx.panel.data.set("histogram", [_bars(answer)])

        if ctx.current_sample and not in_grid:  # it covers the grid
            self._show_small(ctx, session, answer)
            return

        matches = matches_of(answer.index, hits)
        view, field = matches.view, None
        if session.asked.get("distances", True):
            view, field = with_distances(view, matches.shown)

        shown = ctx.active_fields or []
        if field is not None and field not in shown:
            ctx.ops.reload_dataset()  # the App may not know the field yet

        ctx.ops.set_view(view=view)
        if field is not None and field not in shown:
            ctx.ops.set_active_fields([*shown, field])

        if ctx.current_sample:
            ctx.ops.close_sample()

    def _show_small(self, ctx: Any, session: Session, answer: Answer) -> None:
        hits = answer.shown.first(_IN_MODAL)
        ids = hits.sample_ids or hits.ids
        small = thumbnails.of_samples(answer.index.samples, ids)
        session.extra["small"] = [small[i] for i in ids if i in small]

    # --- drawing ----------------------------------------------------------------

    def show_results(self, panel: Any, ctx: Any) -> None:
        """Adds how many are shown, the histogram, and the cut."""
        session = self.session(ctx)
        answer = session.answer
        if answer is None:
            return

        if not answer.hits.ids:
            panel.md("Nothing matches. Try another text, or search elsewhere.")
            return

        panel.md(in_words(answer, answer.shown), name="found")
        if _varies(answer):
            self._show_cut(panel, answer)

        if ctx.current_sample:
            line = panel.h_stack("nearest", gap=1)
            for n, small in enumerate(session.extra.get("small") or []):
                line.str(f"small_{n}", default=small, view=_SMALL)

            panel.btn(
                "show_again",
                label="Show in the grid",
                icon="grid_view",
                variant="outlined",
                on_click=self.show_again,
            )

    def _show_cut(self, panel: Any, answer: Answer) -> None:
        edges = _edges(answer)
        panel.plot(
            "histogram",
            layout={
                "margin": {"t": 4, "b": 24, "l": 8, "r": 8},
                "bargap": 0.05,
                "dragmode": "select",
                "selectdirection": "h",
                "xaxis": {"fixedrange": True},
                "yaxis": {"visible": False, "fixedrange": True},
                "showlegend": False,
            },
            config={"displayModeBar": False},
            height=120,
            on_click=self.cut_at_bar,
            on_selected=self.cut_to_bars,
        )
        low, high = max(float(edges[0]), _SMALLEST), float(edges[-1])
        panel.list(
            "cut",
            types.Number(),
            label="Distance",
            default=_ends(answer),  # which FiftyOne sends when it draws the slider
            view=types.SliderView(
                min=low,
                max=high,
                view_multiple_of=(high - low) / 200,
                variant="withInputs",
                label="Distance",
                value_label_display="auto",
                value_precision=4,
            ),
            on_change=self.change_cut,
        )
        line = panel.h_stack("cuts", gap=1)
        if answer.cut != (None, None):
            line.btn(
                "show_all",
                label=f"Show all {len(answer.hits.ids):,}",
                icon="close",
                variant="text",
                on_click=self.show_all,
            )

        jump = proposed_cut(answer.hits.distances)
        if jump is not None and jump not in answer.cut:
            line.btn(
                "cut_at_jump",
                label=f"Cut at the jump, {distance_in_words(jump)}",
                icon="content_cut",
                variant="outlined",
                on_click=self.cut_at_jump,
            )

    def show_twins(self, panel: Any, ctx: Any) -> None:
        """Adds whether to hide hits that are nearly the same."""
        session = self.session(ctx)
        if session.answer is None or len(session.answer.hits.ids) < 2:
            return

        asked, line = session.asked, panel.h_stack("twins", gap=2, align_y="center")
        line.bool(
            "hide_twins",
            label="Hide near-identical",
            default=bool(asked.get("hide_twins")),
            view=types.SwitchView(),
            on_change=self.change_twins,
        )
        if asked.get("hide_twins"):
            line.float(
                "twins_within",
                label="Nearer than",
                default=asked.get("twins_within", _TWINS["twins_within"]),
                view=types.FieldView(),
                on_change=self.change_threshold,
            )


def in_words(answer: Answer, shown: Any) -> str:
    """Says how many hits are shown, and how far they are."""
    all_of, count = len(answer.hits.ids), len(shown.ids)
    number = f"**{count:,}**" if count == all_of else f"**{count:,}** of {all_of:,}"
    if not count:
        return f"{number}: nothing is within the cut"

    ends = (shown.distances.min(), shown.distances.max())
    words = dict.fromkeys(distance_in_words(float(d)) for d in ends)
    told = f"{number} · {' to '.join(words)}"
    stood_for = set(shown.ids)
    counts = Counter(t for t in answer.hidden.values() if t in stood_for)
    if not counts:
        return told

    those = "1 that stands" if len(counts) == 1 else f"{len(counts):,} that stand"
    return f"{told} · {sum(counts.values()):,} near-identical behind {those} for them"


def _varies(answer: Answer) -> bool:
    """Whether there are distances to cut between."""
    far = answer.hits.distances
    return len(far) > 1 and bool(far.max() > far.min())


def _edges(answer: Answer) -> Any:
    far = answer.hits.distances
    return np.linspace(far.min(), far.max(), _BARS + 1)


def _bars(answer: Answer) -> dict[str, Any]:
    edges = _edges(answer)
    counts, _ = np.histogram(answer.hits.distances, edges)
    middles = (edges[:-1] + edges[1:]) / 2
    low, high = answer.cut
    inside = np.ones(len(middles), dtype=bool)
    if low is not None:
        inside &= middles >= low

    if high is not None:
        inside &= middles <= high

    return {
        "type": "bar",
        "x": middles.round(6).tolist(),
        "y": counts.tolist(),
        "marker": {"color": np.where(inside, _INSIDE, _OUTSIDE).tolist()},
        "hovertemplate": "%{y} at %{x:.3f}<extra></extra>",
    }


def _move_slider(ctx: Any, answer: Answer) -> None:
    ctx.panel.state.set("cut", _ends(answer))
    ctx.panel.state.apply("cut")


def _ends(answer: Answer) -> list[float]:
    """Where the slider's two ends are."""
    edges, (low, high) = _edges(answer), answer.cut
    least = max(float(edges[0]), _SMALLEST)
    return [least if low is None else low, float(edges[-1]) if high is None else high]
