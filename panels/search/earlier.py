"""The searches that were made before: to run again, keep, name, and let go on."""

import time
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant import load_index
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore import history, standing
from fiftyone_qdrant.explore.history import Search
from fiftyone_qdrant.explore.questions import Part, embedded_key
from fiftyone_qdrant.explore.sessions import Answer, Session
from fiftyone_qdrant.words import seconds_in_words

from .frame import Frame

_SHOWN = 12
_TYPING = 60  # seconds within which a longer text takes the place of a shorter one


class Earlier(Frame):
    """The section."""

    # --- events -----------------------------------------------------------------

    def answered(self, ctx: Any, answer: Answer) -> None:
        """Keeps each search that was made."""
        super().answered(ctx, answer)
        session = self.session(ctx)
        before = session.extra.get("kept")
        if before is not None and _types_on(before, answer):
            history.delete_search(ctx.dataset, before.id)

        kept = history.keep(
            ctx.dataset,
            answer,
            scope=session.extra["places"].get(self._within(session), ""),
            thumbnail=next((p["thumb"] for p in session.parts if p.get("thumb")), None),
            vector_of=lambda part: _vector(session, answer, part),
        )
        session.extra["kept"] = kept if not kept.pinned else None

    def toggle_history(self, ctx: Any) -> None:
        extra = self.session(ctx).extra
        extra["history"] = not extra.get("history")
        extra["opened"] = None

    def open_search(self, ctx: Any) -> None:
        """Opens what else can be done with a search, or closes it."""
        extra, one = self.session(ctx).extra, ctx.params["search"]
        extra["opened"] = None if extra.get("opened") == one else one

    def ask_again(self, ctx: Any) -> None:
        """Asks a search again, on today's data."""
        self._repeat(ctx, self._find(ctx))

    def pin(self, ctx: Any) -> None:
        search = self._find(ctx)
        history.pin_search(ctx.dataset, search.id, not search.pinned)
        self.session(ctx).extra["kept"] = None

    def delete(self, ctx: Any) -> None:
        history.delete_search(ctx.dataset, ctx.params["search"])
        self.session(ctx).extra["kept"] = None

    def rename(self, ctx: Any) -> None:
        name = ctx.panel.state.get(f"named_{ctx.params['search']}.name") or ""
        history.rename_search(ctx.dataset, ctx.params["search"], name)
        self.session(ctx).extra.update(kept=None, opened=None)

    def stand(self, ctx: Any) -> None:
        """Has a pinned search tell what is new, or no more."""
        search, session = self._find(ctx), self.session(ctx)
        if search.standing:
            standing.stop_standing(ctx.dataset, search.id)
            return

        self._repeat(ctx, search)
        answer = session.answer
        if answer is None or not answer.shown.ids:
            raise ConfigError("It finds nothing now, so there is no limit to go by")

        if not search.pinned:
            history.pin_search(ctx.dataset, search.id)

        limit = float(answer.shown.distances[-1])
        question = search.to_question()
        standing.stand(ctx.dataset, search.id, answer.index, question, limit)

    def show_news(self, ctx: Any) -> None:
        """Shows what is new of a search in the grid."""
        search = self._find(ctx)
        index = load_index(ctx.dataset, search.brain_key)
        ids = standing.have_seen(ctx.dataset, search.id)
        ctx.ops.set_view(view=standing.view_of_news(index, ids))

    # --- what they do -----------------------------------------------------------

    def _find(self, ctx: Any) -> Search:
        wanted = ctx.params["search"]
        theirs = self.session(ctx).extra.get("theirs") or {}
        found: Search = theirs.get(wanted) or history.find_search(ctx.dataset, wanted)
        return found

    def _repeat(self, ctx: Any, search: Search) -> None:
        session, question = self.session(ctx), search.to_question()
        if search.brain_key not in session.extra["indexes"]:
            raise ConfigError(f"There is no index '{search.brain_key}' any more")

        text = next((p.value for p in question.parts if _is_typed(p)), "")
        asked = {"key": search.brain_key, "k": question.k, "text": text}
        asked.update(reverse=question.reverse, hnsw_ef=question.hnsw_ef)
        asked["variety"] = round(100 * (question.diversity or 0))
        session.asked.update(asked)
        session.parts = [
            {**vars(part), "id": f"h{n}", "thumb": search.thumbnail}
            for n, part in enumerate(question.parts)
            if not _is_typed(part)
        ]
        ctx.panel.state.set("ask.text", text)
        ctx.panel.state.apply("ask.text")
        self.search(ctx)
        low, high = search.cut
        if session.answer is not None and (low, high) != (None, None):
            session.answer.cut = (low, high)
            self.show(ctx)

    # --- drawing ----------------------------------------------------------------

    def show_earlier(self, panel: Any, ctx: Any) -> None:
        """Adds what is new, the button, and the searches."""
        news = standing.news(ctx.dataset)
        for search in news:
            line = panel.h_stack(f"news_{search.id}", gap=1, align_y="center")
            line.md(f"**{search.name}**: {standing.in_words(search)}", name="words")
            _button(line, "show", "Show", "grid_view", self.show_news, search)

        untold = any(s.standing and not s.standing["told"] for s in news)
        for search in standing.untold(ctx.dataset) if untold else []:
            words = f"'{search.name}': {standing.in_words(search)}"
            ctx.ops.notify(words, variant="info")

        extra = self.session(ctx).extra
        panel.btn(
            "history_toggle",
            label="Hide history" if extra.get("history") else "History",
            icon="history",
            variant="text",
            on_click=self.toggle_history,
        )
        if not extra.get("history"):
            return

        theirs = history.of_fiftyone(ctx.dataset, list(extra["indexes"]))
        extra["theirs"] = {s.id: s for s in theirs}
        found = history.searches(ctx.dataset)
        if not (found or theirs):
            panel.md("No searches yet.", name="no_history")

        for search in found[:_SHOWN]:
            opened = extra.get("opened") == search.id
            self._show_search(panel, ctx.dataset, search, opened)

        if theirs:
            panel.md("From FiftyOne's Similarity Search", name="theirs")

        for search in theirs[:_SHOWN]:
            line = panel.h_stack(f"earlier_{search.id}", gap=1, align_y="center")
            line.md(f"**{search.name}** · {search.count:,}", name="words")
            _button(line, "again", "Again", "replay", self.ask_again, search)

    def _show_search(
        self, panel: Any, dataset: Any, search: Search, opened: bool
    ) -> None:
        line = panel.h_stack(f"earlier_{search.id}", gap=1, align_y="center")
        if search.thumbnail:
            picture = types.ImageView(height="32px")
            line.str("picture", default=search.thumbnail, view=picture)

        marks = "📌 " * search.pinned + "🔔 " * bool(search.standing)
        when = seconds_in_words(time.time() - search.at)
        words = f"{marks}**{search.name}** · {search.count:,} · {when} ago"
        line.md(words, name="words")
        _button(line, "again", "Again", "replay", self.ask_again, search)
        icon = "expand_less" if opened else "more_horiz"
        _button(
            line, "more", "Less" if opened else "More", icon, self.open_search, search
        )
        if opened:
            self._show_more(panel, dataset, search)

    def _show_more(self, panel: Any, dataset: Any, search: Search) -> None:
        line = panel.h_stack(f"opened_{search.id}", gap=1, align_y="center")
        pin = "Unpin" if search.pinned else "Pin"
        stand = "Stop telling" if search.standing else "Tell me what is new"
        _button(line, "pin", pin, "push_pin", self.pin, search)
        _button(line, "stand", stand, "notifications", self.stand, search)
        _button(line, "delete", "Delete", "delete", self.delete, search)
        line = panel.h_stack(f"named_{search.id}", gap=1, align_y="end")
        line.str("name", label="Name", default=search.name, view=types.TextFieldView())
        _button(line, "rename", "Rename", "edit", self.rename, search)
        panel.str(
            f"python_{search.id}",
            label="The same in Python",
            default=history.as_python(dataset, search),
            view=types.CodeView(language="python", read_only=True),
        )


def _button(
    line: Any, name: str, label: str, icon: str, handler: Any, search: Search
) -> None:
    line.btn(
        name,
        label=label,
        icon=icon,
        variant="text",
        on_click=handler,
        params={"search": search.id},
    )


def _is_typed(part: Part) -> bool:
    return part.kind == "text" and not part.unlike


def _types_on(before: Search, answer: Answer) -> bool:
    """Whether a search goes on from another while its text is typed."""
    last, now = before.to_question().parts, answer.question.parts
    if time.time() - before.at > _TYPING or before.brain_key != answer.index.key:
        return False

    if [p.kind for p in last] != ["text"] or [p.kind for p in now] != ["text"]:
        return False

    texts = (str(last[0].value), str(now[0].value))
    return texts[0] != texts[1] and (
        texts[1].startswith(texts[0]) or texts[0].startswith(texts[1])
    )


def _vector(session: Session, answer: Answer, part: Part) -> Any:
    known = session.embedded.get(embedded_key(answer.index, part))
    return None if known is None else known.mean(axis=0)
