"""Qdrant Status: which engine serves this dataset, and what is indexed."""

from pathlib import Path

import fiftyone.operators as foo
import fiftyone.operators.types as types
from fiftyone.operators.categories import Categories

from fiftyone_qdrant.errors import QdrantPluginError
from fiftyone_qdrant.status import engine_status, index_statuses

_COLUMNS = (
    ("brain_key", "Brain key"),
    ("collection", "Collection"),
    ("points", "Points"),
    ("coverage", "Coverage"),
    ("state", "Status"),
)


class QdrantStatus(foo.Panel):
    """The status panel."""

    @property
    def config(self):
        return foo.PanelConfig(
            name="qdrant_status",
            label="Qdrant Status",
            category=Categories.CURATE,
            icon="hub",  # FiftyOne 1.22 does not find a plugin's own icon for a panel
            surfaces="grid",
            help_markdown="Which Qdrant serves this dataset, and what is indexed",
        )

    def on_load(self, ctx):
        self.refresh(ctx)

    def on_change_dataset(self, ctx):
        self.refresh(ctx)

    def refresh(self, ctx):
        """Reads everything again. An event that raises would replace the panel."""
        try:
            engine = engine_status()
            rows = [] if ctx.dataset is None else index_statuses(_fresh(ctx.dataset))
        except QdrantPluginError as e:
            ctx.panel.set_state("problem", str(e))
            return

        ctx.panel.set_state("problem", engine.problem)
        ctx.panel.set_state("engine", _engine_line(engine))
        problems = [[r.brain_key, r.problem] for r in rows if r.problem]
        ctx.panel.set_state("problems", problems)
        ctx.panel.set_state("count", len(rows))
        ctx.panel.set_data("indexes", [_row(r) for r in rows])

    def render(self, ctx):
        panel = types.Object()
        header = panel.h_stack("header", gap=2, align_y="center")
        header.md(ctx.panel.get_state("engine") or "Reading…", name="engine_line")
        header.btn(
            "refresh",
            label="Refresh",
            icon="refresh",
            variant="outlined",
            on_click=self.refresh,
        )
        problem = ctx.panel.get_state("problem")
        if problem:
            alert = types.AlertView(
                severity="error", label="Qdrant cannot be used", description=problem
            )
            panel.view("problem_alert", alert)

        for n, (key, text) in enumerate(ctx.panel.get_state("problems") or []):
            alert = types.AlertView(severity="warning", label=key, description=text)
            panel.view(f"index_alert_{n}", alert)

        if ctx.panel.get_state("count"):
            size = {"table": {"sx": {"minWidth": 300}}}
            table = types.TableView(componentsProps=size)
            for key, label in _COLUMNS:
                table.add_column(key, label=label)

            panel.list("indexes", types.Object(), view=table)
        elif ctx.panel.get_state("engine"):
            panel.md(
                "No Qdrant index yet. Press ` and choose **Create Qdrant Index**.",
                name="none",
            )

        padding = {"container": {"sx": {"pt": 3, "pr": 2}}}
        return types.Property(panel, view=types.ObjectView(componentsProps=padding))


def _fresh(dataset):
    """Runs that other processes added or deleted show only after a reload."""
    dataset.reload()
    return dataset


def _engine_line(engine):
    kind = "Embedded Qdrant" if engine.engine == "embedded" else "Qdrant server"
    place = engine.location.replace(str(Path.home()), "~", 1)
    if engine.version is None:
        return f"**{kind}** · {place}"

    return f"**{kind} {engine.version}** · {place} · {engine.latency_ms:.0f} ms"


def _row(status):
    row = {"brain_key": status.brain_key, "collection": status.collection}
    row["state"] = status.state
    row["points"] = "-" if status.points is None else f"{status.points:,}"
    row["coverage"] = "-"
    if status.total is not None:
        row["coverage"] = f"{status.indexed:,} of {status.total:,}"
        if status.coverage is not None:
            row["coverage"] += f" ({_percent(status.coverage)}\u00a0%)"

    return row


def _percent(fraction):
    """Never shows 100 while something is missing."""
    return f"{int(1000 * fraction) / 10:g}"
