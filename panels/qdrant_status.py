"""Qdrant Status: which engine serves this dataset, what is indexed, what is running."""

from typing import Any

import fiftyone.operators as foo
import fiftyone.operators.types as types
from fiftyone.operators.categories import Categories

from fiftyone_qdrant.errors import ConfigError, QdrantPluginError
from fiftyone_qdrant.status.activity import signs_of_work
from fiftyone_qdrant.status.catalog import catalog
from fiftyone_qdrant.status.details import break_down, index_details
from fiftyone_qdrant.status.indexes import impatient, places, survey

from . import (
    collection_table,
    engine_header,
    index_table,
    showing,
    step,
    timers,
    view_note,
    work_events,
    work_list,
)
from . import index_details as closely
from .guarded_panel import GuardedPanel, show_problem

_AT_ONCE = 20  # milliseconds
_WHILE_RUNNING = 2000
_WHILE_WAITING = 5000
_OTHERWISE = 5000


class QdrantStatus(work_events.WorkEvents, step.InStep, GuardedPanel):
    """The status panel.

    The first event reads counts only, so that the panel opens at once, whatever the
    size of the dataset. Until a second one has compared all ids, figures that would
    need that are shown as unknown.
    """

    @property
    def config(self) -> foo.PanelConfig:
        return foo.PanelConfig(
            name="qdrant_status",
            label="Qdrant Status",
            category=Categories.CURATE,
            icon="hub",  # FiftyOne 1.22 does not find a plugin's own icon for a panel
            surfaces="grid",
            help_markdown="Which Qdrant serves this dataset, and what is indexed",
        )

    # --- events: what is read ---------------------------------------------------

    def on_load(self, ctx: Any) -> None:
        self._read(ctx)

    def on_change_dataset(self, ctx: Any) -> None:
        ctx.panel.state.set({"chosen": None, "rows": [], "entries": None, "steps": []})
        self._read(ctx)

    def refresh(self, ctx: Any) -> None:
        """Reads everything again."""
        self._read(ctx)
        if ctx.panel.state.entries is not None:
            self._read_collections(ctx)

    def tick(self, ctx: Any) -> None:
        """Reads counts, and how far what runs is."""
        self._read(ctx, ticking=True)

    def watch(self, ctx: Any) -> None:
        """Notices what others have begun or ended, and changes of the dataset."""
        if ctx.dataset is None:
            return

        if signs_of_work(ctx.dataset) != ctx.panel.state.signs:
            self.refresh(ctx)
        else:
            self.look(ctx)

    def compare(self, ctx: Any) -> None:
        """Compares all ids: makes the figures of the first event exact."""
        if not ctx.panel.state.comparing:
            return  # a late drawing of an older state asked for it again

        ctx.panel.state.comparing = False  # even if it fails: no endless tries
        _, statuses = survey(_fresh(ctx.dataset), exact=True)
        rows, works = map(index_table.to_state, statuses), ctx.panel.state.works or []
        self._show_rows(ctx, _marked(list(rows), works))
        self._read_details(ctx)

    def on_change_view(self, ctx: Any) -> None:
        asked = ctx.request_params
        seen = str([asked.get(k) for k in ("view", "filters", "extended")])
        if view_note.is_news(ctx, "seen_view", seen):
            self._read_note(ctx)

    def on_change_selected(self, ctx: Any) -> None:
        if view_note.is_news(
            ctx, "seen_selection", str([ctx.selected, ctx.selected_labels])
        ):
            self._read_note(ctx)

    def choose(self, ctx: Any) -> None:
        """Looks at another index closely; a click on what is missing shows that."""
        row = _row(ctx)
        if index_table.is_missing(row, ctx.params.get("column")):
            showing.show(ctx, row["brain_key"])
        elif row["brain_key"] != ctx.panel.state.chosen:
            ctx.panel.state.chosen = row["brain_key"]
            self._show_rows(ctx, ctx.panel.state.rows)
            self._read_details(ctx)

    def open_tab(self, ctx: Any) -> None:
        ctx.panel.state.tab = ctx.params["tab"]

    def group_by(self, ctx: Any) -> None:
        self._read_shares(ctx, ctx.params["grouping"])

    def toggle_collections(self, ctx: Any) -> None:
        if ctx.panel.state.entries is None:
            self._read_collections(ctx)
        else:
            ctx.panel.state.entries = None

    def show_missing(self, ctx: Any) -> None:
        """Shows in the grid what the chosen index lacks."""
        showing.show(ctx, ctx.panel.state.chosen)

    def show_bar(self, ctx: Any) -> None:
        """Shows in the grid what a bar counts."""
        showing.show(
            ctx,
            ctx.panel.state.chosen,
            indexed=ctx.params["trace"] == closely.OF_INDEXED,
            grouping=ctx.panel.state.shares["grouping"],
            value=closely.value_of(ctx.params["y"]),
        )

    # --- events: what is done ---------------------------------------------------

    def create(self, ctx: Any) -> None:
        self._prompt(ctx, "create_qdrant_index", {})

    def query(self, ctx: Any) -> None:
        self._prompt(ctx, "query_similar", {"brain_key": _row(ctx)["brain_key"]})

    def search_made(self, ctx: Any) -> None:
        made, ctx.panel.state.made = ctx.panel.state.made, None
        self._prompt(ctx, "query_similar", {"brain_key": made})

    def sync(self, ctx: Any) -> None:
        key = _row(ctx)["brain_key"]
        self._prompt(ctx, "sync_index", {"brain_key": key, "view_target": "DATASET"})

    def tune(self, ctx: Any) -> None:
        self._prompt(ctx, "tune_index", {"brain_key": _row(ctx)["brain_key"]})

    def rename(self, ctx: Any) -> None:
        self._prompt(ctx, "rename_index", {"brain_key": _row(ctx)["brain_key"]})

    def move(self, ctx: Any) -> None:
        """Opens the form that moves an index."""
        self._prompt(ctx, "move_index", {"brain_key": _row(ctx)["brain_key"]})

    def clean_up(self, ctx: Any) -> None:
        self._prompt(ctx, "cleanup_collection", {"brain_key": _row(ctx)["brain_key"]})

    def clean_up_collection(self, ctx: Any) -> None:
        entry = _row(ctx, "entries")
        params = {"collection_name": entry["name"]}
        if entry["path"]:
            params["path"] = entry["path"]

        self._prompt(ctx, "cleanup_collection", params)

    def _prompt(self, ctx: Any, operator: str, params: dict[str, Any]) -> None:
        uri = f"{self.plugin_name}/{operator}"
        ctx.prompt(uri, params=params, on_success=self.refresh, on_error=self.say)

    def say(self, ctx: Any) -> None:
        """Says why a form that was opened here failed: FiftyOne leaves that to us."""
        lines = str(ctx.params.get("error") or "").strip().splitlines()
        ctx.ops.notify(lines[-1] if lines else "That did not work", variant="error")
        self.refresh(ctx)

    # --- reading ----------------------------------------------------------------

    def _read(self, ctx: Any, ticking: bool = False) -> None:
        dataset = None if ctx.dataset is None else _fresh(ctx.dataset)
        found, statuses = survey(dataset, exact=False)
        engines = [engine_header.to_state(e) for e in found]
        rows = [index_table.to_state(s) for s in statuses]
        works = self._read_works(ctx, dataset, statuses)
        busy = work_list.written_to(works)
        if ticking:
            index_table.keep_exact(rows, ctx.panel.state.rows or [])
            engine_header.keep_latency(engines, ctx.panel.state.engines or [])

        rows = _marked(rows, works)
        inexact = {r["brain_key"] for r in rows if not index_table.is_exact(r)}
        comparing = bool(inexact - busy)
        reads = ctx.panel.state.reads or 0
        _update(
            ctx,
            engines=engines,
            comparing=comparing,
            reads=reads + 1 if comparing else reads,
            tab=ctx.panel.state.tab or closely.COVERAGE,
        )
        self._show_rows(ctx, rows)
        if not (ticking and busy):
            self._read_details(ctx)

    def _show_rows(self, ctx: Any, rows: list[dict[str, Any]]) -> None:
        keys = [r["brain_key"] for r in rows]
        chosen = ctx.panel.state.chosen
        if chosen not in keys:
            chosen = keys[0] if keys else None

        if not index_table.look_alike(rows, ctx.panel.state.rows or []):
            _update(ctx, rows=rows)

        _update(ctx, chosen=chosen)
        ctx.panel.data.set("indexes", index_table.to_data(rows))

    def _read_details(self, ctx: Any) -> None:
        row = _chosen_row(ctx)
        readable = row is not None and row["points"] is not None
        if readable:
            details = index_details(ctx.dataset, row["brain_key"])
            ctx.panel.data.set(closely.tables_of(details))

        _update(ctx, readable=readable)
        self._read_shares(ctx, (ctx.panel.state.shares or {}).get("grouping"))
        self._read_note(ctx)

    def _read_shares(self, ctx: Any, grouping: str | None) -> None:
        shares, row = None, _chosen_row(ctx)
        if row is not None and row["indexed"] is not None and row["total"]:
            missing = row["total"] - row["indexed"]
            if missing:
                found = break_down(ctx.dataset, row["brain_key"], grouping)
                shares = closely.shares_of(found, missing)
                ctx.panel.data.set("shares_plot", closely.bars_of(found))
            else:
                shares = {"complete": closely.complete_in_words(row)}

        _update(ctx, shares=shares)

    def _read_note(self, ctx: Any) -> None:
        row = _chosen_row(ctx)
        note = None
        if row is not None and row["points"] is not None:
            note = view_note.of(ctx, row["brain_key"])

        _update(ctx, note=note)

    def _read_collections(self, ctx: Any) -> None:
        entries, unread = [], []
        for place in places(ctx.dataset):
            try:
                found = catalog(impatient(place), ctx.dataset)
            except QdrantPluginError as e:  # the other places are shown all the same
                unread.append(collection_table.to_unread(place.location, e))
            else:
                entries += [collection_table.to_state(e, place.path) for e in found]

        ctx.panel.state.set({"entries": entries, "unread": unread})
        ctx.panel.data.set("collection_rows", collection_table.to_data(entries))

    # --- drawing ----------------------------------------------------------------

    def render(self, ctx: Any) -> types.Property:
        state, panel = ctx.panel.state, types.Object()
        rows, works = state.rows or [], state.works or []
        engine_header.show(panel, state.engines or [], rows, self.refresh)
        show_problem(panel, state.problem)
        work_list.show(panel, works, self.cancel, self.resume, self.dismiss)
        work_list.offer(panel, state.made, self.search_made)
        if rows:
            actions = self._row_actions()
            index_table.show(panel, rows, state.chosen, actions, self.choose)
        elif state.engines:
            words = "No Qdrant index yet. Create one to search this dataset"
            panel.md(words, name="none")

        step.show(panel, state.steps or [], state.chosen, self)
        if state.chosen:
            closely.show(panel, state.chosen, state, self)

        if state.engines:
            self._show_foot(panel, state)

        self._add_timer(panel, state, works)
        padding = {"container": {"sx": {"pt": 2, "pr": 2, "pb": 4}}}
        return types.Property(panel, view=types.ObjectView(componentsProps=padding))

    def _show_foot(self, panel: Any, state: Any) -> None:
        foot = panel.h_stack("foot", gap=2)
        foot.btn(
            "create",
            label="Create index",
            icon="add",
            variant="outlined" if state.rows else "contained",
            on_click=self.create,
        )
        hidden = state.entries is None
        foot.btn(
            "toggle_collections",
            label="All collections" if hidden else "Hide collections",
            icon="expand_more" if hidden else "expand_less",
            variant="outlined",
            on_click=self.toggle_collections,
        )
        if not hidden:
            unread = state.unread or []
            clean_up = self.clean_up_collection
            collection_table.show(panel, state.entries, unread, clean_up)

    def _row_actions(self) -> list[tuple[Any, ...]]:
        return [
            ("query", "Search", "search", self.query),
            ("sync", "Sync", "sync", self.sync),
            ("tune", "Tune", "tune", self.tune),
            ("rename", "Rename", "edit", self.rename),
            ("move", "Move", "drive_file_move", self.move),
            ("clean_up", "Clean up", "delete", self.clean_up),
        ]

    def _add_timer(self, panel: Any, state: Any, works: list[dict[str, Any]]) -> None:
        """Looks often while something runs, else whether anything does."""
        if state.comparing:  # each fires once
            timers.once(panel, f"compare_timer_{state.reads}", _AT_ONCE, self.compare)
        elif work_list.is_expected(works):
            pause = _WHILE_RUNNING if work_list.is_running(works) else _WHILE_WAITING
            timers.again_and_again(panel, "tick_timer", pause, self.tick)
        elif state.engines:
            timers.again_and_again(panel, "watch_timer", _OTHERWISE, self.watch)


def _fresh(dataset: Any) -> Any:
    """Runs that other processes added or deleted show only after a reload."""
    dataset.reload()
    return dataset


def _marked(
    rows: list[dict[str, Any]], works: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Says of rows what is under way, or was left unfinished."""
    index_table.mark_filling(rows, work_list.written_to(works))
    index_table.mark_resumable(rows, work_list.left_unfinished(works))
    return rows


def _update(ctx: Any, **values: Any) -> None:
    """Sets state that has changed: each time FiftyOne sends some events again."""
    state = ctx.panel.state
    changed = {k: v for k, v in values.items() if state.get(k) != v}
    if changed:
        state.set(changed)


def _row(ctx: Any, table: str = "rows") -> Any:
    rows, number = ctx.panel.state.get(table) or [], ctx.params["row"]
    if number >= len(rows):
        raise ConfigError("That row is gone: the table has changed. Refresh it")

    return rows[number]


def _chosen_row(ctx: Any) -> Any:
    rows, chosen = ctx.panel.state.rows or [], ctx.panel.state.chosen
    return next((r for r in rows if r["brain_key"] == chosen), None)
