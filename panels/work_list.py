"""What is under way: a bar for each, and a button to cancel it."""

import fiftyone.operators.types as types


def to_state(work):
    """Returns what the panel keeps of one thing that is under way."""
    return {
        "id": work.id,
        "title": work.title,
        "label": work.label,
        "progress": work.progress,
        "waiting": work.waiting,
        "brain_key": work.brain_key,
    }


def is_running(works):
    """Whether any of it has begun."""
    return any(not w["waiting"] for w in works)


def show(panel, works, cancel):
    """Adds a line, a bar if it is known how far it is, and a button for each."""
    for n, work in enumerate(works):
        line = panel.h_stack(f"work_{n}", gap=2, align_y="center")
        line.md(f"**{work['title']}** · {work['label']}", name=f"work_title_{n}")
        if work["id"] is not None:
            line.btn(
                f"cancel_{n}",
                label="Cancel",
                icon="cancel",
                variant="outlined",
                on_click=cancel,
                params={"work_id": work["id"]},
            )

        if work["progress"] is not None:
            share = f"{100 * work['progress']:.0f}\u00a0%"
            bar = types.ProgressView(label=share, variant="linear")
            panel.float(f"work_bar_{n}", view=bar)


def to_data(works):
    """Returns how far the bars are."""
    return {f"work_bar_{n}": w["progress"] for n, w in enumerate(works)}
