"""The chosen index, closely: coverage by label, facts, parameters."""

from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.status.catalog import MEANINGS

from .looks import (
    ABSENT,
    CONTAINER,
    INDEXED,
    MISSING,
    hidden,
    narrower_than,
    number,
    place,
    size,
)
from .looks import setting as in_words

COVERAGE, FACTS, SETTINGS = "coverage", "facts", "settings"
_TABS = {COVERAGE: "Coverage", FACTS: "Health", SETTINGS: "Parameters"}
_SETTING = {
    "name": "Parameter",
    "asked": "Asked for",
    "actual": "In force",
    "unit": "What it is",
}
OF_INDEXED, OF_MISSING = "indexed", "missing"
_GAP = " "  # between the names of bars and the bars
_NARROW = {"& td:first-child": {"whiteSpace": "normal", "wordBreak": "break-all"}}
_WRAPPING = {  # numbers and names stay whole; words may wrap
    FACTS: {"& td": {"overflowWrap": "anywhere"}},
    SETTINGS: {
        "& td:nth-child(-n+3)": {"whiteSpace": "nowrap"},
        **narrower_than(560, hidden([4])),
        **narrower_than(440, _NARROW),
    },
}
_MOST = 15  # bars that can be told apart


def tables_of(details: Any) -> dict[str, Any]:
    """Returns the cells of both tables: words about an index, and its settings."""
    health, entry, memory = details.health, details.entry, details.memory
    used = ", ".join(map(str, details.sharers)) or "nobody else"
    facts = [
        ("Collection", f"{entry.name} at {place(entry.location)}"),
        ("Optimizer", f"{health.color}: {health.optimizer_error or health.meaning}"),
        ("In the HNSW graph", _in_graph(health)),
        ("Measured", str(details.measured or "not yet: Tune Qdrant Index does it")),
        ("Segments", f"{health.segments:,}"),
        ("Memory needed", f"about {size(memory.total)} ({_parts(memory)})"),
        (
            "On disk",
            "a server does not tell" if details.disk is None else size(details.disk),
        ),
        ("Quantization", details.quantization or "none"),
        ("Made for", _made_for(entry)),
        ("Shared with", used),
    ]
    if details.search:
        facts.insert(4, ("Searched with", details.search))

    if health.update_queue:
        facts.insert(2, ("Waiting to be applied", f"{health.update_queue:,} updates"))

    if health.shards is not None:
        replicas = f"{health.shards:,}, {len(health.replicas):,} replicas"
        facts.insert(2, ("Shards", replicas))

    for address, reached in health.nodes:
        facts.append((f"Node {address}", "answers" if reached else "does not answer"))

    return {
        f"table_{FACTS}": [{"what": w, "value": value} for w, value in facts],
        f"table_{SETTINGS}": [_setting(s) for s in details.settings],
    }


def _in_graph(health: Any) -> str:
    if health.indexed_vectors:
        return f"about {health.indexed_vectors:,} of {health.points:,} vectors"

    return "none: searches compare with every point, which is exact"


def _parts(memory: Any) -> Any:
    parts = {
        "vectors": memory.vectors,
        "graph": memory.graph,
        "quantized": memory.quantized,
    }
    return ", ".join(f"{name} {size(n)}" for name, n in parts.items() if n) or "none"


def _made_for(entry: Any) -> str:
    if entry.made_for is None:
        return MEANINGS["foreign"]

    when = f", {entry.created_at[:10]}" if entry.created_at else ""
    return f"dataset '{entry.made_for}'{when}"


def _setting(setting: Any) -> dict[str, Any]:
    asked = "default" if setting.asked is None else in_words(setting.asked)
    actual = ABSENT if setting.actual is None else in_words(setting.actual)
    return {
        "name": setting.name,
        "asked": asked,
        "actual": f"{actual} ≠ asked" if setting.differs else actual,
        "unit": setting.unit,
    }


def shares_of(breakdown: Any, missing: Any) -> dict[str, Any]:
    """Returns what the panel keeps of a breakdown."""
    return {
        "missing": missing,
        "grouping": breakdown.grouping,
        "choices": list(breakdown.choices),
        "values": len(breakdown.shares),
    }


