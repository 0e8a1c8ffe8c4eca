"""All collections at the places of this dataset: whose they are, and their size."""

from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.status.catalog import MEANINGS

from .looks import ABSENT, CONTAINER, hidden, narrower_than, number, place, size

_COLUMNS = {
    "name": "Collection",
    "kind": "Whose",
    "used_by": "Used by, or made for",
    "points": "Points",
    "size": "Size",
}
_KINDS = {
    "this dataset": "success.main",
    "other dataset": "text.primary",
    "unused": "warning.main",
    "orphan": "warning.main",
}


def to_state(entry: Any, path: str | None) -> dict[str, Any]:
    """Returns what the panel keeps of a collection, and of the store it is in."""
    users = ", ".join(map(str, entry.users))
    return {
        "name": entry.name,
        "kind": entry.kind,
        "used_by": users or (f"dataset '{entry.made_for}'" if entry.made_for else ""),
        "points": entry.points,
        "bytes": entry.bytes,
        "path": path,
        "problem": entry.problem,
    }


def to_unread(location: str, error: Exception) -> dict[str, Any]:
    """Returns what the panel keeps of a place that cannot be read."""
    return {"location": place(location), "problem": str(error)}


def show(
    panel: Any,
    entries: list[dict[str, Any]],
    unread: list[dict[str, Any]],
    clean_up: Any,
) -> None:
    """Adds the table, with a button to clean up in each row, and what it lacks."""
    for n, lacking in enumerate(unread):
        alert = types.AlertView(
            severity="warning",
            label=f"The collections at {lacking['location']} cannot be listed",
            description=lacking["problem"],
        )
        panel.view(f"unread_alert_{n}", alert)

    if not entries:
        if not unread:
            panel.md("There is no collection yet.", name="no_collections")

        return

    table = types.TableView(
        componentsProps={
            "container": {"sx": CONTAINER},
            "table": {"sx": _style(entries)},
            "tableHeadCell": {"sx": {"fontSize": "0.85rem"}},
            "tableBodyCell": {"sx": {"fontSize": "0.9rem"}},
        },
        actions_label=" ",
    )
    for key, label in _COLUMNS.items():
        table.add_column(key, label=label)

    for n, entry in enumerate(entries):
        table.add_tooltip(n, 1, entry["problem"] or MEANINGS[entry["kind"]])

    table.add_row_action("clean_up", clean_up, icon="delete", tooltip="Clean up")
    panel.list("collection_rows", types.Object(), view=table)


def to_data(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the table's cells."""
    return [
        {
            "name": e["name"],
            "kind": e["kind"],
            "used_by": e["used_by"] or ABSENT,
            "points": number(e["points"], ABSENT),
            "size": size(e["bytes"]),
        }
        for e in entries
    ]


def _style(entries: list[dict[str, Any]]) -> dict[str, Any]:
    style = {
        "minWidth": 0,
        "& th, & td": {"px": 1},
        "& td": {"overflowWrap": "anywhere"},
        **narrower_than(520, hidden([3])),
    }
    for n, entry in enumerate(entries, 1):
        color = _KINDS.get(entry["kind"], "text.secondary")
        style[f"& tbody tr:nth-child({n}) td:nth-child(2)"] = {
            "color": color,
            "whiteSpace": "nowrap",
        }

    return style
