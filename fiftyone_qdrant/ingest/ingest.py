"""Samples and labels into an index, batch by batch, going on where it stopped.

FiftyOne's ``compute_similarity()`` holds all embeddings in memory before it writes
the first, and starts over after a failure. Here each batch is embedded, written and
acknowledged before the next, and what is in the index already is not embedded again.

``progress`` is FiftyOne's: whether to draw a progress bar, ``None`` for its default,
or a function that is called with the bar after each batch.
"""

from __future__ import annotations

from typing import Any

from fiftyone_qdrant.dataset.indexable import check_indexable
from fiftyone_qdrant.dataset.samples import root_of
from fiftyone_qdrant.errors import (
    CollectionNotFound,
    ConfigError,
    IndexNotFound,
    IngestCancelled,
    IngestInterrupted,
)
from fiftyone_qdrant.index import claims
from fiftyone_qdrant.ingest.batches import Ingest, Ingested, Progress, run, run_ids
from fiftyone_qdrant.ingest.creation import Creation, forget
from fiftyone_qdrant.ingest.source_checks import Look
from fiftyone_qdrant.ingest.sources import (
    NO_SOURCE,
    Source,
    why_not_embed,
)
from fiftyone_qdrant.runs import check_new_key
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status import background, coverage, jobs, looks
from fiftyone_qdrant.status.jobs import now_by_mongodb

INGEST_ENDS = (IngestCancelled, CollectionNotFound, IndexNotFound)
"""What ends an ingest in words of its own."""


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
    dataset = root_of(samples)
    with claims.claimed(dataset, brain_key):
        if claims.is_taken(dataset, brain_key):
            dataset.reload()  # another process may have made it, or have ended it

        check_new_key(samples, brain_key)
        source = Source.parse(samples, embeddings, model, patches_field, from_brain_key)
        of = source.samples(samples)
        wanted = Creation(of, brain_key, source, connect, config)
        return _create(wanted, progress)


def _create(
    wanted: Creation, progress: Progress
) -> tuple[QdrantSimilarityIndex, Ingested]:
    source = wanted.source
    check_indexable(wanted.samples, source.patches_field, source.embeddings_field)
    if wanted.connect:
        return wanted.connected(), Ingested()

    if not source.given:
        raise ConfigError(NO_SOURCE)

    look = Look(wanted.samples, source)
    goes_on = wanted.goes_on
    other = source.open(root_of(wanted.samples))
    if goes_on:
        index = wanted.reopened()
        look.check()
    else:
        look.check()
        index = wanted.registered(unfinished=True)

    ingest = Ingest(index, "create", skip_existing=goes_on, other=other)
    began, deleted = now_by_mongodb(), index.held.written_until()[1]
    _fill(ingest, look, progress)
    note_finished(index)
    points, whole = index.total_index_size, coverage.count(index)
    made = looks.Look(began, "", points, began, deleted, whole=points >= whole)
    with jobs.not_needed("It is not noted since when the index is in step"):
        looks.note_look(root_of(index.samples), str(index.key), made)
    return index, ingest.done


def _fill(ingest: Ingest, look: Look, progress: Progress) -> None:
    index, goes_on = ingest.index, ingest.skip_existing
    try:
        run(ingest, look.samples, progress)
        if not ingest.done.points:
            words = f"Nothing to index: {ingest.source} gave no embeddings"
            reason = look.doubtful_files() if look.embeds else None
            raise ConfigError(f"{words}. {reason}" if reason else words)
    except BaseException as e:  # Ctrl-C, too
        if not (ingest.done.points or goes_on):
            forget(index)
            raise

        if not isinstance(e, Exception) or isinstance(e, INGEST_ENDS):
            raise

        count = ingest.done.points or index.total_index_size
        raise IngestInterrupted(
            f"{count:,} are in index '{index.key}', then this happened: {e}. "
            "Run it again to resume"
        ) from e


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

    ingest = Ingest(index, "add", skip_existing)
    if index.held.stands_for_parts(samples):
        held = index.held.up_to_date(index.config.embeddings_field)
        index.use_home(held.home)
        run_ids(ingest, held.wanted(samples), progress)
    else:
        samples = index.held.whole(samples)
        index.use_home(index.held.following(samples).home)
        run(ingest, samples, progress)

    note_if_finished(index)
    return ingest.done


def note_if_finished(index: QdrantSimilarityIndex) -> None:
    """Notes that an ingest has ended, if it had not and nothing is missing now."""
    if index.config.unfinished and not len(coverage.compare(index).lacking):
        note_finished(index)


def note_finished(index: QdrantSimilarityIndex) -> None:
    """Notes that nothing is left to go on with."""
    if index.config.unfinished:
        index.config.unfinished = None
        index.save_config()

    background.forget(root_of(index.samples), index.key)


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
    ingest = Ingest(index, "sync", done=Ingested() if done is None else done)
    run_ids(ingest, ids, progress)
    return ingest.done
