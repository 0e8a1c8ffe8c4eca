"""What was chosen in the form of Query Similar the last time, for each dataset."""

from typing import Any

_STORE = "fiftyone_qdrant"
_KEY = "last_query"
_KEPT = (
    "brain_key",
    "k",
    "reverse",
    "show_distances",
    "dist_field",
    "refine",
    "max_distance",
    "diversity",
    "exact",
    "hnsw_ef",
)


def recall(ctx: Any) -> dict[str, Any]:
    """Returns what was chosen, by the names of the form's fields."""
    return ctx.store(_STORE).get(_KEY) or {}


def remember(ctx: Any) -> None:
    """Keeps what is chosen now."""
    chosen = {name: ctx.params.get(name) for name in _KEPT}
    kept = {name: value for name, value in chosen.items() if value is not None}
    ctx.store(_STORE).set(_KEY, kept)