def bars_of(breakdown: Any) -> Any:
    """Returns the traces of a stacked bar chart of a breakdown."""
    shown = list(breakdown.shares[:_MOST])[::-1]
    names = [f"{s.value}{_GAP}" for s in shown]

    def bar(name: str, counts: Any, color: str) -> dict[str, Any]:
        return {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "y": names,
            "x": counts,
            "marker": {"color": color},
            "hovertemplate": "%{y}: %{x:,} " + name + "<extra></extra>",
        }

    missing = [s.total - s.indexed for s in shown]
    return [
        bar(OF_INDEXED, [s.indexed for s in shown], INDEXED),
        bar(OF_MISSING, missing, MISSING),
    ]


def value_of(name: str) -> Any:
    """Returns the label or tag that a bar is of, from its name in the plot."""
    return str(name).removesuffix(_GAP)


def complete_in_words(row: dict[str, Any]) -> str:
    """Returns that nothing is missing from an index, in words."""
    what = f"'{row['patches_field']}' labels" if row["patches_field"] else "samples"
    return f"All {number(row['total'])} {what} are indexed."


def show(panel: Any, key: str, state: Any, handlers: Any) -> None:
    """Adds the details.

    Args:
        panel: the panel
        key: the chosen brain key
        state: the panel's state, with ``tab``, ``readable``, ``shares`` and ``note``
        handlers: the panel, which has ``open_tab``, ``group_by``, ``show_missing`` and
            ``show_bar``
    """
    head = panel.h_stack("details_head", gap=2, align_y="center")
    head.md(f"**{key}**", name="details_title")
    tabs = head.btn_group("details_tabs")
    for tab, label in _TABS.items():
        tabs.btn(
            f"tab_{tab}",
            label=label,
            variant="contained" if tab == state.tab else "outlined",
            on_click=handlers.open_tab,
            params={"tab": tab},
        )

    if state.note:
        panel.md(state.note, name="details_note")

    if state.tab == COVERAGE:
        _show_coverage(panel, state.shares, handlers)
    elif state.readable:
        columns = {"what": "", "value": ""}
        if state.tab == SETTINGS:
            columns = _SETTING

        _show_table(panel, state.tab, columns)


def _show_coverage(panel: Any, shares: dict[str, Any], handlers: Any) -> None:
    if not shares:
        return

    if "complete" in shares:
        panel.md(shares["complete"], name="complete")
        return

    panel.btn(
        "show_missing",
        label=f"Show the {number(shares['missing'])} missing",
        icon="grid_view",
        variant="outlined",
        on_click=handlers.show_missing,
    )
    if len(shares["choices"]) > 1:
        by = panel.h_stack("groupings", gap=1)
        for n, choice in enumerate(shares["choices"]):
            by.btn(
                f"grouping_{n}",
                label=f"by {choice}",
                variant="text" if choice != shares["grouping"] else "outlined",
                on_click=handlers.group_by,
                params={"grouping": choice},
            )

    if not shares["values"]:
        panel.md("Nothing has a label or a tag here.", name="no_shares")
    else:
        rows = min(shares["values"], _MOST)
        layout = {
            "barmode": "stack",
            "margin": {"t": 8, "b": 32, "l": 8, "r": 8},
            "xaxis": {"fixedrange": True},
            "yaxis": {
                "automargin": True,
                "type": "category",
                "showgrid": False,
                "fixedrange": True,
            },
            "showlegend": True,
            "legend": {
                "orientation": "h",
                "traceorder": "normal",
                "x": 0,
                "xanchor": "left",
                "y": 1,
                "yanchor": "bottom",
            },
        }
        panel.plot(
            "shares_plot",
            layout=layout,
            config={"displayModeBar": False},
            height=110 + 22 * rows,
            on_click=handlers.show_bar,
        )
        panel.md("Click a bar to see its samples in the grid.", name="bars_hint")

    if shares["values"] > _MOST:
        words = f"The {_MOST} most frequent of {number(shares['values'])}."
        panel.md(words, name="more_shares")


def _show_table(panel: Any, tab: str, columns: dict[str, Any]) -> None:
    table = types.TableView(
        componentsProps={
            "container": {"sx": CONTAINER},
            "table": {
                "sx": {
                    "minWidth": 0,
                    "& th, & td": {"px": 1},
                    **_WRAPPING[tab],
                }
            },
            "tableHead": {"sx": {} if tab == SETTINGS else {"display": "none"}},
            "tableBodyCell": {"sx": {"fontSize": "0.9rem"}},
        }
    )
    for column, label in columns.items():
        table.add_column(column, label=label)

    panel.list(f"table_{tab}", types.Object(), view=table)
