"""What a person asks for in the App goes on in the background; others wait for it."""

from __future__ import annotations

from typing import Any

from fiftyone_qdrant.status import background

STARTED = "started"
_ONLY_OF_THE_APP = "extended"  # FiftyOne 1.22 has no prompt_id when it executes


def start_in_background(
    operator: Any, ctx: Any, kind: str, brain_key: str
) -> dict[str, Any] | None:
    """Starts an operator in a process of its own, if it was run from a form of the App.

    Args:
        operator: the operator
        ctx: the execution context
        kind: ``"create"``, ``"add"`` or ``"sync"``
        brain_key: the index it writes to

    Returns:
        the operator's result, or ``None`` if it is to be done here and now: in Python,
        in a worker, or in the process that was started

    Raises:
        ConfigError: if something else writes to that index now
    """
    if ctx.delegated or _ONLY_OF_THE_APP not in ctx.request_params:
        return None

    background.start(ctx.dataset, kind, brain_key, operator.uri, ctx.request_params)
    ctx.ops.open_panel("qdrant_status", layout="horizontal")
    ctx.ops.notify(f"{background.VERBS[kind]} '{brain_key}': see Qdrant Status")
    return {STARTED: True, "brain_key": brain_key}
