"""Which labels disagree with those of their nearest neighbors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.curate.label_field import LabelField
from fiftyone_qdrant.curate.vectors import (
    Progress,
    Rows,
    check_twins,
    families,
    vectors_of,
)
from fiftyone_qdrant.curate.voters import Places, nearest_voters
from fiftyone_qdrant.curate.votes import Ballot
from fiftyone_qdrant.errors import ConfigError, MissingIDs
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.runs import load_index

_MOST = 1_000  # neighbors
_MOST_CLASSES = 5_000  # of which a matrix still has a use


@dataclass(frozen=True, eq=False)
class LabelAudit:
    """What the nearest neighbors say of labels.

    Attributes:
        brain_key: the index that was asked
        field: the label field
        ids: sample ids, or label ids of patches, the most doubtful label first
        scores: float32, how doubtful each label is: 0 if all votes are for it, 1 if all
            are for one other label, 0.5 if the label and the best other one are even.
            So the neighbors prefer another label where it is larger than 0.5. In
            between it grows with the logarithm of the two shares' ratio, each with one
            vote more: ``(1 + log((other + 1/k) / (mine + 1/k)) / log(k + 1)) / 2``
        labels: the label of each
        suggestions: the label that its neighbors say, often its own; empty where it
            has no neighbors
        shares: float32, from 0 to 1: the share of their votes that the suggestion has
        new_ids: ids that have no label, the surest suggestion first
        new_suggestions: the label that the neighbors of each say
        new_shares: float32, the share of their votes that it has
        neighbors: int32, shape ``(len(ids) + len(new_ids), k)``: the places in ``ids``
            of the neighbors of each of ``ids``, then of ``new_ids``, nearest first; -1
            where there are fewer
        distances: float32, the distances of these; infinite where there are fewer
        classes: all labels, sorted
        matrix: int64, shape ``(len(classes), len(classes))``: how many are labelled as
            the row's class while their neighbors say the column's
        twins: the distance up to which two were held to be twins
    """

    brain_key: str
    field: str
    ids: list[str]
    scores: Matrix
    labels: list[str]
    suggestions: list[str]
    shares: Matrix
    new_ids: list[str]
    new_suggestions: list[str]
    new_shares: Matrix
    neighbors: Places
    distances: Matrix
    classes: list[str]
    matrix: npt.NDArray[np.int64]
    twins: float

    @property
    def doubtful(self) -> int:
        """The number of ids, the first, whose neighbors prefer another label."""
        return int((self.scores > 0.5).sum())

    def cell(self, labelled: str, said: str) -> list[str]:
        """Returns the ids of one cell of the matrix, the most doubtful first."""
        rows = zip(self.ids, self.labels, self.suggestions, strict=True)
        return [i for i, label, other in rows if (label, other) == (labelled, said)]

    def neighbors_of(self, any_id: str) -> tuple[list[str], list[str], list[float]]:
        """Returns the ids, labels and distances of the neighbors of one, nearest first.

        Raises:
            MissingIDs: if the audit is not of it
        """
        if any_id in self.ids:
            row = self.ids.index(any_id)
        elif any_id in self.new_ids:
            row = len(self.ids) + self.new_ids.index(any_id)
        else:
            raise MissingIDs(f"'{any_id}' is not in this audit of '{self.field}'")

        found = self.neighbors[row]
        places = found[found >= 0].tolist()
        far = self.distances[row, : len(places)].tolist()
        return [self.ids[p] for p in places], [self.labels[p] for p in places], far


def audit_labels(
    samples: Any,
    brain_key: str,
    field: str,
    *,
    k: int = 15,
    right: Mapping[str, str] | None = None,
    twins: float | None = None,
    progress: Progress = None,
) -> LabelAudit:
    """Compares each label with those of its ``k`` nearest neighbors.

    A neighbor's vote counts the more, the nearer it is: ``exp(-2 * d / f)`` for its
    distance ``d``, where the farthest of the ``k`` has the distance ``f``. Half of it
    is for its own label and half for what its own neighbors have, so that a wrong label
    among them counts less. Those that show the same thing have no vote: twins, patches
    of the same image, frames and clips of the same video, slices of the same group.
    What has no label gets a suggestion in the same way. Nothing is written.

    Of dot product indexes the neighbors are those by angle.

    Args:
        samples: a dataset or view. Only what it shows is judged, and has a vote
        brain_key: an index of it
        field: a field of Classification or text; of an index of patches, their field
        k (15): how many neighbors vote
        right (None): labels that somebody found right, by their ids: as long as they
            are the same, they are not doubtful
        twins (None): the distance up to which two are twins; by default a fifth of that
            to an ordinary neighbor
        progress (None): see :data:`.vectors.Progress`

    Raises:
        IndexNotFound, CollectionNotFound: if there is no such index
        ConfigError: if the field has no labels of what the index holds, or all have one
            label, or ``k`` is wrong
        MissingIDs: if the index holds nothing of the samples
    """
    if not isinstance(k, Integral) or not 0 < k <= _MOST:
        raise ConfigError(f"k must be a whole number from 1 to {_MOST:,}, not {k!r}")

    def beat(_: int, total: int) -> None:
        if progress is not None:
            progress(0, total)

    check_twins(twins)
    index = load_index(samples, brain_key)
    label_field = LabelField(index, field)
    with vectors_of(index, beat) as vectors:
        label_of = label_field.read()
        labels = [label_of.get(i) for i in vectors.ids]
        del label_of
        classes = sorted({label for label in labels if label is not None})
        voters = np.flatnonzero([label is not None for label in labels])
        _check_classes(field, classes, len(voters))
        number = {label: n for n, label in enumerate(classes)}
        given = np.array([-1 if v is None else number[v] for v in labels], np.int32)
        near = vectors.twins(twins, np.random.default_rng(0))
        family = families(index, vectors)
        places, distances = nearest_voters(
            vectors, voters, family, near, int(k), progress
        )
        ids = vectors.ids

    ballot = Ballot(places, distances, given, voters, family, len(classes))
    said, shares, scores = ballot.count()
    for row in voters.tolist() if right else ():
        if right is not None and right.get(ids[row]) == labels[row]:
            scores[row] = 0.0

    ranked = voters[np.argsort(-scores[voters], kind="stable")]
    new = np.flatnonzero(given < 0)
    new = new[np.argsort(-shares[new], kind="stable")]
    order = np.concatenate([ranked, new])
    matrix = np.zeros((len(classes), len(classes)), np.int64)
    judged = voters[said[voters] >= 0]
    np.add.at(matrix, (given[judged], said[judged]), 1)
    names = np.array([*classes, ""], object)
    return LabelAudit(
        brain_key=brain_key,
        field=field,
        ids=[ids[r] for r in ranked],
        scores=scores[ranked],
        labels=names[given[ranked]].tolist(),
        suggestions=names[said[ranked]].tolist(),
        shares=shares[ranked],
        new_ids=[ids[r] for r in new],
        new_suggestions=names[said[new]].tolist(),
        new_shares=shares[new],
        neighbors=_renumbered(places[order], voters, ranked),
        distances=distances[order],
        classes=classes,
        matrix=matrix,
        twins=near,
    )


def _renumbered(places: Places, voters: Rows, ranked: Rows) -> Places:
    """Returns places in the ranking instead of those among the voters."""
    place_of_row = np.empty(int(voters.max()) + 1, np.int32)
    place_of_row[ranked] = np.arange(len(ranked), dtype=np.int32)
    return np.where(places < 0, np.int32(-1), place_of_row[voters[places]])


def _check_classes(field: str, classes: Sequence[str], labelled: int) -> None:
    if not classes:
        raise ConfigError(
            f"Nothing that is shown, and in the index, has a label in '{field}'. Label "
            "some, or choose another field or view"
        )

    if len(classes) == 1:
        raise ConfigError(
            f"All labels of '{field}' that are shown are '{classes[0]}', so that none "
            "can disagree. Choose a view that has others, too"
        )

    if len(classes) == labelled:
        raise ConfigError(
            f"In '{field}' no two that are shown have the same label, so that none can "
            "agree. Choose a field of labels, or a view that has more"
        )

    if len(classes) > _MOST_CLASSES:
        raise ConfigError(
            f"'{field}' has {len(classes):,} different labels, and {_MOST_CLASSES:,} "
            "can be compared at most. Choose a view that has fewer"
        )
