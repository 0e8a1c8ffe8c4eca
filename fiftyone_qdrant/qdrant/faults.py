"""The errors of qdrant-client in our words: what happened, and what to do.

Nothing of a request is repeated in them, as requests carry the API key. Errors that
may pass if the same call is made again say so in ``retry_after``.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fiftyone_qdrant.errors import (
    CollectionExists,
    CollectionNotFound,
    ConnectionFailed,
    EngineError,
    MissingIDs,
    QdrantPluginError,
)
from fiftyone_qdrant.qdrant.refusals import (
    from_words,
    refused_access,
    refused_key,
    too_large,
)

_ASK = "Is the server running and the url right?"
_LONGEST_DETAIL = 300

_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED|certificate verify failed"

# A server's words for a query by the id of a missing point, and the in-memory mode's
_NO_POINT = re.compile(r"No point with id|^Point \S+ is not found")

# What qdrant-client's in-memory mode says of a collection, as the status of a server
_IN_MEMORY = {"not found": 404, "already exists": 409}


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
    from qdrant_client.common.client_exceptions import (
        QdrantException,
        ResourceExhaustedResponse,
    )
    from qdrant_client.http.exceptions import (
        ResponseHandlingException,
        UnexpectedResponse,
    )

    if isinstance(e, UnexpectedResponse):
        return _from_response(e, location, collection)

    if isinstance(e, ResponseHandlingException):
        return _from_transport(e.source, location)

    if isinstance(e, ResourceExhaustedResponse):
        told = from_words(e.message, location, collection)
        return told or _busy(location, e.retry_after_s)

    if isinstance(e, QdrantException):  # a Retry-After that is a date
        return _busy(location)

    if isinstance(e, ValueError) and _NO_POINT.search(str(e)):  # in memory
        return _no_point(collection)

    in_memory = _IN_MEMORY.get(str(e).removeprefix(f"Collection {collection} "))
    if isinstance(e, ValueError) and in_memory is not None:
        return _from_status(in_memory, "", location, collection)

    if isinstance(e, (json.JSONDecodeError, UnicodeDecodeError)) or (
        isinstance(e, AssertionError) and "returned None" in str(e)
    ):
        return _not_qdrant(location)

    grpc_code = getattr(e, "code", None)
    if callable(grpc_code) and hasattr(e, "details"):
        name = getattr(grpc_code(), "name", "")
        return _from_grpc(name, str(e.details()), location, collection)

    return None


def _from_transport(source: Exception, location: str) -> QdrantPluginError:
    """An error that came instead of an answer."""
    import httpx

    causes = list(_causes(source))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return ConnectionFailed(
                f"The certificate of Qdrant at {location} is not trusted "
                f"({cause.verify_message}). Name a file with its authority's "
                "certificate in SSL_CERT_FILE, or use the host the certificate is for"
            )

        if isinstance(cause, ssl.SSLError):
            return ConnectionFailed(
                f"Qdrant at {location} does not answer over TLS. Write the url with "
                "http:// if the server has no TLS, or give the port that has"
            )

        if isinstance(cause, socket.gaierror):
            return _away(
                f"Qdrant at {location} does not answer: there is no host of that "
                "name. Is the url right?"
            )

    if isinstance(source, httpx.ConnectTimeout):
        return _away(
            f"Qdrant at {location} does not answer: no connection could be made. "
            "Are host and port right, and open to this machine?"
        )

    if isinstance(source, httpx.TimeoutException):
        return _too_slow(location)

    if isinstance(source, httpx.ConnectError):
        refused = any(isinstance(c, ConnectionRefusedError) for c in causes)
        why = "nothing listens there" if refused else "the network fails"
        return _passing(f"Qdrant at {location} does not answer: {why}. {_ASK}")

    if isinstance(source, httpx.NetworkError) or _is_cut(source):
        return _passing(
            f"Qdrant at {location} does not answer: it closed the connection. Do it "
            "again if the server was restarted; if it never answers, try https://"
        )

    if isinstance(source, httpx.ProtocolError):
        return ConnectionFailed(
            f"What answers at {location} does not speak HTTP. Give the port of the "
            "REST API (6333 unless changed), and https:// if the server has TLS"
        )

    return _not_qdrant(location)


def _is_cut(source: Exception) -> bool:
    import httpx

    return isinstance(source, httpx.RemoteProtocolError) and (
        "disconnected" in str(source) or "closed connection" in str(source)
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


_GRPC_STATUS = {
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "INVALID_ARGUMENT": 400,
    "RESOURCE_EXHAUSTED": 429,
    "DEADLINE_EXCEEDED": 408,
}


def _from_grpc(
    name: str, detail: str, location: str, collection: str | None
) -> QdrantPluginError:
    if name == "UNAVAILABLE":
        return _unavailable(detail, location)

    return _from_status(_GRPC_STATUS.get(name, 500), detail, location, collection)


def _unavailable(detail: str, location: str) -> ConnectionFailed:
    if re.search(_UNTRUSTED, detail):
        return ConnectionFailed(
            f"The certificate of Qdrant at {location} is not trusted over gRPC. Name a "
            "file with its authority's certificate in SSL_CERT_FILE, or use the host "
            "the certificate is for"
        )

    return _passing(
        f"Qdrant at {location} does not answer over gRPC. Is the server running, "
        "and grpc_port open? Without prefer_grpc only the url is needed"
    )


def _from_response(e: Any, location: str, collection: str | None) -> QdrantPluginError:
    """An answer that is no success."""
    status = e.status_code or 0
    detail = _detail(e)
    if 300 <= status < 400:
        return ConnectionFailed(
            f"What answers at {location} redirects (status {status}). Give the url "
            "it redirects to, which may differ in http:// or https:// only"
        )

    if status == 404 and detail is None:  # Qdrant itself says what was not found
        return _not_qdrant(location)

    if status == 401 and detail is None:  # of a key it speaks without JSON
        detail = (e.content or b"").decode(errors="replace")

    reason = detail or str(e.reason_phrase or "no reason given")
    return _from_status(status, reason, location, collection)


def _from_status(
    status: int, detail: str, location: str, collection: str | None
) -> QdrantPluginError:
    if status == 401:
        return refused_key(detail, location)

    if status == 403:
        return refused_access(detail, location, collection)

    if status == 404 and _NO_POINT.search(detail):
        return _no_point(collection)

    if status == 404 and collection:
        return CollectionNotFound(
            f"Collection '{collection}' does not exist at {location}"
        )

    if status == 409 and collection:
        return CollectionExists(
            f"Collection '{collection}' exists already at {location}"
        )

    told = from_words(detail, location, collection)
    if told is not None:
        return told

    if status == 408:
        return _too_slow(location)

    if status == 413:
        return too_large(location)

    if status == 429:
        return _busy(location)

    if status in (502, 503, 504):
        return _passing(
            f"Qdrant at {location} does not answer (status {status}). {_ASK}"
        )

    detail = detail if len(detail) < _LONGEST_DETAIL else detail[:_LONGEST_DETAIL] + "…"
    advice = ". The server's log may say more" if status >= 500 else ""
    return EngineError(
        f"Qdrant at {location} failed with status {status}: {detail}{advice}"
    )


def _passing(message: str, retry_after: float = 0) -> ConnectionFailed:
    error = _away(message)
    error.retry_after = retry_after
    return error


def _away(message: str) -> ConnectionFailed:
    """An error of a server that is not there, and that may come back."""
    error = ConnectionFailed(message)
    error.away = True
    return error


def _busy(location: str, seconds: float | None = None) -> ConnectionFailed:
    how_long = "later" if seconds is None else f"in {seconds:g} s"
    return _passing(
        f"Qdrant at {location} is busy (too many requests). Try again {how_long}",
        seconds or 0,
    )


def _no_point(collection: str | None) -> MissingIDs:
    return MissingIDs(f"Collection '{collection}' does not hold the point asked for")


def _too_slow(location: str) -> ConnectionFailed:
    return _away(
        f"Qdrant at {location} did not answer in time. It may be busy, or something "
        "between may block it: try again. timeout is the seconds a call may take"
    )


def _not_qdrant(location: str) -> ConnectionFailed:
    return ConnectionFailed(
        f"What answers at {location} does not answer like a Qdrant server. Is the "
        "url right, with its port and path?"
    )


def _detail(e: Any) -> str | None:
    """Qdrant's own words, or ``None`` if the answer is not Qdrant's."""
    try:
        return str(json.loads(e.content)["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return None
