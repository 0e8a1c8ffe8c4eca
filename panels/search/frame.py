"""What all sections of Qdrant Search share: the session, the search, what is shown.

FiftyOne runs events at the same time, in any order. So what a person did is kept in the
session of the panel, here in the server, as soon as it arrives; a search that was
overtaken by another says nothing, and the later one has seen all that came before.
"""

from typing import Any

from fiftyone_qdrant import load_index
from fiftyone_qdrant.explore.questions import Part, Question, ask
from fiftyone_qdrant.explore.sessions import (
    Answer,
    Session,
    new_token,
    session_of,
)

from ..guarded_panel import GuardedPanel, NothingToSay

DEFAULT_K = 500


class Frame(GuardedPanel):
    """Base class of the sections, which are mixins of the panel."""

    # --- what a section may call ------------------------------------------------

    def session(self, ctx: Any) -> Session:
        """Returns what this panel remembers, from its state if the server forgot."""
        token = ctx.panel.state.token
        if not token:
            token = new_token()
            ctx.panel.state.token = token

        session, is_new = session_of(token)
        if is_new:
            kept = ctx.panel.state.kept or {}
            session.asked.update(kept.get("asked") or {})
            session.parts = list(kept.get("parts") or [])

        return session

    def search(self, ctx: Any) -> None:
        """Asks what the session says, and shows the answer unless it is overtaken."""
        session = self.session(ctx)
        turn = session.take_turn()
        question, key = self.question(session), session.asked.get("key")
        if key is None or not question.parts:
            session.answer = None
            self.keep(ctx, session)
            self.clear(ctx)
            return

        index = load_index(self.searched(ctx, session), key)
        session.forget_much()
        hits = ask(index, question, session.picture, session.embedded)
        if not session.is_latest(turn):
            raise NothingToSay

        session.answer = Answer(question, index, hits)
        self.keep(ctx, session)
        self.answered(ctx, session.answer)
        self.show(ctx)

    def question(self, session: Session) -> Question:
        """Returns what is asked now."""
        asked = session.asked
        parts = [
            Part(p["kind"], p["value"], p["unlike"], p["name"]) for p in session.parts
        ]
        text = (asked.get("text") or "").strip()
        if text:
            parts.insert(0, Part("text", text, name=text))

        variety = asked.get("variety") or 0
        return Question(
            tuple(parts),
            k=int(asked.get("k") or DEFAULT_K),
            reverse=bool(asked.get("reverse")),
            diversity=variety / 100 or None,
            hnsw_ef=asked.get("hnsw_ef"),
        )

    def keep(self, ctx: Any, session: Session) -> None:
        """Has the panel's state know what is asked, should the server forget."""
        kept = {"asked": dict(session.asked), "parts": list(session.parts)}
        if ctx.panel.state.kept != kept:
            ctx.panel.state.kept = kept

    # --- what sections are for --------------------------------------------------

    def searched(self, ctx: Any, session: Session) -> Any:
        """Returns the dataset or view to search in."""
        raise NotImplementedError("section scope must implement searched()")

    def answered(self, ctx: Any, answer: Answer) -> None:
        """Called with each new answer, before it is shown."""
        raise NotImplementedError("section results must implement answered()")

    def show(self, ctx: Any) -> None:
        """Shows the session's answer, as it is cut, in the grid and in figures."""
        raise NotImplementedError("section results must implement show()")

    def clear(self, ctx: Any) -> None:
        """Shows that nothing is asked."""
        raise NotImplementedError("section results must implement clear()")

    # --- problems ---------------------------------------------------------------

    def execute(self, ctx: Any) -> Any:
        method = str(ctx.params.get("__method__"))
        if not method.startswith("on_"):  # those come by themselves, after others
            self.session(ctx).extra.pop("problem", None)

        return super().execute(ctx)

    def _say(self, ctx: Any, problem: str | None) -> None:
        self.session(ctx).extra["problem"] = problem
        super()._say(ctx, None)
