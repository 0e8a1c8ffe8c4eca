"""Samples and labels into an index, batch by batch, going on where it stopped.

FiftyOne's ``compute_similarity()`` holds all embeddings in memory before it writes
the first, and starts over after a failure. Here each batch is embedded, written and
acknowledged before the next, and what is in the index already is not embedded again.

``progress`` is FiftyOne's: whether to draw a progress bar, ``None`` for its default,
or a function that is called with the bar after each batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import fiftyone.brain as fob
import fiftyone.core.utils as fou

from fiftyone_qdrant.dataset.indexable import check_indexable
from fiftyone_qdrant.errors import (
    CollectionNotFound,
    ConfigError,
    IndexNotFound,
    IngestCancelled,
    IngestInterrupted,
)
from fiftyone_qdrant.index import claims
from fiftyone_qdrant.index.batch import Batch
from fiftyone_qdrant.ingest.origins import OtherIndex, labels_by_sample
from fiftyone_qdrant.ingest.source_checks import Look
from fiftyone_qdrant.ingest.sources import (
    NO_COLLECTION,
    NO_SOURCE,
    Source,
    embed,
    known_points,
    selected_samples,
    why_not_embed,
)
from fiftyone_qdrant.qdrant.retries import Patience, patient, seconds_of_patience
from fiftyone_qdrant.runs import check_new_key, is_unfinished, load_index
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status import background, coverage, jobs

INGEST_ENDS = (IngestCancelled, CollectionNotFound, IndexNotFound)
"""What ends an ingest in words of its own."""

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
    from_brain_key: str | None = None,
    connect: bool = False,
    progress: Progress = None,
    **config: Any,
) -> tuple[QdrantSimilarityIndex, Ingested]:
    """Creates an index and fills it, or goes on with one that was not finished.

    A failure before the first batch is written leaves nothing behind. After that,
    or if the process dies, the same call goes on where it stopped. While it runs,
    :mod:`fiftyone_qdrant.status.jobs` shows it to other processes, which may cancel it.

    Args:
        samples: the dataset or view to index
        brain_key: the key of the run, new or unfinished
        embeddings (None): the field that holds the embeddings
        model (None): the name of the zoo model that makes them, and that embeds
            text prompts
        patches_field (None): the label field whose patches to index
        from_brain_key (None): a similarity run of any backend to take the vectors
            from, without embedding again. Its embeddings field, model, patches and
            metric are taken over as well, see
            :class:`fiftyone_qdrant.ingest.sources.Origin`
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
        CollectionNotFound: if somebody deleted the collection after the first batch
        IndexNotFound: if somebody deleted the run meanwhile
    """
    check_new_key(samples, brain_key)
    dataset = samples._root_dataset
    with claims.claimed(dataset, brain_key):
        if claims.is_taken(dataset, brain_key):
            dataset.reload()  # another process may have made it, or have ended it

        check_new_key(samples, brain_key)
        source = Source.parse(samples, embeddings, model, patches_field, from_brain_key)
        return _create(samples, brain_key, source, connect, progress, config)


def _create(
    samples: Any,
    brain_key: str,
    source: Source,
    connect: bool,
    progress: Progress,
    config: dict[str, Any],
) -> tuple[QdrantSimilarityIndex, Ingested]:
    samples = source.samples(samples)
    check_indexable(samples, source.patches_field, source.embeddings_field)
    if connect:
        return _connect(samples, brain_key, source, config), Ingested()

    if not source.given:
        raise ConfigError(NO_SOURCE)

    look = Look(samples, source)
    goes_on = is_unfinished(samples, brain_key)
    other = source.open(samples._root_dataset)
    if goes_on:
        index = _reopen(samples, brain_key, source)
        look.check()
    else:
        look.check()
        index = _register(samples, brain_key, source, {**config, "unfinished": True})

    ingest = _Ingest(index, "create", skip_existing=goes_on, other=other)
    _fill(ingest, look, progress)
    note_finished(index)
    return index, ingest.done


def _register(
    samples: Any, brain_key: str, source: Source, config: dict[str, Any]
) -> QdrantSimilarityIndex:
    origin = source.origin
    if origin is not None:
        config = {"metric": origin.metric, "roi_field": origin.roi_field, **config}

    index: QdrantSimilarityIndex = fob.compute_similarity(
        samples,
        patches_field=source.patches_field,
        embeddings=False,
        embeddings_field=source.embeddings_field,
        model=source.model_to_load,
        brain_key=brain_key,
        backend="qdrant",
        **config,
    )
    if origin is not None and origin.model is not None:  # known without loading it
        index.config.model = origin.model
        index.config.model_kwargs = origin.model_kwargs
        index.config.supports_prompts = origin.supports_prompts
        index.save_config()
        again = load_index(samples._root_dataset, brain_key)
        again.contents.named_here = index.contents.named_here
        return again

    return index


def _reopen(samples: Any, brain_key: str, source: Source) -> QdrantSimilarityIndex:
    index = load_index(samples._root_dataset, brain_key)
    config = index.config
    started = (config.embeddings_field, config.model, config.patches_field)
    if started != (source.embeddings_field, source.model, source.patches_field):
        raise ConfigError(
            f"Index '{brain_key}' was started with other embeddings or patches. Go on "
            f"with embeddings={config.embeddings_field!r}, model={config.model!r}, "
            f"patches_field={config.patches_field!r}, or delete it first"
        )

    return index


def _connect(
    samples: Any, brain_key: str, source: Source, config: dict[str, Any]
) -> QdrantSimilarityIndex:
    if not config.get("collection_name"):
        raise ConfigError(NO_COLLECTION)

    index = _register(samples, brain_key, source, config)
    if not index.collection.exists():
        _forget(index)
        raise CollectionNotFound(
            f"There is no collection '{index.collection.name}' to connect to"
        )

    try:
        known_points(index.held, index.collection)
    except ConfigError:
        _forget(index)
        raise

    return index


def _fill(ingest: _Ingest, look: Look, progress: Progress) -> None:
    index, goes_on = ingest.index, ingest.skip_existing
    try:
        _run(ingest, look.samples, progress)
        if not ingest.done.points:
            words = f"Nothing to index: {ingest.source} gave no embeddings"
            reason = look.doubtful_files() if look.embeds else None
            raise ConfigError(f"{words}. {reason}" if reason else words)
    except BaseException as e:  # Ctrl-C, too
        if not (ingest.done.points or goes_on):
            _forget(index)
            raise

        if not isinstance(e, Exception) or isinstance(e, INGEST_ENDS):
            raise

        count = ingest.done.points or index.total_index_size
        raise IngestInterrupted(
            f"{count:,} are in index '{index.key}', then this happened: {e}. "
            "Run it again to resume"
        ) from e


def _forget(index: QdrantSimilarityIndex) -> None:
    index.samples._root_dataset.delete_brain_run(index.key)


def add_samples(
    index: QdrantSimilarityIndex,
    samples: Any,
    progress: Progress = None,
    skip_existing: bool = False,
) -> Ingested:
    """Embeds samples, or their patches, and writes them batch by batch.

    Args:
        index: the index to add to
        samples: a dataset or view; of an index of frames or clips, also the videos
        progress (None): see above
        skip_existing (False): leave out, rather than replace, what is in the index

    Raises:
        ConfigError: if the index knows neither an embeddings field nor a model
        IngestCancelled: if somebody cancelled it
        CollectionNotFound: if somebody deleted the collection after the first batch
    """
    reason = why_not_embed(index)
    if reason is not None:
        raise ConfigError(reason)

    ingest = _Ingest(index, "add", skip_existing)
    if index.held.stands_for_parts(samples):
        held = index.held.up_to_date(index.config.embeddings_field)
        index.use_home(held.home)
        _run_ids(ingest, held.wanted(samples), progress)
    else:
        samples = index.held.whole(samples)
        index.use_home(index.held.following(samples).home)
        _run(ingest, samples, progress)

    note_if_finished(index)
    return ingest.done


def note_if_finished(index: QdrantSimilarityIndex) -> None:
    """Notes that an ingest has ended, if it had not and nothing is missing now."""
    if index.config.unfinished and not coverage.compare(index).missing:
        note_finished(index)


def note_finished(index: QdrantSimilarityIndex) -> None:
    """Notes that nothing is left to go on with."""
    if index.config.unfinished:
        index.config.unfinished = None
        index.save_config()

    background.forget(index.samples._root_dataset, index.key)


def add_ids(
    index: QdrantSimilarityIndex,
    ids: list[str],
    progress: Progress = None,
    done: Ingested | None = None,
) -> Ingested:
    """Embeds samples, or labels of an index of patches, for :mod:`.sync`.

    However many there are, no view of all of them is made.

    Args:
        index: the index to add to
        ids: their ids
        progress (None): see above
        done (None): where to count what was done, also if it fails

    Raises:
        MissingIDs: if the dataset does not have some of them any more
        IngestCancelled: if somebody cancelled it
    """
    ingest = _Ingest(index, "sync", done=Ingested() if done is None else done)
    _run_ids(ingest, ids, progress)
    return ingest.done


@dataclass
class _Ingest:
    """One ingest under way.

    Attributes:
        index: where to
        kind: ``"create"``, ``"add"`` or ``"sync"``
        skip_existing: leave out, rather than replace, what is in the index
        other: the index to take the embeddings from, if not from the source of the
            index itself
        done: what was done so far, known even if it fails
    """

    index: QdrantSimilarityIndex
    kind: str
    skip_existing: bool = False
    other: OtherIndex | None = None
    done: Ingested = field(default_factory=Ingested)

    def embed(self, samples: Any) -> Batch:
        if self.other is not None:
            return self.other.embed(samples)

        return embed(self.index, samples)

    @property
    def source(self) -> str:
        config = self.index.config
        if self.other is not None:
            return str(self.other)

        if config.embeddings_field is not None:
            return f"field '{config.embeddings_field}'"

        return f"model '{config.model}'"

    @property
    def cancelled(self) -> IngestCancelled:
        again = "to resume"
        if self.kind == "add":
            again = "to add the rest; those that are in are written again"

        return IngestCancelled(
            f"Cancelled. {self.done.points:,} are in index '{self.index.key}'. "
            f"Run it again {again}"
        )


def _run(ingest: _Ingest, samples: Any, progress: Progress) -> None:
    source = _batches_from(ingest.index, samples)
    _go_through(ingest, samples.values("id"), source.select, progress)


def _run_ids(ingest: _Ingest, ids: list[str], progress: Progress) -> None:
    index = ingest.index

    def to_view(some: list[str]) -> Any:
        return selected_samples(index, **index.held.named(some))

    _go_through(ingest, ids, to_view, progress)


def _go_through(
    ingest: _Ingest,
    ids: list[str],
    to_view: Callable[[list[str]], Any],
    progress: Progress,
) -> None:
    index, done = ingest.index, 0
    with (
        jobs.job(index.samples, ingest.kind, index.key or "", len(ids)) as job,
        fou.ProgressBar(total=len(ids), progress=progress) as bar,
    ):
        for batch in fou.iter_batches(ids, _BATCH):
            if job.cancelled:
                raise ingest.cancelled

            # Before the first batch it is said at once that nobody answers
            with patient(_patience(ingest, job, bar) if done else None):
                _add_batch(ingest, to_view(list(batch)))

            done += len(batch)
            job.advance(done, ingest.done.kept)
            bar.update(len(batch))

    if ingest.done.new or ingest.done.replaced:
        index.collection.flush()

    index.reload()


def _patience(ingest: _Ingest, job: jobs.Report, bar: Any) -> Patience:
    """How a server that goes away in the middle is waited for."""

    def tell(what: str | None) -> None:
        job.wait_for(what)
        bar.waiting = what
        bar.set_iteration(bar.iteration)  # has it drawn, or told to the App

    def stop() -> None:
        if job.cancelled:
            raise ingest.cancelled

    return Patience(seconds_of_patience(), tell, stop)


def _batches_from(index: QdrantSimilarityIndex, samples: Any) -> Any:
    """Where to take the batches from: not through a view's stages if not needed.

    MongoDB would go through them again for each batch. A view matters where it
    changes what a sample is or holds: frames, patches, group slices, filtered labels.
    """
    dataset, config = samples._root_dataset, index.config
    plain = not samples._is_generated and index.held.flat(dataset) is dataset
    whole = config.patches_field is None and config.roi_field is None
    return dataset if plain and whole else samples


def _add_batch(ingest: _Ingest, samples: Any) -> None:
    index, done = ingest.index, ingest.done
    if ingest.skip_existing:
        total = len(samples)
        samples = _without_existing(index, samples)
        done.kept += total - len(samples)

    if not len(samples):
        return

    batch = ingest.embed(samples)
    if index.held.in_parts(samples):
        done.skipped += len(set(index.held.ids(samples)).difference(batch.ids))
    else:
        done.skipped += len(set(samples.values("id")).difference(batch.sample_ids))

    if batch.ids:
        replaced = len(_present(index, batch.ids))
        index.add(batch, may_make=not done.points)
        done.new += len(batch.ids) - replaced
        done.replaced += replaced


def _without_existing(index: QdrantSimilarityIndex, samples: Any) -> Any:
    """The samples of which something is not in the index yet."""
    field = index.config.patches_field
    if field is None:
        ids = samples.values("id")
        present = _whole(index, ids)
        return samples.select([i for i in ids if i not in present])

    present = _whole(index, index.held.ids(samples))
    return samples.select(
        [
            sample_id
            for sample_id, labels in labels_by_sample(samples, field)
            if not labels or not present.issuperset(labels)
        ]
    )


def _whole(index: QdrantSimilarityIndex, ids: list[str]) -> set[str]:
    """What need not be written: a write that failed may have reached one replica."""
    try:
        return index.collection.on_all_replicas(ids) or set()
    except CollectionNotFound:
        return set()


def _present(index: QdrantSimilarityIndex, ids: list[str]) -> set[str]:
    try:
        return index.collection.present(ids)
    except CollectionNotFound:
        return set()
