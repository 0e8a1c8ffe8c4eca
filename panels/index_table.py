"""The indexes of the dataset, one row each."""

from collections.abc import Iterable
from typing import Any

import fiftyone.operators.types as types

from .looks import (
    ABSENT,
    CONTAINER,
    INDEXED,
    STATE_COLORS,
    UNKNOWN,
    hidden,
    narrower_than,
    number,
    percent,
)

_COLUMNS = {
    "brain_key": "Index",
    "holds": "Of",
    "model": "Model",
    "vectors": "Vectors",
    "points": "Points",
    "coverage": "Coverage",
    "missing": "Missing",
    "orphans": "Orphans",
    "state": "State",
    "engine": "Engine",
    "collection": "Collection",
}
_KEYS = list(_COLUMNS)
_HIDDEN_BELOW = {  # pixels of width
    840: ("engine",),
    760: ("model",),
    620: ("vectors", "collection"),
    420: ("holds", "points"),
}
_NARROW = 450  # pixels: coverage takes two lines
_READABLE = ("ready", "building", "filling", "waiting", "unfinished", "degraded")


def to_state(status: Any) -> dict[str, Any]:
    """Returns what the panel keeps of the status of an index."""
    return {
        "brain_key": status.brain_key,
        "patches_field": status.patches_field,
        "model": status.model,
        "metric": status.metric,
        "size": status.size,
        "points": status.points,
        "total": status.total,
        "indexed": status.indexed,
        "orphans": status.orphans,
        "state": status.state,
        "built": status.built,
        "engine": status.engine,
        "collection": status.collection,
        "problem": status.problem,
    }


def keep_exact(rows: list[dict[str, Any]], before: Any) -> None:
    """Gives rows the exact figures that they had a moment ago with the same counts."""
    known = {(r["brain_key"], r["points"], r["total"]): r for r in before}
    for row in rows:
        same = known.get((row["brain_key"], row["points"], row["total"]))
        if same is not None and row["indexed"] is None:
            row.update(indexed=same["indexed"], orphans=same["orphans"])


def look_alike(rows: list[dict[str, Any]], others: Any) -> bool:
    """Whether rows are drawn alike: counts that are not exact are in the cells only."""
    return [_drawn(r) for r in rows] == [_drawn(r) for r in others]


def _drawn(row: dict[str, Any]) -> dict[str, Any]:
    loose = () if row["indexed"] is not None else ("points", "total", "built")
    return {k: v for k, v in row.items() if k not in loose}


def mark_filling(rows: list[dict[str, Any]], keys: Iterable[str]) -> None:
    """Says of indexes that an ingest writes to that they are not finished yet."""
    for row in rows:
        if row["brain_key"] in keys and row["state"] == "unfinished":
            row.update(state="filling", problem=None)


def mark_resumable(rows: list[dict[str, Any]], keys: Iterable[str]) -> None:
    """Leaves out the problem of indexes that can be gone on with by a button."""
    for row in rows:
        if row["brain_key"] in keys and row["state"] == "unfinished":
            row.update(problem=None)


def is_exact(row: dict[str, Any]) -> bool:
    """Whether a row's figures are exact, or never will be."""
    return row["indexed"] is not None or row["total"] is None


def is_missing(row: dict[str, Any], column: int) -> bool:
    """Whether a cell says how many are missing, of an index that lacks some."""
    missing = row["indexed"] is not None and row["total"] - row["indexed"]
    return column == _KEYS.index("missing") and bool(missing)


