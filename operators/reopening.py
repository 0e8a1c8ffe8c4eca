"""The form again, as it was filled in, with what went wrong on top.

When an operator raises, FiftyOne puts the traceback in place of its form, and what was
typed is gone. So in the App an error of ours ends the call without a result, which has
the App close the form; then :class:`.reopen_form.ReopenForm` opens it again. The App
must have closed it before: a form that is opened over another shows that one's end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.errors import QdrantPluginError

REOPEN = "@community/qdrant/reopen_form"
_FIELDS = _PROBLEM, _PROMPT = "problem", "prompt"  # they come and go with a form
_PATIENCE = 5.0  # seconds for the App to ask what the result looks like

_ends: dict[str, threading.Event] = {}


def is_shown(ctx: Any) -> bool:
    """Whether a person will see the form: else it need not say what it leads to."""
    return ctx.prompt_id is not None


def show_problem(ctx: Any, inputs: Any) -> None:
    """Says on top of a form why it was opened again, if it was."""
    problem = ctx.params.get(_PROBLEM)
    if problem:
        words = types.Error(label="That did not work", description=str(problem))
        inputs.view(_PROBLEM, words)


def name_form(ctx: Any, inputs: Any) -> None:
    """Adds a field that nobody sees: which form of the App it is.

    FiftyOne says so when it asks for the form, and not when it executes; its own
    hidden fields send nothing.
    """
    if is_shown(ctx):
        unseen = {"container": {"sx": {"display": "none"}}}
        view = types.TextFieldView(componentsProps=unseen)
        inputs.str(_PROMPT, default=ctx.prompt_id, view=view)


@contextmanager
def set_aside(ctx: Any) -> Iterator[None]:
    """Keeps those fields out of the params meanwhile."""
    kept = {name: ctx.params.pop(name) for name in _FIELDS if name in ctx.params}
    try:
        yield
    finally:
        ctx.params.update(kept)


def take_form(ctx: Any) -> str | None:
    """Takes those fields out of the params.

    Returns:
        the form in the App that is waiting for the end of the call, if there is one
    """
    ctx.params.pop(_PROBLEM, None)
    form = ctx.params.pop(_PROMPT, None)
    return None if ctx.delegated else form


def ask_again(ctx: Any, form: str, operator_uri: str, error: QdrantPluginError) -> None:
    """Has the App tell an error and open the form again."""
    _ends[form] = threading.Event()
    ctx.ops.notify(str(error), variant="error")
    filled_in = {**ctx.params, _PROBLEM: str(error)}
    params = {"form": form, "operator_uri": operator_uri, "filled_in": filled_in}
    ctx.trigger(REOPEN, params=params)


def note_end(ctx: Any) -> None:
    """Notes that the App asks for the result of a call, after which it closes it."""
    end = _ends.get(ctx.params.get(_PROMPT))
    if end is not None:
        end.set()


def wait_for_end(form: str) -> None:
    """Returns when the App has asked for the result of a call."""
    end = _ends.get(form)
    if end is not None:
        end.wait(_PATIENCE)
        del _ends[form]
