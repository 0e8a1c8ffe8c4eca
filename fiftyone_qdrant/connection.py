"""Where Qdrant is, how to get there, and the words for when it is not there.

One :class:`Connection` names one engine at one place. Where it comes from, first
match wins: keyword arguments, environment variables (or plugin secrets, which are
environment variables), the brain config, what the run was made with, and for a new
index a Qdrant on ``localhost:6333`` or else the embedded store beside FiftyOne's
own database. Clients are shared by all indexes of a process.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from .errors import (
    AuthenticationFailed,
    CollectionExists,
    CollectionNotFound,
    ConfigError,
    ConnectionFailed,
    EngineError,
    QdrantPluginError,
)

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from .embedded import EmbeddedClient

    Client = QdrantClient | EmbeddedClient

logger = logging.getLogger(__name__)

EMBEDDED = "embedded"
SERVER = "server"

# The keywords that say where Qdrant is. None of them but `path` is ever stored.
KEYWORDS = ("url", "api_key", "grpc_port", "prefer_grpc", "path", "timeout")
ENVIRONMENT = {
    name: f"FIFTYONE_BRAIN_SIMILARITY_QDRANT_{name.upper()}" for name in KEYWORDS
}
LOCAL_SERVER = "http://localhost:6333"
DEFAULT_GRPC_PORT = 6334
DEFAULT_TIMEOUT = 60

_clients: dict[Connection, Client] = {}
_clients_lock = threading.Lock()


def _forget_clients() -> None:
    """Connections do not survive a fork: the child starts with none."""
    global _clients_lock
    _clients.clear()
    _clients_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_clients)


@dataclass(frozen=True)
class Connection:
    """One engine at one place.

    Attributes:
        engine: ``"embedded"`` or ``"server"``
        url: the server's URL
        path: absolute directory of the embedded store
        api_key: never shown, never stored
        grpc_port: the server's gRPC port
        prefer_grpc: whether to use gRPC where possible
        timeout: seconds a call may take
    """

    engine: str
    url: str | None = field(default=None, repr=False)  # may hold a password
    path: str | None = None
    api_key: str | None = field(default=None, repr=False)
    grpc_port: int = DEFAULT_GRPC_PORT
    prefer_grpc: bool = False
    timeout: int = DEFAULT_TIMEOUT

    @property
    def location(self) -> str:
        """Where the engine is, fit to be shown: no key, no password."""
        if self.engine == EMBEDDED:
            return str(self.path)

        parts = urlsplit(str(self.url))
        netloc = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def default_path() -> str:
    """Returns the directory of the embedded store that is used by default."""
    import fiftyone.constants as foc

    return os.path.join(foc.FIFTYONE_CONFIG_DIR, "var", "lib", "qdrant")


def resolve(
    keywords: Mapping[str, Any],
    engine: str | None = None,
    path: str | None = None,
) -> Connection:
    """Decides where an index is.

    Args:
        keywords: the values of :data:`KEYWORDS` that the caller gave; ``None``
            and values that are merely those of the brain config do not count as
            given
        engine: the engine the run was made with, or ``None`` for a new index
        path: the embedded store the run was made in, if any

    Raises:
        ConfigError: if a value is wrong, or contradicts the run
    """
    backend = _brain_config()
    explicit = {
        k: v for k, v in keywords.items() if v is not None and v != backend.get(k)
    }
    sources = (explicit, _environment(), backend)

    def first(name: str) -> Any:
        return next((s[name] for s in sources if s.get(name) is not None), None)

    place = _place(sources, engine, path)
    timeout = _positive("timeout", first("timeout"), DEFAULT_TIMEOUT)
    if place[0] == EMBEDDED:
        return Connection(EMBEDDED, path=_directory(place[1]), timeout=timeout)

    prefer_grpc = first("prefer_grpc")
    if prefer_grpc not in (None, True, False):
        raise ConfigError(f"prefer_grpc must be true or false, not {prefer_grpc!r}")

    api_key = first("api_key")
    return Connection(
        SERVER,
        url=normalize_url(place[1]),
        api_key=None if api_key is None else str(api_key),
        grpc_port=_positive("grpc_port", first("grpc_port"), DEFAULT_GRPC_PORT),
        prefer_grpc=bool(prefer_grpc),
        timeout=timeout,
    )


def _place(
    sources: tuple[Mapping[str, Any], ...], engine: str | None, path: str | None
) -> tuple[str, str]:
    explicit = sources[0]
    if explicit.get("url") and explicit.get("path"):
        raise ConfigError("Give a url (server) or a path (embedded store), not both")

    if engine == EMBEDDED:
        if explicit.get("url"):
            raise ConfigError(
                f"This index was made in the embedded store at {path}, not on a "
                "server, so it cannot be opened with a url"
            )

        return EMBEDDED, explicit.get("path") or str(path)

    if engine == SERVER and explicit.get("path"):
        raise ConfigError(
            "This index was made on a Qdrant server, so it cannot be opened with "
            "the path of an embedded store. Give the server's url"
        )

    for source in sources:
        if source.get("url"):
            return SERVER, source["url"]

        if source.get("path") and engine != SERVER:
            return EMBEDDED, source["path"]

    if engine == SERVER or _is_qdrant(LOCAL_SERVER):
        return SERVER, LOCAL_SERVER

    return EMBEDDED, default_path()


def _brain_config() -> dict[str, Any]:
    import fiftyone.brain as fob

    return fob.brain_config.similarity_backends.get("qdrant") or {}


def _environment() -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, variable in ENVIRONMENT.items():
        text = os.environ.get(variable)
        if not text:
            continue

        if name in ("grpc_port", "timeout") and text.isdigit():
            values[name] = int(text)
        elif name == "prefer_grpc" and text.lower() in ("true", "false"):
            values[name] = text.lower() == "true"
        else:
            values[name] = text

    return values


def _positive(name: str, value: Any, default: int) -> int:
    if value is None:
        return default

    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise ConfigError(f"{name} must be a positive number, not {value!r}")

    return int(value)


def _directory(path: Any) -> str:
    return os.path.realpath(os.path.expanduser(str(path)))


def normalize_url(url: Any) -> str:
    """Returns a URL with a scheme: people write ``localhost:6333``, too.

    Raises:
        ConfigError: if it is no http(s) URL
    """
    text = str(url).strip()
    if "://" not in text:
        text = f"http://{text}"

    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            f"'{parts.scheme}://{parts.netloc.rpartition('@')[2]}' is no URL of a "
            "Qdrant server. Write it like http://localhost:6333"
        )

    return text.rstrip("/")


def _is_qdrant(url: str) -> bool:
    """Whether a Qdrant server answers there, decided within half a second."""
    try:
        with urllib.request.urlopen(url, timeout=0.5) as response:  # noqa: S310
            return "qdrant" in str(json.load(response).get("title", ""))
    except (OSError, ValueError, AttributeError):
        return False


def connect(connection: Connection) -> Client:
    """Returns this process's client for a place, made on first use.

    Raises:
        ConnectionFailed: if it cannot be reached, refuses the key, or the embedded
            store cannot be opened
    """
    client = _clients.get(connection)
    if client is None:
        opened = _open(connection)  # not under the lock: a server may be slow
        with _clients_lock:
            client = _clients.setdefault(connection, opened)

    return client


def _open(connection: Connection) -> Client:
    if connection.engine == EMBEDDED:
        from .embedded import EmbeddedClient

        return EmbeddedClient(str(connection.path), timeout=connection.timeout)

    return _open_server(connection)


def _open_server(connection: Connection) -> QdrantClient:
    from qdrant_client import QdrantClient

    with translated(connection.location):
        client = QdrantClient(
            url=connection.url,
            api_key=connection.api_key,
            grpc_port=connection.grpc_port,
            prefer_grpc=connection.prefer_grpc,
            timeout=connection.timeout,
            check_compatibility=False,
        )
        client.get_collections()  # constructing does not connect
        return client


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
