"""The nearest points whose word counts, of every point: by blocks of matrices."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.curate.vectors import Progress, Rows, Vectors
from fiftyone_qdrant.points import Matrix

Places = npt.NDArray[np.int32]

_TILE_ROWS = 2_048
_TILE_COLUMNS = 8_192


def nearest_voters(
    vectors: Vectors,
    voters: Rows,
    families: Rows,
    twins: float,
    k: int,
    progress: Progress = None,
) -> tuple[Places, Matrix]:
    """Returns the nearest voters of each vector, nearest first.

    All are compared with all voters, a tile of distances at a time. Neither a vector
    itself nor its family or its twins are among its voters.

    Args:
        vectors: all vectors
        voters: the rows of those that may vote
        families: a number for each vector; those with the same one are a family
        twins: the distance up to which two vectors are twins
        k: how many to find
        progress (None): see :data:`.vectors.Progress`

    Returns:
        int32 places in ``voters`` and float32 distances, both ``(len(vectors), k)``.
        Where there are fewer, the places are -1 and the distances infinite
    """
    count = len(vectors)
    places = np.full((count, k), -1, np.int32)
    distances = np.full((count, k), np.inf, np.float32)
    for start in range(0, count, _TILE_ROWS):
        lines = slice(start, min(count, start + _TILE_ROWS))
        tile, own = np.asarray(vectors.rows[lines]), families[lines, np.newaxis]
        for column in range(0, len(voters), _TILE_COLUMNS):
            part = voters[column : column + _TILE_COLUMNS]
            d = vectors.space.distances(tile, vectors.rows[part])
            d[d <= twins] = np.inf
            d[own == families[part]] = np.inf
            _merge(places[lines], distances[lines], d, column)

        order = np.argsort(distances[lines], axis=1, kind="stable")
        for found in (places, distances):
            found[lines] = np.take_along_axis(found[lines], order, axis=1)

        if progress is not None:
            progress(lines.stop, count)

    return places, distances


def _merge(places: Places, distances: Matrix, d: Matrix, column: int) -> None:
    """Puts what is nearer than the farthest found so far in its place."""
    k = distances.shape[1]
    better = np.flatnonzero((d < distances.max(axis=1)[:, np.newaxis]).any(axis=1))
    if not better.size:
        return

    d = d[better]
    at = np.broadcast_to(
        np.arange(column, column + d.shape[1], dtype=np.int32), d.shape
    )
    if d.shape[1] > k:
        chosen = np.argpartition(d, k - 1, axis=1)[:, :k]
        d, at = (np.take_along_axis(each, chosen, axis=1) for each in (d, at))

    at = np.hstack([places[better], np.where(np.isinf(d), -1, at)])
    d = np.hstack([distances[better], d])
    chosen = np.argpartition(d, k - 1, axis=1)[:, :k]
    places[better] = np.take_along_axis(at, chosen, axis=1)
    distances[better] = np.take_along_axis(d, chosen, axis=1)
