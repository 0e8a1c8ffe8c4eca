"""Why (not) here? What keeps the selected samples out of the hits, or puts them in."""

from typing import Any

from fiftyone_qdrant import explain, load_index
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore.explanations import (
    BEYOND_K,
    MISSED,
    NOT_INDEXED,
    TOO_FAR,
    TWIN,
    Explanation,
)
from fiftyone_qdrant.explore.questions import MOST_HITS, vector_of
from fiftyone_qdrant.explore.sessions import Answer
from fiftyone_qdrant.ingest.sources import ids_in
from fiftyone_qdrant.matches import ids_of_selection

from .frame import Frame

_SHOWN = 8


class Why(Frame):
    """The section."""

    # --- events -----------------------------------------------------------------

    def answered(self, ctx: Any, answer: Answer) -> None:
        super().answered(ctx, answer)
        self.session(ctx).extra.pop("why", None)

    def explain_selected(self, ctx: Any) -> None:
        """Says of what is selected why it is, or is not, among the hits."""
        session = self.session(ctx)
        answer = session.answer
        if answer is None:
            raise ConfigError("Search first, then select what you miss")

        index, question = answer.index, answer.question
        ids = _selected(ctx, index)
        asked: dict[str, Any] = {"query": None}
        kinds = {p.kind for p in question.parts}
        sides = [[p for p in question.parts if p.unlike is u] for u in (False, True)]
        if kinds <= {"ids"}:
            like, unlike = ([i for p in part for i in p.value] for part in sides)
            asked = {"query": like, "negatives": unlike or None}
        else:
            vectors = (session.picture, session.embedded)
            asked = {"query": vector_of(index, question, *vectors)}

        session.extra["why"] = explain(
            index,
            ids=ids[:_SHOWN],
            k=question.k,
            max_distance=answer.cut[1],
            reverse=question.reverse,
            diversity=question.diversity,
            hnsw_ef=question.hnsw_ef,
            hidden=answer.hidden,
            **asked,
        )

    def close_why(self, ctx: Any) -> None:
        self.session(ctx).extra.pop("why", None)

    def bring_in(self, ctx: Any) -> None:
        """Changes the search so that what was explained is among the hits."""
        session, cause = self.session(ctx), ctx.params["cause"]
        if cause == NOT_INDEXED:
            key = session.asked["key"]
            uri = f"{self.plugin_name}/add_selected_to_index"
            ctx.prompt(uri, params={"brain_key": key}, on_success=self.search)
            return

        if cause == TOO_FAR:
            self.show_all(ctx)
            return

        if cause == TWIN:
            session.asked["hide_twins"] = False
        elif cause == MISSED:
            session.asked["hnsw_ef"] = ctx.params["value"]
        else:
            session.asked["k"] = ctx.params["value"]

        self.search(ctx)

    # --- drawing ----------------------------------------------------------------

    def show_why(self, panel: Any, ctx: Any) -> None:
        """Adds the button, and what was explained."""
        session = self.session(ctx)
        if session.answer is None:
            return

        found = session.extra.get("why")
        if found is None:
            if ctx.selected or ctx.selected_labels:
                panel.btn(
                    "why",
                    label="Why (not) here?",
                    icon="help_outline",
                    variant="text",
                    on_click=self.explain_selected,
                )

            return

        for n, one in enumerate(found):
            line = panel.h_stack(f"why_{n}", gap=1, align_y="center")
            line.md(one.words, name="words")
            remedy = _remedy(one)
            if remedy is not None:
                label, value = remedy
                params = {"cause": one.cause, "value": value}
                line.btn(
                    "bring_in",
                    label=label,
                    variant="outlined",
                    on_click=self.bring_in,
                    params=params,
                )

        panel.btn("why_close", label="Close", variant="text", on_click=self.close_why)


def _remedy(one: Explanation) -> tuple[str, int | None] | None:
    """Returns what would bring a sample in, and with what number."""
    rank = one.rank or MOST_HITS + 1
    found: dict[str, tuple[str, int | None]] = {
        NOT_INDEXED: ("Add to index", None),
        TOO_FAR: ("Take the cut away", None),
        TWIN: ("Show twins", None),
    }
    if one.cause == BEYOND_K and rank <= MOST_HITS:
        return f"Ask for {rank:,}", rank

    if one.cause == MISSED and one.hnsw_ef is not None:
        return f"Search deeper (hnsw_ef {one.hnsw_ef:,})", one.hnsw_ef

    return found.get(one.cause)


def _selected(ctx: Any, index: Any) -> list[str]:
    """Returns the ids, in an index, of what is selected; or that no index knows."""
    field = index.config.patches_field
    labels = [i["label_id"] for i in ctx.selected_labels or []]
    if field is not None and labels:
        return labels

    selected = list(
        ctx.selected or ([ctx.current_sample] if ctx.current_sample else [])
    )
    if not selected:
        raise ConfigError("Select what you miss first")

    if field is None:
        return selected

    view = ctx.dataset if ctx.view is None else ctx.view
    if index.held.in_parts(view):
        ((_, ids),) = ids_in(index, view.select(selected)).items()
        return list(ids)

    return ids_of_selection(load_index(ctx.dataset, index.key), selected)
