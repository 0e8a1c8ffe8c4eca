"""The Qdrant similarity backend: FiftyOne's brain contract, on Qdrant.

The path of this module and the names of its three classes are stored in datasets.
Do not move or rename them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import fiftyone.brain.internal.core.utils as fbu
import fiftyone.core.utils as fou
from fiftyone.brain.similarity import Similarity, SimilarityIndex

from fiftyone_qdrant.dataset.held import Held
from fiftyone_qdrant.dataset.indexable import (
    check_indexable,
    given_to_compute_similarity,
    home_of,
)
from fiftyone_qdrant.dataset.samples import (
    dataset_id,
    is_patches,
    leave_cache,
    root_of,
    store_view,
)
from fiftyone_qdrant.errors import CollectionNotFound
from fiftyone_qdrant.index import claims, moves, naming, ownership
from fiftyone_qdrant.index.answering import Answering, is_single
from fiftyone_qdrant.index.batch import Batch
from fiftyone_qdrant.index.config import (
    QdrantSimilarityConfig as QdrantSimilarityConfig,
)
from fiftyone_qdrant.index.contents import Contents
from fiftyone_qdrant.index.distance_field import DistanceField, check_field_name
from fiftyone_qdrant.index.duplicates import DuplicateIndex
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.qdrant import clients
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.search.hits import Hits, as_fiftyones
from fiftyone_qdrant.search.options import QueryOptions
from fiftyone_qdrant.search.restriction import Restriction

if TYPE_CHECKING:
    from fiftyone_qdrant.qdrant.clients import Client


class QdrantSimilarity(Similarity):
    """Makes an index; its run is registered afterwards: a failure leaves none."""

    def ensure_requirements(self) -> None:
        """Checks that the packages of the chosen engine are installed."""
        fou.ensure_package("qdrant-client")
        if not self.config.connection().remote:
            fou.ensure_package("qdrant-edge-py")

    ensure_usage_requirements = ensure_requirements

    def register_run(
        self, samples: Any, key: str | None, overwrite: bool = True, **_: Any
    ) -> None:
        """Checks that the run may be registered; saving its results does it.

        Raises:
            ConfigError: if another process has a run of that key, or is making it
        """
        if key is not None:
            self.validate_run(samples, key, overwrite=overwrite)
            claims.check_free(root_of(samples), key)

    @classmethod
    def save_run_results(
        cls, samples: Any, key: str | None, run_results: Any, **how: Any
    ) -> None:
        """Registers the run if it is new, and saves its results.

        Raises:
            ConfigError: if another process was first; what this one made is dropped
        """
        if key is not None and run_results.contents.is_new:
            claims.register(run_results, key)

        super().save_run_results(samples, key, run_results, **how)

    def initialize(self, samples: Any, brain_key: str | None) -> QdrantSimilarityIndex:
        """Returns a new index, after checking what it is of, and its place.

        Raises:
            ConfigError: if it cannot be of what FiftyOne was asked to index
        """
        given, config = given_to_compute_similarity(samples), self.config
        check_indexable(given, config.patches_field, config.embeddings_field)
        clients.begin_anew(config.connection())
        index = QdrantSimilarityIndex(given, config, brain_key, backend=self)
        index.contents.is_new = True
        if config.model is not None and config.embeddings_field is not None:
            config.stores_embeddings = not index.held.has_any(config.embeddings_field)

        index.check()
        return index


class QdrantSimilarityIndex(SimilarityIndex, DuplicateIndex):
    """A similarity index whose vectors are in a Qdrant collection.

    FiftyOne's contract (``fiftyone/brain/similarity.py`` 1.22) over what holds the
    points, :mod:`.contents`, and what answers queries, :mod:`.answering`. Every query
    sees what other processes have written; smaller distances are nearer, always.
    """

    def __init__(
        self,
        samples: Any,
        config: QdrantSimilarityConfig,
        brain_key: str | None,
        backend: QdrantSimilarity | None = None,
    ) -> None:
        home = home_of(samples)
        SimilarityIndex.__init__(self, home, config, brain_key, backend=backend)
        DuplicateIndex.__init__(self)
        self._dataset_id = str(dataset_id(samples))  # even if it is deleted
        self._contents = self._contents_of(config)

    @classmethod
    def _from_dict(
        cls, d: dict[str, Any], samples: Any, config: Any, brain_key: str
    ) -> QdrantSimilarityIndex:
        index = cls(samples, config, brain_key)
        if config.moved:
            index.contents.check_moved(brain_key)
            index.save_config()

        return index

    def check(self) -> None:
        """Checks the place; see :func:`.naming.check_usable`."""
        naming.check_usable(self.collection, self.config)

    @property
    def contents(self) -> Contents:
        """The points, by FiftyOne's ids: where they are now, if they were moved."""
        name = moves.index_name(self._dataset_id, self.key)
        place = moves.whereto(self._contents.collection, name)
        if place is not None and self._has_run:
            self.config.go_to(moves.run_now(self.samples, self.key))
            there = self._contents_of(self.config)
            moves.check_reachable(there.collection, self.key, place)
            self._contents = there

        return self._contents

    def _contents_of(self, config: QdrantSimilarityConfig) -> Contents:
        connection = config.connection()
        chosen = config.collection_name is None
        if chosen:
            config.collection_name = naming.choose_name(self.samples, connection)

        name = str(config.collection_name)
        collection = Collection(connection, name, config.vector_name)
        collection.when_lost = partial(leave_cache, self.samples, self.key, self)
        return Contents(collection, config, chosen)

    @property
    def collection(self) -> Collection:
        """The collection that holds the vectors."""
        return self.contents.collection

    @property
    def client(self) -> Client:
        """The ``QdrantClient`` or ``EmbeddedClient`` of this index."""
        return self.collection.client

    @property
    def metric(self) -> str:
        """The metric of the collection."""
        return self.collection.schema().metric

    @property
    def held(self) -> Held:
        """What it holds: samples, patches, frames or clips."""
        return Held(self.samples, self.config.patches_field)

    @property
    def total_index_size(self) -> int:
        """The number of points in the collection; 0 while there is none."""
        try:
            return self.collection.count()
        except CollectionNotFound:
            return 0

    @property
    def sample_ids(self) -> Any:
        """The sample of every point, shape ``(total_index_size,)``."""
        return self.contents.ids()[0]

    @property
    def label_ids(self) -> Any:
        """The label of every point, or ``None`` for an index of samples."""
        return self.contents.ids()[1] if self.contents.patches else None

    def add_to_index(
        self,
        embeddings: Any,
        sample_ids: Any,
        label_ids: Any = None,
        overwrite: bool = True,
        allow_existing: bool = True,
        warn_existing: bool = False,
        reload: bool = True,
    ) -> None:
        """Adds embeddings, all or none of them, and makes the collection if need be.

        Raises:
            VectorError, CollectionMismatch: if vectors have bad values, or a wrong size
            ConfigError: if ids do not fit the embeddings or the index, or may not exist
        """
        batch = Batch.of(embeddings, sample_ids, label_ids)
        self.add(batch, overwrite, allow_existing, warn_existing)
        if reload:
            self.reload()

    def add(
        self, batch: Batch, overwrite: bool = True, *how: bool, may_make: bool = True
    ) -> None:
        """As :meth:`add_to_index`; raises CollectionNotFound unless ``may_make``."""
        batch = batch.checked(self.contents.patches, "last" if overwrite else "first")
        if not batch.ids:
            return

        if batch.label_ids is not None:
            of = self.held.parents(batch.sample_ids, batch.label_ids)
            batch = replace(batch, sample_ids=of)

        size = batch.vectors.shape[1]
        made = self.contents.make(size, self.samples, self.key, may_make)
        if made and self._has_run:
            self.save_config()

        self.contents.add(batch, made, overwrite, *how)
        self.use_home(self.held.renewed(batch.ids))
        if self.config.stores_embeddings:  # which its model made for a new field
            self.held.store(batch.ids, batch.vectors, self.config.embeddings_field)

    @property
    def _has_run(self) -> bool:
        """Whether its run is there; while it is new, that of another has the key."""
        known = self.key is not None and not self._contents.is_new
        return known and bool(self.samples.has_brain_run(self.key))

    def use_home(self, home: Any) -> None:
        """Has the index be of another view of the same frames or clips from now on."""
        before = self._samples
        if home is before:
            return

        self._samples = home
        if self.view is before:
            self.use_view(home)

        if self._has_run:
            store_view(home, self.key)

    def remove_from_index(
        self,
        sample_ids: Any = None,
        label_ids: Any = None,
        allow_missing: bool = True,
        warn_missing: bool = False,
        reload: bool = True,
        force: bool = False,
    ) -> None:
        """Removes points by label id, or all points of samples.

        Raises:
            CollectionShared: if the collection is another dataset's, too, as that of a
                clone is; with ``force`` the vectors are then gone for both
            MissingIDs: if ids are missing and may not be
            ConfigError: if no ids are given
        """
        self.collection.refresh()
        if not force:
            self.check_removable()

        self.contents.remove(sample_ids, label_ids, allow_missing, warn_missing)
        if reload:
            self.reload()

    def check_removable(self) -> None:
        """Raises CollectionShared if removing points took them from others."""
        ownership.check_removable(self._dataset_id, self.collection)

    def get_embeddings(
        self, sample_ids: Any = None, label_ids: Any = None, *args: Any, **kwargs: Any
    ) -> tuple[Matrix, Any, Any]:
        """See :meth:`.contents.Contents.embeddings`."""
        self.collection.forget()
        return self.contents.embeddings(sample_ids, label_ids, *args, **kwargs)

    def search(
        self,
        query: Any = None,
        k: int | None = None,
        reverse: bool = False,
        aggregation: str | None = "mean",
        *,
        image: Any = None,
        negatives: Any = None,
        **options: Any,
    ) -> list[Hits]:
        """See :meth:`.answering.Answering.answer`, :class:`.options.QueryOptions`."""
        unlike = negatives is not None and len(negatives) > 0
        asked = QueryOptions(k, reverse, aggregation, unlike, **options)
        here = self.collection
        found = self.answering.answer(query, image, negatives, asked)
        if self.collection is here:
            return found

        return self.answering.answer(query, image, negatives, asked)  # it was moved

    @property
    def answering(self) -> Answering:
        """What answers queries, within the current view."""
        model = None if self.config.model is None else self.get_model
        return Answering(self.contents, self.restriction, self._parse_query, model)

    def restriction(self) -> Restriction:
        """Returns what hits must be in: the current view."""
        return Restriction(self.view, self.held, not self.has_view)

    def sort_by_similarity(
        self,
        query: Any,
        k: int | None = None,
        reverse: bool = False,
        aggregation: str = "mean",
        dist_field: str | None = None,
        _mongo: bool = False,
    ) -> Any:
        """Returns a view of the hits in order; may store their distances.

        Those of patches go to their labels, unless the current view is of patches.
        Raises ConfigError if ``dist_field`` cannot be a field of distances.
        """
        if dist_field is not None and not (
            self.contents.patches and is_patches(self.view)
        ):
            # FiftyOne 1.22 cannot store values of labels that are in lists, or of
            # samples in parts, and leaves what an earlier query stored
            field = self.distance_field(dist_field)
            field.check(overwrite=True)
            query = self.answering.parse(query)
            (hits,) = self.search(query, k, reverse, aggregation)
            field.store(hits.by_id(), overwrite=False)
            dist_field = None
        elif dist_field is not None:
            check_field_name(dist_field)

        return super().sort_by_similarity(
            query, k, reverse, aggregation, dist_field, _mongo
        )

    def distance_field(self, name: str) -> DistanceField:
        """Returns where the distances of hits would be stored under a name."""
        return DistanceField.of(self.held, self.view, name)

    def _kneighbors(
        self,
        query: Any = None,
        k: int | None = None,
        reverse: bool = False,
        aggregation: str | None = None,
        return_dists: bool = False,
    ) -> Any:
        if query is None:
            rows, distances = self._neighbors_of_all(k, reverse, aggregation)
            return (rows, distances) if return_dists else rows

        found = self.search(query, k, reverse, aggregation)
        single = aggregation is not None or is_single(query)
        lists = as_fiftyones(found, self.contents.patches, single)
        return lists if return_dists else lists[:2]

    def _apply_view(self) -> None:
        """Finds the points of the view; never those of what is gone from it."""
        view = self.held.whole(self.restriction().samples)
        self._curr_sample_ids, self._curr_label_ids, keep, good = fbu.filter_ids(
            view,
            *self.contents.ids(),
            patches_field=self.config.patches_field,
            allow_missing=self._curr_view_allow_missing,
            warn_missing=self._curr_view_warn_missing,
        )
        self._curr_keep_inds = keep
        self._curr_missing_size = None if good is None else int((~good).sum())

    def save_config(self) -> None:
        """Saves the config of the run; raises IndexNotFound if that is gone."""
        try:
            super().save_config()
        except ValueError as e:  # what FiftyOne raises when the document is gone
            raise claims.gone(self.key, self.collection.name) from e

    def cleanup(self, force: bool = False) -> None:
        """Deletes the collection; raises CollectionShared if it is not ours alone."""
        if self.collection.exists():
            if not force:
                ownership.check_deletable(self._dataset_id, self.key, self.collection)

            self.collection.drop()

    def why_not_delete(self) -> str | None:
        """See :func:`.ownership.why_not_delete`."""
        return ownership.why_not_delete(self._dataset_id, self.key, self.collection)
