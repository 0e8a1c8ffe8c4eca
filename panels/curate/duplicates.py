"""Near-duplicates: how near is too near, which is kept, and what becomes of others."""

from typing import Any

import fiftyone.operators.types as types
import numpy as np

from fiftyone_qdrant.curate import stored
from fiftyone_qdrant.curate.duplicates import (
    counts_at,
    duplicates_to_delete,
    groups_at,
    keep_by,
    kept_duplicates,
    show_groups,
)
from fiftyone_qdrant.curate.freshness import why_outdated
from fiftyone_qdrant.curate.keeping import KEPT
from fiftyone_qdrant.curate.relabelling import add_tag
from fiftyone_qdrant.curate.review import forget_reviews, review
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.words import distance_in_words

from .part import (
    ACCENT,
    DUPLICATES,
    FAINT,
    PLOT,
    Part,
    button,
    choice,
    empty,
    set_field,
    show_outdated,
    update,
)

_BARS = 40
_STEPS = 200
_SMALLEST = 1e-9  # FiftyOne takes a slider that begins at 0 for one without an end


class Duplicates(Part):
    """The part."""

    # --- events -----------------------------------------------------------------

    def find_duplicates(self, ctx: Any) -> None:
        self.prompt(ctx, DUPLICATES)

    def change_cut(self, ctx: Any) -> None:
        """Moves the largest distance; nothing is asked of Qdrant."""
        self._cut(ctx, ctx.params["value"])
        set_field(ctx, "dup_how.number", ctx.panel.state.dup["cut"])

    def type_cut(self, ctx: Any) -> None:
        """Moves it to a number that was typed."""
        value = ctx.params["value"]
        if value is not None and value != ctx.panel.state.dup["cut"]:
            self._cut(ctx, value)
            set_field(ctx, "cut", ctx.panel.state.dup["cut"])

    def cut_at_bar(self, ctx: Any) -> None:
        """Cuts behind the bar that was clicked."""
        found = kept_duplicates(ctx.dataset, self.key(ctx))
        self._cut(ctx, _edges(found)[int(ctx.params["idx"]) + 1])
        set_field(ctx, "cut", ctx.panel.state.dup["cut"])
        set_field(ctx, "dup_how.number", ctx.panel.state.dup["cut"])

    def change_keep(self, ctx: Any) -> None:
        """Changes which one of a group is kept; nothing is asked of Qdrant."""
        if ctx.params["value"] != ctx.panel.state.dup["keep"]:
            keep_by(ctx.dataset, self.key(ctx), ctx.params["value"])
            self._cut(ctx, ctx.panel.state.dup["cut"])

    def show_tiles(self, ctx: Any) -> None:
        """Shows one tile for each group: the kept one."""
        self._show(ctx, flat=False)

    def show_flat(self, ctx: Any) -> None:
        """Shows all of each group, one after the other, the kept ones tagged."""
        self._show(ctx, flat=True)

    def tag_duplicates(self, ctx: Any) -> None:
        """Tags what would go."""
        ids = self._ids(ctx)
        name = (ctx.panel.state.get("dup_more.tag") or "duplicate").strip()
        done = add_tag(ctx.dataset, self.key(ctx), ids, name)
        ctx.ops.reload_samples()
        ctx.ops.notify(f"{len(done.ids):,} tagged '{name}'", variant="success")

    def delete(self, ctx: Any) -> None:
        """Opens the form that deletes what would go."""
        cut = ctx.panel.state.dup["cut"]
        self.prompt(ctx, "delete_duplicates", threshold=cut)

    def leave_selected(self, ctx: Any) -> None:
        """Notes that the groups of what is selected are to stay as they are."""
        selected = set(ctx.selected or [])
        if not selected:
            raise ConfigError("Select a sample of each group that is to stay first")

        _, groups = groups_at(ctx.dataset, self.key(ctx), ctx.panel.state.dup["cut"])
        chosen = [group for group in groups if selected.intersection(group)]
        review(ctx.dataset, self.key(ctx), chosen)
        ctx.ops.notify(f"{len(chosen):,} groups stay as they are", variant="success")
        self.refresh(ctx)

    def look_again(self, ctx: Any) -> None:
        """Has the groups that were reviewed be among the others again."""
        forget_reviews(ctx.dataset, self.key(ctx))
        self.refresh(ctx)

    def colors_of_duplicates(self, ctx: Any) -> dict[str, Any]:
        """Returns which are kept and which would go, for the map."""
        dup = ctx.panel.state.dup
        if not dup:
            return {}

        _, groups = groups_at(ctx.dataset, self.key(ctx), dup["cut"])
        colors = {i: "duplicate" for group in groups for i in group[1:]}
        return {**colors, **{group[0]: "kept" for group in groups}}

    # --- what they do -----------------------------------------------------------

    def _ids(self, ctx: Any) -> list[str]:
        cut = ctx.panel.state.dup["cut"]
        ids = duplicates_to_delete(ctx.dataset, self.key(ctx), cut)
        if not ids:
            raise ConfigError("There are no near-duplicates at this distance")

        return ids

    def _show(self, ctx: Any, flat: bool) -> None:
        dup = ctx.panel.state.dup
        view = show_groups(ctx.dataset, self.key(ctx), dup["cut"], flat=flat)
        ctx.ops.reload_dataset()  # the App may not know the fields yet
        words = f"{dup['groups']:,} groups within {distance_in_words(dup['cut'])}"
        self.show_view(ctx, view, words)

    def begin_duplicates(self, ctx: Any) -> None:
        """Reads what is kept, and whether it is out of date."""
        one = stored.latest(ctx.dataset, DUPLICATES, self.key(ctx))
        if one is None:
            update(ctx, dup=None)
            return

        found = kept_duplicates(ctx.dataset, self.key(ctx))
        before = ctx.panel.state.dup or {}
        cut = before.get("cut")
        if cut is None or before.get("max") != found.threshold:
            cut = found.threshold / 2

        outdated = why_outdated(ctx.dataset, found, one.stamp)
        self._cut(ctx, cut, max=found.threshold, outdated=outdated)

    def _cut(self, ctx: Any, value: Any, **more: Any) -> None:
        key = self.key(ctx)
        found = kept_duplicates(ctx.dataset, key)
        cut = float(min(max(float(value), 0.0), found.threshold))
        groups, remove, stay = counts_at(ctx.dataset, key, cut)
        count = np.searchsorted(found.distances, cut, "right")
        same = int(found.same_file[:count].sum())
        dup = {
            **(ctx.panel.state.dup or {}),
            "cut": cut,
            "compared": len(found.ids),
            "groups": groups,
            "remove": remove,
            "reviewed": stay,
            "same_file": same,
            "keep": found.keep,
            "missing": found.missing,
            "reached": found.reached,
            "complete_to": min(found.complete_to, found.threshold),
            "recall": found.recall,
            **more,
        }
        update(ctx, dup=dup)
        ctx.panel.data.set("nearest", [_bars(found, cut)])

    # --- drawing ----------------------------------------------------------------

    def show_duplicates(self, panel: Any, ctx: Any) -> None:
        """Adds the part."""
        dup = ctx.panel.state.dup
        if not dup:
            empty(
                panel,
                "Find what is there twice",
                "Qdrant compares all embeddings once. Then a slider says how near is "
                "too near, and you decide what becomes of them.",
            )
            label = "Find near-duplicates"
            button(panel, "find", label, "search", self.find_duplicates, "contained")
            return

        show_outdated(panel, dup.get("outdated"), "Find again", self.find_duplicates)
        panel.md(_in_words(dup), name="dup_words")
        panel.plot(
            "nearest",
            layout={**PLOT, "xaxis": {"fixedrange": True, "tickformat": ".2~g"}},
            config={"displayModeBar": False},
            height=130,
            on_click=self.cut_at_bar,
        )
        panel.float(
            "cut",
            default=dup["cut"],
            min=_SMALLEST,
            max=dup["max"],
            view=types.SliderView(
                min=_SMALLEST,
                max=dup["max"],
                view_multiple_of=dup["max"] / _STEPS,
                label="Distance",
                value_label_display="auto",
                value_precision=5,
            ),
            on_change=self.change_cut,
        )
        line = panel.h_stack("dup_how", gap=2, align_y="end")
        line.float(
            "number",
            label="Largest distance",
            default=dup["cut"],
            view=types.FieldView(),
            on_change=self.type_cut,
        )
        keep = dup["keep"]
        rules = dict(KEPT)
        rules.setdefault(keep, f"By '{keep.removeprefix('-')}'")
        choice(line, "keep", "Keep of each group", rules, keep, self.change_keep)
        if dup["remove"]:
            self._show_actions(panel, dup)

        foot = panel.h_stack("dup_foot", gap=1, align_y="center")
        if dup["reviewed"]:
            words = f"Look again at {dup['reviewed']:,} that stay"
            button(foot, "look_again", words, "undo", self.look_again, "text")

        if not dup.get("outdated"):
            button(foot, "again", "Find again", "refresh", self.find_duplicates, "text")

    def _show_actions(self, panel: Any, dup: dict[str, Any]) -> None:
        line = panel.h_stack("dup_show", gap=1, align_y="center")
        label = "Show groups"
        button(line, "tiles", label, "grid_view", self.show_tiles, "contained")
        button(line, "flat", "Show all in a row", "view_list", self.show_flat)
        button(line, "leave", "Selected may stay", "check", self.leave_selected)
        line = panel.h_stack("dup_more", gap=1, align_y="end")
        line.str("tag", label="Tag", default="duplicate", view=types.TextFieldView())
        label = f"Tag {dup['remove']:,}"
        button(line, "tag_them", label, "sell", self.tag_duplicates)
        label = f"Delete {dup['remove']:,}…"
        button(line, "delete", label, "delete", self.delete)


