"""Doubtful labels: which of them, what their neighbors say, and what is done."""

from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant import load_index
from fiftyone_qdrant.curate import review, stored
from fiftyone_qdrant.curate.duplicates import ordered_view
from fiftyone_qdrant.curate.freshness import why_outdated
from fiftyone_qdrant.curate.label_field import fields_of_one_label
from fiftyone_qdrant.errors import ConfigError

from . import matrix
from .part import (
    AUDIT,
    MOST,
    Part,
    button,
    choice,
    empty,
    show_outdated,
    update,
)
from .small import pictures

_ROWS = 8
_NEIGHBORS = 8
_CLASSES = 40  # that a matrix in a panel can show


class Labels(Part):
    """The part."""

    # --- events -----------------------------------------------------------------

    def audit(self, ctx: Any) -> None:
        self.prompt(ctx, AUDIT, field=ctx.panel.state.field)

    def choose_field(self, ctx: Any) -> None:
        if ctx.params["value"] != ctx.panel.state.field:
            update(ctx, field=ctx.params["value"], audit=None)
            self.begin(ctx)

    def choose_doubt(self, ctx: Any) -> None:
        """Looks at one closely: the one whose row was clicked."""
        self._look_at(ctx, ctx.panel.state.audit["page"] + int(ctx.params["row"]))

    def turn_page(self, ctx: Any) -> None:
        self._look_at(ctx, ctx.panel.state.audit["page"] + int(ctx.params["by"]))

    def accept_one(self, ctx: Any) -> None:
        """Gives the one looked at its suggestion."""
        self._decide(ctx, review.accept, [ctx.panel.state.audit["one"]])

    def ignore_one(self, ctx: Any) -> None:
        """Notes that the label looked at is right."""
        self._decide(ctx, review.ignore, [ctx.panel.state.audit["one"]])

    def accept_selected(self, ctx: Any) -> None:
        self._decide(ctx, review.accept, self._selected(ctx))

    def ignore_selected(self, ctx: Any) -> None:
        self._decide(ctx, review.ignore, self._selected(ctx))

    def tag_doubtful(self, ctx: Any) -> None:
        """Tags all that are doubtful and not decided."""
        name = (ctx.panel.state.get("audit_more.tag") or "doubtful").strip()
        found = self._audit(ctx)
        number = review.tag(ctx.dataset, found, self._left(ctx, found), name)
        ctx.ops.reload_samples()
        ctx.ops.notify(f"{number:,} tagged '{name}'", variant="success")
        self.begin(ctx)

    def undo(self, ctx: Any) -> None:
        """Undoes what was decided last."""
        words = review.undo(ctx.dataset, self.key(ctx), ctx.panel.state.field)
        ctx.ops.reload_samples()
        ctx.ops.notify(words or "There is nothing to undo", variant="info")
        self.begin(ctx)

    def show_doubtful(self, ctx: Any) -> None:
        """Shows in the grid what is doubtful, the most doubtful first."""
        ids = self._left(ctx, self._audit(ctx))
        self._show_ids(ctx, ids, "doubtful labels, the most doubtful first")

    def show_one(self, ctx: Any) -> None:
        """Shows in the grid the one looked at, and its neighbors."""
        one = ctx.panel.state.audit["one"]
        ids, _, _ = self._audit(ctx).neighbors_of(one)
        self._show_ids(ctx, [one, *ids], "a label and its neighbors")

    def show_new(self, ctx: Any) -> None:
        """Shows in the grid what has no label, the surest suggestion first."""
        self._show_ids(ctx, self._audit(ctx).new_ids, "without a label")

    def show_cell(self, ctx: Any) -> None:
        """Shows in the grid what a cell of the matrix counts."""
        said, labelled = str(ctx.params["x"]), str(ctx.params["y"])
        ids = self._audit(ctx).cell(labelled, said)
        words = f"labelled '{labelled}' whose neighbors say '{said}'"
        self._show_ids(ctx, ids, words)

    def colors_of_labels(self, ctx: Any) -> dict[str, Any]:
        """Returns how doubtful each label is, for the map."""
        if not ctx.panel.state.audit:
            return {}

        found = self._audit(ctx)
        return dict(zip(found.ids, found.scores.tolist(), strict=True))

    # --- what they do -----------------------------------------------------------

    def _audit(self, ctx: Any) -> Any:
        one = stored.latest(ctx.dataset, AUDIT, self.key(ctx), ctx.panel.state.field)
        if one is None:
            raise ConfigError("Audit the labels first")

        return stored.read(ctx.dataset, one)

    def _left(self, ctx: Any, found: Any) -> list[str]:
        """Returns what is doubtful and was not decided, the most doubtful first."""
        settled = review.decisions(ctx.dataset, found.brain_key, found.field).settled
        return [i for i in found.ids[: found.doubtful] if i not in settled]

    def _selected(self, ctx: Any) -> list[str]:
        labels = [i["label_id"] for i in ctx.selected_labels or []]
        ids = labels or list(ctx.selected or [])
        if not ids:
            raise ConfigError("Nothing is selected: select in the grid first")

        return ids

    def _decide(self, ctx: Any, what: Any, ids: list[str]) -> None:
        number = what(ctx.dataset, self._audit(ctx), ids)
        done = "accepted" if what is review.accept else "left as they are"
        ctx.ops.reload_samples()
        ctx.ops.notify(f"{number:,} {done}", variant="success")
        self.begin(ctx)

    def _show_ids(self, ctx: Any, ids: list[str], words: str) -> None:
        if not ids:
            raise ConfigError("There is nothing to show")

        view = ordered_view(ctx.dataset, self.key(ctx), ids[:MOST])
        first = "The first " if len(ids) > MOST else ""
        self.show_view(ctx, view, f"{first}{min(len(ids), MOST):,} {words}")

    def begin_labels(self, ctx: Any) -> None:
        """Reads what is kept, and whether it is out of date."""
        index = load_index(ctx.dataset, self.key(ctx))
        fields = fields_of_one_label(index)
        field = ctx.panel.state.field
        if field not in fields:
            known = stored.latest(ctx.dataset, AUDIT, self.key(ctx))
            field = known.slot if known else next(iter(fields), None)

        update(ctx, fields=fields, field=field)
        one = stored.latest(ctx.dataset, AUDIT, self.key(ctx), field)
        if field is None or one is None:
            update(ctx, audit=None)
            return

        found = stored.read(ctx.dataset, one)
        decided = review.decisions(ctx.dataset, self.key(ctx), field)
        outdated = why_outdated(ctx.dataset, found, one.stamp, decided.labels)
        at = (ctx.panel.state.audit or {}).get("at", 0)
        self._look_at(ctx, at, outdated=outdated)
        ctx.panel.data.set("matrix", [matrix.heatmap(found)])

    def _look_at(self, ctx: Any, at: int, **more: Any) -> None:
        """Looks at the doubtful label of a place in the ranking."""
        found = self._audit(ctx)
        left = self._left(ctx, found)
        at = max(0, min(at, len(left) - 1))
        page = at // _ROWS * _ROWS
        rows = _rows(found, left[page : page + _ROWS])
        audit = {
            **(ctx.panel.state.audit or {}),
            "at": at,
            "page": page,
            "one": left[at] if left else None,
            "left": len(left),
            "doubtful": found.doubtful,
            "labelled": len(found.ids),
            "new": len(found.new_ids),
            "classes": len(found.classes),
            "decided": bool(
                review.decisions(ctx.dataset, found.brain_key, found.field).ids
            ),
            "rows": len(rows),
            **more,
        }
        update(ctx, audit=audit)
        ctx.panel.data.set("doubts", rows)
        if left:
            self._show_closely(ctx, found, left[at])

    def _show_closely(self, ctx: Any, found: Any, one: str) -> None:
        ids, labels, far = found.neighbors_of(one)
        ids, labels, far = ids[:_NEIGHBORS], labels[:_NEIGHBORS], far[:_NEIGHBORS]
        small = pictures(ctx.dataset, self.key(ctx), [one, *ids])
        row = found.ids.index(one)
        label, said = found.labels[row], found.suggestions[row]
        about = f"Labelled **{label}**; {found.shares[row]:.0%} say **{said}**"
        closely = {
            "words": about,
            "said": said,
            "picture": small.get(one),
            "others": [
                {"picture": small.get(i), "words": f"{label}\u00a0·\u00a0{d:.2g}"}
                for i, label, d in zip(ids, labels, far, strict=True)
            ],
        }
        update(ctx, closely=closely)

    # --- drawing ----------------------------------------------------------------

    def show_labels(self, panel: Any, ctx: Any) -> None:
        """Adds the part."""
        state = ctx.panel.state
        if not state.field:
            empty(
                panel,
                "No labels to compare",
                "A field of Classification or text is needed, or an index of patches.",
            )
            return

        if len(state.fields or ()) > 1:
            fields = {f: f for f in state.fields}
            choice(
                panel, "field_choice", "Labels", fields, state.field, self.choose_field
            )

        audit = state.audit
        if not audit:
            empty(
                panel,
                f"Which labels of '{state.field}' are doubtful?",
                "Each label is compared with those of its nearest neighbors. Nothing "
                "is changed until you say so.",
            )
            button(panel, "audit", "Audit labels", "rule", self.audit, "contained")
            return

        show_outdated(panel, audit.get("outdated"), "Audit again", self.audit)
        panel.md(_in_words(audit), name="audit_words")
        line = panel.h_stack("audit_show", gap=1, align_y="center")
        if audit["left"]:
            label = "Show in the grid"
            button(
                line, "doubtful", label, "grid_view", self.show_doubtful, "contained"
            )

        if audit["new"]:
            label = f"Show {audit['new']:,} without a label"
            button(line, "new", label, "new_label", self.show_new)

        if audit["decided"]:
            button(line, "undo", "Undo", "undo", self.undo)

        if audit["left"]:
            self._show_list(panel, audit)
            self._show_chosen(panel, state.closely)
            self._show_many(panel, ctx, audit)

        if 1 < audit["classes"] <= _CLASSES:
            matrix.show(panel, self.show_cell)

        if not audit.get("outdated"):
            button(panel, "again", "Audit again", "refresh", self.audit, "text")

    def _show_list(self, panel: Any, audit: dict[str, Any]) -> None:
        table = types.TableView(
            on_click_cell=self.choose_doubt,
            componentsProps={
                "table": {"sx": _style(audit["at"] - audit["page"])},
                "tableHeadCell": {"sx": {"fontSize": "0.85rem"}},
                "tableBodyCell": {"sx": {"fontSize": "0.9rem"}},
            },
        )
        for name, label in (
            ("number", "No."),
            ("label", "Labelled"),
            ("said", "Neighbors say"),
            ("share", "Share"),
            ("doubt", "Doubt"),
        ):
            table.add_column(name, label=label)

        panel.list("doubts", types.Object(), view=table)
        if audit["left"] > _ROWS:
            line = panel.h_stack("pages", gap=1, align_y="center")
            last = audit["page"] + audit["rows"]
            line.md(
                f"{audit['page'] + 1:,} to {last:,} of {audit['left']:,}", name="words"
            )
            for name, icon, by in (
                ("before", "chevron_left", -_ROWS),
                ("after", "chevron_right", _ROWS),
            ):
                label = "Back" if by < 0 else "More"
                button(line, name, label, icon, self.turn_page, "text", by=by)

    def _show_chosen(self, panel: Any, closely: Any) -> None:
        if not closely:
            return

        line = panel.h_stack("closely", gap=2, align_y="center")
        if closely["picture"]:
            view = types.ImageView(height="96px")
            line.str("picture", default=closely["picture"], view=view)

        line.md(closely["words"], name="words")
        line = panel.h_stack("neighbors", gap=1, align_y="center", wrap=True)
        for n, other in enumerate(closely["others"]):
            cell = line.v_stack(f"neighbor_{n}", gap=0)
            if other["picture"]:
                view = types.ImageView(height="64px")
                cell.str("picture", default=other["picture"], view=view)

            cell.md(other["words"], name="words")

        line = panel.h_stack("decide", gap=1, align_y="center")
        label = f"Accept '{closely['said']}'"
        button(line, "accept", label, "check", self.accept_one, "contained")
        button(line, "ignore", "It is right", "thumb_up", self.ignore_one)
        button(line, "show_one", "Show with neighbors", "grid_view", self.show_one)

    def _show_many(self, panel: Any, ctx: Any, audit: dict[str, Any]) -> None:
        count = len(ctx.selected or []) or len(ctx.selected_labels or [])
        if count:
            line = panel.h_stack("audit_many", gap=1, align_y="center")
            line.md(f"{count:,} selected", name="words")
            button(line, "accept", "Accept", "check", self.accept_selected)
            button(line, "ignore", "They are right", "thumb_up", self.ignore_selected)

        line = panel.h_stack("audit_more", gap=1, align_y="end")
        line.str("tag", label="Tag", default="doubtful", view=types.TextFieldView())
        label = f"Tag {audit['left']:,}"
        button(line, "tag_them", label, "sell", self.tag_doubtful)


def _in_words(audit: dict[str, Any]) -> str:
    words = f"**{audit['doubtful']:,}** of {audit['labelled']:,} labels are doubtful"
    settled = audit["doubtful"] - audit["left"]
    return f"{words} · {settled:,} decided" if settled else words


def _rows(found: Any, ids: list[str]) -> list[dict[str, str]]:
    place = {i: n for n, i in enumerate(found.ids[: found.doubtful])}
    rows = []
    for i in ids:
        n = place[i]
        rows.append(
            {
                "number": f"{n + 1:,}",
                "label": found.labels[n],
                "said": found.suggestions[n],
                "share": f"{found.shares[n]:.0%}",
                "doubt": f"{found.scores[n]:.2f}",
            }
        )

    return rows


def _style(chosen: int) -> dict[str, Any]:
    return {
        "minWidth": 0,
        "& tbody tr": {"cursor": "pointer"},
        "& tbody tr:hover": {"backgroundColor": "action.hover"},
        f"& tbody tr:nth-child({chosen + 1})": {"backgroundColor": "action.selected"},
        "& th, & td": {"px": 1, "py": 0.5},
    }
