"""Whether the indexes are in step with the dataset, as far as was looked."""

import time
from typing import Any

import fiftyone.operators.types as types

from fiftyone_qdrant.errors import QdrantPluginError
from fiftyone_qdrant.ingest.in_step import AUTO, OFF, TELL, attend, keep, mode_of
from fiftyone_qdrant.ingest.pictures import compare_some, in_words
from fiftyone_qdrant.status.indexes import load_impatient

_MODES = {OFF: "Off", TELL: "Tell me", AUTO: "Automatic"}


class InStep:
    """The panel's events about changes of the dataset."""

    _prompt: Any  # the panel's, as is refresh
    refresh: Any

    def look(self, ctx: Any) -> None:
        """Looks at each index that can be read."""
        rows = ctx.panel.state.rows or []
        found = [_look(ctx, r["brain_key"]) for r in rows if r["points"] is not None]
        ctx.panel.data.set({f"step_{n}.words": w for n, (_, w) in enumerate(found)})
        steps = [step for step, _ in found]
        if ctx.panel.state.steps != steps:
            ctx.panel.state.steps = steps
            if not all(step["in_step"] for step in steps):
                self.refresh(ctx)  # or its figures would say that nothing is missing

    def keep_in_step(self, ctx: Any) -> None:
        """Chooses what is done about changes."""
        keep(load_impatient(ctx.dataset, ctx.params["brain_key"]), ctx.params["mode"])
        self.look(ctx)

    def compare_pictures(self, ctx: Any) -> None:
        """Compares the files of all pictures with those that were embedded."""
        index = load_impatient(ctx.dataset, ctx.params["brain_key"])
        found = compare_some(index, None)
        words = "No picture has changed on disk"
        if found.changed:
            words = f"{found.changed:,} pictures have changed on disk: sync the index"

        ctx.ops.notify(words, variant="warning" if found.changed else "success")
        self.look(ctx)

    def sync_now(self, ctx: Any) -> None:
        """Opens the form that mends what was noticed."""
        params = {"brain_key": ctx.params["brain_key"], "view_target": "DATASET"}
        if ctx.params.get("compare"):
            params["compare"] = True

        self._prompt(ctx, "sync_index", params)


def _look(ctx: Any, key: str) -> tuple[dict[str, Any], str]:
    """Returns what the panel keeps of a look, and what it says."""
    step: dict[str, Any] = {"brain_key": key, "mode": None, "in_step": True}
    try:
        index = load_impatient(ctx.dataset, key)
        step["mode"] = mode_of(index)
        noticed = attend(index)
    except QdrantPluginError as e:
        return step, str(e)

    if noticed is None:
        return step, "Changes of the dataset are not watched"

    step["in_step"] = noticed.in_step
    step["compare"] = bool(noticed.pictures)
    pictures = in_words(index)
    step["pictures"] = pictures is not None
    words = f"**{key}** · {noticed.words} · looked at {time.strftime('%H:%M:%S')}"
    if pictures is not None:
        words += f" · {pictures}"

    if step["mode"] == AUTO and not noticed.whole:
        words += " · it is of a part of the dataset, so sync it yourself"

    return step, words


def show(panel: Any, steps: Any, chosen: Any, events: Any) -> None:
    """Adds a line for the chosen index, and for each that is not in step."""
    for n, step in enumerate(steps):
        key = step["brain_key"]
        if key != chosen and step["in_step"]:
            continue

        line = panel.h_stack(f"step_{n}", gap=1, align_y="center")
        line.str("words", view=types.MarkdownView())
        if not step["in_step"]:
            line.btn(
                f"sync_{n}",
                label="Sync",
                icon="sync",
                variant="contained",
                on_click=events.sync_now,
                params={"brain_key": key, "compare": step.get("compare", False)},
            )

        if key == chosen and step.get("pictures"):
            line.btn(
                f"pictures_{n}",
                label="Compare pictures",
                variant="outlined",
                on_click=events.compare_pictures,
                params={"brain_key": key},
            )

        for mode, label in _MODES.items() if key == chosen else ():
            line.btn(
                f"{mode}_{n}",
                label=label,
                variant="contained" if mode == step["mode"] else "outlined",
                on_click=events.keep_in_step,
                params={"brain_key": key, "mode": mode},
            )