def _in_words(dup: dict[str, Any]) -> str:
    groups, remove = dup["groups"], dup["remove"]
    one = "group" if groups == 1 else "groups"
    words = [f"**{groups:,}** {one}, **{remove:,}** to remove"]
    words[0] += f" of {dup['compared']:,}"
    if dup["same_file"]:
        words.append(f"{dup['same_file']:,} pairs are the same file")

    if dup["reached"] and dup["cut"] > dup["complete_to"]:
        words.append(
            f"beyond {dup['complete_to']:.3g}, not all pairs of {dup['reached']:,} are "
            "known"
        )

    if dup["recall"] < 1:
        words.append(f"about {dup['recall']:.1%} of all pairs were found")

    if dup["missing"]:
        words.append(f"{dup['missing']:,} are not in the index, so not compared")

    return " · ".join(words)


def _edges(found: Any) -> Any:
    return np.linspace(0.0, found.threshold, _BARS + 1)


def _bars(found: Any, cut: float) -> dict[str, Any]:
    edges = _edges(found)
    near = found.nearest[np.isfinite(found.nearest)]
    counts, _ = np.histogram(np.clip(near, 0.0, found.threshold), edges)
    middles = (edges[:-1] + edges[1:]) / 2
    return {
        "type": "bar",
        "x": middles.tolist(),
        "y": counts.tolist(),
        "marker": {"color": np.where(middles <= cut, ACCENT, FAINT).tolist()},
        "hovertemplate": "%{y} whose nearest is at %{x:.3g}<extra></extra>",
    }
