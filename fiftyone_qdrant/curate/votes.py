"""What the neighbors of each point say of its label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fiftyone_qdrant.curate.vectors import Rows
from fiftyone_qdrant.curate.voters import Places
from fiftyone_qdrant.points import Matrix, Scores

_CELLS = 2_000_000  # votes that are in memory at once
_HALF = 0.5  # of a vote is for what the voter's own neighbors say


@dataclass(frozen=True)
class Ballot:
    """Who votes, and for what.

    Attributes:
        places: int32, shape ``(n, k)``: the neighbors of each point, as places in
            ``voters``, -1 for none
        distances: float32, the distances of these
        given: int32, the class of each point, -1 for none
        voters: the rows of those that have one
        families: a number for each point, the same for what shows the same thing
        classes: how many there are
    """

    places: Places
    distances: Matrix
    given: Places
    voters: Rows
    families: Rows
    classes: int

    def count(self) -> tuple[Places, Matrix, Matrix]:
        """Counts the votes.

        Returns:
            for each point: the class that its neighbors say, int32, -1 if it has none;
            the share of their votes that this has; and how doubtful its label is
        """
        n, k = self.places.shape
        said = np.full(n, -1, np.int32)
        shares, scores = np.zeros((2, n), np.float32)
        step = max(1, _CELLS // max(self.classes, k * k))
        for start in range(0, n, step):
            rows = np.arange(start, min(n, start + step))
            of = self._shares(rows)
            own, lines = self.given[rows], np.flatnonzero(self.given[rows] >= 0)
            heard = of.sum(axis=1) > 0
            mine = np.zeros(len(rows))
            mine[lines] = of[lines, own[lines]]
            of[lines, own[lines]] += 1e-9  # of equal ones, the label it has
            said[rows] = np.where(heard, of.argmax(axis=1), -1)
            shares[rows] = np.minimum(of.max(axis=1), 1.0)
            of[lines, own[lines]] = 0.0
            odds = np.log((of.max(axis=1) + 1 / k) / (mine + 1 / k))
            doubt = (1.0 + odds / np.log(k + 1)) / 2
            scores[rows] = np.where(heard, np.clip(doubt, 0.0, 1.0), 0.0)

        return said, shares, scores

    def _shares(self, rows: Rows) -> Scores:
        """Returns the share of the votes that each class has, ``(len(rows), classes)``.

        All are 0 for those that have no neighbor.
        """
        near = self.places[rows]
        weights = _weights(near, self.distances[rows])
        behind = self.voters[
            near
        ]  # the last one's, where there is none: without weight
        next_near = self.places[behind]
        nexts = _weights(next_near, self.distances[behind])
        own = self.families[rows][:, np.newaxis, np.newaxis]
        nexts[self.families[self.voters[next_near]] == own] = 0.0
        _to_sum_one(nexts)
        asked = nexts.sum(axis=2) > 0.5
        passed_on = (_HALF * weights * asked)[:, :, np.newaxis] * nexts
        kept = weights * np.where(asked, 1 - _HALF, 1.0)
        cells = np.arange(len(rows))[:, np.newaxis] * self.classes
        label_of = self.given[self.voters]
        size = len(rows) * self.classes
        first = np.bincount((cells + label_of[near]).ravel(), kept.ravel(), size)
        where = cells[:, :, np.newaxis] + label_of[next_near]
        second = np.bincount(where.ravel(), passed_on.ravel(), size)
        return np.asarray(first + second, np.float64).reshape(len(rows), self.classes)


def _weights(places: Places, distances: Matrix) -> Scores:
    """Returns the weight of each neighbor, of each point 1 together if it has any."""
    known = places >= 0
    near = np.where(known, distances, 0.0)
    farthest = near.max(axis=-1, initial=0.0, keepdims=True)
    weights = np.exp(-2.0 * near / np.where(farthest == 0, 1.0, farthest))
    weights[~known] = 0.0
    return _to_sum_one(weights.astype(np.float64))


def _to_sum_one(weights: Scores) -> Scores:
    total = weights.sum(axis=-1, keepdims=True)
    weights /= np.where(total == 0, 1.0, total)
    return weights
