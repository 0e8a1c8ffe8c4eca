"""Samples of an index in the grid: those it lacks, or those behind a bar."""

from typing import Any

from fiftyone_qdrant.status import coverage
from fiftyone_qdrant.status.indexes import load_impatient

MOST = 10_000  # a view of very many ids would not fit into MongoDB's documents


def show(
    ctx: Any,
    brain_key: str,
    indexed: bool = False,
    grouping: str | None = None,
    value: str | None = None,
) -> None:
    """Opens samples, or labels, in the grid, and says which they are.

    Args:
        ctx: the execution context
        brain_key: the index
        indexed (False): whether those that it has, else those that it lacks
        grouping (None): only those with one value: of this label field or ``"tags"``
        value (None): that value
    """
    index = load_impatient(ctx.dataset, brain_key)
    ids = coverage.ids_of(index, indexed, grouping, value)
    having = "" if value is None else f" with '{value}'"
    what = f"{index.held}{having} {'in' if indexed else 'missing from'} '{brain_key}'"
    if not ids:
        ctx.ops.notify(f"There are no {what}", variant="info")
        return

    ctx.ops.set_view(view=index.held.select(ids[:MOST]))
    ctx.ops.open_panel("Samples")  # the grid, if the panel is in a tab over it
    count = f"{len(ids):,}"
    if len(ids) > MOST:
        count = f"The first {MOST:,} of {count}"

    ctx.ops.notify(f"{count} {what}", variant="info")
