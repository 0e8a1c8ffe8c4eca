"""The matrix of an audit: how many labels of each class are said to be of another."""

from typing import Any


def show(panel: Any, on_click: Any) -> None:
    """Adds the matrix, whose cells can be clicked."""
    panel.md(
        "**Rows: labelled as. Columns: neighbors say.** Click a cell",
        name="matrix_words",
    )
    axis = {"type": "category", "fixedrange": True}
    panel.plot(
        "matrix",
        layout={
            "margin": {"t": 6, "b": 40, "l": 60, "r": 8},
            "xaxis": axis,
            "yaxis": {**axis, "autorange": "reversed"},
        },
        config={"displayModeBar": False},
        height=320,
        on_click=on_click,
    )


def heatmap(found: Any) -> dict[str, Any]:
    """Returns its plot, colored by the share of a row that is off its diagonal."""
    matrix = found.matrix.astype(float)
    shares = matrix / matrix.sum(axis=1, keepdims=True).clip(1)
    for n in range(len(matrix)):
        shares[n, n] = 0.0

    return {
        "type": "heatmap",
        "x": found.classes,
        "y": found.classes,
        "z": shares.tolist(),
        "text": found.matrix.tolist(),
        "texttemplate": "%{text}" if len(found.classes) <= 15 else None,
        "colorscale": [[0, "rgba(128,128,128,.08)"], [1, "#e5732d"]],
        "showscale": False,
        "hovertemplate": "%{text} labelled %{y}, neighbors say %{x}<extra></extra>",
    }
