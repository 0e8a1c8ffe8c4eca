"""A question of several parts: texts, samples, pictures, tags, vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.matches import ids_with_tag
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.search.options import MOST_DIVERSE
from fiftyone_qdrant.similarity import QdrantSimilarityIndex

KINDS = ("ids", "text", "picture", "tag", "vector")
MOST_HITS = 5_000
"""The most hits of one question: more would make its view slow."""


@dataclass(frozen=True)
class Part:
    """One thing that is looked for, or that hits should be unlike.

    Attributes:
        kind: one of :data:`KINDS`
        value: a list of ids; a text; the key that a picture is kept under, or its path
            or bytes; a tag; or a list of floats
        unlike: whether hits should be unlike it
        name: what people call it
    """

    kind: str
    value: Any
    unlike: bool = False
    name: str = ""


@dataclass(frozen=True)
class Question:
    """All that one search needs but the index and the samples to search in.

    Attributes:
        parts: what is looked for, and what is not: each weighs the same
        k: the number of hits, up to :data:`MOST_HITS`
        reverse: the least similar first
        diversity: 0 to 1, or ``None``
        hnsw_ef: how many candidates to keep while searching the graph, or ``None``
    """

    parts: tuple[Part, ...]
    k: int = 500
    reverse: bool = False
    diversity: float | None = None
    hnsw_ef: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns it as plain JSON, if no part's value is bytes."""
        plain = dict(vars(self))
        plain["parts"] = [dict(vars(p)) for p in self.parts]
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Question:
        """Returns the question that :meth:`to_dict` wrote."""
        parts = tuple(Part(**p) for p in plain["parts"])
        return cls(**{**plain, "parts": parts})

    def check(self) -> None:
        """Makes sure that it can be asked.

        Raises:
            ConfigError: if it cannot
        """
        if not any(not p.unlike for p in self.parts):
            raise ConfigError(
                "Add something to look for: so far there is only what is not wanted"
                if self.parts
                else "Give something to look for"
            )

        for part in self.parts:
            if part.kind not in KINDS:
                raise ConfigError(f"Unknown kind of question: '{part.kind}'")

        if not 1 <= self.k <= MOST_HITS:
            raise ConfigError(
                f"The number of results is from 1 to {MOST_HITS:,}, not {self.k:,}"
            )

        if self.diversity is not None and self.k > MOST_DIVERSE:
            raise ConfigError(
                "Variety compares all results with each other: ask for "
                f"{MOST_DIVERSE:,} at most"
            )


def ask(
    index: QdrantSimilarityIndex,
    question: Question,
    pictures: Callable[[str], Any] | None = None,
    embedded: dict[Any, Matrix] | None = None,
) -> Hits:
    """Returns the hits of a question in the index's current view, best first.

    One part of ids, and ids with unlike ones, are asked with as ``find_similar()``
    does, so the examples of the latter are no hits. Otherwise every part is one vector,
    the mean of its own.

    Args:
        index: the index
        question: the question
        pictures (None): returns the picture that is kept under a key, where the values
            of such parts are keys
        embedded (None): what texts and pictures were embedded to, by
            :func:`embedded_key`; filled, so that asking again does not embed again

    Raises:
        ConfigError: if it cannot be asked
        MissingIDs, VectorError, CollectionNotFound: as ``find_similar()``
    """
    question.check()
    like = [p for p in question.parts if not p.unlike]
    unlike = [p for p in question.parts if p.unlike]
    options: dict[str, Any] = {
        "k": question.k,
        "reverse": question.reverse,
        "diversity": question.diversity,
        "hnsw_ef": question.hnsw_ef,
    }
    plain = unlike or len(like) == 1  # else longer vectors would weigh more
    if plain and all(p.kind in ("ids", "tag") for p in question.parts):
        given: list[Any] = [_ids(index, parts) for parts in (like, unlike)]
    elif len(question.parts) == 1 and like[0].kind == "vector":
        given = [like[0].value, None]
    else:
        known = {} if embedded is None else embedded
        given = [_vectors(index, parts, pictures, known) for parts in (like, unlike)]

    (hits,) = index.search(given[0], negatives=given[1], **options)
    return hits


def vector_of(
    index: QdrantSimilarityIndex,
    question: Question,
    pictures: Callable[[str], Any] | None = None,
    embedded: dict[Any, Matrix] | None = None,
) -> Matrix:
    """Returns the one vector that a question stands for, float32, shape ``(size,)``.

    Raises:
        ConfigError, MissingIDs, VectorError, CollectionNotFound: as :func:`ask`
    """
    question.check()
    known = {} if embedded is None else embedded
    sides = [[p for p in question.parts if p.unlike is u] for u in (False, True)]
    like, unlike = (_vectors(index, parts, pictures, known) for parts in sides)
    assert like is not None  # noqa: S101  (it was checked)
    return points.query_vector(like, unlike, index.metric)


def embedded_key(index: QdrantSimilarityIndex, part: Part) -> Any:
    """Returns what tells a part's vector from those of other parts and models."""
    return index.collection.name, index.config.model, part.kind, part.value


def _ids(index: QdrantSimilarityIndex, parts: list[Part]) -> list[str] | None:
    ids: list[str] = []
    for part in parts:
        ids += ids_with_tag(index, part.value) if part.kind == "tag" else part.value

    return list(dict.fromkeys(ids)) or None


def _vectors(
    index: QdrantSimilarityIndex,
    parts: list[Part],
    pictures: Callable[[str], Any] | None,
    known: dict[Any, Matrix],
) -> Matrix | None:
    """Returns one vector for each part."""
    means = [_mean(index, p, pictures, known) for p in parts]
    return np.stack(means) if means else None


def _mean(
    index: QdrantSimilarityIndex,
    part: Part,
    pictures: Callable[[str], Any] | None,
    known: dict[Any, Matrix],
) -> Matrix:
    value, answering = part.value, index.answering
    if part.kind in ("text", "picture"):
        key = embedded_key(index, part)
        if key not in known:
            if part.kind == "text":
                known[key] = answering.vectors([value])
            else:
                image = value if pictures is None else pictures(value)
                known[key] = answering.vectors(None, image)

        vectors = known[key]
    elif part.kind == "tag":
        vectors = answering.vectors(ids_with_tag(index, value))
    else:
        vectors = answering.vectors(value)

    if index.metric == "cosine":
        vectors = points.to_unit(vectors)

    mean: Matrix = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    return points.to_unit(mean[np.newaxis])[0] if index.metric == "cosine" else mean
