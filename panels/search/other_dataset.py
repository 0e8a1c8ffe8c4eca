"""Other dataset: what it has like this, what one of both lacks, what to add here."""

from typing import Any

import fiftyone as fo
import fiftyone.operators.types as types
import numpy as np

from fiftyone_qdrant import load_index
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.explore import across, thumbnails
from fiftyone_qdrant.explore.sessions import Session
from fiftyone_qdrant.matches import ids_with_tag, matches_of
from fiftyone_qdrant.search.hits import Hits

from .frame import Frame

_SMALL = 24
_HITS = 200
_COMPARED = 2_000  # while a person waits
_SEPARATOR = " · "


class OtherDataset(Frame):
    """The section."""

    # --- events -----------------------------------------------------------------

    def toggle_other(self, ctx: Any) -> None:
        """Opens the section, and reads which indexes there are; or closes it."""
        extra = self.session(ctx).extra
        if extra.pop("others", None) is None:
            found = across.other_indexes(ctx.dataset)
            extra["others"] = [_SEPARATOR.join(pair) for pair in found]

        extra.pop("there", None)

    def change_other(self, ctx: Any) -> None:
        extra = self.session(ctx).extra
        extra["other"] = ctx.params["value"]
        extra.pop("there", None)

    def change_force(self, ctx: Any) -> None:
        self.session(ctx).extra["force"] = bool(ctx.params["value"])

    def find_there(self, ctx: Any) -> None:
        """Finds in the other dataset what is like the question's samples."""
        session = self.session(ctx)
        here, other = self._both(ctx, session)
        ids: list[str] = []
        for part in session.parts:
            if part["kind"] == "tag" and not part["unlike"]:
                ids += ids_with_tag(here, part["value"])
            elif part["kind"] == "ids" and not part["unlike"]:
                ids += part["value"]

        if not ids:
            raise ConfigError("Ask with samples of this dataset first: Find similar")

        force = bool(session.extra.get("force"))
        hits = across.find_across(here, ids, other, k=_HITS, force=force)
        self._show_there(session, other, hits, "are most like the question")

    def find_missing_here(self, ctx: Any) -> None:
        """Finds what the other dataset has, and this one lacks."""
        session = self.session(ctx)
        here, other = self._both(ctx, session)
        found = self._lacking(session, other, here)
        self._show_there(session, other, _as_hits(found), _lacks(found))

    def find_missing_there(self, ctx: Any) -> None:
        """Shows what this dataset has, and the other lacks, in the grid."""
        session = self.session(ctx)
        here, other = self._both(ctx, session)
        here.use_view(self.searched(ctx, session))
        found = self._lacking(session, here, other)
        ctx.ops.set_view(view=matches_of(here, _as_hits(found)).view)
        count = len(found.ids)
        words = f"Shown in the grid: {count:,} that {_lacks(found)}"
        ctx.ops.notify(words, variant="success")

    def save_there(self, ctx: Any) -> None:
        """Keeps what was found as a view of the other dataset."""
        session = self.session(ctx)
        name = (ctx.panel.state.get("kept_there.name") or "").strip()
        if not name:
            raise ConfigError("Type a name first")

        there = _there(session)
        path = across.save_there(there["index"], there["hits"], name)
        there["link"] = f"[Open view '{name}']({path})"

    def add_here(self, ctx: Any) -> None:
        """Adds what was found to this dataset, with where it is from."""
        there = _there(self.session(ctx))
        added = across.add_here(ctx.dataset, there["index"], there["hits"])
        known = len(there["hits"].ids) - len(added)
        words = f"Added {len(added):,} samples, with where they are from in 'found_in'"
        if known:
            words += f"; {known:,} were here already"

        ctx.ops.reload_dataset()
        ctx.ops.notify(words, variant="success")

    # --- what they do -----------------------------------------------------------

    def _both(self, ctx: Any, session: Session) -> tuple[Any, Any]:
        name, _, key = (_other(session) or "").rpartition(_SEPARATOR)
        if not fo.dataset_exists(name):
            raise ConfigError("Choose another dataset first")

        here = load_index(ctx.dataset, session.asked["key"])
        return here, load_index(fo.load_dataset(name), key)

    def _lacking(self, session: Session, index: Any, other: Any) -> across.Lacking:
        force = bool(session.extra.get("force"))
        return across.find_lacking(index, other, _HITS, most=_COMPARED, force=force)

    def _show_there(self, session: Session, other: Any, hits: Hits, words: str) -> None:
        samples = (hits.sample_ids or hits.ids)[:_SMALL]
        small = thumbnails.of_samples(other.samples, list(dict.fromkeys(samples)))
        session.extra["there"] = {
            "index": other,
            "hits": hits,
            "small": list(small.values()),
            "words": f"**{len(hits.ids):,}** there {words}",
        }

    # --- drawing ----------------------------------------------------------------

    def show_other(self, panel: Any, ctx: Any) -> None:
        """Adds the choice of a dataset, what to ask of it, and what it has."""
        session = self.session(ctx)
        others = session.extra.get("others")
        panel.btn(
            "other",
            label="Other dataset" if others is None else "Close other dataset",
            icon="compare_arrows",
            variant="text",
            on_click=self.toggle_other,
        )
        if others is None:
            return

        if not others:
            panel.md("No other dataset has a Qdrant index.", name="no_others")
            return

        view = types.DropdownView(compact=True)
        for one in others:
            view.add_choice(one, label=one)

        line = panel.h_stack("with_other", gap=2, align_y="center")
        line.enum(
            "index",
            others,
            label="Dataset and index",
            default=_other(session),
            view=view,
            on_change=self.change_other,
        )
        line.bool(
            "force",
            label="Whatever the model",
            default=bool(session.extra.get("force")),
            view=types.SwitchView(),
            on_change=self.change_force,
        )
        line = panel.h_stack("ask_other", gap=1)
        for name, label, handler in (
            ("alike", "Find similar there", self.find_there),
            ("lacks_here", "What is missing here", self.find_missing_here),
            ("lacks_there", "What is missing there", self.find_missing_there),
        ):
            line.btn(name, label=label, variant="outlined", on_click=handler)

        if session.extra.get("there"):
            self._show_found(panel, session.extra["there"])

    def _show_found(self, panel: Any, there: dict[str, Any]) -> None:
        panel.md(there["words"], name="there_words")
        grid = panel.h_stack("there", gap=1, wrap=True)
        for n, small in enumerate(there["small"]):
            grid.str(f"there_{n}", default=small, view=types.ImageView(height="72px"))

        line = panel.h_stack("kept_there", gap=1, align_y="end")
        line.str("name", label="Name of a view there", view=types.TextFieldView())
        line.btn("save", label="Save", variant="outlined", on_click=self.save_there)
        line.btn("add", label="Add here", variant="outlined", on_click=self.add_here)
        if there.get("link"):
            panel.md(there["link"], name="there_link")


def _other(session: Session) -> str | None:
    others = session.extra.get("others") or [None]
    chosen = session.extra.get("other")
    return chosen if chosen in others else others[0]


def _there(session: Session) -> dict[str, Any]:
    there: dict[str, Any] | None = session.extra.get("there")
    if there is None:
        raise ConfigError("Nothing was found there yet: search it first")

    return there


def _lacks(found: across.Lacking) -> str:
    words = "are farthest from anything in the other"
    if found.asked < found.of:
        words += f" (of {found.asked:,} at random of {found.of:,})"

    return words


def _as_hits(found: across.Lacking) -> Hits:
    far = np.asarray(found.distances)
    return Hits(found.ids, found.sample_ids, far, far)
