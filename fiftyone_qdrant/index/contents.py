"""The points of a similarity index, seen as FiftyOne ids and embeddings.

What FiftyOne promises of ``add_to_index()``, ``remove_from_index()`` and
``get_embeddings()``: which ids are meant, which exist, in what order they come.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import (
    CollectionNotFound,
    ConfigError,
    MissingIDs,
    QdrantPluginError,
    sentence,
)
from fiftyone_qdrant.index import moves, naming, ownership
from fiftyone_qdrant.index.batch import NO_LABELS, Batch, to_list
from fiftyone_qdrant.packed import Packed, unpack
from fiftyone_qdrant.points import Matrix, Page
from fiftyone_qdrant.qdrant import writing
from fiftyone_qdrant.qdrant.collection import Collection

logger = logging.getLogger(__name__)

_ID_TYPE = "<U24"


class Contents:
    """The points of one collection, as ids and embeddings.

    Args:
        collection: where they are; made when the first come
        config: the index's config, which a new collection follows
        named_here (False): whether its name was chosen for the index: then whatever
            has the name is not the index's

    Attributes:
        collection: where they are; another one if somebody took the chosen name
        named_here: as given, until it is made
        is_new: whether the index's run is to be registered yet
    """

    def __init__(
        self, collection: Collection, config: Any, named_here: bool = False
    ) -> None:
        self.collection = collection
        self.named_here = named_here
        self.is_new = False
        self._config = config
        self.patches = config.patches_field is not None
        self._made: str | None = None  # by this object; "alone": nobody asks for it

    @property
    def kind(self) -> str:
        """What an id of this index is the id of: ``"label"`` or ``"sample"``."""
        return "label" if self.patches else "sample"

    def point_ids(self) -> set[str]:
        """Returns the sample id, or of patches the label id, of every point.

        Raises:
            CollectionNotFound: if the collection does not exist
        """
        return set(unpack(self.packed_ids()))

    def packed_ids(self) -> Packed:
        """Returns the same as an array, 12 bytes each, ascending.

        Raises:
            CollectionNotFound: if the collection does not exist
        """
        return self.collection.packed_ids()

    def ids(self) -> tuple[Any, Any]:
        """Returns all sample ids and, of patches, label ids, ordered by point id."""
        ids: list[str] = []
        samples: list[str] = []
        try:
            for page in self.collection.scroll():
                ids.extend(page.ids)
                samples.extend(page.sample_ids)
        except CollectionNotFound:
            logger.debug("Collection '%s' does not exist", self.collection.name)

        return self._to_id_arrays(ids, samples)

    def add(
        self,
        batch: Batch,
        made: bool,
        overwrite: bool = True,
        allow_existing: bool = True,
        warn_existing: bool = False,
    ) -> None:
        """Writes all points of a batch, or none; see ``add_to_index()``.

        Args:
            batch: the points, checked
            made: whether the collection was made for them: then it goes with them
            overwrite (True): whether to replace what exists
            allow_existing (True): whether to skip it, rather than to refuse
            warn_existing (False): whether to log how many were skipped
        """
        try:
            if not overwrite and not made:
                batch = self.new(batch, allow_existing, warn_existing)

            self.write(batch)
        except BaseException as e:
            if made:
                self._drop_after(e)

            raise

    def check_moved(self, brain_key: str) -> None:
        """Checks that a store that is opened at a new path is the index's.

        Raises:
            StoreUnavailable: if there is no store
            CollectionNotFound: if that store has no such collection
        """
        if not self.collection.exists():
            raise CollectionNotFound(
                f"The embedded store at {self._config.path} has no collection "
                f"'{self.collection.name}', so index '{brain_key}' is not there. Give "
                "the path that its store has now"
            )

    def make(
        self, size: int, samples: Any, brain_key: str | None, may_make: bool = True
    ) -> bool:
        """Sees to it that there is a collection; returns whether one was made.

        Args:
            size: dimensions of the vectors that it is for
            samples: what the index is of
            brain_key: the index's run
            may_make (True): whether one may be made

        Raises:
            CollectionNotFound: if there is none, and none may be made
            CollectionMismatch: if there is one that is for other vectors
        """
        found, config, chosen = self.collection, self._config, self.named_here
        if not chosen and naming.check(found, config):
            naming.check_size(found, size)
            return False

        if not may_make:
            raise CollectionNotFound(
                f"Collection '{found.name}' is gone: somebody deleted it while index "
                f"'{brain_key}' was being filled"
            )

        metadata = ownership.to_metadata(samples, config, brain_key)
        self.collection = naming.create(
            found, size, config, metadata, samples=samples if chosen else None
        )
        self.collection.when_lost = found.when_lost
        self.named_here, self._made = False, "alone" if chosen else "here"
        return True

    def discard(self) -> None:
        """Drops the collection if it was made for this index, and no run uses it."""
        place, name = self.collection.connection, self.collection.name
        if self._made == "alone" or (self._made and not ownership.users(place, name)):
            self.collection.drop()

    def _drop_after(self, failure: BaseException) -> None:
        """Drops the collection; if even that fails, both failures are said."""
        try:
            self.collection.drop()
        except QdrantPluginError as e:
            if isinstance(failure, QdrantPluginError):
                raise type(failure)(f"{sentence(failure)} {e}") from failure

            logger.warning("%s", e)

    def write(self, batch: Batch) -> None:
        """Writes points, replacing those that exist."""
        schema, vectors = self.collection.schema(), batch.vectors
        lengths = points.norms(vectors)
        if points.needs_float64(lengths, schema.metric):
            self.collection.mark_float64()  # before anybody can find them

        kept = None  # by other metrics, nothing
        if schema.metric == "cosine":
            vectors, kept = points.to_unit(vectors, lengths), lengths

        key = points.norm_key(schema.vector_name)
        payloads = points.to_payloads(batch.sample_ids, kept, key, batch.files)
        with moves.noted(self.collection, batch.ids):
            writing.write(self.collection, batch.ids, vectors, payloads)

    def new(self, batch: Batch, allow_existing: bool, warn_existing: bool) -> Batch:
        """Returns the part of a batch that is not in the index.

        Raises:
            ConfigError: if some of it is in the index and may not be
        """
        existing = self.collection.present(batch.ids)
        if existing and not allow_existing:
            raise ConfigError(
                f"{len(existing)} {self.kind} ids (such as {min(existing)}) are "
                "already in the index"
            )

        whole = self.collection.on_all_replicas(sorted(existing))
        if whole is not None:  # what a replica lacks is written to it
            existing &= whole

        if existing and warn_existing:
            logger.warning("Skipping %d ids that are in the index", len(existing))

        return batch.without(existing)

    def remove(
        self, sample_ids: Any, label_ids: Any, allow_missing: bool, warn_missing: bool
    ) -> None:
        """Removes points by label id, or all points of samples.

        Raises:
            ConfigError: if no ids are given
            MissingIDs: if ids are missing and may not be
        """
        if sample_ids is None and label_ids is None:
            raise ConfigError("Give the sample_ids or label_ids to remove")

        if label_ids is not None and not self.patches:
            raise ConfigError(NO_LABELS)

        missing: list[str] = []
        if label_ids is not None:  # sample_ids only say where the labels are
            ids = to_list(label_ids)
        elif self.patches:
            wanted = to_list(sample_ids)
            ids, samples = self.of_samples(wanted)
            found = set(samples)
            missing.extend(i for i in wanted if i not in found)
        else:
            ids = to_list(sample_ids)

        if not allow_missing or warn_missing:
            found = self.collection.present(ids)
            missing.extend(i for i in ids if i not in found)
            self._tell_missing(missing, allow_missing, warn_missing)

        with moves.noted(self.collection, ids):
            writing.remove(self.collection, ids)

    def embeddings(
        self,
        sample_ids: Any = None,
        label_ids: Any = None,
        allow_missing: bool = True,
        warn_missing: bool = False,
    ) -> tuple[Matrix, Any, Any]:
        """Returns embeddings as they were put in, in the order of the ids given.

        Without ids, all of the index. With sample ids, an index of patches returns
        all patches of each sample.

        Returns:
            a tuple of float32 embeddings, shape ``(num_points, size)``, their
            ``num_points`` sample ids, and their label ids or ``None``

        Raises:
            ConfigError: if label ids are given for an index of samples
            MissingIDs: if ids are missing and may not be
        """
        if label_ids is not None and not self.patches:
            raise ConfigError(NO_LABELS)

        if label_ids is not None and sample_ids is not None:
            logger.warning("Ignoring sample_ids because label_ids are given")

        if label_ids is None and (sample_ids is None or self.patches):
            wanted = None if sample_ids is None else to_list(sample_ids)
            return self._scrolled(wanted, allow_missing, warn_missing)

        wanted = to_list(sample_ids if label_ids is None else label_ids)
        return self.retrieved(wanted, allow_missing, warn_missing)

    def vectors(self, ids: list[str]) -> Matrix:
        """Returns the embeddings of points, in the order of the ids given.

        Raises:
            MissingIDs: if an id is not in the index
        """
        return self.retrieved(ids)[0]

    def retrieved(
        self, wanted: list[str], allow_missing: bool = False, warn_missing: bool = False
    ) -> tuple[Matrix, Any, Any]:
        """Returns embeddings, sample ids and label ids, in the order of the ids given.

        Raises:
            MissingIDs: if ids are missing and may not be
        """
        ids, samples, vectors = self._read(self.collection.retrieve(_unique(wanted)))
        rows = {i: row for row, i in enumerate(ids)}
        missing = [i for i in wanted if i not in rows]
        self._tell_missing(missing, allow_missing, warn_missing)
        order = [rows[i] for i in wanted if i in rows]
        return self._result(order, ids, samples, vectors)

    def _scrolled(
        self, sample_ids: list[str] | None, allow_missing: bool, warn_missing: bool
    ) -> tuple[Matrix, Any, Any]:
        pages = self.collection.scroll(sample_ids=sample_ids, vectors=True)
        ids, samples, vectors = self._read(pages)
        order = list(range(len(ids)))
        if sample_ids is not None:
            rank = {s: n for n, s in reversed(list(enumerate(sample_ids)))}
            order.sort(key=lambda row: rank[samples[row]])
            found = set(samples)
            missing = [s for s in sample_ids if s not in found]
            self._tell_missing(missing, allow_missing, warn_missing)

        return self._result(order, ids, samples, vectors)

    def _read(self, pages: Iterable[Page]) -> tuple[list[str], list[str], Matrix]:
        ids: list[str] = []
        samples: list[str] = []
        vectors = []
        for page in pages:
            ids.extend(page.ids)
            samples.extend(page.sample_ids)
            vectors.append(self.collection.to_vectors(page))

        if not vectors:
            vectors.append(self.collection.to_vectors(Page.of([])))

        return ids, samples, np.concatenate(vectors)

    def of_samples(self, sample_ids: Sequence[str]) -> tuple[list[str], list[str]]:
        """Returns the ids of the points of samples, and the sample of each."""
        pages = list(self.collection.scroll(sample_ids=sample_ids))
        ids = [i for page in pages for i in page.ids]
        return ids, [i for page in pages for i in page.sample_ids]

    def _result(
        self, order: list[int], ids: list[str], samples: list[str], vectors: Matrix
    ) -> tuple[Matrix, Any, Any]:
        sample_ids, label_ids = self._to_id_arrays(
            [ids[row] for row in order], [samples[row] for row in order]
        )
        in_order = order == list(range(len(ids)))
        return vectors if in_order else vectors[order], sample_ids, label_ids

    def _tell_missing(self, missing: Sequence[str], allow: bool, warn: bool) -> None:
        if missing and not allow:
            what = f"{self.kind} ids"
            if len(missing) == 1:
                raise MissingIDs(
                    f"{missing[0]} is not in the index, which holds {what}"
                )

            raise MissingIDs(
                f"{len(missing)} ids (such as {missing[0]}) are not in the index, "
                f"which holds {what}"
            )

        if missing and warn:
            logger.warning("Skipping %d ids that are not in the index", len(missing))

    def _to_id_arrays(self, ids: list[str], samples: list[str]) -> tuple[Any, Any]:
        if self.patches:
            return np.array(samples, dtype=_ID_TYPE), np.array(ids, dtype=_ID_TYPE)

        return np.array(ids, dtype=_ID_TYPE), None


def _unique(ids: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(ids))
