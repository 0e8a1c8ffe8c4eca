"""The errors of qdrant-client in our words: what happened, and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .connection import ENVIRONMENT
from .errors import (
    AuthenticationFailed,
    CollectionExists,
    CollectionNotFound,
    ConnectionFailed,
    EngineError,
    QdrantPluginError,
)


@contextmanager
def translated(location: str, collection: str | None = None) -> Iterator[None]:
    """Turns the errors of qdrant-client into ours, the cause chained.

    Args:
        location: where the server is, for the message
        collection: the collection the call is about, if any
    """
    try:
        yield
    except QdrantPluginError:
        raise
    except Exception as e:
        error = _translate(e, location, collection)
        if error is None:
            raise

        raise error from e


def _translate(
    e: Exception, location: str, collection: str | None
) -> QdrantPluginError | None:
    from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
    from qdrant_client.http.exceptions import (
        ResponseHandlingException,
        UnexpectedResponse,
    )

    if isinstance(e, UnexpectedResponse):
        return _from_status(e.status_code or 0, _detail(e), location, collection)

    if isinstance(e, ResponseHandlingException):
        return ConnectionFailed(
            f"Qdrant at {location} does not answer ({_reason(e.source)}). Is the "
            "server running and the url right?"
        )

    if isinstance(e, ResourceExhaustedResponse):
        return ConnectionFailed(
            f"Qdrant at {location} is busy and asks to wait {e.retry_after_s} s"
        )

    if isinstance(e, ValueError) and str(e) == f"Collection {collection} not found":
        return _from_status(404, "", location, collection)  # its in-memory mode

    grpc_code = getattr(e, "code", None)
    if callable(grpc_code) and hasattr(e, "details"):
        status = _GRPC_STATUS.get(getattr(grpc_code(), "name", ""), 500)
        return _from_status(status, str(e.details()), location, collection)

    return None


_GRPC_STATUS = {
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "INVALID_ARGUMENT": 400,
    "RESOURCE_EXHAUSTED": 429,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def _from_status(
    status: int, detail: str, location: str, collection: str | None
) -> QdrantPluginError:
    if status in (401, 403):
        return AuthenticationFailed(
            f"Qdrant at {location} refused the API key. Set "
            f"{ENVIRONMENT['api_key']} to a key that may do this"
        )

    if status == 404 and collection:
        return CollectionNotFound(
            f"Collection '{collection}' does not exist at {location}"
        )

    if status == 409 and collection:
        return CollectionExists(
            f"Collection '{collection}' exists already at {location}"
        )

    if status in (502, 503, 504):
        return ConnectionFailed(
            f"Qdrant at {location} does not answer (status {status}). Is the server "
            "running and the url right?"
        )

    return EngineError(f"Qdrant at {location} failed with status {status}: {detail}")


def _detail(e: Any) -> str:
    try:
        return str(json.loads(e.content)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return str(e.reason_phrase or "no reason given")


def _reason(source: object) -> str:
    return str(source) or type(source).__name__
