"""``QdrantClient``'s methods for an embedded store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from qdrant_client.http import models

from fiftyone_qdrant.embedded.client import arguments, results
from fiftyone_qdrant.embedded.client.reading import PointReader
from fiftyone_qdrant.embedded.client.session import refuse_unknown
from fiftyone_qdrant.embedded.client.wire import Request
from fiftyone_qdrant.embedded.client.writing import DONE, PointWriter


class EmbeddedClient(PointReader, PointWriter):
    """Qdrant without a server: a store in a directory, shared by all processes.

    The methods, their parameters and what they return are ``QdrantClient``'s, except
    that vectors come back as float32 NumPy rows of one matrix, not as lists (the
    models are built without validation), and that a point's ``version`` is 0.
    Parameters the engine cannot honor raise
    :class:`fiftyone_qdrant.errors.UnsupportedByEngine`. A collection has one unnamed
    dense vector per point.

    Searches are exact unless the collection has been indexed, and whenever they have
    a filter and do not say ``exact=False``.

    The client may be used by several threads and after a fork. If the process that
    owns the store has ended, the next call starts another one. If the store itself was
    moved or deleted, calls raise; ``create_collection`` makes a new one.

    Args:
        path: the directory of the store, created when missing
        timeout: how long to wait for an answer, in seconds. Writes, whose time grows
            with their size, are given ten times as long or ten minutes
        make: whether to make the store when there is none

    Raises:
        StoreUnavailable: if it cannot be opened, or there is none and ``make`` is False
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        timeout: float | None = None,
        *,
        make: bool = True,
    ) -> None:
        super().__init__(path, timeout, make=make)
        self._call("about", Request())

    @property
    def path(self) -> str:
        """The directory of the store, absolute and without links."""
        return self._session.path

    def __repr__(self) -> str:
        return f"EmbeddedClient(path={self.path!r})"

    def __enter__(self) -> EmbeddedClient:
        return self

    def __exit__(self, *args: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_session"):
            self._session.close()

    def close(self, **kwargs: Any) -> None:
        """Closes the connections to the store's owner."""
        refuse_unknown(kwargs, "grpc_grace")
        self._session.close()

    # -- the store ------------------------------------------------------------

    def info(self) -> models.VersionInfo:
        """Returns the name and version of the engine."""
        version = self.store_info()["engine"]
        return models.VersionInfo(title="qdrant edge", version=version)

    def store_info(self) -> dict[str, Any]:
        """Returns the owner's pid, path, engine, start time, log and collections."""
        about: dict[str, Any] = self._call("about", Request())[0]["about"]
        return about

    def get_collections(self, **kwargs: Any) -> models.CollectionsResponse:
        """Lists the collections."""
        refuse_unknown(kwargs)
        names = self._call("names", Request())[0]["names"]
        return models.CollectionsResponse(
            collections=[models.CollectionDescription(name=name) for name in names]
        )

    # -- collections ----------------------------------------------------------

    def collection_exists(self, collection_name: str, **kwargs: Any) -> bool:
        """Returns whether there is a collection of that name."""
        refuse_unknown(kwargs)
        reply, _ = self._call("exists", Request(collection_name))
        return bool(reply["exists"])

    def get_collection(
        self, collection_name: str, **kwargs: Any
    ) -> models.CollectionInfo:
        """Returns settings and counts of a collection."""
        refuse_unknown(kwargs)
        reply, _ = self._call("info", Request(collection_name))
        return results.collection_info(reply["info"])

    def disk_usage(self, collection_name: str) -> int:
        """Returns how many bytes of the disk a collection takes.

        The engine's files have holes: their lengths add up to far more.
        """
        reply, _ = self._call("disk", Request(collection_name))
        return int(reply["bytes"])

    def create_collection(
        self,
        collection_name: str,
        vectors_config: models.VectorParams
        | Mapping[str, models.VectorParams]
        | None = None,
        *,
        timeout: int | None = None,
        **settings: Any,
    ) -> bool:
        """Creates a collection: completely, or not at all.

        Args:
            collection_name: its name
            vectors_config: size and distance of its vectors
            timeout: how long to wait for an answer, in seconds
            **settings: ``hnsw_config``, ``optimizers_config``,
                ``quantization_config``, ``on_disk_payload`` and ``metadata``; what
                only servers have is refused

        Raises:
            CollectionExists: if there is one of that name
            UnsupportedByEngine: names all parameters that cannot be honored
        """
        config = arguments.config(collection_name, vectors_config, settings)
        self._write("create", Request(config=config), timeout, repeatable=False)
        return True

    def update_collection(
        self, collection_name: str, *, timeout: int | None = None, **settings: Any
    ) -> bool:
        """Merges metadata and settings into those of a collection.

        If it has an index, or ``on_disk`` was changed, its segments are built anew in
        the background; reads and writes go on meanwhile.

        Args:
            collection_name: the collection
            timeout: how long to wait for an answer, in seconds
            **settings: these fields of ``metadata``, ``hnsw_config`` and
                ``optimizers_config``, the new ``quantization_config`` or
                ``models.Disabled.DISABLED``, and ``vectors_config`` with ``on_disk``
                of the vectors under the name ``""``; what only servers have is refused
        """
        changes = arguments.changes(settings)
        self._write("settings", Request(collection_name, changes=changes), timeout)
        return True

    def delete_collection(
        self, collection_name: str, timeout: int | None = None, **kwargs: Any
    ) -> bool:
        """Deletes a collection, and returns whether there was one."""
        refuse_unknown(kwargs)
        reply = self._write("drop", Request(collection_name), timeout)
        return bool(reply["dropped"])

    def flush(self, collection_name: str) -> None:
        """Makes all writes so far survive a power failure. Call it after an ingest.

        Without it they survive the end of any process, and the owner flushes by
        itself once nothing was written for a second, and every five seconds. If the
        collection has grown past its indexing threshold (or by 200,000 points if it
        has none), this also begins to build its index, in the background.
        """
        self._write("flush", Request(collection_name))

    def create_payload_index(
        self,
        collection_name: str,
        field_name: str,
        field_schema: Any = None,
        field_type: Any = None,
        wait: bool = True,
        timeout: int | None = None,
        **kwargs: Any,
    ) -> models.UpdateResult:
        """Indexes a payload field, which makes filters on it quick."""
        refuse_unknown(kwargs, "ordering")
        request = Request(collection_name, field=field_name)
        schema = arguments.index_schema(field_schema or field_type)
        request.message["schema"] = request.put(schema)
        self._write("index", request, timeout)
        return DONE
