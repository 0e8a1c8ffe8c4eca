"""The panel's events about what is under way, or was left unfinished."""

from typing import Any

from fiftyone_qdrant.status.activity import (
    cancel_work,
    dismiss_work,
    resume_work,
    signs_of_work,
    work_under_way,
)
from fiftyone_qdrant.status.background import news

from . import work_list


class WorkEvents:
    """A part of the panel."""

    tick: Any  # the panel's

    def cancel(self, ctx: Any) -> None:
        cancel_work(ctx.dataset, ctx.params["work_id"])
        ctx.dataset.reload()
        self._read_works(ctx, ctx.dataset)

    def resume(self, ctx: Any) -> None:
        ctx.dataset.reload()  # another process may have made the run
        resume_work(ctx.dataset, ctx.params["brain_key"])
        self.tick(ctx)

    def dismiss(self, ctx: Any) -> None:
        dismiss_work(ctx.dataset, ctx.params["brain_key"])
        self.tick(ctx)

    def _read_works(
        self, ctx: Any, dataset: Any, statuses: Any = ()
    ) -> list[dict[str, Any]]:
        """Returns what is under way, and tells what this page saw running and ended."""
        if dataset is None:
            return []

        signs = signs_of_work(dataset)
        made = work_list.tell(ctx, news(dataset, ctx.panel.state.signs or []))
        found = work_under_way(dataset, statuses)
        ctx.panel.data.set(work_list.to_data(found))
        works = [work_list.to_state(w) for w in found]
        made = made or ctx.panel.state.made
        changed = {"works": works, "signs": signs, "made": made}
        changed = {k: v for k, v in changed.items() if ctx.panel.state.get(k) != v}
        if changed:
            ctx.panel.state.set(changed)

        return works
