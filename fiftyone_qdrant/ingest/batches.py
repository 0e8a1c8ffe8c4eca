"""Batch by batch into an index: embedded, written and acknowledged before the next.

What is in the index already is not embedded again, where that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import fiftyone.core.utils as fou

from fiftyone_qdrant.dataset.samples import is_generated, labels_by_sample, root_of
from fiftyone_qdrant.errors import CollectionNotFound, IngestCancelled
from fiftyone_qdrant.explore import standing
from fiftyone_qdrant.explore.history import Search
from fiftyone_qdrant.index.batch import Batch
from fiftyone_qdrant.ingest.origins import OtherIndex
from fiftyone_qdrant.ingest.sources import embed, selected_samples
from fiftyone_qdrant.qdrant.retries import Patience, patient, seconds_of_patience
from fiftyone_qdrant.search.matrices import to_matrix
from fiftyone_qdrant.similarity import QdrantSimilarityIndex
from fiftyone_qdrant.status import jobs

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


@dataclass
class Ingest:
    """One ingest under way.

    Attributes:
        index: where to
        kind: ``"create"``, ``"add"`` or ``"sync"``
        skip_existing: leave out, rather than replace, what is in the index
        other: the index to take the embeddings from, if not from the source of the
            index itself
        done: what was done so far, known even if it fails
        standing: the searches of the index that go on by themselves
    """

    index: QdrantSimilarityIndex
    kind: str
    skip_existing: bool = False
    other: OtherIndex | None = None
    done: Ingested = field(default_factory=Ingested)
    standing: list[Search] = field(default_factory=list)

    def embed(self, samples: Any) -> Batch:
        """Returns the embeddings of some samples."""
        if self.other is not None:
            return self.other.embed(samples)

        return embed(self.index, samples)

    @property
    def source(self) -> str:
        """Where the embeddings come from, in words."""
        config = self.index.config
        if self.other is not None:
            return str(self.other)

        if config.embeddings_field is not None:
            return f"field '{config.embeddings_field}'"

        return f"model '{config.model}'"

    def cancellation(self) -> IngestCancelled:
        """Returns what to raise if somebody cancels it."""
        again = "to resume"
        if self.kind == "add":
            again = "to add the rest; those that are in are written again"

        return IngestCancelled(
            f"Cancelled. {self.done.points:,} are in index '{self.index.key}'. "
            f"Run it again {again}"
        )


def run(ingest: Ingest, samples: Any, progress: Progress) -> None:
    """Goes through samples: embeds what an index lacks of them, and writes it."""
    source = _batches_from(ingest.index, samples)
    _go_through(ingest, samples.values("id"), source.select, progress)


def run_ids(ingest: Ingest, ids: list[str], progress: Progress) -> None:
    """Goes through samples or labels by their ids; makes no view of all of them."""
    index = ingest.index

    def to_view(some: list[str]) -> Any:
        return selected_samples(index, **index.held.named(some))

    _go_through(ingest, ids, to_view, progress)


def _go_through(
    ingest: Ingest,
    ids: list[str],
    to_view: Callable[[list[str]], Any],
    progress: Progress,
) -> None:
    index, done = ingest.index, 0
    if ingest.kind != "create":
        with jobs.not_needed("Pinned searches are not told what is new"):
            ingest.standing = standing.standing(root_of(index.samples), index.key or "")

    with (
        jobs.job(index.samples, ingest.kind, index.key or "", len(ids)) as job,
        fou.ProgressBar(total=len(ids), progress=progress) as bar,
    ):
        for batch in fou.iter_batches(ids, _BATCH):
            if job.cancelled:
                raise ingest.cancellation()

            # Before the first batch it is said at once that nobody answers
            with patient(_patience(ingest, job, bar) if done else None):
                _add_batch(ingest, to_view(list(batch)))

            done += len(batch)
            job.advance(done, ingest.done.kept)
            bar.update(len(batch))

    if ingest.done.new or ingest.done.replaced:
        index.collection.flush()

    index.reload()


def _patience(ingest: Ingest, job: jobs.Report, bar: Any) -> Patience:
    """How a server that goes away in the middle is waited for."""

    def tell(what: str | None) -> None:
        job.wait_for(what)
        bar.waiting = what
        bar.set_iteration(bar.iteration)  # has it drawn, or told to the App

    def stop() -> None:
        if job.cancelled:
            raise ingest.cancellation()

    return Patience(seconds_of_patience(), tell, stop)


def _batches_from(index: QdrantSimilarityIndex, samples: Any) -> Any:
    """Where to take the batches from: not through a view's stages if not needed.

    MongoDB would go through them again for each batch. A view matters where it
    changes what a sample is or holds: frames, patches, group slices, filtered labels.
    """
    dataset, config = root_of(samples), index.config
    plain = not is_generated(samples) and index.held.flat(dataset) is dataset
    whole = config.patches_field is None and config.roi_field is None
    return dataset if plain and whole else samples


def _add_batch(ingest: Ingest, samples: Any) -> None:
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
        present = _present(index, batch.ids)
        index.add(batch, may_make=not done.points)
        done.new += len(batch.ids) - len(present)
        done.replaced += len(present)
        _notice(ingest, batch, present)


def _notice(ingest: Ingest, batch: Batch, present: set[str]) -> None:
    """Tells searches that stand what is new."""
    rows = [row for row, i in enumerate(batch.ids) if i not in present]
    if ingest.standing and rows:
        ids = [batch.ids[row] for row in rows]
        vectors = to_matrix(batch.vectors)[rows]
        with jobs.not_needed("Pinned searches are not told what is new"):
            standing.notice(ingest.index, ingest.standing, ids, vectors)


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
