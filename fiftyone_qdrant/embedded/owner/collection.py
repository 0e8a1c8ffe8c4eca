"""One collection of an embedded store, inside the owner process."""

from __future__ import annotations

import json
import os
import struct
import threading
from dataclasses import asdict
from typing import Any

import qdrant_edge as qe

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import protocol, sidecar
from fiftyone_qdrant.embedded.files import tree_size, write_json
from fiftyone_qdrant.embedded.owner import settings
from fiftyone_qdrant.embedded.owner.engine import damaged, engine_call
from fiftyone_qdrant.embedded.owner.live_shard import LiveShard
from fiftyone_qdrant.embedded.owner.mapping import Buffers, made, to_ids
from fiftyone_qdrant.embedded.owner.queries import Planned, Planner
from fiftyone_qdrant.embedded.owner.settings import Segments

SHARD = "shard"

# The engine never releases the GIL: these bound how long one call may hold it
_POINTS_PER_UPDATE = 512
_BYTES_PER_UPDATE = 256 << 10  # 3 ms; readers wait for several such calls
_QUERIES_PER_CALL = 16

Reply = tuple[protocol.Message, list[protocol.Buffer]]


class Collection:
    """A collection: its directory, its settings and its shard.

    Args:
        directory: the collection's directory
        config: the content of its sidecar file
    """

    def __init__(self, directory: str, config: dict[str, Any]) -> None:
        self.directory = directory
        self.config = config
        self.name: str = config["name"]
        shard_dir = os.path.join(directory, SHARD)
        self.live = LiveShard(self.name, shard_dir, config["vectors"])
        self.building: dict[str, Any] | None = None  # phase, and since when
        self.build_error: str | None = None
        self._saving = threading.Lock()

    @staticmethod
    def build(directory: str, config: dict[str, Any]) -> None:
        """Makes a new collection in an empty directory, closed and on disk."""
        with engine_call(config["name"]):
            shard_dir = os.path.join(directory, SHARD)
            os.mkdir(shard_dir, 0o700)
            shard = qe.EdgeShard.create(
                shard_dir, settings.edge_config(config, indexed=False)
            )
            shard.close()

        write_json(os.path.join(directory, sidecar.SIDECAR), config)

    # -- settings -------------------------------------------------------------

    def describe(self) -> dict[str, Any]:
        """Returns what a writer must know: vector size and distance."""
        return dict(self.config["vectors"])

    def info(self) -> dict[str, Any]:
        """Returns settings and counts."""
        with self.live.use() as shard:
            found = shard.info()
            schema = {
                field: {
                    "data_type": str(index.data_type).rpartition(".")[2].lower(),
                    "points": index.points,
                }
                for field, index in found.payload_schema.items()
            }

        return {
            "config": self.config,
            "hnsw_config": settings.hnsw(self.config),
            "indexing_threshold": settings.indexing_threshold(self.config),
            "points_count": found.points_count,
            "indexed_vectors_count": found.indexed_vectors_count,
            "segments_count": found.segments_count,
            "payload_schema": schema,
            "status": "yellow" if self.building else "green",
            "building": self.building,
            "build_error": self.build_error,
        }

    def disk_usage(self) -> int:
        """Returns how many bytes of the disk the collection takes."""
        return tree_size(self.directory)

    def counts(self) -> dict[str, int]:
        """Returns how many points there are, and how many of them are indexed."""
        with self.live.use() as shard:
            found = shard.info()

        return {
            "points_count": found.points_count,
            "indexed_vectors_count": found.indexed_vectors_count,
        }

    def update_settings(self, changes: dict[str, Any]) -> None:
        """Merges changes into the settings, and saves them.

        Raises:
            ConfigError: if they cannot be a collection's
        """
        with self._saving:
            config = {"built": asdict(Segments.plain(self.config)), **self.config}
            for name, value in changes.items():
                whole = name == "quantization_config" or not isinstance(value, dict)
                config[name] = value if whole else {**(config.get(name) or {}), **value}

            try:
                sidecar.check(config)
                if config["name"] != self.name:
                    raise ValueError("its name cannot be changed")
            except ValueError as e:
                raise errors.ConfigError(f"collection '{self.name}': {e}") from e

            self._save(config)

    def built(self, segments: Segments) -> None:
        """Notes what the index was built with, and that none is due."""
        with self._saving:
            self._save({**self.config, "built": asdict(segments), "index_due": False})

    def index_is_due(self, due: bool) -> None:
        """Notes whether an index is to be built, for an owner that comes after."""
        with self._saving:
            self._save({**self.config, "index_due": due})

    def _save(self, config: dict[str, Any]) -> None:
        write_json(os.path.join(self.directory, sidecar.SIDECAR), config)
        self.config = config

    # -- writing --------------------------------------------------------------

    def upsert(self, message: protocol.Message, buffers: Buffers) -> None:
        """Writes points: ids, one float32 matrix, and payloads or None."""
        size = self.config["vectors"]["size"]
        if message["dim"] != size:
            raise errors.VectorError(
                f"collection '{self.name}' takes vectors of size {size}, "
                f"not {message['dim']}"
            )

        ids = to_ids(message["ids"], buffers)
        numbers = buffers[message["vectors"]].cast("f")
        where = message.get("payloads")
        payloads = None if where is None else json.loads(bytes(buffers[where]))
        if len(numbers) != len(ids) * size or (payloads and len(payloads) != len(ids)):
            raise errors.VectorError("ids, vectors and payloads differ in number")

        point = qe.Point
        step = max(1, min(_POINTS_PER_UPDATE, _BYTES_PER_UPDATE // (4 * size)))
        for start in range(0, len(ids), step):
            stop = min(start + step, len(ids))
            with engine_call(self.name):
                points = [
                    point(
                        ids[i],
                        numbers[i * size : (i + 1) * size],  # type: ignore[arg-type]
                        payloads[i] if payloads else None,
                    )
                    for i in range(start, stop)
                ]
                operation = qe.UpdateOperation.upsert_points(points)

            self.live.write(operation, (stop - start) * (size * 4 + 256))

    def delete(self, message: protocol.Message, buffers: Buffers) -> None:
        """Deletes points by ids or by a filter."""
        self._on_points("delete_points", message, buffers)

    def set_payload(self, message: protocol.Message, buffers: Buffers) -> None:
        """Sets payload fields of points, by ids or by a filter."""
        fields = message["payload"], message["key"]
        self._on_points("set_payload", message, buffers, *fields)

    def _on_points(
        self, how: str, message: protocol.Message, buffers: Buffers, *args: Any
    ) -> None:
        with engine_call(self.name):
            if "ids" in message:
                who = to_ids(message["ids"], buffers)
            else:
                who, how = made(message["filter"], buffers), f"{how}_by_filter"

            operation = getattr(qe.UpdateOperation, how)(who, *args)

        self.live.write(operation)

    def create_payload_index(self, message: protocol.Message, buffers: Buffers) -> None:
        """Indexes a payload field."""
        with engine_call(self.name):
            schema = made(message["schema"], buffers)
            operation = qe.UpdateOperation.create_field_index(message["field"], schema)

        self.live.write(operation)

    def flush(self) -> None:
        """Makes all acknowledged writes survive a power failure."""
        self.live.flush()

    # -- reading --------------------------------------------------------------

    def retrieve(self, message: protocol.Message, buffers: Buffers) -> Reply:
        """Returns the points of the given ids, in the order asked for."""
        ids = to_ids(message["ids"], buffers)
        payload, vectors = message["with_payload"], message["with_vectors"]
        with self.live.use() as shard:
            found = shard.retrieve(ids, made(payload, buffers), vectors)

        return self._points(found, vectors=vectors, payload=payload)

    def scroll(self, message: protocol.Message, buffers: Buffers) -> Reply:
        """Returns one page of points, and the id the next one starts with."""
        offset, order = message.get("offset"), message.get("order_by")
        payload, vectors = message["with_payload"], message["with_vectors"]
        with self.live.use() as shard:
            request = qe.ScrollRequest(
                offset=to_ids(offset, buffers)[0] if offset else None,
                limit=message["limit"],
                filter=made(message["filter"], buffers),
                with_payload=made(payload, buffers),
                with_vector=vectors,
                order_by=made(order, buffers),
            )
            found, following = shard.scroll(request)

        reply, out = self._points(
            found, vectors=vectors, payload=payload, ordered=bool(order)
        )
        if following is not None:
            reply["next"] = following if isinstance(following, int) else str(following)

        return reply, out

    def count(self, message: protocol.Message, buffers: Buffers) -> Reply:
        """Counts points."""
        with self.live.use() as shard:
            among = made(message["filter"], buffers)
            found = shard.count(qe.CountRequest(message["exact"], among))

        return {"count": found}, []

    def facet(self, message: protocol.Message, buffers: Buffers) -> Reply:
        """Counts the values of an indexed payload field."""
        with self.live.use() as shard:
            among = made(message["filter"], buffers)
            parts = message["key"], message["limit"], message["exact"]
            found = shard.facet(qe.FacetRequest(*parts, among))
            return {"hits": [[hit.value, hit.count] for hit in found.hits]}, []

    def query(self, message: protocol.Message, buffers: Buffers) -> Reply:
        """Answers one or more queries, in order."""
        wires = message["queries"]
        results: list[dict[str, Any]] = []
        out: list[protocol.Buffer] = []
        for start in range(0, len(wires), _QUERIES_PER_CALL):
            part = wires[start : start + _QUERIES_PER_CALL]
            with self.live.use() as shard:
                planner = Planner(
                    lambda ids: self._stored(shard, ids),
                    buffers,
                    self.config["vectors"]["distance"],
                    quantized=self._is_quantized(),
                )
                plans = [planner.plan(wire) for wire in part]
                found = self._search(shard, plans)

            for wire, plan, hits in zip(part, plans, found, strict=True):
                if plan.drop:
                    hits = [hit for hit in hits if hit.id not in plan.drop]
                    hits = hits[plan.offset : plan.offset + plan.limit]

                reply, more = self._points(
                    hits,
                    vectors=bool(wire.get("with_vector")),
                    payload=wire.get("with_payload", False),
                    scored=True,
                    first=len(out),
                )
                results.append(reply)
                out.extend(more)

        return {"results": results}, out

    def _is_quantized(self) -> bool:
        return Segments.made(self.config).quantization_config is not None

    @staticmethod
    def _search(shard: Any, plans: list[Planned]) -> list[list[Any]]:
        if len(plans) == 1:
            return [shard.query(plans[0].request)]

        batch = qe.QueryBatchRequest([plan.request for plan in plans])
        found: list[list[Any]] = shard.query_batch(batch)
        return found

    @staticmethod
    def _stored(shard: Any, ids: list[Any]) -> dict[Any, Any]:
        return {r.id: r.vector for r in shard.retrieve(ids, False, True)}

    def _points(
        self,
        found: list[Any],
        *,
        vectors: bool,
        payload: Any,
        scored: bool = False,
        ordered: bool = False,
        first: int = 0,
    ) -> Reply:
        """Packs points for the wire, the numbers of the buffers from ``first`` on."""
        kind, packed = protocol.pack_ids([point.id for point in found])
        out: list[protocol.Buffer] = [packed]
        reply: protocol.Message = {"ids": [kind, first]}
        if payload not in (None, False):
            reply["payloads"] = [point.payload for point in found]

        if scored:
            reply["scores"] = first + len(out)
            out.append(struct.pack(f"<{len(found)}d", *[p.score for p in found]))

        if ordered:
            reply["order_values"] = [point.order_value for point in found]

        if vectors:
            size = self.config["vectors"]["size"]
            row = struct.Struct(f"<{size}f")
            matrix = bytearray(row.size * len(found))
            try:
                for i, point in enumerate(found):
                    row.pack_into(matrix, i * row.size, *point.vector)
            except (struct.error, TypeError) as e:
                what = f"point {point.id} has no vector of {size} numbers"
                raise damaged(self.name, what) from e

            reply["vectors"] = first + len(out)
            reply["dim"] = size
            out.append(matrix)

        return reply, out
