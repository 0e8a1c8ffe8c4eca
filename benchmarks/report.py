"""The figures as a table with ratios, as JSON, and as a plot for the README."""

from __future__ import annotations

import datetime
import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

Found = dict[str, dict[str, float]]
Results = dict[str, Found]

_OURS = "ours"
_ROWS = (
    ("build_s", "build the index of given vectors", "s"),
    ("open_s", "open in a new process, first query", "s"),
    ("query_ms whole", "query by id", "ms"),
    ("query_ms half", "query within half of the dataset", "ms"),
    ("query_ms tenth", "query within 10 %", "ms"),
    ("query_ms one percent", "query within 1 %", "ms"),
    ("query_ms indexed", "query within 1 %, by an indexed field", "ms"),
    ("query_ms picked", "query within 1 %, picked by id", "ms"),
    ("get_ms", "get 10,000 embeddings", "ms"),
    ("add_ms", "add 2 %", "ms"),
    ("remove_ms", "remove 1 %", "ms"),
    ("duplicates_s", "near duplicates of all", "s"),
    ("loop_s", "neighbors of 200 samples, one by one", "s"),
    ("at_once_s", "neighbors of 200 samples, at once", "s"),
    ("app_ms", "Query Similar in the App's server", "ms"),
    ("click_ms", "Query Similar, from click to grid", "ms"),
    ("quiet, p95 ms", "95 % of one client's searches within", "ms"),
    ("while other grows, p95 ms", "while another collection is filled", "ms"),
    ("while asked grows, p95 ms", "while this collection is filled", "ms"),
    ("longest query meanwhile, s", "longest search while the graph is built", "s"),
    ("longest write meanwhile, s", "longest write while the graph is built", "s"),
    ("build_peak_mb", "peak memory while building", "MB"),
    ("ask_peak_mb", "peak memory while querying", "MB"),
    ("recall whole", "recall@25", ""),
    ("recall half", "recall@25 within half", ""),
    ("recall one percent", "recall@25 within 1 %", ""),
)
_PLOTTED = (
    *("build_s", "open_s", "query_ms whole", "query_ms half"),
    *("query_ms tenth", "duplicates_s", "build_peak_mb"),
)
_OUR_COLOR, _OTHER_COLOR = "#dc244c", "#9aa0a6"


def write(results: Results, folder: Path) -> None:
    """Prints the table and writes table, JSON and plot into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    results = dict(sorted(results.items(), key=lambda item: num_points(item[0])))
    text = table(results)
    print(text, flush=True)
    (folder / "results.md").write_text(text + "\n")
    whole = {"machine": machine(), "results": results}
    (folder / "results.json").write_text(json.dumps(whole, indent=1) + "\n")
    plot(results, folder / "results.svg")


def table(results: Results) -> str:
    """Returns the figures as Markdown; in brackets how many times ours it is."""
    parts = ["# Benchmarks", f"\nMade by `make bench`. {described(machine())}"]
    for name, found in results.items():
        head = " | ".join(found)
        parts.append(f"\n## {name}\n\n| figure | {head} |")
        parts.append("|---|" + "---:|" * len(found))
        for key, label, unit in _ROWS:
            cells = [cell(found, who, key, unit) for who in found]
            if any(cells):
                parts.append(f"| {label} | {' | '.join(cells)} |")

        parts.extend(table_of_parts(found))

    return "\n".join(parts)


def table_of_parts(found: Found) -> list[str]:
    """Returns where the time of our queries goes, a line per part."""
    lines = []
    for who, figures in found.items():
        rows = [k.removeprefix("part ").split(": ", 1) for k in figures if "part " in k]
        if not rows:
            continue

        views = list(dict.fromkeys(view for view, _ in rows))
        lines += [f"\nWhere a query's time goes, {who}, in ms:\n"]
        lines += [f"| part | {' | '.join(views)} |", "|---|" + "---:|" * len(views)]
        for part in dict.fromkeys(part for _, part in rows):
            times = [figures.get(f"part {view}: {part}", 0) for view in views]
            lines.append(f"| {part} | {' | '.join(f'{t:.1f}' for t in times)} |")

    return lines


def num_points(name: str) -> int:
    """Returns the number of points of data named like ``"10,000 x 512"``."""
    return int(name.partition(" ")[0].replace(",", ""))


def cell(found: Found, who: str, key: str, unit: str) -> str:
    """Returns one figure and its ratio to ours."""
    value = found[who].get(key)
    if value is None:
        return ""

    text = f"{value:.3f}" if not unit else f"{value:,.{places(value)}f} {unit}"
    ours = found.get(_OURS, {}).get(key)
    if who == _OURS or not ours or not unit:
        return text

    ratio = value / ours
    return f"{text} ({ratio:,.0f} x)" if ratio >= 100 else f"{text} ({ratio:.2g} x)"


def places(value: float) -> int:
    """Returns the decimal places that a figure deserves."""
    return 2 if value < 10 else 0


def machine() -> dict[str, str | int | None]:
    """Returns what the figures depend on."""
    names = ("fiftyone", "fiftyone-brain", "qdrant-client", "qdrant-edge-py", "numpy")
    return {
        "date": datetime.date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in (*names, "scikit-learn")},
    }


def processor() -> str:
    """Returns the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except FileNotFoundError:
        return platform.processor()

    found = [r.partition(":")[2].strip() for r in lines if r.startswith("model name")]
    return found[0] if found else platform.machine()


