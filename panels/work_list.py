"""What is under way: a bar for each, and a button to cancel it."""

import fiftyone.operators.types as types


def to_state(work):
    """Returns what the panel keeps of one thing that is under way."""
    return {
        "id": work.id,
        "waiting": work.waiting,
        "brain_key": work.brain_key,
        "writes": work.writes,
        "silent": work.silent,
        "measured": work.progress is not None,
    }


def is_running(works):
    """Whether any of it has begun, and says so."""
    return any(not w["waiting"] and not w["silent"] for w in works)


def is_expected(works):
    """Whether news of any of it is to be expected."""
    return any(not w["silent"] for w in works)


def show(panel, works, cancel):
    """Adds a line, a bar if it is known how far it is, and a button for each."""
    for n, work in enumerate(works):
        line = panel.h_stack(f"work_{n}", gap=2, align_y="center")
        line.str("title", view=types.MarkdownView())
        if work["id"] is not None:
            line.btn(
                f"cancel_{n}",
                label="Cancel",
                icon="cancel",
                variant="outlined",
                on_click=cancel,
                params={"work_id": work["id"]},
            )

        if work["measured"]:
            panel.float(f"work_bar_{n}", view=types.ProgressView(variant="linear"))


def to_data(works):
    """Returns what moves: the words, and how far the bars are."""
    data = {}
    for n, work in enumerate(works):
        data[f"work_{n}.title"] = f"**{work.title}** · {work.label}"
        data[f"work_bar_{n}"] = work.progress

    return data
