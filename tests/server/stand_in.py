"""A Qdrant server made of stdlib HTTP and qdrant-client's in-memory mode.

It speaks as much of Qdrant's REST API as the library uses, over a real socket, and
misbehaves on command. Its answers' shapes are those of Qdrant 1.19, its refusals those
that Qdrant 1.18.3 gave. As there, equal scores come in another order each time.
As a program (``python -m tests.server.stand_in PORT``) it behaves well, for the
contract suite: ``QDRANT_URL=http://localhost:PORT make test``.
"""

from __future__ import annotations

import json
import random
import re
import socket
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import groupby
from typing import Any
from urllib.parse import parse_qs

from qdrant_client import QdrantClient, models

from tests.server.misbehaviour import Fault
from tests.server.replicas import GONE, Replicas
from tests.server.strict_mode import Refused, StrictMode

WRITES = ("PUT", "PATCH", "DELETE", "/points/delete")
DEFAULTS = {
    "params": {"shard_number": 1, "replication_factor": 1}
    | {"write_consistency_factor": 1, "on_disk_payload": True},
    "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000}
    | {"max_indexing_threads": 0, "on_disk": False},
    "optimizer_config": {"deleted_threshold": 0.2, "vacuum_min_vector_number": 1000}
    | {"default_segment_number": 0, "indexing_threshold": 10000}
    | {"flush_interval_sec": 5},
    "wal_config": {"wal_capacity_mb": 32, "wal_segments_ahead": 0},
    "quantization_config": None,
}