def described(about: dict[str, str | int | None]) -> str:
    """Returns the machine in a sentence."""
    versions = ", ".join(
        f"{k} {v}"
        for k, v in about.items()
        if k not in ("date", "processor", "cores", "system")
    )
    return (
        f"{about['date']}, {about['cores']} cores of {about['processor']}, {versions}."
    )


def plot(results: Results, path: Path) -> None:
    """Draws the largest dataset that all contenders did, and how queries grow."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    name = max(results, key=lambda n: (len(results[n]), list(results).index(n)))
    rows = {key: (label, unit) for key, label, unit in _ROWS}
    figure, axes = plt.subplots(2, 4, figsize=(13, 4.2))
    for axis, key in zip(axes.flat, _PLOTTED, strict=False):
        draw_bars(axis, results[name], key, *rows[key])

    draw_growth(axes.flat[-1], results)
    figure.suptitle(f"{name} vectors: smaller is better", fontsize=10)
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def draw_bars(axis: Any, found: Found, key: str, label: str, unit: str) -> None:
    """Draws one figure of each contender."""
    values = {w: f[key] for w, f in found.items() if key in f and w != "engine alone"}
    names = list(values)[::-1]
    colors = [_OUR_COLOR if n.startswith(_OURS) else _OTHER_COLOR for n in names]
    bars = axis.barh(names, [values[n] for n in names], color=colors)
    texts = [f" {values[n]:,.{places(values[n])}f} {unit}" for n in names]
    axis.bar_label(bars, texts, fontsize=8)
    axis.set_title(label, fontsize=9)
    axis.set_xlim(0, 1.35 * max(values.values(), default=1))
    axis.set_xticks([])
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right", "bottom"]].set_visible(False)


def draw_growth(axis: Any, results: Results) -> None:
    """Draws how the time of a query by id grows with the number of points."""
    key = "query_ms whole"
    for who in dict.fromkeys(w for found in results.values() for w in found):
        done = {n: f[who][key] for n, f in results.items() if key in f.get(who, {})}
        if who == "engine alone":
            continue

        sizes = [num_points(n) for n in done]
        color = _OUR_COLOR if who.startswith(_OURS) else _OTHER_COLOR
        style = "--" if who in (_OURS, "built-in qdrant") else "-"
        axis.plot(sizes, list(done.values()), style, color=color, marker="o", label=who)

    axis.set_title("query by id in ms, by number of points", fontsize=9)
    axis.loglog()
    axis.minorticks_off()
    axis.tick_params(labelsize=8)
    axis.legend(fontsize=7, frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
