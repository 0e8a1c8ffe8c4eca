"""How a query is answered, and which wishes contradict each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.points import Scores

MOST_DIVERSE = 1_000
"""The largest ``k`` with ``diversity``, which compares all candidates in pairs."""

POST_AGGREGATIONS: dict[str, Callable[..., Scores]] = {
    "post-mean": np.mean,
    "post-min": np.min,
    "post-max": np.max,
}
"""Ways to combine the distances to several queries, as FiftyOne's sklearn backend."""


@dataclass(frozen=True)
class QueryOptions:
    """All of a query but what is looked for.

    Attributes:
        k: the number of hits, or ``None`` for all
        reverse: the farthest first; always exact
        aggregation: ``"mean"`` averages several queries into one, one of
            :data:`POST_AGGREGATIONS` combines their distances, and ``None`` answers
            each
        negatives: whether there are examples of what is not looked for
        max_distance: only hits that are at most so far away: a distance, smaller is
            nearer, for every metric
        diversity: 0 to 1: how much hits should differ from each other rather than
            be near (Qdrant's maximal marginal relevance); ``None`` ranks by distance
        exact: compare with every point instead of using the HNSW graph
        hnsw_ef: the number of candidates kept while the HNSW graph is searched: more
            are slower, and miss less. By default it follows from ``k``
        oversampling: of quantized collections: how many times ``k`` are found by their
            quantized vectors, to be ranked anew by whole ones
        rescore: of quantized collections: whether they are ranked anew
    """

    k: int | None = None
    reverse: bool = False
    aggregation: str | None = "mean"
    negatives: bool = False
    max_distance: float | None = None
    diversity: float | None = None
    exact: bool = False
    hnsw_ef: int | None = None
    oversampling: float | None = None
    rescore: bool | None = None

    @property
    def plain(self) -> bool:
        """Whether it is the nearest to one query that are asked for, by distance."""
        return not self.reverse and not self.negatives and self.diversity is None

    def check(self) -> None:
        """Raises a :class:`ConfigError` for the first of :meth:`problems`."""
        for sentence in self.problems().values():
            raise ConfigError(sentence)

    def problems(self) -> dict[str, str]:
        """Returns what is wrong: a sentence by the name of the option."""
        wrong: dict[str, str] = {}
        for name, applies, sentence in (*self._wrong_values(), *self._contradictions()):
            if applies:
                wrong.setdefault(name, sentence)

        return wrong

    def _wrong_values(self) -> list[tuple[str, bool, str]]:
        k, far, d, ef = self.k, self.max_distance, self.diversity, self.hnsw_ef
        times = self.oversampling
        known = (None, "mean", *POST_AGGREGATIONS)
        return [
            (
                "k",
                k is not None and not _is_count(k),
                f"k must be a whole number of 1 or more, not {k!r}",
            ),
            (
                "aggregation",
                self.aggregation not in known,
                f"Unknown aggregation '{self.aggregation}'. Use one of "
                f"{', '.join(str(name) for name in known[1:])}",
            ),
            (
                "max_distance",
                far is not None and not _is_number(far),
                f"max_distance must be a number, not {far!r}",
            ),
            (
                "diversity",
                d is not None and not (_is_number(d) and 0 <= d <= 1),
                f"diversity must be a number from 0 to 1, not {d!r}",
            ),
            (
                "hnsw_ef",
                ef is not None and not _is_count(ef),
                f"hnsw_ef must be a whole number of 1 or more, not {ef!r}",
            ),
            (
                "oversampling",
                times is not None and not (_is_number(times) and times >= 1),
                f"oversampling must be a number of 1 or more, not {times!r}",
            ),
            (
                "rescore",
                self.rescore not in (None, True, False),
                f"rescore must be true or false, not {self.rescore!r}",
            ),
        ]

    def _contradictions(self) -> list[tuple[str, bool, str]]:
        far, diverse = self.max_distance is not None, self.diversity is not None
        post = self.aggregation in POST_AGGREGATIONS
        few = _is_count(self.k) and int(self.k or 0) <= MOST_DIVERSE
        exact = self.exact or self.reverse or self.k is None or post
        farthest = "asks for the farthest: give one of both"
        return [
            ("negatives", self.negatives and self.reverse, f"reverse {farthest}"),
            (
                "negatives",
                self.negatives and self.aggregation != "mean",
                "Negatives make one query of all examples: aggregation must be 'mean'",
            ),
            (
                "max_distance",
                far and self.reverse,
                f"max_distance keeps the nearest, and reverse {farthest}",
            ),
            (
                "diversity",
                diverse and self.reverse,
                f"diversity chooses among the nearest, and reverse {farthest}",
            ),
            (
                "diversity",
                diverse and post,
                "diversity is about one query: aggregation must be 'mean' or None",
            ),
            (
                "diversity",
                diverse and not few,
                f"diversity compares hits in pairs: give a k of 1 to {MOST_DIVERSE}",
            ),
            (
                "hnsw_ef",
                self.hnsw_ef is not None and exact,
                "hnsw_ef is for approximate searches. Leave it out: this one is exact, "
                "as are reverse, post-aggregations and ranking everything",
            ),
        ]


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, Real):
        return False

    return isinstance(value, Integral) or math.isfinite(value)


def _is_count(value: Any) -> bool:
    return _is_number(value) and value >= 1 and value == int(value)
