"""What an index answers: the hits of ids, vectors, prompts or a picture in its view."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import (
    CollectionNotFound,
    ConfigError,
    EngineError,
    MissingIDs,
    VectorError,
)
from fiftyone_qdrant.index.batch import to_list
from fiftyone_qdrant.index.contents import Contents
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.search import images
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.search.matrices import to_matrix
from fiftyone_qdrant.search.options import POST_AGGREGATIONS, QueryOptions
from fiftyone_qdrant.search.restriction import Restriction
from fiftyone_qdrant.search.search import Search

Asked = Matrix | list[str]
"""What a query stands for: vectors, float32, shape ``(num_queries, size)``, or ids."""


class Answering:
    """Answers queries with what an index holds.

    Args:
        contents: what it holds
        restriction: returns what hits must be in
        parse: returns the vectors or ids of a query: FiftyOne's ``_parse_query()``
        model: returns the model that embeds pictures, if the index has one
    """

    def __init__(
        self,
        contents: Contents,
        restriction: Callable[[], Restriction],
        parse: Callable[[Any], Any],
        model: Callable[[], Any] | None,
    ) -> None:
        self._contents = contents
        self._collection = contents.collection
        self._restriction = restriction
        self._parse_query = parse
        self._model = model

    def answer(
        self, query: Any, image: Any, negatives: Any, options: QueryOptions
    ) -> list[Hits]:
        """Returns the hits of a query, best first.

        The point of a single query id is the first hit, as everywhere in FiftyOne,
        also where others have a larger dot product; unless ``diversity`` prefers an
        equal one.

        With negatives it is a recommendation as Qdrant's (``average_vector``):
        distances are those to one vector, twice the mean of what the query gives less
        the mean of the negatives, all at length 1 in cosine collections. Points that
        were given as examples, by id, are no hits then.

        Args:
            query: an id or ids, a vector or vectors, shape ``(size,)`` or
                ``(num_queries, size)``, or text prompts; or ``None``
            image: in place of ``query``, a picture to embed with the index's model:
                the path of a file, or the bytes of one, also in base64; or ``None``
            negatives: what hits should be unlike, in any form of ``query``
            options: how to search, and whether there are negatives

        Raises:
            ConfigError: if an argument is wrong, or two contradict each other
            MissingIDs: if a query id is not in the index
            VectorError: if a query vector has a wrong size or bad values
            CollectionNotFound: if the collection is gone
        """
        options.check()
        remembered = self._collection.refresh()
        try:
            return self._answer(query, image, negatives, options)
        except (EngineError, VectorError):
            if not remembered:
                raise

            self._collection.forget()  # it may be another one by that name
            return self._answer(query, image, negatives, options)

    def _answer(
        self, query: Any, image: Any, negatives: Any, options: QueryOptions
    ) -> list[Hits]:
        asked = self._embedded(image, query) if image is not None else self.parse(query)
        if options.negatives:
            return self._recommend(asked, self.parse(negatives), options)

        search = self._search(options)
        if options.plain and isinstance(asked, list) and len(asked) == 1:
            return self._nearest_to_point(asked, search)

        vectors = self._to_vectors(asked)
        if options.aggregation in POST_AGGREGATIONS and len(vectors) > 1:
            return [search.aggregated(vectors)]

        if options.aggregation is not None:
            mean = vectors.mean(axis=0, keepdims=True, dtype=np.float64)
            vectors = mean.astype(np.float32)

        return search.nearest(vectors)

    def _search(self, options: QueryOptions, without: set[str] | None = None) -> Search:
        held, with_samples = self._restriction(), self._contents.patches
        return Search(self._collection, held, options, with_samples, without or ())

    def _nearest_to_point(self, ids: list[str], search: Search) -> list[Hits]:
        try:
            return search.nearest(np.array(ids))
        except (CollectionNotFound, MissingIDs):
            self._contents.vectors(ids)  # says which of them it is, by FiftyOne's id
            raise

    def _recommend(
        self, like: Asked, unlike: Asked, options: QueryOptions
    ) -> list[Hits]:
        ids = [set(e) if isinstance(e, list) else set() for e in (like, unlike)]
        if ids[0] & ids[1]:
            raise ConfigError(
                f"{min(ids[0] & ids[1])} is among the query and the negatives: "
                "choose one"
            )

        metric = self._collection.schema().metric
        steered = points.steer(self._to_vectors(like), self._to_vectors(unlike), metric)
        return self._search(options, ids[0] | ids[1]).nearest(steered)

    def vectors(self, query: Any, image: Any = None) -> Matrix:
        """Returns the vectors of what :meth:`answer` takes: float32, one per row.

        Raises:
            ConfigError, MissingIDs, VectorError: as :meth:`answer`
        """
        asked = self._embedded(image, query) if image is not None else self.parse(query)
        return self._to_vectors(asked)

    def parse(self, query: Any) -> Asked:
        """Returns what a query stands for: vectors, or ids.

        Raises:
            ConfigError: if it is nothing
        """
        if _is_nothing(query):
            raise ConfigError("Give something to look for: ids, vectors, or prompts")

        return self._to_asked(self._parse_query(_to_array(query)))

    def _embedded(self, image: Any, query: Any) -> Asked:
        if query is not None:
            raise ConfigError("Give a query or an image, not both")

        if self._model is None:
            raise ConfigError(
                "This index has no model to embed the image with. Create it with "
                "model=, also if its embeddings come from a field"
            )

        return self._to_asked(images.embed(image, self._model()))

    def _to_asked(self, parsed: Any) -> Asked:
        array = np.asarray(parsed)
        if np.issubdtype(array.dtype, np.number):
            return to_matrix(array, self._collection.schema().size)

        return to_list(parsed)

    def _to_vectors(self, asked: Asked) -> Matrix:
        return self._contents.vectors(asked) if isinstance(asked, list) else asked


def is_single(query: Any) -> bool:
    """Whether a query is one id or one vector, not several."""
    if isinstance(query, str):
        return True

    array = np.asarray(query)
    return array.ndim == 1 and array.dtype.kind in "biuf"


def _to_array(query: Any) -> Any:
    """A list of vectors, the only form that JSON has, as FiftyOne expects them."""
    if isinstance(query, np.ma.MaskedArray):
        return to_matrix(query)

    if isinstance(query, np.ndarray) and query.dtype.kind == "b":
        return query.astype(np.float32)  # FiftyOne would take them for prompts

    nested = isinstance(query, (list, tuple)) and len(query) and np.ndim(query[0]) == 1
    return to_matrix(query) if nested else query


def _is_nothing(query: Any) -> bool:
    if isinstance(query, np.ndarray):
        return query.size == 0

    return query is None or (isinstance(query, (list, tuple)) and not query)
