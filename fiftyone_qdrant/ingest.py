"""Samples and labels into an index, batch by batch.

FiftyOne's ``compute_similarity()`` holds all embeddings in memory before it writes
the first; here each batch is embedded, written and acknowledged before the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import fiftyone.brain as fob
import fiftyone.brain.internal.core.utils as fbu
import fiftyone.core.utils as fou

from . import points
from .errors import CollectionNotFound, ConfigError, MissingIDs
from .runs import check_new_key
from .similarity import QdrantSimilarityIndex

_BATCH = 512  # samples that are embedded and written together

Progress = Callable[[int, int], None]
"""Called with the samples done so far and the samples in all."""


@dataclass
class Ingested:
    """What an ingest did, in points.

    Attributes:
        new: points that the index did not have
        replaced: points that it had
        skipped: samples without an embedding (or, for patches, without a label)
    """

    new: int = 0
    replaced: int = 0
    skipped: int = 0


def create_index(
    samples: Any,
    brain_key: str,
    embeddings: str | None = None,
    model: str | None = None,
    patches_field: str | None = None,
    connect: bool = False,
    progress: Progress | None = None,
    **config: Any,
) -> tuple[QdrantSimilarityIndex, Ingested]:
    """Creates an index and fills it, or leaves nothing behind.

    Args:
        samples: the dataset or view to index
        brain_key: the key of the new run
        embeddings (None): the field that holds the embeddings
        model (None): the name of the zoo model that makes them, and that embeds
            text prompts
        patches_field (None): the label field whose patches to index
        connect (False): only connect to the existing collection
            ``config["collection_name"]``, and write nothing
        progress (None): called after each batch
        **config: arguments of
            :class:`fiftyone_qdrant.similarity.QdrantSimilarityConfig`

    Raises:
        ConfigError: if an argument is wrong, or there is nothing to index
        CollectionMismatch: if the collection exists with another size or metric
        ConnectionFailed: if Qdrant cannot be reached
    """
    check_new_key(samples, brain_key)
    if connect and not config.get("collection_name"):
        raise ConfigError("Give the collection_name of the collection to connect to")

    if not connect and embeddings is None and model is None:
        raise ConfigError("Give the embeddings field or the model to index with")

    index = fob.compute_similarity(
        samples,
        patches_field=patches_field,
        embeddings=False,
        embeddings_field=embeddings,
        model=model,
        brain_key=brain_key,
        backend="qdrant",
        **config,
    )
    existed = index.collection.exists()
    try:
        if connect:
            if not existed:
                raise CollectionNotFound(
                    f"There is no collection '{index.collection.name}' to connect to"
                )

            return index, Ingested()

        ingested = add_samples(index, samples, progress)
        if not ingested.new + ingested.replaced:
            raise ConfigError(f"Nothing to index: {_source(index)} gave no embeddings")
    except BaseException:
        if not existed:
            index.collection.drop()

        samples._root_dataset.delete_brain_run(brain_key)
        raise

    return index, ingested


def selected_samples(
    dataset: Any,
    index: QdrantSimilarityIndex,
    sample_ids: list[str] | None = None,
    label_ids: list[str] | None = None,
) -> Any:
    """Returns the view of a dataset that holds just the given samples or labels.

    Raises:
        MissingIDs: if the dataset does not have some of them
    """
    field = index.config.patches_field
    wanted = sample_ids if label_ids is None else label_ids
    points.to_point_ids(wanted or ())
    if label_ids is not None:
        view = dataset.select_labels(ids=label_ids, fields=field)
        _, path = dataset._get_label_field_path(field, "id")
        found = view.values(path, unwind=True)
    else:
        view = dataset.select(sample_ids)
        found = view.values("id")

    missing = sorted(set(wanted or ()) - set(found))
    if missing:
        raise MissingIDs(
            f"{len(missing)} of the selected ids (such as {missing[0]}) are not in "
            f"dataset '{dataset.name}'"
        )

    return view


def add_samples(
    index: QdrantSimilarityIndex, samples: Any, progress: Progress | None = None
) -> Ingested:
    """Embeds samples, or their patches, and writes them; existing ones are replaced.

    Args:
        index: the index to add to
        samples: a dataset or view
        progress (None): called after each batch

    Raises:
        ConfigError: if the index knows neither an embeddings field nor a model
    """
    result = Ingested()
    total = done = 0
    for batch, done, total in _batches(samples):
        embeddings, sample_ids, label_ids = _embed(index, batch)
        ids = [str(i) for i in (sample_ids if label_ids is None else label_ids)]
        result.skipped += len(set(batch.values("id")) - set(map(str, sample_ids)))
        if ids:
            replaced = len(_present(index, ids))
            index.add_to_index(embeddings, sample_ids, label_ids, reload=False)
            result.new += len(ids) - replaced
            result.replaced += replaced

        if progress is not None:
            progress(done, total)

    index.reload()
    return result


def _batches(samples: Any) -> Iterator[tuple[Any, int, int]]:
    ids = samples.values("id")
    done = 0
    for batch in fou.iter_batches(ids, _BATCH):
        done += len(batch)
        yield samples.select(list(batch), ordered=True), done, len(ids)


def _embed(index: QdrantSimilarityIndex, samples: Any) -> tuple[Any, Any, Any]:
    config = index.config
    if config.embeddings_field is not None:
        found: tuple[Any, Any, Any] = fbu.get_embeddings(
            samples,
            patches_field=config.patches_field,
            embeddings_field=config.embeddings_field,
        )
        return found

    if config.model is None:
        raise ConfigError(
            f"Index '{index.key}' was made from given vectors, so it cannot embed new "
            "samples. Add them with index.add_to_index(embeddings, sample_ids)"
        )

    computed: tuple[Any, Any, Any] = index.compute_embeddings(samples, progress=False)
    return computed


def _present(index: QdrantSimilarityIndex, ids: list[str]) -> set[str]:
    try:
        return index.collection.present(ids)
    except CollectionNotFound:
        return set()


def _source(index: QdrantSimilarityIndex) -> str:
    config = index.config
    field = config.embeddings_field
    return f"model '{config.model}'" if field is None else f"field '{field}'"
