"""What is done with the hits that are shown."""

import base64
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore.exports import export
from fiftyone_qdrant.explore.sessions import Answer
from fiftyone_qdrant.matches import matches_of

from ..guarded_panel import NothingToSay
from .frame import Frame

_NAMED = {"tag": ("Tag", "sell"), "save": ("Save view", "bookmark_add")}
_MEDIA = {"csv": "text/csv", "json": "application/json"}


class Actions(Frame):
    """The section."""

    # --- events -----------------------------------------------------------------

    def choose_action(self, ctx: Any) -> None:
        """Opens the field for a tag, a name, or the ids; or closes it."""
        extra, action = self.session(ctx).extra, ctx.params["action"]
        extra["action"] = None if extra.get("action") == action else action

    def tag_shown(self, ctx: Any) -> None:
        """Tags what is shown."""
        tag, answer = self._name(ctx, "tag"), self._answer(ctx)
        ids, field = answer.shown.ids, answer.index.config.patches_field
        if field is None:
            answer.index.samples.select(ids).tag_samples(tag)
        else:
            ctx.dataset.select_labels(ids=ids, fields=field).tag_labels(tag)

        ctx.ops.reload_dataset()
        self._done(ctx, f"Tagged {len(ids):,} with '{tag}'")

    def save_shown(self, ctx: Any) -> None:
        """Saves what is shown as a view."""
        name, answer = self._name(ctx, "name"), self._answer(ctx)
        if ctx.dataset.has_saved_view(name):
            raise ConfigError(f"There is a view '{name}' already: choose another name")

        matches = matches_of(answer.index, answer.shown)
        ctx.dataset.save_view(name, matches.view)
        ctx.ops.reload_dataset()
        self._done(ctx, f"Saved {len(matches.ids):,} as view '{name}'")

    def download(self, ctx: Any) -> None:
        """Downloads what is shown, with distances."""
        answer, kind = self._answer(ctx), ctx.params["kind"]
        text = export(answer.index, answer.shown, kind)
        coded = base64.b64encode(text.encode()).decode()
        url = f"data:{_MEDIA[kind]};base64,{coded}"
        ctx.ops.browser_download(url, f"{ctx.dataset.name}-search.{kind}")

    def add_to_index(self, ctx: Any) -> None:
        """Opens the form that adds what is shown, or selected, to an index."""
        ctx.prompt(f"{self.plugin_name}/add_selected_to_index")

    def remove_from_index(self, ctx: Any) -> None:
        """Opens the form that takes what is shown, or selected, out of an index."""
        key = self._answer(ctx).index.key
        ctx.prompt(f"{self.plugin_name}/remove_selected", params={"brain_key": key})

    def change_distances(self, ctx: Any) -> None:
        """Shows distances on the tiles, or not; Qdrant is not asked."""
        asked, shown = self.session(ctx).asked, bool(ctx.params["value"])
        if shown == asked.get("distances", True):
            raise NothingToSay  # FiftyOne sends what a new field has

        asked["distances"] = shown
        self.show(ctx)

    def _name(self, ctx: Any, what: str) -> str:
        name = (ctx.panel.state.get(f"act.{what}") or "").strip()
        if not name:
            raise ConfigError(f"Type a {what} first")

        return name

    def _answer(self, ctx: Any) -> Answer:
        answer = self.session(ctx).answer
        if answer is None or not answer.shown.ids:
            raise ConfigError("Nothing is shown: search first")

        return answer

    def _done(self, ctx: Any, words: str) -> None:
        self.session(ctx).extra["action"] = None
        ctx.ops.notify(words, variant="success")

    # --- drawing ----------------------------------------------------------------

    def show_actions(self, panel: Any, ctx: Any) -> None:
        """Adds the buttons, and the field of the one that needs a name."""
        session = self.session(ctx)
        answer = session.answer
        if answer is None or not answer.hits.ids:
            return

        opened, line = session.extra.get("action"), panel.h_stack("actions", gap=1)
        ids = ("ids", ("IDs", "tag"))
        for action, (label, icon) in (*_NAMED.items(), ids):
            line.btn(
                action,
                label=label,
                icon=icon,
                variant="contained" if action == opened else "outlined",
                on_click=self.choose_action,
                params={"action": action},
            )

        for kind in _MEDIA:
            line.btn(
                kind,
                label=kind.upper(),
                icon="download",
                variant="outlined",
                on_click=self.download,
                params={"kind": kind},
            )

        if opened is not None:
            self._show_opened(panel, answer, opened)

        line = panel.h_stack("indexing", gap=1, align_y="center")
        for name, label, icon, handler in (
            ("add_to", "Add to index", "library_add", self.add_to_index),
            ("take_out", "Remove", "remove_circle_outline", self.remove_from_index),
        ):
            line.btn(name, label=label, icon=icon, variant="text", on_click=handler)

        line.bool(
            "distances",
            label="Distances on tiles",
            default=session.asked.get("distances", True),
            view=types.SwitchView(),
            on_change=self.change_distances,
        )

    def _show_opened(self, panel: Any, answer: Answer, opened: str) -> None:
        line = panel.h_stack("act", gap=1, align_y="end")
        hits = answer.shown
        if opened == "ids":
            view = types.CodeView(language="text", read_only=True)
            line.str(
                "ids", label="IDs, best first", default="\n".join(hits.ids), view=view
            )
        elif opened == "tag":
            line.str("tag", label="Tag", view=types.TextFieldView())
            words = f"Tag {len(hits.ids):,}"
            line.btn("do", label=words, variant="contained", on_click=self.tag_shown)
        else:
            line.str("name", label="Name of the view", view=types.TextFieldView())
            words = f"Save {len(hits.ids):,}"
            line.btn("do", label=words, variant="contained", on_click=self.save_shown)
