"""The Qdrant similarity runs of a dataset: find one, list them, forget one."""

from __future__ import annotations

import itertools
import re
from typing import Any

from fiftyone_qdrant.dataset.samples import leave_cache, root_of
from fiftyone_qdrant.errors import ConfigError, IndexNotFound
from fiftyone_qdrant.index import claims
from fiftyone_qdrant.qdrant.connection import SERVER
from fiftyone_qdrant.similarity import QdrantSimilarityConfig, QdrantSimilarityIndex

_COMPARED = 1000  # samples whose labels tell whether a field was renamed
BUILTIN = "fiftyone.brain.internal.core.qdrant.QdrantSimilarityConfig"


def list_indexes(samples: Any) -> list[str]:
    """Returns the brain keys of a dataset's Qdrant indexes, sorted."""
    return [key for key in samples.list_brain_runs() if _config(samples, key)]


def load_index(samples: Any, brain_key: str) -> QdrantSimilarityIndex:
    """Returns a fresh index object for a run, restricted to ``samples``.

    Unlike ``load_brain_results()`` it never returns a cached object, and does not
    connect until it is used.

    Args:
        samples: a dataset, or the view that queries are restricted to
        brain_key: the run's key

    Raises:
        IndexNotFound: if there is no such run, or it is no Qdrant index of ours
    """
    dataset = root_of(samples)
    config = _config(dataset, brain_key)
    if config is None:
        if is_builtin(dataset, brain_key):
            raise IndexNotFound(
                f"Index '{brain_key}' was made by FiftyOne's built-in Qdrant backend. "
                "Take it over, without embedding again, with "
                f"fiftyone_qdrant.runs.adopt_run(dataset, '{brain_key}', url=...)"
            )

        known = ", ".join(map(repr, list_indexes(dataset))) or "none yet"
        raise IndexNotFound(
            f"Dataset '{dataset.name}' has no Qdrant index '{brain_key}'. It has "
            f"{known}"
        )

    config.load_credentials()
    whole = dataset.load_brain_view(brain_key)  # the dataset, or its frames
    index = QdrantSimilarityIndex(whole, config, brain_key)
    if samples is not dataset:
        index.use_view(samples)

    return index


def adopt_run(
    dataset: Any, brain_key: str, **credentials: Any
) -> QdrantSimilarityIndex:
    """Takes over a run of FiftyOne's built-in Qdrant backend, vectors and all.

    The collection stays as it is; from now on the run opens as an index of ours.

    Args:
        dataset: the dataset
        brain_key: the run's key
        **credentials: ``url``, ``api_key`` and so on, if not configured

    Raises:
        IndexNotFound: if there is no such run, or it is none of the built-in backend
        CollectionNotFound: if its collection is gone
        CollectionMismatch: if its collection has other ids
    """
    if not is_builtin(dataset, brain_key):
        raise IndexNotFound(
            f"Dataset '{dataset.name}' has no index '{brain_key}' of FiftyOne's "
            "built-in Qdrant backend"
        )

    index = as_ours(dataset, brain_key, **credentials)
    index.collection.schema()  # raises if it is gone
    index.check()
    index.save_config()
    index.save()
    return index


def as_ours(dataset: Any, brain_key: str, **credentials: Any) -> QdrantSimilarityIndex:
    """Opens a run of FiftyOne's built-in Qdrant backend as ours; changes nothing."""
    stored = dataset.get_brain_info(brain_key).config.serialize()
    values = {k: v for k, v in stored.items() if k not in ("cls", "type", "method")}
    config = QdrantSimilarityConfig(**values, engine=SERVER)
    config.load_credentials(**credentials)
    return QdrantSimilarityIndex(dataset, config, brain_key)


def rename_index(dataset: Any, brain_key: str, new_brain_key: str) -> None:
    """Gives an index another brain key; its collection keeps its name and points.

    Args:
        dataset: the dataset
        brain_key: the run's key
        new_brain_key: the key it gets

    Raises:
        IndexNotFound: if there is no such index
        ConfigError: if the new key is no identifier, or taken, or somebody makes or
            moves the index now
    """
    load_index(dataset, brain_key)  # raises if there is none
    new_brain_key = check_new_key(dataset, new_brain_key, may_go_on=False)
    with claims.claimed(dataset, brain_key, "renamed"):
        dataset.rename_brain_run(brain_key, new_brain_key)