def show(
    panel: Any,
    rows: list[dict[str, Any]],
    chosen: str | None,
    actions: Any,
    choose: Any,
) -> None:
    """Adds the table, and a warning for each index that needs one.

    Args:
        panel: the panel
        rows: of :func:`to_state`
        chosen: the brain key of the highlighted row
        actions: ``(name, label, icon, handler)`` of each row action
        choose: the handler of a click on a cell
    """
    table = types.TableView(
        componentsProps={
            "container": {"sx": CONTAINER},
            "table": {"sx": _style(rows, chosen)},
            "tableHeadCell": {"sx": {"fontSize": "0.85rem", "whiteSpace": "nowrap"}},
            "tableBodyCell": {"sx": {"fontSize": "0.9rem"}},
        },
        on_click_cell=choose,
        actions_label=" ",
    )
    for key, label in _COLUMNS.items():
        table.add_column(key, label=label)

    for name, label, icon, handler in actions:
        table.add_row_action(name, handler, label=label, icon=icon)

    panel.list("indexes", types.Object(), view=table)
    for n, row in enumerate(rows):
        if row["problem"]:
            alert = types.AlertView(
                severity="warning", label=row["brain_key"], description=row["problem"]
            )
            panel.view(f"index_alert_{n}", alert)


def to_data(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the table's cells."""
    return [_cells(row) for row in rows]


def _cells(row: dict[str, Any]) -> dict[str, Any]:
    readable = row["state"] in _READABLE and row["points"] is not None
    unknown = UNKNOWN if readable else ABSENT
    state = row["state"]
    if row["built"] is not None:
        state += f" {percent(row['built'], 1)}"

    missing = row["indexed"] is not None and row["total"] - row["indexed"]
    vectors = ABSENT if row["size"] is None else f"{row['size']:,} · {row['metric']}"
    return {
        "brain_key": row["brain_key"],
        "holds": row["patches_field"] or "samples",
        "model": row["model"] or ABSENT,
        "vectors": vectors,
        "points": number(row["points"], ABSENT),
        "coverage": _coverage(row, unknown),
        "missing": unknown if row["indexed"] is None else number(missing),
        "orphans": number(row["orphans"], unknown),
        "state": f"● {state}",
        "engine": row["engine"],
        "collection": row["collection"],
    }


def _coverage(row: dict[str, Any], unknown: str) -> str:
    if row["indexed"] is None or not row["total"]:
        return unknown

    share = percent(row["indexed"], row["total"])
    return f"{share} of {row['total']:,}"


def _style(rows: list[dict[str, Any]], chosen: str | None) -> dict[str, Any]:
    style = {
        "minWidth": 0,
        "& tbody tr": {"cursor": "pointer"},
        "& tbody tr:hover": {"backgroundColor": "action.hover"},
        "& th, & td": {"px": 1},
    }
    for key in ("vectors", "points", "coverage", "missing", "orphans"):
        style[f"& td:nth-child({_column(key)})"] = {"whiteSpace": "nowrap"}

    coverage = {f"& td:nth-child({_column('coverage')})": {"whiteSpace": "normal"}}
    style.update(narrower_than(_NARROW, coverage))
    for width, columns in _HIDDEN_BELOW.items():
        style.update(narrower_than(width, hidden(map(_column, columns))))

    for n, row in enumerate(rows, 1):
        cell = f"& tbody tr:nth-child({n}) td:nth-child"
        if row["brain_key"] == chosen and len(rows) > 1:
            style[f"& tbody tr:nth-child({n})"] = {
                "backgroundColor": "action.selected",
                "boxShadow": f"inset 3px 0 {INDEXED}",
            }

        style[f"{cell}({_column('state')})"] = {
            "color": STATE_COLORS[row["state"]],
            "whiteSpace": "nowrap",
        }
        if is_missing(row, _KEYS.index("missing")):
            style[f"{cell}({_column('missing')})"] = {"textDecoration": "underline"}

        if row["indexed"] is not None and row["total"]:
            share = row["indexed"] / row["total"]
            style[f"{cell}({_column('coverage')})"] = _bar(share)

    return style


def _bar(share: float) -> dict[str, Any]:
    """A bar below the words of a cell."""
    width = "(100% - 16px)"
    return {
        "backgroundImage": f"linear-gradient({INDEXED}, {INDEXED}), "
        "linear-gradient(rgba(128,128,128,.35), rgba(128,128,128,.35))",
        "backgroundSize": f"calc({width} * {share:.4f}) 4px, calc{width} 4px",
        "backgroundPosition": "8px calc(100% - 3px)",
        "backgroundRepeat": "no-repeat",
    }


def _column(key: str) -> Any:
    return _KEYS.index(key) + 1
