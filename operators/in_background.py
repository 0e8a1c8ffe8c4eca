"""What a person asks for in the App goes on in the background; others wait for it."""

from __future__ import annotations

from typing import Any

from fiftyone_qdrant.status import background

STARTED = "started"
_ONLY_OF_THE_APP = "extended"  # FiftyOne 1.22 has no prompt_id when it executes


def is_asked_in_app(ctx: Any) -> bool:
    """Whether an operator runs because the App asked for it."""
    return _ONLY_OF_THE_APP in ctx.request_params


def start_in_background(
    operator: Any, ctx: Any, kind: str, brain_key: str, panel: str = "qdrant_status"
) -> dict[str, Any] | None:
    """Starts an operator in a process of its own, if it was run from a form of the App.

    Args:
        operator: the operator
        ctx: the execution context
        kind: one of :data:`.background.VERBS`
        brain_key: the index it is about
        panel ("qdrant_status"): the panel that shows how far it is

    Returns:
        the operator's result, or ``None`` if it is to be done here and now: in Python,
        in a worker, or in the process that was started

    Raises:
        ConfigError: if something else is done with that index now
    """
    if ctx.delegated or not is_asked_in_app(ctx):
        return None

    background.start(ctx.dataset, kind, brain_key, operator.uri, ctx.request_params)
    ctx.ops.open_panel(panel, layout="horizontal")
    where = panel.replace("_", " ").title()
    ctx.ops.notify(f"{background.VERBS[kind]} '{brain_key}': see {where}")
    return {STARTED: True, "brain_key": brain_key}
