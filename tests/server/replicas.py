"""Two copies of each collection, of which one can be killed: as Qdrant 1.18.3 has them.

A node that is killed in the middle of writes with ``write_consistency_factor=2`` is not
marked dead, and is not brought up to date: what failed is for the client to write
again. With a factor of 1 the node that missed a write is marked dead, and brought up to
date when it returns. Reads come from one copy or the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qdrant_client import QdrantClient, models

from tests.server.strict_mode import Refused

GONE = (
    'Tonic status error: status: Unavailable, message: "Failed to connect to '
    'http://node-1:6335/, error: tcp connect error"'
)
UNWRITTEN = (
    "Service internal error: 2 out of 3 shards failed to apply operation. First error "
    f"captured: Service internal error: {GONE}"
)
UNREAD = f"Service internal error: 1 of 1 read operations failed:\n  {GONE}"
TOO_FEW = (
    "Service internal error: The replica set for shard 0 on peer 0 does not have "
    "enough active replicas"
)


class Replicas:
    """The copies of a stand-in's collections.

    Attributes:
        down: whether the second copy is out of reach
        dead: whether the cluster knows that it is
        lost: whether the first is gone as well, and nothing can be read
    """

    def __init__(self, first: QdrantClient) -> None:
        self.first, self.second = first, None
        self.down = self.dead = self.lost = False
        self._turn = 0

    def two(self) -> QdrantClient:
        """Keep two copies from now on; returns the second."""
        self.second = QdrantClient(":memory:")
        return self.second

    def create(self, name: str, vectors: Any) -> None:
        for copy in self._all():
            copy.create_collection(name, vectors_config=vectors)

    def drop(self, name: str) -> bool:
        done = [copy.delete_collection(name) for copy in self._all()]
        return all(done)

    def write(self, change: Callable[[QdrantClient], Any], consistency: int) -> None:
        if self.lost:
            raise Refused(500, UNWRITTEN)
        change(self.first)
        if self.second is None:
            return
        if not self.down:
            change(self.second)
        elif consistency > 1:
            raise Refused(500, UNWRITTEN)
        else:
            self.dead = True

    def read(self, ask: Callable[[QdrantClient], Any], consistency: str = "") -> Any:
        if self.lost:
            raise Refused(500, UNREAD)
        if self.second is None:
            return ask(self.first)
        if consistency != "all":
            self._turn += 1
            return ask(self.first if self.down or self._turn % 2 else self.second)
        if self.down:
            raise Refused(500, TOO_FEW if self.dead else UNREAD)
        theirs = {r.id: r for r in ask(self.second)}
        return [r for r in ask(self.first) if theirs.get(r.id) == r]

    def come_back(self) -> None:
        """The second copy returns; it is brought up to date if it was marked dead."""
        self.down = False
        if self.dead:
            self.dead = False
            for name in [c.name for c in self.first.get_collections().collections]:
                self._copy(name)

    def _copy(self, name: str) -> None:
        page, _ = self.first.scroll(name, limit=10_000, with_vectors=True)
        points = [
            models.PointStruct(id=r.id, vector=r.vector, payload=r.payload)
            for r in page
        ]
        self.second.upsert(name, points)

    def _all(self) -> list[QdrantClient]:
        return [c for c in (self.first, self.second) if c is not None]
