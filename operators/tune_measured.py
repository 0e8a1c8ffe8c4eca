"""Tune Index by what was measured: the curve, the recall that is wanted, Apply."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant import apply_search, measure
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.quality.applying import Measured, last_measured, record
from fiftyone_qdrant.quality.measuring import Point, choose
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

from .forms import dropdown, message

MEASURED = "measured"
"""The choice of what matters most that stands for all of this."""

MEASURE, APPLY, DEFAULTS = "measure", "apply", "defaults"
_WHAT = {
    APPLY: "Search so that this recall is reached",
    MEASURE: "Measure again",
    DEFAULTS: "Search with the defaults again",
}
_WANTED = 0.99
_COLORS = {"curve": "#8a8a8a", "present": "#ff6d04", "chosen": "#2e9e5b"}


def measured_inputs(ctx: Any, inputs: Any, index: QdrantSimilarityIndex) -> None:
    """Adds the curve of what was measured, and what can be done with it."""
    last = last_measured(index)
    if last is None:
        words = "Run this to measure how good searches are"
        message(
            inputs,
            "plan",
            words,
            [
                "200 vectors of the index are looked for, for a minute at most",
                "Nothing is changed",
            ],
        )
        return

    inputs.enum(
        "what",
        list(_WHAT),
        default=APPLY,
        label="What",
        view=dropdown(list(_WHAT), _WHAT),
    )
    what = ctx.params.get("what") or APPLY
    if what != APPLY:
        message(inputs, "plan", _WHAT[what], [f"Now: {last}"])
        return

    wanted = float(ctx.params.get("recall") or _WANTED)
    inputs.float(
        "recall",
        default=_WANTED,
        min=0.8,
        max=1.0,
        label="I want",
        view=types.SliderView(componentsProps={"slider": {"step": 0.005}}),
    )
    try:
        chosen = choose(last.points, wanted)
    except ConfigError as e:
        message(inputs, "plan", str(e), [f"Now: {last}"], stops=True)
        _plot(inputs, last, None)
        return

    words = f"Search with {_words(chosen)}: {_figures(chosen)}"
    message(inputs, "plan", words, [f"Now: {last}"])
    _plot(inputs, last, chosen)


def run_measured(
    ctx: Any, index: QdrantSimilarityIndex, tell: Callable[[Any], None]
) -> dict[str, Any]:
    """Measures, or applies what was measured, as the params say.

    Args:
        ctx: the execution context
        index: the index
        tell: is told how far it is

    Raises:
        ConfigError: if no setting reaches the recall that is wanted
    """
    last, wanted = last_measured(index), ctx.params.get("recall")
    what = ctx.params.get("what") or (APPLY if last or wanted else MEASURE)
    if what not in _WHAT:
        raise ConfigError(f"Unknown what='{what}'. Use one of {', '.join(_WHAT)}")

    if what == DEFAULTS:
        before = apply_search(index, {})
        return {"summary": f"{before} → the defaults"}

    if what == MEASURE or last is None or last.outdated:
        found = measure(index, progress=_bar(tell))
        record(index, found)
        last = last_measured(index)

    if what == MEASURE or last is None:
        return {"summary": f"Measured: {last}"}

    chosen = choose(last.points, float(wanted or _WANTED))
    if chosen.present and chosen.exact:
        return {"summary": "Nothing to change: searches are exact"}

    before = apply_search(index, chosen.settings)
    return {
        "changes": [
            {
                "setting": "search",
                "before": before.options,
                "after": chosen.settings.options,
            }
        ],
        "summary": f"{before} → {chosen.settings}: {_figures(chosen)}",
    }


def _bar(tell: Callable[[Any], None]) -> Callable[[int, int], None]:
    def advance(done: int, total: int) -> None:
        tell(SimpleNamespace(iteration=done, total=total))

    return advance


def _words(point: Point) -> str:
    return "every point compared" if point.exact else str(point.settings)


def _figures(point: Point) -> str:
    return (
        f"recall {point.recall:.3f} ({point.low:.3f} to {point.high:.3f}), "
        f"{point.p50 * 1000:.1f} ms"
    )


def _plot(inputs: Any, last: Measured, chosen: Point | None) -> None:
    """Recall over the time of a query: each way to search, the present, the chosen."""
    curve = sorted(last.points, key=lambda p: p.p50)
    shown = [("curve", "Measured", curve)]
    if last.now is not None:
        shown.append(("present", "Now", [last.now]))

    if chosen is not None:
        shown.append(("chosen", "To apply", [chosen]))

    inputs.plot(
        "curve",
        data=[_trace(name, label, points) for name, label, points in shown],
        layout={
            "margin": {"t": 8, "b": 40, "l": 48, "r": 8},
            "xaxis": {"title": {"text": "milliseconds of a query (median)"}},
            "yaxis": {"title": {"text": f"recall@{last.k}"}, "range": [None, 1.005]},
            "legend": {"orientation": "h", "y": 1, "yanchor": "bottom"},
        },
        config={"displayModeBar": False},
        height=260,
    )


def _trace(name: str, label: str, points: list[Point]) -> dict[str, Any]:
    large = name != "curve"
    return {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "x": [p.p50 * 1000 for p in points],
        "y": [p.recall for p in points],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [p.high - p.recall for p in points],
            "arrayminus": [p.recall - p.low for p in points],
            "visible": not large,
        },
        "text": [_words(p) for p in points],
        "hovertemplate": "%{text}: recall %{y:.3f}, %{x:.1f} ms<extra></extra>",
        "marker": {"color": _COLORS[name], "size": 13 if large else 7},
    }