def follow_rename(
    dataset: Any,
    brain_key: str,
    patches_field: str | None = None,
    embeddings_field: str | None = None,
) -> QdrantSimilarityIndex:
    """Tells an index the new names of the fields that it is about.

    Nothing is embedded or written again: labels keep their ids when their field is
    renamed.

    Args:
        dataset: the dataset
        brain_key: the run's key
        patches_field (None): the new name of its label field
        embeddings_field (None): the new name of the field its embeddings come from

    Returns:
        the index, as it is now

    Raises:
        IndexNotFound: if there is no such index
        ConfigError: if there is no such field, or the index holds none of its labels
    """
    index = load_index(dataset, brain_key)
    config, was = index.config, index.config.patches_field
    if (patches_field is None) != (was is None) and patches_field is not None:
        raise ConfigError(
            f"Index '{brain_key}' holds samples, so it has no label field to rename"
        )

    config.patches_field = patches_field or was
    config.embeddings_field = embeddings_field or config.embeddings_field
    index = QdrantSimilarityIndex(index.samples, config, brain_key)
    _check_fields(index, patches_field, embeddings_field)
    index.save_config()
    leave_cache(dataset, brain_key)
    return index


def _check_fields(
    index: QdrantSimilarityIndex, patches_field: str | None, embeddings: str | None
) -> None:
    home = index.samples
    if patches_field is not None:
        index.held.check(home)
        ids = index.held.ids(home.exists(patches_field).limit(_COMPARED))
        if not index.collection.present(ids):
            raise ConfigError(
                f"Index '{index.key}' holds none of the labels of '{patches_field}', "
                "so its label field was not renamed to that"
            )

    if embeddings is not None and not index.held.has_field(embeddings):
        raise ConfigError(f"There is no field '{embeddings}' to take embeddings from")


def check_new_key(samples: Any, brain_key: Any, may_go_on: bool = True) -> str:
    """Returns ``brain_key`` if a run may be made, or gone on with, under it.

    Args:
        samples: the dataset, or a view of it
        brain_key: the key
        may_go_on (True): whether an unfinished run may have it

    Raises:
        ConfigError: if it is no identifier, or a run has it that is finished
    """
    if not isinstance(brain_key, str) or not brain_key.isidentifier():
        raise ConfigError(
            f"'{brain_key}' cannot be a brain key. Use letters, digits and "
            "underscores, and no digit first"
        )

    dataset = root_of(samples)
    goes_on = may_go_on and is_unfinished(dataset, brain_key)
    if dataset.has_brain_run(brain_key) and not goes_on:
        raise ConfigError(
            f"Dataset '{dataset.name}' has a brain run '{brain_key}' already. Choose "
            "another brain key, or delete that run first"
        )

    return brain_key


def free_key(dataset: Any, name: str) -> str:
    """Returns a brain key that no run has, made from a name."""
    base = re.sub(r"\W+", "_", name).strip("_") or "index"
    base = base if base.isidentifier() else f"index_{base}"
    taken = dataset.list_brain_runs()
    numbered = (f"{base}_{number}" for number in itertools.count(2))
    return next(key for key in itertools.chain([base], numbered) if key not in taken)


def is_unfinished(samples: Any, brain_key: str) -> bool:
    """Whether a run is an index of ours whose first ingest has not ended."""
    config = _config(root_of(samples), brain_key)
    return config is not None and config.unfinished is True


def is_builtin(dataset: Any, brain_key: str) -> bool:
    """Whether a run was made by FiftyOne's built-in Qdrant backend."""
    if not dataset.has_brain_run(brain_key):
        return False

    return bool(dataset.get_brain_info(brain_key).config.cls == BUILTIN)


def _config(samples: Any, brain_key: str) -> QdrantSimilarityConfig | None:
    if not samples.has_brain_run(brain_key):
        return None

    config = samples.get_brain_info(brain_key).config
    return config if isinstance(config, QdrantSimilarityConfig) else None
