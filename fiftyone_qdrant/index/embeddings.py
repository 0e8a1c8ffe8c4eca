"""What a similarity index holds: embeddings that are added, read and removed.

FiftyOne's contract (``fiftyone/brain/similarity.py`` 1.22), on a collection, which is
made when the first embeddings come.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

from bson import json_util
from fiftyone.brain.similarity import SimilarityIndex
from fiftyone.core.brain import BrainMethod

from fiftyone_qdrant.dataset.samples import Held
from fiftyone_qdrant.errors import (
    CollectionNotFound,
    CollectionShared,
    IndexNotFound,
    QdrantPluginError,
    sentence,
)
from fiftyone_qdrant.index import naming, ownership
from fiftyone_qdrant.index.contents import Batch, Contents, to_list
from fiftyone_qdrant.points import Matrix
from fiftyone_qdrant.qdrant.collection import Collection

logger = logging.getLogger(__name__)


class EmbeddingIndex(SimilarityIndex):
    """An index that is filled, read and emptied; it answers no queries yet."""

    _collection: Collection
    _contents: Contents
    _samples: Any
    _dataset_id: str
    _named_here: bool  # whether the collection's name was chosen by the index
    _made_here = False  # whether this object made the collection
    _made_alone = False  # likewise, under a name that nobody else asks for
    _is_new = False  # whether its run is to be registered yet

    @property
    def _patches(self) -> bool:
        return self.config.patches_field is not None

    def _bind(self, collection: Collection) -> None:
        self._collection = collection
        self._contents = Contents(collection, self._patches)

    @property
    def held(self) -> Held:
        """What it holds: samples, patches, frames or clips."""
        return Held(self.samples, self.config.patches_field)

    @property
    def total_index_size(self) -> int:
        """The number of points in the collection; 0 while there is none."""
        try:
            return self._collection.count()
        except CollectionNotFound:
            return 0

    @property
    def sample_ids(self) -> Any:
        """The sample of every point, shape ``(total_index_size,)``."""
        return self.all_ids()[0]

    @property
    def label_ids(self) -> Any:
        """The label of every point, or ``None`` for an index of samples."""
        return self.all_ids()[1] if self._patches else None

    def label_ids_of(self, sample_ids: Any) -> list[str]:
        """Returns the label ids of all points of samples, for an index of patches."""
        return self._contents.of_samples(to_list(sample_ids))[0]

    def all_ids(self) -> tuple[Any, Any]:
        """Returns the sample ids and, of patches, the label ids of all points."""
        return self._contents.ids()

    def point_ids(self) -> set[str]:
        """Returns the sample id, or of patches the label id, of every point.

        Raises:
            CollectionNotFound: if the collection is gone
        """
        return self._contents.point_ids()

    def add_to_index(
        self,
        embeddings: Any,
        sample_ids: Any,
        label_ids: Any = None,
        overwrite: bool = True,
        allow_existing: bool = True,
        warn_existing: bool = False,
        reload: bool = True,
        may_create: bool = True,
    ) -> None:
        """Adds embeddings to the index, all or none of them.

        If the index was made with a model and a new field for its embeddings, they
        are stored in that field as well.

        Args:
            embeddings: finite numbers, shape ``(num_points, size)``
            sample_ids: ``num_points`` sample ids
            label_ids (None): ``num_points`` label ids, for an index of patches
            overwrite (True): whether to replace (True) or keep (False) points that
                exist; so of an id that is given twice the last or the first counts
            allow_existing (True): whether to skip (True) or refuse (False) existing
                ids when ``overwrite`` is False
            warn_existing (False): whether to log how many ids were skipped
            reload (True): whether to refresh the current view
            may_create (True): whether to make the collection if there is none

        Raises:
            CollectionNotFound: if there is no collection, and none may be made
            VectorError: if vectors have a wrong shape, or values that float32 cannot
                hold, such as NaN; names their samples
            CollectionMismatch: if the collection has another vector size
            ConfigError: if the ids do not fit the embeddings or the index, or exist
                and may not
        """
        keep = "last" if overwrite else "first"
        batch = Batch.parse(embeddings, sample_ids, label_ids, self._patches, keep)
        if not batch.ids:
            return

        if self._patches:
            batch = replace(
                batch, sample_ids=self.held.parents(batch.sample_ids, batch.ids)
            )

        created = self._ensure_collection(batch.vectors.shape[1], may_create)
        try:
            if not overwrite and not created:
                batch = self._contents.new(batch, allow_existing, warn_existing)

            self._contents.write(batch)
        except BaseException as e:
            if created:
                self._drop_after(e)

            raise

        self.use_home(self.held.renewed(batch.ids))
        if self.config.stores_embeddings:
            self.held.store(batch.ids, batch.vectors, self.config.embeddings_field)

        if reload:
            self.reload()

    def use_home(self, home: Any) -> None:
        """Has the index be of another view of the same frames or clips from now on.

        Args:
            home: see :func:`fiftyone_qdrant.dataset.samples.home_of`
        """
        before = self._samples
        if home is before:
            return

        self._samples = home
        if self.view is before:
            self.use_view(home)

        dataset = home._root_dataset
        if self._is_new:
            return

        if self.key is not None and dataset.has_brain_run(self.key):
            document = BrainMethod._get_run_doc(dataset, self.key)
            stages = home._serialize(include_uuids=False)
            document.view_stages = [json_util.dumps(stage) for stage in stages]
            document.save()

    def _drop_after(self, failure: BaseException) -> None:
        """Drops the collection; if even that fails, both failures are said."""
        try:
            self._collection.drop()
        except QdrantPluginError as e:
            if isinstance(failure, QdrantPluginError):
                raise type(failure)(f"{sentence(failure)} {e}") from failure

            logger.warning("%s", e)

    def _ensure_collection(self, size: int, may_create: bool) -> bool:
        """Creates the collection if need be; returns whether it did."""
        named_here = self._named_here  # then whatever has the name is not ours
        if not named_here and naming.check(self._collection, self.config):
            naming.check_size(self._collection, size)
            return False

        if not may_create:
            raise CollectionNotFound(
                f"Collection '{self._collection.name}' is gone: somebody deleted it "
                f"while index '{self.key}' was being filled"
            )

        made = naming.create(
            self._collection,
            size,
            self.config,
            ownership.to_metadata(self.samples, self.config, self.key),
            samples=self.samples if named_here else None,
        )
        self._bind(made)
        self._named_here = False
        self._made_here, self._made_alone = True, named_here
        if self.key is None or self._is_new:  # that of another may have the key
            return True

        if self.samples.has_brain_run(self.key):
            self.save_config()

        return True

    def save_config(self) -> None:
        """Saves the config of the run.

        Raises:
            IndexNotFound: if somebody deleted the run meanwhile
        """
        try:
            super().save_config()
        except ValueError as e:  # what FiftyOne raises when the document is gone
            raise IndexNotFound(
                f"Index '{self.key}' is gone: somebody deleted its run meanwhile. What "
                f"it held is in collection '{self._collection.name}', unless that is "
                "gone as well"
            ) from e

    def remove_from_index(
        self,
        sample_ids: Any = None,
        label_ids: Any = None,
        allow_missing: bool = True,
        warn_missing: bool = False,
        reload: bool = True,
        force: bool = False,
    ) -> None:
        """Removes points from the index.

        Args:
            sample_ids (None): ids of samples; for an index of patches, all patches
                of these samples
            label_ids (None): ids of labels, for an index of patches
            allow_missing (True): whether to skip (True) or refuse (False) ids that
                are not in the index
            warn_missing (False): whether to log how many ids were missing
            reload (True): whether to refresh the current view
            force (False): remove them also if the collection is another dataset's, as
                that of a clone is: the vectors are then gone for that one, too

        Raises:
            CollectionShared: if the collection is another dataset's, and not ``force``
            MissingIDs: if ids are missing and may not be
            ConfigError: if no ids are given
        """
        if not force:
            self.check_removable()

        self._contents.remove(sample_ids, label_ids, allow_missing, warn_missing)
        if reload:
            self.reload()

    def check_removable(self) -> None:
        """Checks that removing points takes them from nobody else.

        Raises:
            CollectionShared: if the collection is another dataset's
        """
        try:
            metadata = self._collection.schema().metadata
        except CollectionNotFound:
            return

        reason = ownership.why_not_remove(
            self._dataset_id,
            self._collection.connection,
            self._collection.name,
            metadata,
        )
        if reason is not None:
            raise CollectionShared(
                f"Nothing was removed: collection '{self._collection.name}' is not "
                f"this dataset's alone, {reason}. Give force=True to take the vectors "
                "from both"
            )

    def get_embeddings(
        self,
        sample_ids: Any = None,
        label_ids: Any = None,
        allow_missing: bool = True,
        warn_missing: bool = False,
    ) -> tuple[Matrix, Any, Any]:
        """Returns embeddings as they were put in, in the order of the ids given.

        Args:
            sample_ids (None): a sample id or several; of an index of patches, all
                patches of these samples are returned
            label_ids (None): a label id or several
            allow_missing (True): whether to skip (True) or refuse (False) ids that
                are not in the index
            warn_missing (False): whether to log how many ids were missing

        Returns:
            a tuple of float32 embeddings, shape ``(num_points, size)``, their
            ``num_points`` sample ids, and their label ids or ``None``

        Raises:
            ConfigError: if label ids are given for an index of samples
            MissingIDs: if ids are missing and may not be
        """
        self._collection.forget()
        return self._contents.embeddings(
            sample_ids, label_ids, allow_missing, warn_missing
        )