class StandIn:
    """The server. Use as a context manager; it ends with all its threads.

    Attributes:
        faults: the first that takes a request decides
        api_key: wanted in each request, if not ``None``
        read_only_key: may read, but not write
        max_bytes: longer requests are answered with 400, as Qdrant does
        strict: the strict mode of each collection, as it may be set, by name; that of
            "" is for all that have none of their own
        version: what it says it is
        prefix: the path before all paths, as behind a proxy
        reported: sections of the collections' config that are reported otherwise
        requests: ``"METHOD /path"`` of all requests
        sizes: the length of the body of each
        secrets: the API key and the authorization that each brought
    """

    def __init__(self, host="127.0.0.1", version="1.19.2", prefix="", tls=None):
        self.host, self.version, self.prefix, self.tls = host, version, prefix, tls
        self.faults: list[Fault] = []
        self.api_key = self.read_only_key = None
        self.max_bytes = 32 * 2**20
        self.strict: dict[str, dict[str, Any]] = {}
        self.strict_mode = StrictMode()
        self.reported: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.sizes: list[int] = []
        self.secrets: list[tuple[str | None, str | None]] = []
        self.sink = False  # acknowledge writes without doing them
        self.peers = 0  # of the cluster; 0 is a server without one
        self.client = QdrantClient(":memory:")
        self.replicas = Replicas(self.client)
        self.lock = threading.RLock()
        self.dice = random.Random(18)
        self.stopping = threading.Event()
        self._made: dict[str, dict[str, Any]] = {}
        self._indexes: dict[str, dict[str, Any]] = {}
        self._sockets: set[socket.socket] = set()
        self._server: ThreadingHTTPServer | None = None
        self.port = 0

    @property
    def url(self) -> str:
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{self.host}:{self.port}{self.prefix}"

    def __enter__(self) -> StandIn:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, on the same port as before if there was one."""
        self.stopping.clear()
        handler = type("Handler", (_Handler,), {"stand_in": self})
        self._server = ThreadingHTTPServer((self.host, self.port), handler)
        self._server.daemon_threads = False
        self._server.block_on_close = True
        if self.tls:
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and cut all connections, as a killed server does."""
        if self._server is None:
            return
        self.stopping.set()
        self._server.shutdown()
        for open_socket in list(self._sockets):
            _cut(open_socket)
        self._server.server_close()
        self._thread.join()
        self._server = None

    def restart(self) -> None:
        """End and come back with what was acknowledged."""
        self.stop()
        self.start()

    def count(self, collection: str) -> int:
        """Points it really holds."""
        return self.client.count(collection).count

    def names(self) -> list[str]:
        """Collections it really holds."""
        return sorted(c.name for c in self.client.get_collections().collections)

    # --- what Qdrant does -------------------------------------------------------

    def answer(
        self, method: str, path: str, body: Any, query: Any = None
    ) -> tuple[int, Any]:
        parts = [p for p in path.split("/") if p]
        if not parts:
            return 200, {"title": "qdrant - vector search engine"} | {
                "version": self.version
            }
        if parts[0] == "cluster":
            return 200, _result(self._cluster())
        if parts[0] != "collections":
            return 404, b""
        if len(parts) == 1:
            return 200, _result(self.client.get_collections().model_dump())
        name, rest = parts[1], "/".join(parts[2:])
        if rest == "exists":
            return 200, _result({"exists": name in self.names()})
        if (method, rest) == ("PUT", ""):
            return self._create(name, body)
        if (method, rest) == ("DELETE", ""):
            return 200, _result(self.replicas.drop(name))
        if name not in self.names():
            return 404, _error(f"Not found: Collection `{name}` doesn't exist!")
        self._check_limits(name, f"{method} {rest}", body, query or {})
        if (method, rest) == ("PATCH", ""):
            return self._change(name, body)
        if rest == "":
            return 200, _result(self._info(name))
        if rest == "cluster":
            return 200, _result(self._shards(name))
        if (method, rest) == ("PUT", "index"):
            self._indexes[name][body["field_name"]] = {
                "data_type": body["field_schema"],
                "points": 0,
            }
            return 200, _result({"operation_id": 0, "status": "completed"})
        return self._points(name, f"{method} {rest}", body, query or {})

    def _check_limits(self, name: str, what: str, body: Any, query: Any) -> None:
        config = self._strict_mode_of(name)
        if config and what.partition(" ")[2]:
            info = self.client.get_collection(name)
            vectors = info.config.params.vectors
            stats = {
                "points": info.points_count,
                "size": getattr(vectors, "size", 0),
                "indexed": self._indexes.get(name, {}),
            }
            self.strict_mode.check(config, what, body, query, stats)

    def _strict_mode_of(self, name: str) -> dict[str, Any] | None:
        own = (self._made.get(name) or {}).get("strict_mode_config")
        return self.strict.get(name) or own or self.strict.get("")

    def _create(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        if name in self.names():
            return 409, _error(f"Wrong input: Collection `{name}` already exists!")
        vectors = body["vectors"]
        if "size" in vectors:
            vectors = models.VectorParams(**vectors)
        else:
            vectors = {n: models.VectorParams(**v) for n, v in vectors.items()}
        self.replicas.create(name, vectors)
        self._made[name], self._indexes[name] = body, {}
        return 200, _result(True)

    def _change(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        made = self._made[name]
        for section in (
            "hnsw_config",
            "optimizers_config",
            "metadata",
            "strict_mode_config",
        ):
            made[section] = (made.get(section) or {}) | (body.get(section) or {})
        vectors = made["vectors"]
        for key, diff in (body.get("vectors") or {}).items():
            (vectors[key] if key else vectors).update(diff)
        quantization = body.get("quantization_config")
        if quantization is not None:
            off = quantization == "Disabled"
            made["quantization_config"] = None if off else quantization
        return 200, _result(True)

    def _info(self, name: str) -> dict[str, Any]:
        info = self.client.get_collection(name).model_dump(mode="json")
        made = self._made.get(name, {})
        config = {section: dict(v or {}) for section, v in DEFAULTS.items()}
        config["params"] |= {k: v for k, v in made.items() if k in config["params"]}
        config["params"]["vectors"] = made.get(
            "vectors", info["config"]["params"]["vectors"]
        )
        config["hnsw_config"] |= made.get("hnsw_config") or {}
        config["optimizer_config"] |= made.get("optimizers_config") or {}
        config["wal_config"] |= made.get("wal_config") or {}
        config["quantization_config"] = made.get("quantization_config")
        for section, values in self.reported.items():
            config[section] = values and {**(config[section] or {}), **values}
        config["metadata"] = made.get("metadata")
        config["strict_mode_config"] = self._strict_mode_of(name)
        return info | {"config": config, "payload_schema": self._indexes.get(name, {})}

    def _points(self, name: str, what: str, body: Any, query: Any) -> tuple[int, Any]:
        replicas = self.replicas
        consistency = (self._made.get(name) or {}).get("write_consistency_factor") or 1
        if what == "PUT points":
            if not self.sink:
                points = _to_points(body)
                replicas.write(lambda c: c.upsert(name, points), consistency)
        elif what == "POST points/delete":
            gone = models.Filter(**body["filter"]) if "filter" in body else None
            replicas.write(
                lambda c: c.delete(name, gone or body["points"]), consistency
            )
        elif what == "POST points":
            payload, vector = body.get("with_payload"), body.get("with_vector")
            found = replicas.read(
                lambda c: c.retrieve(name, body["ids"], payload, vector),
                *query.get("consistency", ()),
            )
            return 200, _result([r.model_dump(mode="json") for r in found])
        elif what == "POST points/count":
            condition = _to_filter(body.get("filter"))
            count = replicas.read(lambda c: c.count(name, condition))
            return 200, _result({"count": count.count})
        elif what == "POST points/scroll":
            page, offset = replicas.read(
                lambda c: c.scroll(
                    name,
                    _to_filter(body.get("filter")),
                    limit=body.get("limit") or 10,
                    offset=body.get("offset"),
                    with_payload=body.get("with_payload"),
                    with_vectors=body.get("with_vector", False),
                )
            )
            page = [r.model_dump(mode="json") for r in page]
            return 200, _result({"points": page, "next_page_offset": offset})
        elif what == "POST points/query/batch":
            found = replicas.read(
                lambda c: [self._query(c, name, s) for s in body["searches"]]
            )
            return 200, _result(found)
        else:
            return 404, b""
        return 200, _result({"operation_id": 0, "status": "completed"})

    def _query(self, client: Any, name: str, search: Any) -> dict[str, Any]:
        """Answer one query, equal scores in any order."""
        request = models.QueryRequest(**search)
        limit, offset = request.limit or 10, request.offset or 0
        request.offset, request.limit = None, offset + limit + 20
        (found,) = client.query_batch_points(name, [request])
        hits = found.points
        if not isinstance(request.query, models.NearestQuery) or not request.query.mmr:
            runs = [list(run) for _, run in groupby(hits, key=lambda p: p.score)]
            for run in runs:
                self.dice.shuffle(run)
            hits = [p for run in runs for p in run]
        hits = hits[offset : offset + limit]
        return {"points": [p.model_dump(mode="json") for p in hits]}

    def _cluster(self) -> dict[str, Any]:
        if not self.peers:
            return {"status": "disabled"}
        peers = {str(n): {"uri": f"http://node-{n}:6335/"} for n in range(self.peers)}
        raft = {"term": 1, "commit": 1, "pending_operations": 0, "leader": 0}
        thread = {"consensus_thread_status": "working"}
        thread["last_update"] = "2026-01-01T00:00:00Z"
        raft |= {"role": "Leader", "is_voter": True}
        unsent = {}
        if self.replicas.down:
            when = thread["last_update"]
            unsent = {"http://node-1:6335/": {"count": 3, "latest_error": GONE}}
            unsent["http://node-1:6335/"]["latest_error_timestamp"] = when
        return {
            "status": "enabled",
            "peer_id": 0,
            "peers": peers,
            "raft_info": raft,
            "consensus_thread_status": thread,
            "message_send_failures": unsent,
        }

    def _shards(self, name: str) -> dict[str, Any]:
        config = self._made.get(name, {})
        shards = range(config.get("shard_number") or 1)
        return {
            "peer_id": 0,
            "shard_count": len(shards),
            "local_shards": [
                {"shard_id": n, "points_count": 0, "state": "Active"} for n in shards
            ],
            "remote_shards": self._remote(shards),
            "shard_transfers": [],
        }

    def _remote(self, shards: Any) -> list[dict[str, Any]]:
        if self.replicas.second is None:
            return []
        state = "Dead" if self.replicas.dead else "Active"
        return [{"shard_id": n, "peer_id": 1, "state": state} for n in shards]


class _Handler(BaseHTTPRequestHandler):
    stand_in: StandIn
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        self.stand_in._sockets.add(self.connection)

    def finish(self) -> None:
        self.stand_in._sockets.discard(self.connection)
        super().finish()

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ssl.SSLError):  # the client went, or we were stopped
            self.close_connection = True

    def _serve(self) -> None:
        us = self.stand_in
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, _, query = self.path.partition("?")
        request = f"{self.command} {path}"
        us.requests.append(request)
        us.sizes.append(len(body))
        headers = self.headers
        us.secrets.append((headers.get("api-key"), headers.get("authorization")))
        fault = next((f for f in us.faults if f.takes(request)), None)
        if fault is None:
            self._send(*self._answer(path, body, query))
            return
        if fault.applied:
            self._answer(path, body, query)
        if fault.then is not None:
            fault.then()
        if fault.stall:
            us.stopping.wait()
        if fault.stall or fault.drop:
            self.close_connection = True
            _cut(self.connection)
        elif fault.status == 200 and fault.body is None:
            self._send(*self._answer(path, body, query))
        else:
            content = _error(fault.error) if fault.body is None else fault.body
            self._send(fault.status, content, fault.headers)

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _serve

    def _answer(self, path: str, body: bytes, query: str) -> tuple[Any, ...]:
        us = self.stand_in
        if not path.startswith(us.prefix):
            return 404, b"<html>no such page</html>"
        path = path[len(us.prefix) :]
        key = self.headers.get("api-key")
        known = us.api_key is None or key in {us.api_key, us.read_only_key} - {None}
        if path.strip("/") and not known:
            return 401, b"Must provide an API key or an Authorization bearer token"
        writes = any(w in f"{self.command} {path}" for w in WRITES)
        if us.read_only_key and key == us.read_only_key and writes:
            return 403, _error("Forbidden: Global manage access is required")
        if len(body) > us.max_bytes:
            return 400, _error(
                f"JSON payload ({len(body)} bytes) is larger than allowed (limit: "
                f"{us.max_bytes} bytes)."
            )
        with us.lock:
            try:
                asked = json.loads(body or "null")
                return us.answer(self.command, path, asked, parse_qs(query))
            except Refused as e:
                return e.status, _error(e.words), e.headers
            except ValueError as e:
                gone = re.match(r"Point (\S+) is not found", str(e))
                if gone:
                    return 404, _error(f"Not found: No point with id {gone[1]} found")
                return 400, _error(f"Wrong input: {e}")

    def _send(self, status: int, content: Any, headers: Any = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _to_filter(condition: Any) -> models.Filter | None:
    return None if condition is None else models.Filter(**condition)


def _to_points(body: dict[str, Any]) -> list[models.PointStruct]:
    if "points" in body:
        return [models.PointStruct(**p) for p in body["points"]]
    batch = body["batch"]
    payloads = batch.get("payloads") or [None] * len(batch["ids"])
    return [
        models.PointStruct(id=i, vector=v, payload=p)
        for i, v, p in zip(batch["ids"], batch["vectors"], payloads, strict=True)
    ]


def _result(result: Any) -> dict[str, Any]:
    return {"result": result, "status": "ok", "time": 0.0001}


def _error(text: str | None) -> dict[str, Any]:
    return {"status": {"error": text or "no reason given"}, "time": 0.0001}


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


if __name__ == "__main__":
    stand_in = StandIn()
    stand_in.port = int(sys.argv[1])
    stand_in.start()
