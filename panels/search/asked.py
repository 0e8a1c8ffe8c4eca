"""What is asked: a text, what is selected or open, pictures, tags, a vector."""

import uuid
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant import load_index
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore import thumbnails
from fiftyone_qdrant.explore.sessions import Session, take_sample
from fiftyone_qdrant.ingest.sources import ids_in
from fiftyone_qdrant.matches import ids_of_selection

from ..guarded_panel import NothingToSay
from .frame import Frame

_APART = 6  # more selected ones are one part of the question


class Asked(Frame):
    """The section."""

    # --- events -----------------------------------------------------------------

    def type_text(self, ctx: Any) -> None:
        """Searches for a text, once there is a pause in typing."""
        asked, text = self.session(ctx).asked, ctx.params["value"] or ""
        if text.strip() == (asked.get("text") or "").strip():
            raise NothingToSay

        asked["text"] = text
        self.search(ctx)

    def text_unlike(self, ctx: Any) -> None:
        """Makes of the text a part that hits should be unlike."""
        session = self.session(ctx)
        text = (session.asked.pop("text", None) or "").strip()
        if text:
            self.add(ctx, "text", text, f"“{text}”", unlike=True)
            self._empty(ctx, "ask.text")
            self.search(ctx)

    def on_change_selected(self, ctx: Any) -> None:
        """Offers what is selected now."""
        self._offer(ctx)

    def on_change_selected_labels(self, ctx: Any) -> None:
        self._offer(ctx)

    def on_change_current_sample(self, ctx: Any) -> None:
        if not self.ask_left(ctx):
            self._offer(ctx)

    def ask_left(self, ctx: Any) -> bool:
        """Asks with the sample that was open when it was to be searched with."""
        left = None if ctx.current_sample else take_sample(ctx.dataset.name)
        if left is None:
            return False

        session = self.session(ctx)
        session.parts, session.asked["text"] = [], ""
        self._empty(ctx, "ask.text")
        index = self._index(ctx, session)
        ids = ids_of_selection(index, [left])
        what = "sample" if index.config.patches_field is None else "label"
        for part in _in_parts(ctx.dataset, ids, what, {}):
            self.add(ctx, **part)

        self.search(ctx)
        return True

    def ask_selected(self, ctx: Any) -> None:
        """Asks with what is selected or open: in place of, or added to, the rest."""
        session = self.session(ctx)
        how = ctx.params.get("how", "only")
        given = self._selected(ctx, session)
        if how == "only":
            session.parts = []
            if session.asked.pop("text", None):
                self._empty(ctx, "ask.text")

        for part in given:
            self.add(ctx, **part, unlike=how == "unlike")

        self.search(ctx)

    def drop(self, ctx: Any) -> None:
        """Takes a part out of the question."""
        session = self.session(ctx)
        gone = ctx.params["part"]
        session.parts = [p for p in session.parts if p["id"] != gone]
        self.search(ctx)

    def turn(self, ctx: Any) -> None:
        """Makes a part "unlike", or "like" again."""
        session = self.session(ctx)
        session.parts = [
            {**p, "unlike": not p["unlike"]} if p["id"] == ctx.params["part"] else p
            for p in session.parts
        ]
        self.search(ctx)

    def start_anew(self, ctx: Any) -> None:
        """Asks nothing."""
        session = self.session(ctx)
        session.parts = []
        session.asked.pop("text", None)
        self._empty(ctx, "ask.text")
        self.search(ctx)

    # --- parts ------------------------------------------------------------------

    def add(
        self,
        ctx: Any,
        kind: str,
        value: Any,
        name: str,
        unlike: bool = False,
        thumb: str | None = None,
    ) -> None:
        """Adds a part to the question."""
        session = self.session(ctx)
        part = {
            "id": uuid.uuid4().hex[:8],
            "kind": kind,
            "value": value,
            "unlike": unlike,
            "name": name,
            "thumb": thumb,
        }
        session.parts = [*session.parts, part]

    def _offer(self, ctx: Any) -> None:
        extra = self.session(ctx).extra
        seen = str([ctx.selected, ctx.selected_labels, ctx.current_sample])
        if extra.get("seen_selected") == seen:
            raise NothingToSay

        extra["seen_selected"] = seen

    def _empty(self, ctx: Any, path: str) -> None:
        ctx.panel.state.set(path, "")
        ctx.panel.state.apply(path)  # else what was typed stays in the field

    def _index(self, ctx: Any, session: Session) -> Any:
        key = session.asked.get("key")
        if key is None:
            raise ConfigError("This dataset has no Qdrant index: create one first")

        return load_index(ctx.dataset, key)

    def _selected(self, ctx: Any, session: Session) -> list[dict[str, Any]]:
        index = self._index(ctx, session)
        field = index.config.patches_field
        labels = ctx.selected_labels or []
        if field is not None:
            ids = [i["label_id"] for i in labels if i.get("field", field) == field]
            if ids:
                return _in_parts(ctx.dataset, ids, "label", {})

        elif labels and not ctx.selected:
            return [self._crop(ctx, session, one) for one in labels[:_APART]]

        opened = [ctx.current_sample] if ctx.current_sample else []
        samples = list(ctx.selected or opened)
        if not samples:
            raise ConfigError("Nothing is selected: select samples in the grid first")

        view = ctx.dataset if ctx.view is None else ctx.view
        if index.held.in_parts(view) or index.held.stands_for_parts(view):
            given = ids_in(index, view.select(samples))
        else:
            given = {"sample_ids": samples}

        ids = ids_of_selection(index, **given)
        return _in_parts(ctx.dataset, ids, "sample" if field is None else "label", {})

    def _crop(self, ctx: Any, session: Session, label: Any) -> dict[str, Any]:
        crop = thumbnails.label_crop(
            ctx.dataset, label["sample_id"], label["field"], label["label_id"]
        )
        if crop is None:
            raise ConfigError(
                "This label has no box in a picture. Select its sample instead"
            )

        return {
            "kind": "picture",
            "value": session.keep_picture(crop),
            "name": f"a label of '{label['field']}'",
            "thumb": thumbnails.of_bytes(crop),
        }

    # --- drawing ----------------------------------------------------------------

    def show_asked(self, panel: Any, ctx: Any) -> None:
        """Adds the text field, what is selected, and the parts of the question."""
        session = self.session(ctx)
        about = session.extra["indexes"][session.asked["key"]]
        if about["prompts"]:
            line = panel.h_stack("ask", gap=1, align_y="end")
            line.str(
                "text",
                label="What to look for",
                view=types.TextFieldView(placeholder="Type, or select in the grid"),
                on_change=self.type_text,
            )
            if (session.asked.get("text") or "").strip():
                line.btn(
                    "text_unlike",
                    label="Unlike",
                    icon="thumb_down",
                    variant="outlined",
                    on_click=self.text_unlike,
                )

        else:
            panel.md(
                "Select samples in the grid to find what is like them. "
                "This index has no model that reads text.",
                name="no_text",
            )

        self._show_selected(panel, ctx)
        for part in session.parts:
            self._show_part(panel, part)

        if len(session.parts) > 1:
            panel.btn(
                "start_anew",
                label="Drop all",
                icon="close",
                variant="text",
                on_click=self.start_anew,
            )

    def _show_selected(self, panel: Any, ctx: Any) -> None:
        count = len(ctx.selected or []) or len(ctx.selected_labels or [])
        if not count and not ctx.current_sample:
            return

        words = f"{count:,} selected" if count else "The open sample"
        line = panel.h_stack("selected", gap=1, align_y="center")
        line.md(words, name="words")
        for how, label, icon in (
            ("only", "Find similar", "search"),
            ("like", "Add", "add"),
            ("unlike", "Add unlike", "remove"),
        ):
            line.btn(
                f"ask_{how}",
                label=label,
                icon=icon,
                variant="contained" if how == "only" else "outlined",
                on_click=self.ask_selected,
                params={"how": how},
            )

    def _show_part(self, panel: Any, part: dict[str, Any]) -> None:
        line = panel.h_stack(f"part_{part['id']}", gap=1, align_y="center")
        if part["thumb"]:
            picture = types.ImageView(height="40px")
            line.str("picture", default=part["thumb"], view=picture)

        words = f"**Unlike** {part['name']}" if part["unlike"] else part["name"]
        line.md(words, name="words")
        line.btn(
            "turn",
            label="Like" if part["unlike"] else "Unlike",
            icon="thumb_up" if part["unlike"] else "thumb_down",
            variant="outlined",
            on_click=self.turn,
            params={"part": part["id"]},
        )
        line.btn(
            "drop",
            label="Drop",
            icon="close",
            variant="outlined",
            on_click=self.drop,
            params={"part": part["id"]},
        )


def _in_parts(
    dataset: Any, ids: list[str], what: str, thumbs: dict[str, str]
) -> list[dict[str, Any]]:
    """Returns a part for each id, or one for all if they are many."""
    if not thumbs and what == "sample":
        thumbs = thumbnails.of_samples(dataset, ids[:_APART])

    if len(ids) > _APART:
        first = thumbs.get(ids[0])
        name = f"{len(ids):,} {what}s"
        return [{"kind": "ids", "value": ids, "name": name, "thumb": first}]

    return [
        {"kind": "ids", "value": [i], "name": f"a {what}", "thumb": thumbs.get(i)}
        for i in ids
    ]
