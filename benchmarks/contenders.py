"""The backends that are compared, each through FiftyOne's public calls."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from tests import isolation

BRAIN_KEY = "bench"

_LANCEDB = ".venv-lancedb"


class Contender:
    """A similarity backend of FiftyOne.

    Args:
        folder: where it may keep files
    """

    name = ""
    at_most = 10_000_000  # points
    how_to = ""  # what makes the environment that it needs
    phases: tuple[str, ...] = ("build", "ask", "change")

    @classmethod
    def python(cls) -> Path | None:
        """Returns the interpreter that it runs in, or ``None`` if that is not there."""
        return Path(sys.executable)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self) -> None:
        """Imports what it needs; that is not counted."""
        import fiftyone.brain  # noqa: F401

    def build(self, dataset: Any, vectors: Any) -> Any:
        """Makes an index of given vectors."""
        import fiftyone.brain as fob

        return fob.compute_similarity(
            dataset, embeddings=vectors, brain_key=BRAIN_KEY, **self.keywords()
        )

    def keywords(self) -> dict[str, Any]:
        """Returns its arguments of ``compute_similarity()``."""
        return {"backend": self.name, "metric": "cosine"}

    def rest(self) -> None:
        """Ends what it keeps running, so that opening it starts from nothing."""

    def remove(self, dataset: Any) -> None:
        """Deletes the index."""
        dataset.load_brain_results(BRAIN_KEY).cleanup()
        dataset.delete_brain_run(BRAIN_KEY)


class Ours(Contender):
    """This package's embedded engine, which searches exactly up to 200,000 points."""

    name = "qdrant"
    at_most = 200_000
    phases = ("build", "ask", "change", "batch", "duplicates")

    def load(self) -> None:
        super().load()
        import qdrant_client

        import fiftyone_qdrant  # noqa: F401

        del qdrant_client

    def keywords(self) -> dict[str, Any]:
        return {**super().keywords(), "path": str(self.folder / "store")}

    def rest(self) -> None:
        from fiftyone_qdrant.embedded.client import launcher

        launcher.stop(str(self.folder / "store"))


class OursWithHnsw(Ours):
    """The same with an HNSW graph of all vectors."""

    at_most = Contender.at_most
    phases = ("build", "ask", "change", "batch")

    def build(self, dataset: Any, vectors: Any) -> Any:
        from qdrant_client import models

        index = super().build(dataset, vectors)
        name = index.config.collection_name
        graph = models.OptimizersConfigDiff(indexing_threshold=1)
        index.client.update_collection(name, optimizers_config=graph)
        index.client.flush(name)
        while index.client.get_collection(name).indexed_vectors_count < len(vectors):
            time.sleep(0.2)

        return index


class Sklearn(Contender):
    """FiftyOne's default backend."""

    name = "sklearn"
    at_most = 100_000
    phases = ("build", "ask", "duplicates")  # it adds in memory alone


class LanceDB(Contender):
    """FiftyOne's LanceDB backend, in an environment of its own."""

    name = "lancedb"
    phases = ("build", "ask", "change", "remove")
    how_to = (
        f"python3 -m venv {_LANCEDB} && {_LANCEDB}/bin/pip install "
        "fiftyone=={fiftyone} 'fiftyone-brain>=0.27' lancedb"
    )

    @classmethod
    def python(cls) -> Path | None:
        found = isolation.REPO / _LANCEDB / "bin" / "python"
        return found if found.exists() else None

    def load(self) -> None:
        super().load()
        import lancedb  # noqa: F401

    def keywords(self) -> dict[str, Any]:
        return {**super().keywords(), "uri": str(self.folder / "lancedb")}


class Builtin(Contender):
    """FiftyOne's own Qdrant backend, with the last client it works with.

    With ``QDRANT_URL`` on that server; otherwise in the client's local mode, which is
    Qdrant's stand-in for a server, in Python.
    """

    name = "qdrant"
    at_most = 50_000  # its local mode takes minutes beyond
    phases = ("build", "ask")

    def load(self) -> None:
        super().load()
        import qdrant_client

        if "QDRANT_URL" not in os.environ:
            local = qdrant_client.QdrantClient
            path = str(self.folder / "builtin")
            qdrant_client.QdrantClient = lambda **_: local(path=path)

    def keywords(self) -> dict[str, Any]:
        return {**super().keywords(), "url": os.environ.get("QDRANT_URL", "local")}


CONTENDERS: dict[str, type[Contender]] = {
    "ours": Ours,
    "ours + HNSW": OursWithHnsw,
    "sklearn": Sklearn,
    "lancedb": LanceDB,
    "built-in qdrant": Builtin,
}
