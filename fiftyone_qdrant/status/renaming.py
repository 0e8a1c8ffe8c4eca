"""Another key for an index, and for all that is kept of it."""

from __future__ import annotations

from typing import Any

from fiftyone_qdrant import runs
from fiftyone_qdrant.curate import stored
from fiftyone_qdrant.explore import history
from fiftyone_qdrant.status import background, looks


def rename_index(dataset: Any, brain_key: str, new_brain_key: str) -> None:
    """Gives an index another brain key; its collection keeps its name and points.

    What was begun for it in the App, and can be resumed, follows, and so do searches
    that were made, and what was found of its data.

    Args:
        dataset: the dataset
        brain_key: the run's key
        new_brain_key: the key it gets

    Raises:
        IndexNotFound: if there is no such index
        ConfigError: if the new key is no identifier, or taken, or somebody makes or
            moves the index now
    """
    runs.rename_index(dataset, brain_key, new_brain_key)
    background.follow_rename(dataset, brain_key, new_brain_key)
    looks.follow_rename(dataset, brain_key, new_brain_key)
    stored.follow_rename(dataset, brain_key, new_brain_key)
    history.follow_rename(dataset, brain_key, new_brain_key)
