"""An index that is to be made: of what, from what, how, and its run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import fiftyone.brain as fob

from fiftyone_qdrant.dataset.samples import root_of
from fiftyone_qdrant.errors import CollectionNotFound, ConfigError
from fiftyone_qdrant.ingest.sources import NO_COLLECTION, Source, known_points
from fiftyone_qdrant.qdrant.connection import Connection
from fiftyone_qdrant.runs import is_unfinished, load_index
from fiftyone_qdrant.similarity import QdrantSimilarityConfig, QdrantSimilarityIndex


@dataclass(frozen=True)
class Creation:
    """What :func:`.ingest.create_index` is asked for.

    Attributes:
        samples: the dataset or view to index
        brain_key: the key of the run, or ``""`` while there is none
        source: where the embeddings come from
        connect: whether only to connect to a collection that is there
        config: keyword arguments of the config
    """

    samples: Any
    brain_key: str
    source: Source
    connect: bool
    config: dict[str, Any]

    @property
    def goes_on(self) -> bool:
        """Whether the run is there, and unfinished."""
        return is_unfinished(self.samples, self.brain_key)

    def connection(self) -> Connection:
        """Returns where the collection is, or will be."""
        if self.goes_on:
            return self._started().collection.connection

        return QdrantSimilarityConfig(**{**self.config, "metric": None}).connection()

    def collection_name(self) -> str | None:
        """Returns the collection's name, or ``None`` if one will be chosen."""
        if self.goes_on:
            return self._started().collection.name

        return self.config.get("collection_name") or None

    def check_named(self) -> None:
        """Checks that it is said what to connect to.

        Raises:
            ConfigError: if not
        """
        if self.connect and not self.config.get("collection_name"):
            raise ConfigError(NO_COLLECTION)

    def registered(self, **more: Any) -> QdrantSimilarityIndex:
        """Registers the run, and returns its index, which is empty.

        Args:
            **more: further arguments of the config
        """
        source, origin, given = self.source, self.source.origin, self.config
        if origin is not None:
            given = {"metric": origin.metric, "roi_field": origin.roi_field, **given}

        index: QdrantSimilarityIndex = fob.compute_similarity(
            self.samples,
            patches_field=source.patches_field,
            embeddings=False,
            embeddings_field=source.embeddings_field,
            model=source.model_to_load,
            brain_key=self.brain_key,
            backend="qdrant",
            **{**given, **more},
        )
        if origin is not None and origin.model is not None:  # known without loading it
            index.config.model = origin.model
            index.config.model_kwargs = origin.model_kwargs
            index.config.supports_prompts = origin.supports_prompts
            index.save_config()
            again = self._started()
            again.contents.named_here = index.contents.named_here
            return again

        return index

    def reopened(self) -> QdrantSimilarityIndex:
        """Returns the index of the unfinished run.

        Raises:
            ConfigError: if it was started with something else
        """
        index, source = self._started(), self.source
        config = index.config
        started = (config.embeddings_field, config.model, config.patches_field)
        if started != (source.embeddings_field, source.model, source.patches_field):
            raise ConfigError(
                f"Index '{self.brain_key}' was started with other embeddings or "
                f"patches. Go on with embeddings={config.embeddings_field!r}, "
                f"model={config.model!r}, patches_field={config.patches_field!r}, or "
                "delete it first"
            )

        return index

    def connected(self) -> QdrantSimilarityIndex:
        """Returns an index of the collection that is there; leaves no run if it fails.

        Raises:
            ConfigError: if it is of something else, or no name is given
            CollectionNotFound: if there is none of that name
        """
        self.check_named()
        index = self.registered()
        try:
            if not index.collection.exists():
                raise CollectionNotFound(
                    f"There is no collection '{index.collection.name}' to connect to"
                )

            known_points(index.held, index.collection)
        except (CollectionNotFound, ConfigError):
            forget(index)
            raise

        return index

    def _started(self) -> QdrantSimilarityIndex:
        return load_index(root_of(self.samples), self.brain_key)


def forget(index: QdrantSimilarityIndex) -> None:
    """Deletes the run of an index, not its collection."""
    root_of(index.samples).delete_brain_run(index.key)
