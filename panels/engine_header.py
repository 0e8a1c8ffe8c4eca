"""The head of the panel: which engine serves this dataset, and how all of it fares."""

from typing import Any

import fiftyone.operators.types as types

from .looks import BAD, GOOD, STATE_COLORS, WARNING, place


def to_state(engine: Any) -> dict[str, Any]:
    """Returns what the panel keeps of an engine's status."""
    return {
        "name": engine.name,
        "version": engine.version,
        "location": place(engine.location),
        "latency": engine.latency_ms and max(1, round(engine.latency_ms)),
        "problem": engine.problem,
        "refused": engine.refused,
    }


def keep_latency(engines: list[dict[str, Any]], before: Any) -> None:
    """Gives engines that answer the latency that was shown, so that it stands still."""
    known = {(e["name"], e["location"]): e["latency"] for e in before}
    for engine in engines:
        if engine["latency"] is not None:
            shown = known.get((engine["name"], engine["location"]))
            engine["latency"] = shown or engine["latency"]


def show(
    panel: Any, engines: list[dict[str, Any]], rows: list[dict[str, Any]], refresh: Any
) -> None:
    """Adds a line for each engine, and what to do about one that does not answer."""
    header = panel.h_stack("header", gap=2, align_x="space-between", align_y="center")
    lines = header.v_stack("engine_lines", gap=0, align_x="left")
    if not engines:
        lines.md("Reading…", name="engine_0")

    for n, engine in enumerate(engines):
        words, color = _health(engine, rows)
        text = f"**{engine['name']} {engine['version'] or ''}** *● {words}*"
        if engine["latency"] is not None:
            text += f" · {engine['latency']:,}\u00a0ms"

        lines.md(
            f"{text}\n\n{engine['location']}",
            name=f"engine_{n}",
            componentsProps={"container": {"sx": _line_style(color)}},
        )

    down = any(e["problem"] for e in engines)
    header.btn(
        "refresh",
        label="Retry" if down else "Refresh",
        icon="refresh",
        variant="contained" if down else "outlined",
        on_click=refresh,
    )
    for n, engine in enumerate(engines):
        if engine["problem"]:
            alert = types.AlertView(
                severity="error",
                label=f"{engine['name']} cannot be used",
                description=engine["problem"],
            )
            panel.view(f"engine_alert_{n}", alert)


def _health(engine: Any, rows: list[dict[str, Any]]) -> tuple[str, str]:
    if engine["problem"]:
        return "refuses the key" if engine["refused"] else "does not answer", BAD

    ailing = [r for r in rows if STATE_COLORS[r["state"]] in (WARNING, BAD)]
    if ailing:
        word = "index needs" if len(ailing) == 1 else "indexes need"
        return f"{len(ailing)} {word} attention", WARNING

    for state, word in (("filling", "indexing"), ("building", "building")):
        if any(r["state"] == state for r in rows):
            return word, STATE_COLORS[state]

    return "healthy", GOOD


def _line_style(color: str) -> dict[str, Any]:
    return {
        "& p": {"m": 0, "overflowWrap": "anywhere"},
        "& p:last-of-type": {"color": "text.secondary", "fontSize": "0.85rem"},
        "& em": {"color": color, "fontStyle": "normal", "whiteSpace": "nowrap"},
    }
