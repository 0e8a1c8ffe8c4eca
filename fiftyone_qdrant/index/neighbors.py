"""What a similarity index answers: neighbors of ids, vectors, prompts, of all points.

FiftyOne's query contract (``fiftyone/brain/similarity.py`` 1.22), on a collection.
"""

from __future__ import annotations

from typing import Any

import fiftyone.brain.internal.core.utils as fbu
import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import (
    CollectionNotFound,
    ConfigError,
    EngineError,
    MissingIDs,
    VectorError,
)
from fiftyone_qdrant.index.contents import to_list
from fiftyone_qdrant.index.distance_field import DistanceField, check_field_name
from fiftyone_qdrant.index.duplicates import DuplicateIndex
from fiftyone_qdrant.index.embeddings import EmbeddingIndex
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.search import images
from fiftyone_qdrant.search.hits import Hits
from fiftyone_qdrant.search.matrices import to_matrix
from fiftyone_qdrant.search.options import POST_AGGREGATIONS, QueryOptions
from fiftyone_qdrant.search.restriction import Restriction
from fiftyone_qdrant.search.search import Search


class NeighborIndex(EmbeddingIndex, DuplicateIndex):
    """An index that answers queries, on one that holds embeddings."""

    def search(
        self,
        query: Any = None,
        k: int | None = None,
        reverse: bool = False,
        aggregation: str | None = "mean",
        *,
        image: Any = None,
        negatives: Any = None,
        max_distance: float | None = None,
        diversity: float | None = None,
        exact: bool = False,
        hnsw_ef: int | None = None,
    ) -> list[Hits]:
        """Returns the hits of a query within the current view, best first.

        The point of a single query id is the first hit, as everywhere in FiftyOne,
        also where others have a larger dot product; unless ``diversity`` prefers an
        equal one.

        With ``negatives`` it is a recommendation as Qdrant's (``average_vector``):
        distances are those to one vector, twice the mean of what the query gives less
        the mean of the negatives, all at length 1 in cosine collections. Points that
        were given as examples, by id, are no hits then.

        Args:
            query (None): an id or ids, a vector or vectors, shape ``(size,)`` or
                ``(num_queries, size)``, or text prompts
            k (None): the number of hits, or ``None`` for all
            reverse (False): return the farthest first; always exact
            aggregation ("mean"): average several queries into one, or ``None`` to
                answer each
            image (None): in place of ``query``, a picture to embed with the index's
                model: the path of a file, or the bytes of one, also in base64
            negatives (None): what hits should be unlike, in any form of ``query``
            max_distance (None): return only hits that are at most so far away, as
                ``hits.distances`` are: smaller is nearer, for every metric
            diversity (None): from 0 (the nearest) to 1 (the most different from each
                other): Qdrant's maximal marginal relevance among the view's nearest
                ``4 * k``, or 100. Hits come in its order, not by distance
            exact (False): compare with every point instead of using the HNSW graph
            hnsw_ef (None): how many candidates to keep while searching the graph:
                more are slower, and miss less

        Raises:
            ConfigError: if an argument is wrong, or two contradict each other
            MissingIDs: if a query id is not in the index
            VectorError: if a query vector has a wrong size or bad values
            CollectionNotFound: if the collection is gone
        """
        options = QueryOptions(
            k=k,
            reverse=reverse,
            aggregation=aggregation,
            negatives=negatives is not None and len(negatives) > 0,
            max_distance=max_distance,
            diversity=diversity,
            exact=exact,
            hnsw_ef=hnsw_ef,
        )
        options.check()
        remembered = self._collection.refresh()
        try:
            return self._search(query, image, negatives, options)
        except (EngineError, VectorError):
            if not remembered:
                raise

            self._collection.forget()  # it may be another one by that name
            return self._search(query, image, negatives, options)

    def _search(
        self, query: Any, image: Any, negatives: Any, options: QueryOptions
    ) -> list[Hits]:
        asked = self._parse(query, image)
        if options.negatives:
            return self._recommend(asked, self._parse(negatives), options)

        search = Search(self._collection, self.restriction(), options, self._patches)
        if options.plain and isinstance(asked, list) and len(asked) == 1:
            return self._nearest_to_point(asked, search)

        vectors = self._to_vectors(asked)
        if options.aggregation in POST_AGGREGATIONS and len(vectors) > 1:
            return [search.aggregated(vectors)]

        if options.aggregation is not None:
            mean = vectors.mean(axis=0, keepdims=True, dtype=np.float64)
            vectors = mean.astype(np.float32)

        return search.nearest(vectors)

    def _nearest_to_point(self, ids: list[str], search: Search) -> list[Hits]:
        try:
            return search.nearest(np.array(ids))
        except (CollectionNotFound, MissingIDs):
            self._contents.vectors(ids)  # says which of them it is, by FiftyOne's id
            raise

    def _recommend(
        self,
        like: Matrix | list[str],
        unlike: Matrix | list[str],
        options: QueryOptions,
    ) -> list[Hits]:
        ids = [set(e) if isinstance(e, list) else set() for e in (like, unlike)]
        if ids[0] & ids[1]:
            raise ConfigError(
                f"{min(ids[0] & ids[1])} is among the query and the negatives: "
                "choose one"
            )

        metric = self._collection.schema().metric
        steered = points.steer(self._to_vectors(like), self._to_vectors(unlike), metric)
        search = Search(
            self._collection,
            self.restriction(),
            options,
            self._patches,
            without=ids[0] | ids[1],
        )
        return search.nearest(steered)

    def sort_by_similarity(
        self,
        query: Any,
        k: int | None = None,
        reverse: bool = False,
        aggregation: str = "mean",
        dist_field: str | None = None,
        _mongo: bool = False,
    ) -> Any:
        """See :class:`fiftyone.brain.similarity.SimilarityIndex`.

        Distances of patches are stored with their labels, unless the current view
        is of patches; those of samples always with the samples. A float field that
        was not made for distances keeps the values of all that are not found; one
        that was holds one query.

        Raises:
            ConfigError: if ``dist_field`` is no name for a field, or that of another
                kind of field
        """
        if dist_field is not None and not (self._patches and self.view._is_patches):
            # FiftyOne 1.22 cannot store values of labels that are in lists, or of
            # samples that are shown in parts, and leaves what an earlier query stored
            field = self.distance_field(dist_field)
            field.check(overwrite=True)
            query = self._parse(query)
            (hits,) = self.search(query, k, reverse, aggregation)
            field.store(_by_id(hits), overwrite=False)
            dist_field = None
        elif dist_field is not None:
            check_field_name(dist_field)

        return super().sort_by_similarity(
            query, k, reverse, aggregation, dist_field, _mongo
        )

    def distance_field(self, name: str) -> DistanceField:
        """Returns where the distances of hits would be stored under a name."""
        held, view, field = self.held, self.view, self.config.patches_field
        if field is None and held.in_parts(view):
            view = held.flat(held.home)
        elif field is not None and held.home._is_frames:
            field = f"frames.{field}"

        return DistanceField(view, name, field)

    def store_distances(
        self, hits: Hits, dist_field: str, overwrite: bool = False
    ) -> None:
        """Writes the distances of hits to a field of the samples, or of the labels.

        Args:
            hits: the hits of one query; the field holds no others afterwards
            dist_field: the field
            overwrite (False): whether it may be a float field that was not made for
                distances

        Raises:
            ConfigError: if the field cannot be, or may not be, used for that
        """
        field = self.distance_field(dist_field)
        field.check(overwrite)
        field.store(_by_id(hits))

    def restriction(self) -> Restriction:
        """Returns what hits must be in: the current view."""
        return Restriction(self.view, self.held, not self.has_view)

    def _kneighbors(
        self,
        query: Any = None,
        k: int | None = None,
        reverse: bool = False,
        aggregation: str | None = None,
        return_dists: bool = False,
    ) -> Any:
        """See :class:`fiftyone.brain.similarity.SimilarityIndex`.

        Distances are true ones, smaller is nearer, for every metric; ``reverse``
        returns the farthest first.
        """
        if query is None:
            if k is None or reverse or aggregation is not None:
                raise ConfigError(
                    "To get the neighbors of all points give k, and nothing else"
                )

            rows, distances = self._all_pairs().neighbors(k)
            return (rows, distances) if return_dists else rows

        found = self.search(query, k, reverse, aggregation)
        ids: Any = [h.ids for h in found]
        samples: Any = [h.sample_ids for h in found] if self._patches else ids
        dists: Any = [h.distances.tolist() for h in found]
        if aggregation is not None or _is_single(query):
            ids, samples, dists = ids[0], samples[0], dists[0]

        labels = ids if self._patches else None
        return (samples, labels, dists) if return_dists else (samples, labels)

    def _apply_view(self) -> None:
        """Finds the points of the current view, in its order.

        Unlike the base class it never counts points whose sample or label is gone.
        """
        held, view = self.held, self.restriction().samples
        if held.in_parts(view) and not self._patches:
            view = held.flat(held.home).select(held.ids(view))

        sample_ids, label_ids = self._contents.ids()
        self._curr_sample_ids, self._curr_label_ids, keep, good = fbu.filter_ids(
            view,
            sample_ids,
            label_ids,
            patches_field=self.config.patches_field,
            allow_missing=self._curr_view_allow_missing,
            warn_missing=self._curr_view_warn_missing,
        )
        self._curr_keep_inds = keep
        self._curr_missing_size = None if good is None else int((~good).sum())

    def _parse(self, query: Any, image: Any = None) -> Matrix | list[str]:
        """Returns what a query stands for: vectors, or ids."""
        if image is not None:
            if query is not None:
                raise ConfigError("Give a query or an image, not both")

            if self.config.model is None:
                raise ConfigError(
                    "This index has no model to embed the image with. Create it with "
                    "model=, also if its embeddings come from a field"
                )

            parsed = images.embed(image, self.get_model())
        elif _is_nothing(query):
            raise ConfigError("Give something to look for: ids, vectors, or prompts")
        else:
            parsed = self._parse_query(_to_array(query))

        array = np.asarray(parsed)
        if np.issubdtype(array.dtype, np.number):
            return to_matrix(array, self._collection.schema().size)

        return to_list(parsed)

    def _to_vectors(self, query: Matrix | list[str]) -> Matrix:
        return self._contents.vectors(query) if isinstance(query, list) else query


def _by_id(hits: Hits) -> dict[str, float]:
    return dict(zip(hits.ids, hits.distances.tolist(), strict=True))


def _to_array(query: Any) -> Any:
    """A list of vectors, the only form that JSON has, as FiftyOne expects them."""
    nested = isinstance(query, (list, tuple)) and len(query) and np.ndim(query[0]) == 1
    return to_matrix(query) if nested else query


def _is_nothing(query: Any) -> bool:
    if isinstance(query, np.ndarray):
        return query.size == 0

    return query is None or (isinstance(query, (list, tuple)) and not query)


def _is_single(query: Any) -> bool:
    """Whether a query is one id or one vector, not several."""
    if isinstance(query, str):
        return True

    array = np.asarray(query)
    return array.ndim == 1 and np.issubdtype(array.dtype, np.number)
