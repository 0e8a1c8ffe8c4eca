"""Likes and dislikes, in rounds: a ranking that is learnt from all of them.

Qdrant finds candidates near what is liked. A small support vector machine, with what is
liked, what is not, and some points of the index at random as weak dislikes, ranks them.
Read are the embeddings of those alone, each once. Measured beside others in
``benchmarks/teaching.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.packed import unpack
from fiftyone_qdrant.points import Matrix, Scores
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

MOST_CANDIDATES = 2_000
"""Points that one round ranks, at most."""

_NEAR_ONE = 100  # candidates near one of the likes
_ASKED_ONE_BY_ONE = 10  # likes, the last ones
_AT_RANDOM = 300
_WEIGHT_AT_RANDOM = 0.1  # of all that is not liked
_BEFORE_DISLIKES = 50  # rank at which it is unsure whether something is liked


@dataclass
class Teaching:
    """What was liked and disliked of an index so far, and what follows from it.

    Attributes:
        index: the index; candidates are of its current view
        likes: ids of samples, or labels, that are wanted
        dislikes: ids of those that are not
        rounds: how often something was marked
        seed: decides which points stand for all others
    """

    index: QdrantSimilarityIndex
    likes: list[str] = field(default_factory=list)
    dislikes: list[str] = field(default_factory=list)
    rounds: int = 0
    seed: int = 51
    _vectors: dict[str, Matrix] = field(default_factory=dict, repr=False)
    _others: list[str] | None = field(default=None, repr=False)
    _learnt: tuple[Hits, float] | None = field(default=None, repr=False)

    def mark(self, likes: Iterable[str] = (), dislikes: Iterable[str] = ()) -> None:
        """Adds the marks of one round; what was marked before is marked anew.

        Raises:
            ConfigError: if nothing is marked, or something both ways
            MissingIDs: if something is not in the index
        """
        new, not_wanted = list(dict.fromkeys(likes)), list(dict.fromkeys(dislikes))
        if not new and not not_wanted:
            raise ConfigError("Mark what you like, or what you do not like, first")

        if set(new) & set(not_wanted):
            raise ConfigError("Nothing can be liked and disliked at once")

        self._read([*new, *not_wanted])
        marked = {*new, *not_wanted}
        self.likes = [*(i for i in self.likes if i not in marked), *new]
        self.dislikes = [*(i for i in self.dislikes if i not in marked), *not_wanted]
        self.rounds += 1
        self._learnt = None

    def search_in(self, index: QdrantSimilarityIndex) -> None:
        """Ranks what the current view of an index object has, from now on."""
        self.index, self._learnt = index, None

    def ranking(self, k: int = 500) -> Hits:
        """Returns what is most probably liked, the surest first.

        Distances are from 0 to 1, smaller is surer: 0.5 is where liking ends. They are
        no measured probabilities.

        Args:
            k (500): the number of hits, up to :data:`MOST_CANDIDATES`

        Raises:
            ConfigError: if nothing is liked yet
            MissingIDs: if something marked is not in the index any more
        """
        return self._rank()[0].first(k)

    def unsure(self, k: int = 25) -> Hits:
        """Returns what would teach most: unmarked hits nearest to where liking ends.

        Raises:
            ConfigError, MissingIDs: as :meth:`ranking`
        """
        ranked, end = self._rank()
        ranked = ranked.without({*self.likes, *self.dislikes})
        order = np.argsort(np.abs(ranked.scores - end), kind="stable")
        return ranked.take(order[:k].tolist())

    def _rank(self) -> tuple[Hits, float]:
        """Returns all candidates as hits, and the score where liking ends."""
        if self._learnt is not None:
            return self._learnt

        if not self.likes:
            raise ConfigError("Like something first: so far nothing is liked")

        found = self._candidates()
        self._read([*self.likes, *self.dislikes, *found.ids])
        scores = self._scores(found.ids)
        end = self._end(scores, found.ids)
        order = np.argsort(-scores, kind="stable")
        far = 1 / (1 + np.exp(np.clip(4 * (scores - end), -50, 50)))
        hits = Hits(found.ids, found.sample_ids, scores, far)
        self._learnt = hits.take(order.tolist()), end
        return self._learnt

    def _candidates(self) -> Hits:
        """Returns what is near to the mean of the likes, and to each of the last."""
        self._read(self.likes)
        likes = self._rows(self.likes)
        found, *more = self.index.search(
            likes[-_ASKED_ONE_BY_ONE:], k=_NEAR_ONE, aggregation=None
        )
        more += self.index.search(likes, k=MOST_CANDIDATES)
        for hits in more:
            found = hits.after(found)

        return found.first(MOST_CANDIDATES)

    def _scores(self, ids: list[str]) -> Scores:
        """Returns how much each is liked: more is more."""
        from sklearn.svm import SVC

        others = self._at_random()
        sides = (self.likes, self.dislikes, others)
        at_random = _WEIGHT_AT_RANDOM if self.dislikes else 1.0
        shares = (1.0, 1 - at_random, at_random)
        known = self._rows([i for side in sides for i in side])
        if len(known) == len(self.likes):  # all of a small index is liked
            return np.zeros(len(ids))

        marks = len(self.likes) + len(self.dislikes)
        weights = [
            np.full(len(side), share * marks / 2 / max(1, len(side)))
            for side, share in zip(sides, shares, strict=True)
        ]
        liked = np.arange(len(known)) < len(self.likes)
        spread = 2 * float(known.var(axis=0, dtype=np.float64).sum())
        machine = SVC(C=1.0, gamma=4 / spread if spread else 1.0)
        machine.fit(known, liked, sample_weight=np.concatenate(weights))
        return np.asarray(machine.decision_function(self._rows(ids)), dtype=np.float64)

    def _end(self, scores: Scores, ids: list[str]) -> float:
        """Returns the score between the least of the likes and the best dislike."""
        by_id = dict(zip(ids, scores.tolist(), strict=True))
        liked = [by_id[i] for i in self.likes if i in by_id]
        disliked = [by_id[i] for i in self.dislikes if i in by_id]
        if liked and disliked:
            return 0.5 * float(min(liked) + max(disliked))

        ordered = np.sort(scores)[::-1]
        return float(ordered[min(_BEFORE_DISLIKES, len(ordered) - 1)])

    def _at_random(self) -> list[str]:
        """Returns some ids of the index, which stand for all others."""
        if self._others is None:
            ids = self.index.collection.packed_ids()
            rng = np.random.default_rng(self.seed)
            rows = rng.choice(len(ids), min(_AT_RANDOM, len(ids)), replace=False)
            self._others = list(unpack(ids[np.sort(rows)]))

        marked = {*self.likes, *self.dislikes}
        others = [i for i in self._others if i not in marked]
        self._read(others)
        return others

    def _read(self, ids: list[str]) -> None:
        """Reads the embeddings of ids that are not known; forgets if there are many."""
        if len(self._vectors) > 3 * MOST_CANDIDATES:
            kept = {*self.likes, *self.dislikes, *(self._others or ())}
            self._vectors = {i: v for i, v in self._vectors.items() if i in kept}

        new = [i for i in dict.fromkeys(ids) if i not in self._vectors]
        if new:
            vectors = self.index.contents.vectors(new)
            if self.index.metric == "cosine":
                vectors = points.to_unit(vectors)

            self._vectors.update(zip(new, vectors, strict=True))

    def _rows(self, ids: list[str]) -> Any:
        return np.stack([self._vectors[i] for i in ids])
