"""Qdrant similarity indexes for FiftyOne datasets.

Importing this package makes ``backend="qdrant"`` of
``fiftyone.brain.compute_similarity()`` resolve to
:class:`fiftyone_qdrant.similarity.QdrantSimilarityConfig`.

What people call is here, in ``__all__``, and in :mod:`fiftyone_qdrant.errors`;
everything else is private to read, and may move. Names are imported on first use,
so that ``import fiftyone_qdrant`` waits for no engine.
"""

import sys as _sys
from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fiftyone_qdrant.cleanup import clean_up as clean_up
    from fiftyone_qdrant.curate.audit import audit_labels as audit_labels
    from fiftyone_qdrant.curate.map import color_map as color_map
    from fiftyone_qdrant.curate.map import make_map as make_map
    from fiftyone_qdrant.curate.pairs import near_duplicates as near_duplicates
    from fiftyone_qdrant.curate.relabelling import change_labels as change_labels
    from fiftyone_qdrant.curate.relabelling import plan_labels as plan_labels
    from fiftyone_qdrant.curate.selection import select_samples as select_samples
    from fiftyone_qdrant.explore.explanations import explain as explain
    from fiftyone_qdrant.ingest.ingest import create_index as create_index
    from fiftyone_qdrant.ingest.preflight import preflight as preflight
    from fiftyone_qdrant.ingest.sync import find_drift as find_drift
    from fiftyone_qdrant.ingest.sync import sync as sync
    from fiftyone_qdrant.matches import find_similar as find_similar
    from fiftyone_qdrant.moving.comparison import compare_indexes as compare_indexes
    from fiftyone_qdrant.moving.move import abandon_move as abandon_move
    from fiftyone_qdrant.moving.move import drop_old_copy as drop_old_copy
    from fiftyone_qdrant.moving.move import move_index as move_index
    from fiftyone_qdrant.moving.move import undo_move as undo_move
    from fiftyone_qdrant.moving.swapping import swap_indexes as swap_indexes
    from fiftyone_qdrant.quality.applying import apply_search as apply_search
    from fiftyone_qdrant.quality.capacity import plan_capacity as plan_capacity
    from fiftyone_qdrant.quality.measuring import measure as measure
    from fiftyone_qdrant.runs import adopt_run as adopt_run
    from fiftyone_qdrant.runs import follow_rename as follow_rename
    from fiftyone_qdrant.runs import list_indexes as list_indexes
    from fiftyone_qdrant.runs import load_index as load_index
    from fiftyone_qdrant.status.indexes import index_status as index_status
    from fiftyone_qdrant.status.jobs import running_jobs as running_jobs
    from fiftyone_qdrant.status.renaming import rename_index as rename_index
    from fiftyone_qdrant.tuning import tune as tune

__version__ = "0.1.0"

_HOMES = {
    "abandon_move": "moving.move",
    "adopt_run": "runs",
    "apply_search": "quality.applying",
    "audit_labels": "curate.audit",
    "change_labels": "curate.relabelling",
    "clean_up": "cleanup",
    "color_map": "curate.map",
    "compare_indexes": "moving.comparison",
    "create_index": "ingest.ingest",
    "drop_old_copy": "moving.move",
    "explain": "explore.explanations",
    "find_drift": "ingest.sync",
    "find_similar": "matches",
    "follow_rename": "runs",
    "index_status": "status.indexes",
    "list_indexes": "runs",
    "load_index": "runs",
    "make_map": "curate.map",
    "measure": "quality.measuring",
    "move_index": "moving.move",
    "near_duplicates": "curate.pairs",
    "plan_capacity": "quality.capacity",
    "plan_labels": "curate.relabelling",
    "preflight": "ingest.preflight",
    "rename_index": "status.renaming",
    "running_jobs": "status.jobs",
    "select_samples": "curate.selection",
    "swap_indexes": "moving.swapping",
    "sync": "ingest.sync",
    "tune": "tuning",
    "undo_move": "moving.move",
}
__all__ = sorted(_HOMES)

# By name, so that neither the engine nor the index is imported before it is used
CONFIG_CLS = "fiftyone_qdrant.similarity.QdrantSimilarityConfig"


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    value = getattr(_import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _register() -> None:
    import fiftyone.brain as fob

    from fiftyone_qdrant.qdrant.configured import BackendConfig

    backends = fob.brain_config.similarity_backends
    if not isinstance(backends.get("qdrant"), BackendConfig):
        backends["qdrant"] = BackendConfig(backends.get("qdrant") or {})

    backends["qdrant"]["config_cls"] = CONFIG_CLS


# `python -m fiftyone_qdrant` looks after stores, and does not wait for FiftyOne
if ("-m", __name__) not in zip(_sys.orig_argv, _sys.orig_argv[1:], strict=False):
    _register()
