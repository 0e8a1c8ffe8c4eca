"""The vectors of what a view shows, in a file, so that they need not be in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.curate.space import Space
from fiftyone_qdrant.dataset.samples import is_clips, is_frames
from fiftyone_qdrant.errors import ConfigError, MissingIDs
from fiftyone_qdrant.points import Matrix, norms
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

Progress = Callable[[int, int], None] | None
"""Is called with how much is done, and of how much; what it raises stops the call."""

Rows = npt.NDArray[np.int64]

_FEW = 4  # times as many points that are not wanted: then those wanted are picked
_PICKED = 2_000  # at once
_BLOCK_BYTES = 8 * 2**20
_TWINS = 0.2  # of the distance to an ordinary neighbor
_ORDINARY = 15  # the neighbor that is ordinary
_ASKED = 256  # points that tell what is ordinary


@dataclass(frozen=True)
class Vectors:
    """Vectors with their ids, in the order of the ids.

    Attributes:
        ids: the sample id, or label id of patches, of each
        sample_ids: the sample of each
        rows: float32, shape ``(len(ids), size)``, prepared for ``space``; in a file
        space: how they are compared
    """

    ids: list[str]
    sample_ids: list[str]
    rows: Matrix
    space: Space

    def __len__(self) -> int:
        return len(self.ids)

    def blocks(self) -> Iterator[tuple[int, Matrix]]:
        """Yields all vectors, a block at a time, each with the row of its first."""
        step = max(1, _BLOCK_BYTES // (4 * self.rows.shape[1]))
        for first in range(0, len(self), step):
            yield first, np.asarray(self.rows[first : first + step])

    def twins(self, given: float | None, rng: np.random.Generator) -> float:
        """Returns the distance up to which two are twins: two takes of one thing.

        Args:
            given: that distance, or ``None`` for a fifth of that to an ordinary
                neighbor: to the fifteenth nearest, in the middle of up to 256 points
            rng: chooses these
        """
        if given is not None:
            return float(given)

        asked = np.sort(rng.choice(len(self), min(len(self), _ASKED), replace=False))
        queries, nearest = self.rows[asked], np.empty((len(asked), 0), np.float32)
        for _, block in self.blocks():
            found = np.hstack([nearest, self.space.distances(queries, block)])
            kept = min(_ORDINARY + 1, found.shape[1])  # a point is its own neighbor
            nearest = np.partition(found, kept - 1, axis=1)[:, :kept]

        return self.space.part_of(float(np.median(nearest.max(axis=1))), _TWINS)


@contextmanager
def vectors_of(
    index: QdrantSimilarityIndex, progress: Progress = None
) -> Iterator[Vectors]:
    """Reads what an index holds of its current view.

    Args:
        index: the index
        progress (None): see :data:`Progress`

    Raises:
        MissingIDs: if it holds nothing of the view
        CollectionNotFound: if its collection is gone
    """
    wanted = index.restriction().ids()
    space = Space.of(index.metric)
    ids: list[str] = []
    sample_ids: list[str] = []
    longest = np.zeros(1)
    with tempfile.TemporaryFile(prefix="fiftyone-qdrant-") as file:
        for names, owners, vectors in _pages(index, wanted):
            ids.extend(names)
            sample_ids.extend(owners)
            longest = np.maximum(longest, norms(vectors).max(initial=0.0))
            file.write(np.ascontiguousarray(space.prepared(vectors)).data)
            if progress is not None:
                progress(len(ids), len(wanted))

        del wanted
        if not ids:
            raise MissingIDs(
                f"Index '{index.key}' holds nothing of what the view shows. Add it to "
                "the index first, or choose another view"
            )

        file.flush()
        shape = (len(ids), index.collection.schema().size)
        rows = np.memmap(file, np.float32, "r+", shape=shape)
        space = replace(space, unit=space.unit_for(longest))
        if space.unit != 1.0:
            for first in range(0, len(ids), _PICKED):
                part = rows[first : first + _PICKED].astype(np.float64)
                rows[first : first + _PICKED] = part / space.unit

        yield Vectors(ids, sample_ids, rows, space)


def _pages(
    index: QdrantSimilarityIndex, wanted: list[str]
) -> Iterator[tuple[list[str], list[str], Matrix]]:
    collection = index.collection
    collection.forget()
    if _FEW * len(wanted) < collection.count():
        yield from _picked(index, sorted(wanted))
        return

    among = set(wanted)
    for page in collection.scroll(vectors=True):
        kept = page.where([i in among for i in page.ids])
        if len(kept):
            ids = kept.ids
            samples = kept.sample_ids if index.contents.patches else ids
            yield ids, samples, collection.to_vectors(kept)


def _picked(
    index: QdrantSimilarityIndex, wanted: list[str]
) -> Iterator[tuple[list[str], list[str], Matrix]]:
    for start in range(0, len(wanted), _PICKED):
        part = wanted[start : start + _PICKED]
        vectors, samples, labels = index.contents.retrieved(part, allow_missing=True)
        if len(vectors):
            yield list(samples if labels is None else labels), list(samples), vectors


def check_twins(twins: Any) -> None:
    """Raises :class:`ConfigError` unless this is a distance, or ``None``."""
    number = isinstance(twins, Real) and not isinstance(twins, bool)
    if twins is not None and not (number and float(twins) >= 0):
        raise ConfigError(f"twins must be a distance from 0 on, not {twins!r}")


def families(index: QdrantSimilarityIndex, vectors: Vectors) -> Rows:
    """Returns a number for each vector, the same for what shows the same thing.

    That is: patches of one image, frames and clips of one video, slices of one group.
    """
    owners = _owners(index)
    if not owners and not index.contents.patches:
        return np.arange(len(vectors))

    of = [owners.get(s, s) for s in vectors.sample_ids]
    return np.asarray(np.unique(of, return_inverse=True)[1], np.int64)


def _owners(index: QdrantSimilarityIndex) -> dict[str, Any]:
    """Returns what each sample of an index belongs to, if to anything."""
    held = index.held
    home = held.home
    if is_frames(home) or is_clips(home):
        return dict(zip(*home.values(["id", "sample_id"]), strict=True))

    field = home.group_field
    if field is None:
        return {}

    ids, groups = held.flat(home).values(["id", f"{field}.id"])
    return {i: group for i, group in zip(ids, groups, strict=True) if group is not None}
