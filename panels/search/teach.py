"""Teach: thumbs up and down on tiles, in rounds; a ranking is learnt from all."""

from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant import load_index
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore.questions import Part, Question
from fiftyone_qdrant.explore.sessions import Answer, Session
from fiftyone_qdrant.explore.teaching import MOST_CANDIDATES, Teaching
from fiftyone_qdrant.ingest.sources import ids_in
from fiftyone_qdrant.matches import ids_of_selection
from fiftyone_qdrant.search.hits import Hits

from .frame import DEFAULT_K, Frame

_UNSURE = 50


class Teach(Frame):
    """The section."""

    # --- events -----------------------------------------------------------------

    def toggle_teach(self, ctx: Any) -> None:
        """Has selecting in the grid mean 👍, and with Alt 👎; or no longer."""
        extra = self.session(ctx).extra
        extra["teach"] = not extra.get("teach")
        if extra["teach"]:
            ctx.ops.set_sample_selection_style("thumbsup", "thumbsdown")
        else:
            ctx.ops.clear_sample_selection_style()

    def teach_selected(self, ctx: Any) -> None:
        """Learns from what is marked in the grid, and shows what follows."""
        session, turn = self.session(ctx), self.session(ctx).take_turn()
        teaching = self._teaching(ctx, session)
        likes, dislikes = _marked(ctx, teaching.index)
        teaching.mark(likes, dislikes)
        session.asked["taught"] = {
            "likes": teaching.likes,
            "dislikes": teaching.dislikes,
            "rounds": teaching.rounds,
        }
        if teaching.likes:
            self._show_taught(ctx, session, teaching, turn)

        ctx.ops.clear_selected_samples()
        self.keep(ctx, session)

    def show_unsure(self, ctx: Any) -> None:
        """Shows what would teach most if it were marked."""
        session, turn = self.session(ctx), self.session(ctx).take_turn()
        teaching = self._teaching(ctx, session)
        self._show_taught(ctx, session, teaching, turn, teaching.unsure(_UNSURE))

    def show_taught(self, ctx: Any) -> None:
        """Shows the ranking."""
        session, turn = self.session(ctx), self.session(ctx).take_turn()
        self._show_taught(ctx, session, self._teaching(ctx, session), turn)

    def forget_taught(self, ctx: Any) -> None:
        """Begins to teach anew."""
        session = self.session(ctx)
        session.asked.pop("taught", None)
        session.extra.pop("teaching", None)
        self.keep(ctx, session)

    def store_taught(self, ctx: Any) -> None:
        """Stores what was learnt of what is shown in a field: 1 is surely liked."""
        name = (ctx.panel.state.get("taught.field") or "").strip()
        answer = self.session(ctx).answer
        if not name:
            raise ConfigError("Type a field first")

        if answer is None or not answer.shown.ids:
            raise ConfigError("Nothing is shown: mark something first")

        field = answer.index.distance_field(name)
        field.check(overwrite=False)
        hits = answer.shown
        field.store({i: 1 - d for i, d in hits.by_id().items()})
        ctx.ops.reload_dataset()
        words = f"Stored how much {len(hits.ids):,} are liked in '{name}'"
        ctx.ops.notify(words, variant="success")

    # --- what they do -----------------------------------------------------------

    def _teaching(self, ctx: Any, session: Session) -> Teaching:
        """Returns what was taught so far, of what is searched now."""
        key = session.asked["key"]
        index = load_index(self.searched(ctx, session), key)
        known = session.extra.get("teaching")
        if known is not None and known.index.key == key:
            known.search_in(index)
            return known  # type: ignore[no-any-return]

        taught = session.asked.get("taught") or {}
        teaching = session.extra["teaching"] = Teaching(index, **taught)
        return teaching

    def _show_taught(
        self,
        ctx: Any,
        session: Session,
        teaching: Teaching,
        turn: int,
        hits: Hits | None = None,
    ) -> None:
        k = min(int(session.asked.get("k") or DEFAULT_K), MOST_CANDIDATES)
        shown = teaching.ranking(k) if hits is None else hits
        if not session.is_latest(turn):
            return

        sides = {"liked": teaching.likes, "disliked": teaching.dislikes}
        parts = [
            Part("ids", ids, how == "disliked", f"{len(ids):,} {how}")
            for how, ids in sides.items()
            if ids
        ]
        session.answer = Answer(Question(tuple(parts), k=k), teaching.index, shown)
        self.answered(ctx, session.answer)
        self.show(ctx)

    # --- drawing ----------------------------------------------------------------

    def show_teach(self, panel: Any, ctx: Any) -> None:
        """Adds the switch, what was marked so far, and what to do next."""
        session = self.session(ctx)
        opened, taught = session.extra.get("teach"), session.asked.get("taught")
        panel.btn(
            "teach",
            label="Stop teaching" if opened else "Teach",
            icon="thumb_up",
            variant="contained" if opened else "text",
            on_click=self.toggle_teach,
        )
        if not opened:
            return

        panel.md(_in_words(taught), name="taught_words")
        line = panel.h_stack("teaching", gap=1, align_y="center")
        count = len(ctx.selected or [])
        buttons = [("learn", f"Learn from {count:,}", self.teach_selected)]
        if taught and taught["likes"]:
            buttons += [
                ("unsure", "Unsure ones", self.show_unsure),
                ("ranking", "Ranking", self.show_taught),
            ]

        if taught:
            buttons.append(("forget", "Start anew", self.forget_taught))

        for name, label, handler in buttons if count else buttons[1:]:
            line.btn(
                name,
                label=label,
                variant="contained" if name == "learn" else "outlined",
                on_click=handler,
            )

        if taught and taught["likes"] and session.answer is not None:
            line = panel.h_stack("taught", gap=1, align_y="end")
            field = types.TextFieldView(placeholder="liked")
            line.str("field", label="Field for how much each is liked", view=field)
            line.btn(
                "store", label="Store", variant="outlined", on_click=self.store_taught
            )


def _in_words(taught: dict[str, Any] | None) -> str:
    how = (
        "Tick what you like in the grid, and with Alt held what you do not. "
        "Then learn from it."
    )
    if not taught:
        return how

    likes, dislikes = len(taught["likes"]), len(taught["dislikes"])
    return f"**Round {taught['rounds']}** · {likes:,} liked · {dislikes:,} not. {how}"


def _marked(ctx: Any, index: Any) -> tuple[list[str], list[str]]:
    """Returns the ids, in an index, of what is marked as liked and as disliked."""
    marked = ctx.selected_samples or [{"id": i} for i in ctx.selected or []]
    sides: tuple[list[str], list[str]] = ([], [])
    for one in marked:
        given = {"id": one} if isinstance(one, str) else one
        sides[given.get("type") == "alt"].append(given["id"])

    return _ids(ctx, index, sides[0]), _ids(ctx, index, sides[1])


def _ids(ctx: Any, index: Any, selected: list[str]) -> list[str]:
    if not selected:
        return []

    view = ctx.dataset if ctx.view is None else ctx.view
    if index.held.in_parts(view) or index.held.stands_for_parts(view):
        return list(ids_of_selection(index, **ids_in(index, view.select(selected))))

    return list(ids_of_selection(index, selected))
