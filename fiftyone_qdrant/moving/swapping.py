"""Two indexes change places: each gets the brain key of the other, in one step."""

from __future__ import annotations

from typing import Any

from fiftyone_qdrant.dataset.samples import swap_runs
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.index import claims
from fiftyone_qdrant.moving.comparison import check_alike
from fiftyone_qdrant.runs import load_index


def swap_indexes(dataset: Any, brain_key: str, other_key: str) -> None:
    """Has two indexes change their brain keys, so that whoever uses one uses the other.

    Nothing is copied, and no search fails meanwhile: each is opened with its own model
    and collection, under the one key or the other. Swap again to undo it.

    Args:
        dataset: the dataset
        brain_key: one index
        other_key: the other one, of the same samples or of patches of the same field

    Raises:
        IndexNotFound: if there is no such index
        ConfigError: if they hold different things, one is unfinished or was moved and
            has an old copy yet, or somebody makes or moves one of them now
    """
    first, second = sorted((brain_key, other_key))
    with claims.claimed(dataset, first, "swapped"):
        if first == second:
            raise ConfigError(f"'{first}' is one index: choose another second one")

        with claims.claimed(dataset, second, "swapped"):
            _swap(dataset, brain_key, other_key)


def _swap(dataset: Any, brain_key: str, other_key: str) -> None:
    dataset.reload()
    indexes = [load_index(dataset, key) for key in (brain_key, other_key)]
    check_alike(*indexes)
    for index in indexes:
        if index.config.unfinished:
            raise ConfigError(f"Index '{index.key}' is not finished: resume it first")

        if index.config.move:
            raise ConfigError(
                f"Index '{index.key}' was moved, and its old copy is there yet: "
                "drop_old_copy() or undo_move() first"
            )

    if not swap_runs(dataset, brain_key, other_key):
        raise ConfigError(
            f"Somebody has changed '{brain_key}' or '{other_key}' meanwhile. Look at "
            "both, and try again"
        )
