"""What is under way or was left unfinished: a bar for each, and what can be done."""

from collections.abc import Iterable
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.status.background import DONE


def to_state(work: Any) -> dict[str, Any]:
    """Returns what the panel keeps of one thing that is under way."""
    return {
        "id": work.id,
        "waiting": work.waiting,
        "brain_key": work.brain_key,
        "writes": work.writes,
        "silent": work.silent,
        "cancelling": work.cancelling,
        "ended": work.ended,
        "resumable": work.resumable,
        "asked": work.asked,
        "measured": work.progress is not None,
    }


def is_running(works: list[dict[str, Any]]) -> bool:
    """Whether any of it has begun, and says so."""
    return any(not w["waiting"] for w in works if _is_alive(w))


def is_expected(works: list[dict[str, Any]]) -> bool:
    """Whether news of any of it is to be expected."""
    return any(map(_is_alive, works))


def _is_alive(work: Any) -> bool:
    return not (work["silent"] or work["ended"])


def written_to(works: list[dict[str, Any]]) -> set[str]:
    """Returns the indexes that are being written to."""
    return {w["brain_key"] for w in works if w["writes"] and is_running([w])}


def left_unfinished(works: list[dict[str, Any]]) -> set[str]:
    """Returns the indexes whose work ended too early."""
    return {w["brain_key"] for w in works if w["ended"]}


def show(
    panel: Any, works: list[dict[str, Any]], cancel: Any, resume: Any, dismiss: Any
) -> None:
    """Adds a line, a bar if it is known how far it is, and buttons for each."""
    for n, work in enumerate(works):
        line = panel.h_stack(f"work_{n}", gap=2, align_y="center")
        line.str("title", view=types.MarkdownView())
        for name, label, icon, handler in _buttons(work, cancel, resume, dismiss):
            line.btn(
                f"{name}_{n}",
                label=label,
                icon=icon,
                variant="outlined",
                disabled=handler is None,
                on_click=handler,
                params={"work_id": work["id"], "brain_key": work["brain_key"]},
            )

        if work["measured"]:
            panel.float(f"work_bar_{n}", view=types.ProgressView(variant="linear"))


def tell(ctx: Any, tasks: Any) -> Any:
    """Tells how tasks ended; returns the index that was made last, if one was."""
    made = None
    for task in tasks:
        ctx.ops.notify(task.message, variant=task.severity)
        if (task.kind, task.state) == ("create", DONE):
            made = task.brain_key

    return made


def offer(panel: Any, made: Any, search: Any) -> None:
    """Adds a line for an index that was just made, with a button to search it."""
    if not made:
        return

    line = panel.h_stack("made", gap=2, align_y="center")
    line.md(f"**'{made}'** is ready", name="made_words")
    line.btn(
        "search_made",
        label="Search it now",
        icon="search",
        variant="contained",
        on_click=search,
    )


def _buttons(work: Any, cancel: Any, resume: Any, dismiss: Any) -> Any:
    if work["cancelling"]:
        return [("cancelling", "Cancelling…", "cancel", None)]

    if work["id"] is not None:
        return [("cancel", "Cancel", "cancel", cancel)]

    buttons = []
    if work["resumable"]:
        buttons.append(("resume", "Resume", "play_arrow", resume))

    if work["asked"]:
        buttons.append(("dismiss", "Dismiss", "close", dismiss))

    return buttons


def to_data(works: Iterable[Any]) -> dict[str, Any]:
    """Returns what moves: the words, and how far the bars are."""
    data = {}
    for n, work in enumerate(works):
        data[f"work_{n}.title"] = f"**{work.title}** · {work.label}"
        data[f"work_bar_{n}"] = work.progress

    return data
