"""Qdrant Curate: near-duplicates, doubtful labels, and what to label next.

The panel has three parts, of which one is shown; each is a mixin of :class:`.Part`
with ``begin_<part>(ctx)``, which reads what is kept, and ``show_<part>(panel, ctx)``,
which draws it from the panel's state.
"""

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types
from fiftyone.operators.categories import Categories

from fiftyone_qdrant import color_map, list_indexes
from fiftyone_qdrant.status.activity import signs_of_work

from .. import timers, work_events, work_list
from ..guarded_panel import NothingToSay, show_problem
from .duplicates import Duplicates
from .labels import Labels
from .next import Next
from .part import Part, button, choice, update

_PARTS = {
    "duplicates": ("Near-duplicates", "filter_none"),
    "labels": ("Doubtful labels", "rule"),
    "next": ("Label next", "playlist_add_check"),
}
_COLORS = {"duplicates": "duplicate", "labels": "doubt", "next": "chosen"}
_WHILE_RUNNING = 2000
_OTHERWISE = 5000


class QdrantCurate(work_events.WorkEvents, Duplicates, Labels, Next, Part):
    """The curate panel."""

    @property
    def config(self) -> foo.PanelConfig:
        return foo.PanelConfig(
            name="qdrant_curate",
            label="Qdrant Curate",
            category=Categories.CURATE,
            icon="auto_fix_high",
            surfaces="grid",
            help_markdown="Near-duplicates, doubtful labels, what to label next",
        )

    def on_load(self, ctx: Any) -> None:
        self._read(ctx)

    def on_change_dataset(self, ctx: Any) -> None:
        """Begins anew, unless FiftyOne sent the same event again."""
        name = None if ctx.dataset is None else ctx.dataset.name
        if ctx.panel.state.dataset != name:
            update(ctx, key=None, dup=None, audit=None, choice=None)

        self._read(ctx)

    def choose_part(self, ctx: Any) -> None:
        ctx.panel.state.part = ctx.params["part"]
        self.begin(ctx)

    def choose_index(self, ctx: Any) -> None:
        if ctx.params["value"] != ctx.panel.state.key:
            update(ctx, key=ctx.params["value"], dup=None, audit=None, choice=None)
            self.begin(ctx)

    def open_map(self, ctx: Any) -> None:
        """Opens the map, with a field to color it by; or the form that makes it."""
        made = f"{self.key(ctx)}_map"
        if not ctx.dataset.has_brain_run(made):
            self.prompt(ctx, "make_map")
            return

        words = f"Open '{made}'"
        part = ctx.panel.state.part or "duplicates"
        values = getattr(self, f"colors_of_{part}")(ctx)
        if values:
            name = _COLORS[part]
            field = color_map(ctx.dataset, self.key(ctx), values, name)
            words += f", and color it by '{field}'"
            ctx.ops.reload_dataset()

        ctx.ops.open_panel("Embeddings")
        ctx.ops.notify(words, variant="info")

    def create(self, ctx: Any) -> None:
        """Opens the form that makes an index."""
        uri = f"{self.plugin_name}/create_qdrant_index"
        ctx.prompt(uri, on_success=self.refresh, on_error=self.refresh)

    def refresh(self, ctx: Any) -> None:
        self._read(ctx)

    def tick(self, ctx: Any) -> None:
        """Reads how far what runs is, and what it found once it has ended."""
        if ctx.dataset is None:
            raise NothingToSay

        before = ctx.panel.state.signs
        if before == signs_of_work(ctx.dataset) and not ctx.panel.state.works:
            raise NothingToSay

        self._read_works(ctx, ctx.dataset)
        if ctx.panel.state.signs != before:
            self._read(ctx)

    def _read(self, ctx: Any) -> None:
        if ctx.dataset is None:
            update(ctx, dataset=None, keys=[])
            return

        ctx.dataset.reload()
        keys = list_indexes(ctx.dataset)
        key = ctx.panel.state.key
        key = key if key in keys else next(iter(keys), None)
        part = ctx.panel.state.part or "duplicates"
        update(ctx, dataset=ctx.dataset.name, keys=keys, key=key, part=part)
        self._read_works(ctx, ctx.dataset)
        if key is not None:
            self.begin(ctx)

    def begin(self, ctx: Any) -> None:
        getattr(self, f"begin_{ctx.panel.state.part or 'duplicates'}")(ctx)

    # --- drawing ----------------------------------------------------------------

    def render(self, ctx: Any) -> types.Property:
        state, panel = ctx.panel.state, types.Object()
        show_problem(panel, state.problem)
        if ctx.dataset is None:
            panel.md("Open a dataset to curate it.", name="no_dataset")
        elif state.keys is not None and not state.keys:
            self._offer_index(panel)
        elif state.keys:
            self._show_head(panel, state)
            getattr(self, f"show_{state.part or 'duplicates'}")(panel, ctx)

        works = state.works or []
        work_list.show(panel, works, self.cancel, self.resume, self.dismiss)
        if ctx.dataset is not None:
            often = work_list.is_expected(works)
            pause = _WHILE_RUNNING if often else _OTHERWISE
            timers.again_and_again(panel, f"tick_{pause}", pause, self.tick)

        padding = {"container": {"sx": {"pt": 2, "pr": 2, "pb": 4}}}
        return types.Property(panel, view=types.ObjectView(componentsProps=padding))

    def _show_head(self, panel: Any, state: Any) -> None:
        if len(state.keys) > 1:
            keys = {k: k for k in state.keys}
            choice(panel, "key_choice", "Index", keys, state.key, self.choose_index)

        line = panel.h_stack("parts", gap=1, align_y="center", wrap=True)
        for part, (label, icon) in _PARTS.items():
            chosen = part == (state.part or "duplicates")
            variant = "contained" if chosen else "outlined"
            button(line, part, label, icon, self.choose_part, variant, part=part)

        button(line, "map", "Map", "scatter_plot", self.open_map, "text")

    def _offer_index(self, panel: Any) -> None:
        panel.md(
            "**No Qdrant index yet**\n\nNear-duplicates, doubtful labels and what to "
            "label next are found by embeddings. Create an index first.",
            name="no_index",
        )
        button(panel, "create", "Create index", "add", self.create, "contained")
