"""Samples and labels into an index, batch by batch, going on where it stopped.

FiftyOne's ``compute_similarity()`` holds all embeddings in memory before it writes
the first, and starts over after a failure. Here each batch is embedded, written and
acknowledged before the next, and what is in the index already is not embedded again.

``progress`` is FiftyOne's: whether to draw a progress bar, ``None`` for its default,
or a function that is called with the bar after each batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import fiftyone.brain as fob
import fiftyone.brain.internal.core.utils as fbu
import fiftyone.core.media as fom
import fiftyone.core.utils as fou

from . import jobs, points
from .errors import (
    CollectionNotFound,
    ConfigError,
    IngestCancelled,
    IngestInterrupted,
    MissingIDs,
)
from .runs import check_new_key, is_unfinished, load_index
from .similarity import QdrantSimilarityIndex

_BATCH = 512  # samples that are embedded and written together

Progress = bool | Callable[[Any], None] | None


@dataclass
class Ingested:
    """What an ingest did.

    Attributes:
        new: points that the index did not have
        replaced: points that it had, written again
        kept: samples that were in the index and left as they are
        skipped: samples without an embedding (or, for patches, without a label)
    """

    new: int = 0
    replaced: int = 0
    kept: int = 0
    skipped: int = 0

    @property
    def points(self) -> int:
        """What the index holds of what was to be indexed."""
        return self.new + self.replaced + self.kept


def create_index(
    samples: Any,
    brain_key: str,
    embeddings: str | None = None,
    model: str | None = None,
    patches_field: str | None = None,
    connect: bool = False,
    progress: Progress = None,
    **config: Any,
) -> tuple[QdrantSimilarityIndex, Ingested]:
    """Creates an index and fills it, or goes on with one that was not finished.

    A failure before the first batch is written leaves nothing behind. After that,
    or if the process dies, the same call goes on where it stopped. While it runs,
    :mod:`fiftyone_qdrant.jobs` shows it to other processes, which may cancel it.

    Args:
        samples: the dataset or view to index
        brain_key: the key of the run, new or unfinished
        embeddings (None): the field that holds the embeddings
        model (None): the name of the zoo model that makes them, and that embeds
            text prompts
        patches_field (None): the label field whose patches to index
        connect (False): only connect to the existing collection
            ``config["collection_name"]``, and write nothing
        progress (None): see above
        **config: arguments of
            :class:`fiftyone_qdrant.similarity.QdrantSimilarityConfig`

    Raises:
        ConfigError: if an argument is wrong, or there is nothing to index
        CollectionMismatch: if the collection exists with another size or metric
        ConnectionFailed: if Qdrant cannot be reached
        IngestInterrupted: if it failed after the first batch
        IngestCancelled: if somebody cancelled it
    """
    check_new_key(samples, brain_key)
    if connect and not config.get("collection_name"):
        raise ConfigError("Give the collection_name of the collection to connect to")

    if not connect and embeddings is None and model is None:
        raise ConfigError("Give the embeddings field or the model to index with")

    source = (embeddings, model, patches_field)
    goes_on = is_unfinished(samples, brain_key)
    if goes_on:
        index = _reopen(samples, brain_key, source)
    else:
        index = fob.compute_similarity(
            samples,
            patches_field=patches_field,
            embeddings=False,
            embeddings_field=embeddings,
            model=model,
            brain_key=brain_key,
            backend="qdrant",
            unfinished=None if connect else True,
            **config,
        )

    if connect:
        return _connected(index), Ingested()

    ingested = _fill(index, samples, progress, goes_on)
    index.config.unfinished = None
    index.save_config()
    return index, ingested


def _reopen(
    samples: Any, brain_key: str, source: tuple[str | None, str | None, str | None]
) -> QdrantSimilarityIndex:
    index = load_index(samples._root_dataset, brain_key)
    config = index.config
    if source != (config.embeddings_field, config.model, config.patches_field):
        raise ConfigError(
            f"Index '{brain_key}' was started with other embeddings or patches. Go on "
            f"with embeddings={config.embeddings_field!r}, model={config.model!r}, "
            f"patches_field={config.patches_field!r}, or delete it first"
        )

    return index


def _connected(index: QdrantSimilarityIndex) -> QdrantSimilarityIndex:
    if not index.collection.exists():
        _forget(index)
        raise CollectionNotFound(
            f"There is no collection '{index.collection.name}' to connect to"
        )

    return index


def _fill(
    index: QdrantSimilarityIndex,
    samples: Any,
    progress: Progress,
    goes_on: bool,
) -> Ingested:
    ingested = Ingested()
    try:
        add_samples(index, samples, progress, goes_on, ingested, "create")
        if not ingested.points:
            config = index.config
            source = f"field '{config.embeddings_field}'"
            if config.embeddings_field is None:
                source = f"model '{config.model}'"

            raise ConfigError(f"Nothing to index: {source} gave no embeddings")
    except BaseException as e:  # Ctrl-C, too
        if not (ingested.points or goes_on):
            _forget(index)
            raise

        if not isinstance(e, Exception) or isinstance(e, IngestCancelled):
            raise

        count = ingested.points or index.total_index_size
        raise IngestInterrupted(
            f"{count:,} are in index '{index.key}', then this happened: {e}. "
            "Do the same again to go on from there"
        ) from e

    return ingested


def _forget(index: QdrantSimilarityIndex) -> None:
    index.samples._root_dataset.delete_brain_run(index.key)


def selected_samples(
    index: QdrantSimilarityIndex,
    sample_ids: list[str] | None = None,
    label_ids: list[str] | None = None,
) -> Any:
    """Returns the view of an index's dataset that holds just these samples or labels.

    Raises:
        MissingIDs: if the dataset does not have some of them
    """
    field = index.config.patches_field
    dataset = index.samples
    if dataset.media_type == fom.GROUP:
        dataset = dataset.select_group_slices(_allow_mixed=True)

    wanted = sample_ids if label_ids is None else label_ids
    points.to_point_ids(wanted or ())
    if label_ids is not None:
        view = dataset.select_labels(ids=label_ids, fields=field)
    else:
        view = dataset.select(sample_ids)

    found = view.values("id") if label_ids is None else _label_ids(view, field)
    missing = sorted(set(wanted or ()) - set(found))
    if missing:
        raise MissingIDs(
            f"{len(missing)} of the selected ids (such as {missing[0]}) are not in "
            f"dataset '{dataset.name}'"
        )

    return view


def add_samples(
    index: QdrantSimilarityIndex,
    samples: Any,
    progress: Progress = None,
    skip_existing: bool = False,
    result: Ingested | None = None,
    kind: str = "add",
) -> Ingested:
    """Embeds samples, or their patches, and writes them batch by batch.

    Args:
        index: the index to add to
        samples: a dataset or view
        progress (None): see above
        skip_existing (False): leave out, rather than replace, what is in the index
        result (None): counts here, so that they are known if this raises
        kind ("add"): what others see that this is: see
            :class:`fiftyone_qdrant.jobs.Job`

    Raises:
        ConfigError: if the index knows neither an embeddings field nor a model
        IngestCancelled: if somebody cancelled it
    """
    result = Ingested() if result is None else result
    ids = samples.values("id")
    total, done = len(ids), 0
    source = _source(index, samples)
    with (
        jobs.job(index.samples, kind, index.key or "", total) as job,
        fou.ProgressBar(total=total, progress=progress) as bar,
    ):
        for batch in fou.iter_batches(ids, _BATCH):
            _add_batch(index, source.select(list(batch)), skip_existing, result)
            done += len(batch)
            job.advance(done)
            bar.update(len(batch))
            if done < total and job.cancelled:
                raise IngestCancelled(_cancelled(index, kind, result))

    index.reload()
    return result


def _cancelled(index: QdrantSimilarityIndex, kind: str, result: Ingested) -> str:
    text = f"Cancelled. {result.points:,} are in index '{index.key}'. Do the same again"
    if kind == "add":
        return f"{text} to add the rest; those that are in are written again"

    return f"{text} to go on from there"


def _source(index: QdrantSimilarityIndex, samples: Any) -> Any:
    """Where to take the batches from: not through a view's stages if not needed.

    MongoDB would go through them again for each batch. A view matters where it
    changes what a sample is or holds: frames, patches, group slices, filtered labels.
    """
    dataset, config = samples._root_dataset, index.config
    plain = not samples._is_generated and dataset.media_type != fom.GROUP
    whole = config.patches_field is None and config.roi_field is None
    return dataset if plain and whole else samples


def _add_batch(
    index: QdrantSimilarityIndex, samples: Any, skip_existing: bool, result: Ingested
) -> None:
    if skip_existing:
        total = len(samples)
        samples = _without_existing(index, samples)
        result.kept += total - len(samples)

    if not len(samples):
        return

    embeddings, sample_ids, label_ids = embed(index, samples)
    result.skipped += len(set(samples.values("id")) - set(map(str, sample_ids)))
    ids = [str(i) for i in (sample_ids if label_ids is None else label_ids)]
    if ids:
        replaced = len(_present(index, ids))
        index.add_to_index(embeddings, sample_ids, label_ids, reload=False)
        result.new += len(ids) - replaced
        result.replaced += replaced


def _without_existing(index: QdrantSimilarityIndex, samples: Any) -> Any:
    """The samples of which something is not in the index yet."""
    field = index.config.patches_field
    if field is None:
        ids = samples.values("id")
        present = _present(index, ids)
        return samples.select([i for i in ids if i not in present])

    present = _present(index, _label_ids(samples, field))
    return samples.select(
        [
            sample_id
            for sample_id, labels in _labels_by_sample(samples, field)
            if not labels or not present.issuperset(labels)
        ]
    )


def _labels_by_sample(samples: Any, field: str) -> Iterator[tuple[str, list[str]]]:
    _, path = samples._get_label_field_path(field, "id")
    for sample_id, labels in zip(*samples.values(["id", path]), strict=True):
        yield sample_id, labels if isinstance(labels, list) else [labels or ""]


def _label_ids(samples: Any, field: str | None) -> list[str]:
    _, path = samples._get_label_field_path(field, "id")
    return [i for i in samples.values(path, unwind=True) if i is not None]


def embed(index: QdrantSimilarityIndex, samples: Any) -> tuple[Any, Any, Any]:
    """Returns embeddings, sample ids and label ids from the index's own source.

    Raises:
        ConfigError: if the index knows neither an embeddings field nor a model
    """
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
