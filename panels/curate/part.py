"""What the parts of Qdrant Curate share.

What a part shows is worked out from the answer that is kept with the dataset, which
this process has in memory. The panel's state has just what a person chose.
"""

from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.curate.duplicates import KIND
from fiftyone_qdrant.dataset import scope

from ..guarded_panel import GuardedPanel

DUPLICATES, AUDIT, SELECT = KIND, "audit_labels", "select_samples"
MOST = 5_000  # ids of an ordered view, which MongoDB sorts one by one
ACCENT, FAINT = "#e5732d", "#9a9a9a66"
PLOT = {
    "margin": {"t": 6, "b": 30, "l": 8, "r": 8},
    "bargap": 0.05,
    "showlegend": False,
    "xaxis": {"fixedrange": True},
    "yaxis": {"visible": False, "fixedrange": True},
}


class Part(GuardedPanel):
    """Base class of the parts, which are mixins of the panel."""

    def key(self, ctx: Any) -> str:
        """Returns the index that is looked at."""
        return str(ctx.panel.state.key)

    def begin(self, ctx: Any) -> None:
        """Reads what is kept of the chosen part."""
        raise NotImplementedError("the panel must implement begin()")

    def prompt(self, ctx: Any, operator: str, **params: Any) -> None:
        """Opens the form of an operator; what it did shows when it is done."""
        uri = f"{self.plugin_name}/{operator}"
        given = {"brain_key": self.key(ctx), **params}
        ctx.prompt(uri, params=given, on_success=self.refresh, on_error=self.refresh)

    def refresh(self, ctx: Any) -> None:
        """Reads everything anew."""
        ctx.dataset.reload()
        self.begin(ctx)

    def show_view(self, ctx: Any, view: Any, words: str) -> None:
        """Shows a view in the grid, and says what it is."""
        ctx.ops.set_view(view=scope.mark(view, ctx.dataset))
        ctx.ops.notify(words, variant="info")


def update(ctx: Any, **values: Any) -> None:
    """Sets state that has changed: each time FiftyOne sends some events again."""
    state = ctx.panel.state
    changed = {k: v for k, v in values.items() if state.get(k) != v}
    if changed:
        state.set(changed)


def set_field(ctx: Any, path: str, value: Any) -> None:
    """Gives a field a value in place of what a person typed."""
    ctx.panel.state.set(path, value)
    ctx.panel.state.apply(path)


def choice(
    panel: Any, name: str, label: str, choices: Any, chosen: Any, handler: Any
) -> None:
    """Adds a dropdown."""
    view = types.DropdownView()
    for value, words in choices.items():
        view.add_choice(value, label=words)

    panel.enum(
        name,
        list(choices),
        label=label,
        default=chosen,
        view=view,
        on_change=handler,
    )


def button(
    panel: Any,
    name: str,
    label: str,
    icon: str,
    handler: Any,
    variant: str = "outlined",
    **params: Any,
) -> None:
    """Adds a button."""
    panel.btn(
        name,
        label=label,
        icon=icon,
        variant=variant,
        on_click=handler,
        params=params or None,
    )


def show_outdated(panel: Any, words: str | None, label: str, again: Any) -> None:
    """Says that an answer is out of date, if it is, with a button to ask again."""
    if words:
        alert = types.AlertView(
            severity="warning", label="Out of date", description=words
        )
        panel.view("outdated", alert)
        button(panel, "again", label, "refresh", again)


def empty(panel: Any, title: str, words: str) -> None:
    """Says what a part is for, while there is nothing to show."""
    panel.md(f"**{title}**\n\n{words}", name="empty")
