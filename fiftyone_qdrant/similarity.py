"""The Qdrant similarity backend: FiftyOne's brain contract, on Qdrant.

The path of this module and the names of its three classes are stored in datasets.
Do not move or rename them.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import fiftyone.core.utils as fou
from fiftyone.brain.similarity import (
    DuplicatesMixin,
    Similarity,
    SimilarityConfig,
    SimilarityIndex,
)

from fiftyone_qdrant import points
from fiftyone_qdrant.dataset.indexable import (
    check_indexable,
    given_to_compute_similarity,
    home_of,
)
from fiftyone_qdrant.errors import CollectionNotFound, CollectionShared, ConfigError
from fiftyone_qdrant.index import claims, naming, ownership
from fiftyone_qdrant.index.neighbors import NeighborIndex
from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.parameters.table import PARAMETERS
from fiftyone_qdrant.qdrant import urls
from fiftyone_qdrant.qdrant.collection import Collection
from fiftyone_qdrant.qdrant.configured import KEYWORDS, given
from fiftyone_qdrant.qdrant.connection import EMBEDDED, SERVER, Connection, resolve
from fiftyone_qdrant.search.options import POST_AGGREGATIONS

if TYPE_CHECKING:
    from fiftyone_qdrant.qdrant.clients import Client

logger = logging.getLogger(__name__)

_BASE_KEYWORDS = (
    "embeddings_field",
    "model",
    "model_kwargs",
    "patches_field",
    "roi_field",
    "supports_prompts",
)


class QdrantSimilarityConfig(SimilarityConfig):
    """Configuration of a Qdrant similarity index.

    Every argument may be left out. Connection arguments other than ``path`` are
    never stored; see :mod:`fiftyone_qdrant.qdrant.connection` for where they come from
    when they are not given.

    Args:
        collection_name (None): the collection to create or connect to; by default
            a new name made from the dataset's
        metric (None): ``"cosine"`` (default), ``"dotproduct"``, ``"euclidean"`` or
            ``"manhattan"``
        vector_name (None): which vectors to use of an existing collection that has
            several per point
        url (None): the URL of a Qdrant server
        api_key (None): the server's API key
        grpc_port (None): the server's gRPC port
        prefer_grpc (None): whether to use gRPC where possible
        path (None): the directory of an embedded store
        timeout (None): seconds a call may take
        engine (None): set by the index itself: ``"embedded"`` or ``"server"``
        unfinished (None): set by a streaming ingest: True until it has ended
        stores_embeddings (None): set by the index itself: True if the embeddings that
            its model makes go to the embeddings field as well
        **kwargs: the parameters of the collection, declared and documented in
            :mod:`fiftyone_qdrant.parameters.table`, and the arguments of
            :class:`fiftyone.brain.similarity.SimilarityConfig`

    Raises:
        ConfigError: if an argument is unknown or its value is wrong
    """

    def __init__(
        self,
        collection_name: str | None = None,
        metric: str | None = None,
        vector_name: str | None = None,
        url: str | None = None,
        api_key: str | None = None,
        grpc_port: int | None = None,
        prefer_grpc: bool | None = None,
        path: str | None = None,
        timeout: float | None = None,
        engine: str | None = None,
        unfinished: bool | None = None,
        stores_embeddings: bool | None = None,
        **kwargs: Any,
    ) -> None:
        parameters = CollectionParameters.parse(
            **{name: kwargs.pop(name, None) for name in PARAMETERS}
        )
        unknown = sorted(set(kwargs) - set(_BASE_KEYWORDS))
        if unknown:
            raise ConfigError(
                f"Unknown Qdrant parameter {', '.join(map(repr, unknown))}"
            )

        if metric is not None:
            points.check_metric(metric)

        if engine not in (None, EMBEDDED, SERVER) or (engine == EMBEDDED and not path):
            raise ConfigError("Do not give engine: it follows from url or path")

        super().__init__(**kwargs)
        self.collection_name = collection_name
        self.metric = metric
        self.vector_name = vector_name
        self.unfinished = unfinished
        self.stores_embeddings = stores_embeddings
        self._set_parameters(parameters)

        # Where the run was made. A path without an engine is the caller's keyword
        self.engine = engine
        self.path = path if engine else None

        # Private, so that FiftyOne does not store them
        self._stored_path = self.path
        self._keywords = given(
            {
                "url": url,
                "api_key": api_key,
                "grpc_port": grpc_port,
                "prefer_grpc": prefer_grpc,
                "path": None if engine else path,
                "timeout": timeout,
            }
        )

    @property
    def method(self) -> str:
        """The name of the backend."""
        return "qdrant"

    @property
    def max_k(self) -> None:
        """There is no limit on the number of neighbors."""
        return None

    @property
    def supports_least_similarity(self) -> bool:
        """Least similar queries are supported, and exact."""
        return True

    @property
    def supported_aggregations(self) -> tuple[str, ...]:
        """The supported ways to combine several queries."""
        return ("mean", *POST_AGGREGATIONS)

    @property
    def parameters(self) -> CollectionParameters:
        """The checked collection parameters."""
        return self._parameters

    def change_parameters(
        self, changes: CollectionParameters, *, unquantize: bool = False
    ) -> None:
        """Notes that parameters of the collection were changed.

        Args:
            changes: the changed parameters
            unquantize: whether the quantization was taken away
        """
        self._set_parameters(self._parameters.merged(changes, unquantize=unquantize))

    def _set_parameters(self, parameters: CollectionParameters) -> None:
        self._parameters = parameters
        for name in PARAMETERS:
            setattr(self, name, parameters.values.get(name))

    def load_credentials(self, **kwargs: Any) -> None:
        """Takes connection arguments for a stored run.

        A key that was given for another url is forgotten.

        Args:
            **kwargs: any of ``url``, ``api_key``, ``grpc_port``, ``prefer_grpc``,
                ``path`` and ``timeout``

        Raises:
            ConfigError: if another argument is given
        """
        unknown = sorted(set(kwargs) - set(KEYWORDS))
        if unknown:
            raise ConfigError(f"Unknown argument {', '.join(map(repr, unknown))}")

        values = {k: v for k, v in kwargs.items() if v is not None}
        before = urls.origins(self._keywords.get("url") or "")
        if "url" in values and urls.origins(values["url"]) != before:
            for name in ("api_key", "grpc_port"):
                self._keywords.pop(name, None)

        self._keywords.update(values)

    def connection(self) -> Connection:
        """Decides where the index is, and remembers the engine and path."""
        connection = resolve(self._keywords, self.engine, self.path)
        self.engine = connection.engine
        self.path = connection.path
        return replace(connection, existing=self._stored_path is not None)

    @property
    def moved(self) -> bool:
        """Whether the run was stored with another path than it is opened with."""
        return self._stored_path not in (None, self.path)


class QdrantSimilarity(Similarity):
    """Makes :class:`QdrantSimilarityIndex` instances for a config.

    A run is registered when its index has been made, not before, so that a failure
    on the way leaves no run behind.
    """

    def ensure_requirements(self) -> None:
        """Checks that the packages of the chosen engine are installed."""
        fou.ensure_package("qdrant-client")
        if self.config.connection().engine == EMBEDDED:
            fou.ensure_package("qdrant-edge-py")

    def ensure_usage_requirements(self) -> None:
        """Checks that the packages of the chosen engine are installed."""
        self.ensure_requirements()

    def register_run(
        self,
        samples: Any,
        key: str | None,
        overwrite: bool = True,
        cleanup: bool = True,
    ) -> None:
        """Checks that the run may be registered; saving its results does it.

        Raises:
            ConfigError: if another process has a run of that key, or is making it
        """
        if key is None:
            return

        self.validate_run(samples, key, overwrite=overwrite)
        claims.check_free(samples._root_dataset, key)

    @classmethod
    def save_run_results(
        cls,
        samples: Any,
        key: str | None,
        run_results: Any,
        overwrite: bool = True,
        cache: bool = True,
    ) -> None:
        """Registers the run if it is new, and saves its results.

        Raises:
            ConfigError: if another process was first; what this one made is dropped
        """
        if key is not None and run_results._is_new:
            try:
                claims.register(run_results, key)
                run_results._is_new = False
            except ConfigError:
                run_results._discard()
                raise

        super().save_run_results(
            samples, key, run_results, overwrite=overwrite, cache=cache
        )

    def initialize(self, samples: Any, brain_key: str | None) -> QdrantSimilarityIndex:
        """Returns a new index, after checking what it is of, and its place.

        Raises:
            ConfigError: if it cannot be of what FiftyOne was asked to index
        """
        given, config = given_to_compute_similarity(samples), self.config
        check_indexable(given, config.patches_field, config.embeddings_field)
        index = QdrantSimilarityIndex(given, config, brain_key, backend=self)
        index._is_new = True
        if config.model is not None and config.embeddings_field is not None:
            config.stores_embeddings = not index.held.has_any(config.embeddings_field)

        index.check()
        return index


class QdrantSimilarityIndex(NeighborIndex):
    """A similarity index whose vectors are in a Qdrant collection.

    Vectors stay in Qdrant: every query sees what other processes have written.

    Args:
        samples: the :class:`fiftyone.core.collections.SampleCollection` used
        config: the :class:`QdrantSimilarityConfig` used
        brain_key: the brain key
        backend (None): a :class:`QdrantSimilarity`
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
        DuplicatesMixin.__init__(self)
        self._dataset_id = str(samples._root_dataset._doc.id)  # even if it is deleted
        connection = config.connection()
        self._named_here = config.collection_name is None
        if self._named_here:
            config.collection_name = naming.choose_name(samples, connection)

        name = str(config.collection_name)
        self._bind(Collection(connection, name, config.vector_name))

    def check(self) -> None:
        """Checks that the collection can be used, before embeddings are computed.

        Raises:
            CollectionMismatch: if it exists with another metric or foreign ids
            ConnectionFailed: if Qdrant cannot be reached
        """
        if not naming.check(self._collection, self.config):
            self._warn_of_ignored()

    def _bind(self, collection: Collection) -> None:
        super()._bind(collection)
        collection.when_lost = self._leave_cache

    def _leave_cache(self) -> None:
        """Has FiftyOne open the index anew, which may then be told where its store is.

        It would return this object, whatever path is given.
        """
        cache = self.samples._root_dataset._brain_cache
        if cache.get(self.key) is self:
            del cache[self.key]

    def _discard(self) -> None:
        """Drops the collection if it was made for this index, and no run uses it."""
        place, name = self._collection.connection, self._collection.name
        if self._made_alone or (self._made_here and not ownership.users(place, name)):
            self._collection.drop()

    @property
    def ignored_parameters(self) -> list[str]:
        """The given parameters that this index's engine does not have."""
        if self.config.engine != EMBEDDED:
            return []

        parameters: CollectionParameters = self.config.parameters
        return parameters.ignored_by_embedded()

    def _warn_of_ignored(self) -> None:
        ignored = self.ignored_parameters
        if ignored:
            logger.warning(
                "The embedded engine has no %s: ignored here, but kept with the "
                "index. They take effect on a Qdrant server (give its url)",
                ", ".join(ignored),
            )

    @property
    def collection(self) -> Collection:
        """The collection that holds the vectors."""
        return self._collection

    @property
    def client(self) -> Client:
        """The ``QdrantClient`` or ``EmbeddedClient`` of this index."""
        return self._collection.client

    @property
    def metric(self) -> str:
        """The metric of the collection."""
        return self._collection.schema().metric

    def cleanup(self, force: bool = False) -> None:
        """Deletes the collection.

        Args:
            force (False): whether to delete it even if other datasets use it, it
                belongs to another dataset, or it was not made by this plugin

        Raises:
            CollectionShared: if deleting it would harm others, and not ``force``
        """
        if not self._collection.exists():
            return

        reason = None if force else self.why_not_delete()
        if reason:
            raise CollectionShared(
                f"Collection '{self._collection.name}' was not deleted: {reason}. "
                "Use cleanup(force=True) to delete it all the same, or, while there is "
                "the dataset, delete_brain_run() to remove only its run"
            )

        self._collection.drop()

    def why_not_delete(self) -> str | None:
        """Returns why deleting points of others here would harm them, or ``None``.

        Raises:
            CollectionNotFound: if the collection does not exist
        """
        return ownership.why_not_delete(
            self._dataset_id,
            self.key,
            self._collection.connection,
            self._collection.name,
            self._collection.schema().metadata,
        )

    @classmethod
    def _from_dict(
        cls, d: dict[str, Any], samples: Any, config: Any, brain_key: str
    ) -> QdrantSimilarityIndex:
        index = cls(samples, config, brain_key)
        index._settle()
        return index

    def _settle(self) -> None:
        """Stores with the run the path that it was opened with, if that is a new one.

        Raises:
            StoreUnavailable: if there is no store
            CollectionNotFound: if that store has no such collection
        """
        if not self.config.moved:
            return

        if not self._collection.exists():
            raise CollectionNotFound(
                f"The embedded store at {self.config.path} has no collection "
                f"'{self._collection.name}', so index '{self.key}' is not there. Give "
                "the path that its store has now"
            )

        self.save_config()
