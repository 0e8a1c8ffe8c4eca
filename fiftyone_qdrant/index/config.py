"""What a Qdrant similarity index is asked to be, and where it is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fiftyone.brain.similarity import SimilarityConfig

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.parameters.table import PARAMETERS
from fiftyone_qdrant.qdrant import urls
from fiftyone_qdrant.qdrant.configured import KEYWORDS, given
from fiftyone_qdrant.qdrant.connection import EMBEDDED, SERVER, Connection, resolve
from fiftyone_qdrant.search.options import POST_AGGREGATIONS

_OF_A_PLACE = ("engine", "path", "collection_name", "vector_name")
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
    never stored; see :mod:`fiftyone_qdrant.connection` for where they come from
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
        move (None): set by :mod:`fiftyone_qdrant.moving`: the move of the index that is
            under way, or its last
        keep_in_step (None): what is done when the dataset changes, see
            :mod:`fiftyone_qdrant.ingest.in_step`: ``"off"``, ``"tell"`` (default) or
            ``"auto"``
        **kwargs: the parameters of the collection, declared and documented in
            :mod:`fiftyone_qdrant.parameter_table`, and the arguments of
            :class:`fiftyone.brain.similarity.SimilarityConfig`

    Raises:
        ConfigError: if an argument is unknown or its value is wrong
    """

    __module__ = "fiftyone_qdrant.similarity"  # which is stored with each run

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
        keep_in_step: str | None = None,
        move: dict[str, Any] | None = None,
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
        self.keep_in_step = keep_in_step
        self.move = move
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

    @property
    def ignored(self) -> list[str]:
        """The given parameters that the engine does not have."""
        return self._parameters.ignored_by(self.engine)

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

    def go_to(self, other: QdrantSimilarityConfig) -> None:
        """Becomes that of an index at another place."""
        for name in (*_OF_A_PLACE, "metric", "move"):
            setattr(self, name, getattr(other, name))

        self._stored_path = self.path
        self._set_parameters(other.parameters)
        self._keywords = {}

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
