"""How much of what the App shows an index holds."""

from typing import Any

from fiftyone_qdrant.dataset.samples import is_patches
from fiftyone_qdrant.errors import QdrantPluginError
from fiftyone_qdrant.status import coverage
from fiftyone_qdrant.status.indexes import load_impatient


def of(ctx: Any, key: str) -> Any:
    """Returns how much of the current view and selection an index holds, in words."""
    index = load_impatient(ctx.dataset, key)
    parts = []
    try:
        if ctx.has_custom_view:
            held, total = coverage.of_view(index, ctx.view)
            parts.append(f"Current view: {held:,} of {total:,} indexed")

        ids = _selected_ids(ctx, index.config.patches_field)
        if ids:
            held = coverage.of_ids(index, ids)
            parts.append(f"Selected: {held:,} of {len(ids):,} indexed")
    except QdrantPluginError as e:  # such as a view that lacks the labels
        parts.append(str(e))

    return " · ".join(parts)


def _selected_ids(ctx: Any, patches_field: str | None) -> list[str]:
    in_patches = ctx.view is not None and is_patches(ctx.view)
    selected = list(ctx.selected or [])
    if patches_field is None:
        return [] if in_patches else selected

    if in_patches:
        return selected

    labels = ctx.selected_labels or []
    return [i["label_id"] for i in labels if i.get("field") == patches_field]


def is_news(ctx: Any, name: str, seen: Any) -> bool:
    """Setting state makes FiftyOne send the same event again: that is none."""
    if ctx.panel.get_state(name) == seen:
        return False

    ctx.panel.set_state(name, seen)
    return True
