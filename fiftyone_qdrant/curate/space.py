"""Distances between many vectors at once, as precise as float32 products are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiftyone_qdrant.points import Matrix, Scores, to_unit

_LARGE, _SMALL = 1e15, 1e-8  # lengths between which squares are right in float32


@dataclass(frozen=True)
class Space:
    """What is near in an index.

    By dot product the longest vectors would be everybody's neighbors, so that such
    indexes are compared by the angle, as those of cosine distance are.

    Attributes:
        metric: ``"cosine"``, ``"euclidean"`` or ``"manhattan"``
        unit: what vectors were divided by, to be of a size that float32 can square
    """

    metric: str
    unit: float = 1.0

    @classmethod
    def of(cls, metric: str) -> Space:
        """Returns that of an index with a metric."""
        return cls("cosine" if metric == "dotproduct" else metric)

    def prepared(self, vectors: Matrix) -> Matrix:
        """Returns vectors in the form in which they are compared."""
        return to_unit(vectors) if self.metric == "cosine" else vectors

    def ready(self, vectors: Matrix) -> Matrix:
        """Returns vectors prepared and divided by the unit."""
        if self.unit != 1.0:
            vectors = (vectors.astype(np.float64) / self.unit).astype(np.float32)

        return self.prepared(vectors)

    def unit_for(self, lengths: Scores) -> float:
        """Returns what vectors of such lengths have to be divided by."""
        longest = float(lengths.max(initial=0.0))
        if self.metric == "cosine" or longest == 0 or _SMALL < longest < _LARGE:
            return 1.0

        return longest

    def distances(self, a: Matrix, b: Matrix) -> Matrix:
        """Returns the distances of all vectors of ``a`` to all of ``b``.

        Args:
            a: float32, shape ``(m, size)``, prepared
            b: float32, shape ``(n, size)``, prepared

        Returns:
            float32, shape ``(m, n)``; smaller is nearer
        """
        if self.metric == "manhattan":
            from scipy.spatial.distance import cdist

            return np.asarray(cdist(a, b, "cityblock") * self.unit, np.float32)

        if self.metric == "cosine":
            cosines = a @ b.T
            np.subtract(1.0, cosines, out=cosines)
            return np.asarray(np.maximum(cosines, 0.0, out=cosines))

        offset = b.mean(axis=0, dtype=np.float64).astype(np.float32)
        a, b = a - offset, b - offset  # products are precise about the origin
        d: Matrix = a @ b.T
        d *= np.float32(-2.0)
        d += np.einsum("ij,ij->i", a, a)[:, np.newaxis]
        d += np.einsum("ij,ij->i", b, b)
        np.sqrt(np.maximum(d, 0.0, out=d), out=d)
        d *= np.float32(self.unit)
        return d

    def part_of(self, distance: float, part: float) -> float:
        """Returns a part of a distance; of an angle's, which are squares, its square.

        So a part means the same for vectors of length 1 by either metric.
        """
        return distance * (part**2 if self.metric == "cosine" else part)
