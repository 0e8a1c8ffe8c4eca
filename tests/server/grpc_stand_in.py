"""A gRPC server that answers every call of Qdrant's API with one status."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from qdrant_client import grpc as messages

HEALTH = "/qdrant.Qdrant/HealthCheck"


class GrpcStandIn:
    """Use as a context manager.

    Attributes:
        code: name of the status that calls end with; ``OK`` acknowledges all
        details: the words that come with it
        metadata: trailing metadata, such as ``("retry-after", "1")``
        times: answer so many times with ``code``, then with ``OK``
        stall: never answer
        tls: the files of a key and a certificate, to speak TLS
        calls: the methods that were called
        messages: what they were called with, serialized
        patience: the seconds that each caller would still wait
    """

    def __init__(
        self, code="OK", details="", metadata=(), times=None, stall=False, tls=None
    ):
        self.code, self.details, self.metadata = code, details, metadata
        self.times, self.stall, self.tls = times, stall, tls
        self.calls: list[str] = []
        self.messages: list[bytes] = []
        self.patience: list[float] = []
        self._over = threading.Event()

    def __enter__(self) -> GrpcStandIn:
        unlimited = [("grpc.max_receive_message_length", -1)]
        self._threads = ThreadPoolExecutor(4)
        self._server = grpc.server(self._threads, (_Any(self),), options=unlimited)
        if self.tls is None:
            self.port = self._server.add_insecure_port("127.0.0.1:0")
        else:
            key, certificate = (file.read_bytes() for file in self.tls)
            credentials = grpc.ssl_server_credentials([(key, certificate)])
            self.port = self._server.add_secure_port("127.0.0.1:0", credentials)
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._server.stop(0).wait()
        self._threads.shutdown()

    def answer(
        self, method: str, message: bytes, context: grpc.ServicerContext
    ) -> bytes:
        self.calls.append(method)
        self.messages.append(message)
        self.patience.append(context.time_remaining())
        if self.stall:
            self._over.wait()
        if method != HEALTH and self.times != 0 and self.code != "OK":
            if self.times is not None:
                self.times -= 1
            context.set_trailing_metadata(self.metadata)
            context.abort(grpc.StatusCode[self.code], self.details)
        if method == HEALTH:
            reply = messages.HealthCheckReply(title="qdrant", version="1.19.2")
        elif method.endswith("/List"):
            reply = messages.ListCollectionsResponse()
        elif method.endswith("/Upsert"):
            done = messages.UpdateStatus.Completed
            reply = messages.PointsOperationResponse(
                result=messages.UpdateResult(operation_id=0, status=done)
            )
        else:
            reply = messages.CollectionOperationResponse(result=True)
        return reply.SerializeToString()


class _Any(grpc.GenericRpcHandler):
    def __init__(self, stand_in: GrpcStandIn) -> None:
        self._stand_in = stand_in

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        return grpc.unary_unary_rpc_method_handler(
            lambda message, context: self._stand_in.answer(
                details.method, message, context
            )
        )
