"""The Qdrant clients of this process: one for each place, shared by all indexes."""

from __future__ import annotations

import importlib.metadata
import logging
import math
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fiftyone_qdrant.embedded.client.launcher import is_store
from fiftyone_qdrant.errors import (
    AuthenticationFailed,
    ConfigError,
    ConnectionFailed,
    StoreUnavailable,
)
from fiftyone_qdrant.qdrant import urls
from fiftyone_qdrant.qdrant.configured import ENVIRONMENT, configured_path
from fiftyone_qdrant.qdrant.connection import Connection
from fiftyone_qdrant.qdrant.faults import translated

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

    from fiftyone_qdrant.embedded import EmbeddedClient

    Client = QdrantClient | EmbeddedClient

logger = logging.getLogger(__name__)

T = TypeVar("T")

OLDEST_SERVER = (1, 16)  # the first to keep metadata with a collection
_CONNECT_SECONDS = 5

_clients: dict[Connection, Client] = {}
_clients_lock = threading.Lock()
_answering: dict[Connection, int] = {}  # which of several addresses did last
_inherited: list[Client] = []


def _forget_clients() -> None:
    """Connections do not survive a fork: the child starts with none."""
    global _clients_lock
    _inherited.extend(_clients.values())  # closing them would disturb the parent
    _clients.clear()
    _clients_lock = threading.Lock()


os.register_at_fork(after_in_child=_forget_clients)


def connect(connection: Connection) -> Client:
    """Returns this process's client for a place, made on first use.

    Of several addresses, that of the first which answers.

    Raises:
        ConnectionFailed: if it cannot be reached, refuses the key, or the embedded
            store cannot be opened
    """
    check_there(connection)
    if not connection.others:
        return _connect(connection)

    return ask(connection, lambda client: client)


def ask(
    connection: Connection,
    question: Callable[[Client], T],
    collection: str | None = None,
) -> T:
    """Has a place's client do something; of several addresses, the next that answers.

    The one that answered is the first to be asked again.

    Args:
        connection: the place
        question: what to do; it may be done again at another address
        collection: the collection it is about, if any

    Raises:
        QdrantPluginError: whatever went wrong, in words, at the last address
    """
    addresses = connection.addresses
    first = _answering.get(connection, 0)
    for n in range(len(addresses)):
        at = (first + n) % len(addresses)
        try:
            with translated(addresses[at].location, collection):
                answer = question(_connect(addresses[at]))
        except ConnectionFailed as e:
            if not e.away or n == len(addresses) - 1:
                raise

            logger.info("%s. Asking the next address", str(e).rstrip("."))
        else:
            if n:
                _answering[connection] = at

            return answer

    raise AssertionError("a place has an address")


def _connect(connection: Connection) -> Client:
    client = _clients.get(connection)
    if client is None:
        opened = _open(connection)  # not under the lock: a server may be slow
        with _clients_lock:
            client = _clients.setdefault(connection, opened)

        if client is not opened:
            opened.close()

    return client


def begin_anew(connection: Connection) -> None:
    """Lets a new index make an embedded store where one was that is gone.

    The clients that knew it would not, as they cannot tell gone from moved.
    """
    path = connection.path
    if path is None or connection.existing or _has_store(path):
        return

    with _clients_lock:
        gone = [known for known in _clients if known.path == path]
        clients = [_clients.pop(known) for known in gone]

    for client in clients:
        client.close()


def check_there(connection: Connection) -> None:
    """Checks that the embedded store of a stored run is still at its place.

    Raises:
        StoreUnavailable: if it is not; nothing is made there
    """
    if not connection.existing or _has_store(str(connection.path)):
        return

    configured = configured_path()
    hint = "path='...'"
    if configured != connection.path and _has_store(configured):
        hint = f"path='{configured}'"

    raise StoreUnavailable(
        f"There is no embedded store at {connection.path}, where this index is. If it "
        "was moved, say once where it is now: dataset.load_brain_results(brain_key, "
        f"{hint}). If it is gone for good, dataset.delete_brain_run(brain_key) forgets "
        "the index"
    )


def _has_store(path: str) -> bool:
    try:
        return is_store(path)
    except StoreUnavailable:
        return False


def _open(connection: Connection) -> Client:
    if connection.path is not None:
        from fiftyone_qdrant.embedded import EmbeddedClient

        return EmbeddedClient(
            connection.path,
            timeout=connection.timeout,
            make=not connection.existing,
        )

    return _open_server(connection)


def _open_server(connection: Connection) -> QdrantClient:
    from qdrant_client import QdrantClient

    url, pace = urls.bare(str(connection.url)), _Pace(connection.timeout)
    arguments: dict[str, Any] = {"event_hooks": {"request": [pace]}}
    user = urls.credentials(str(connection.url))
    if user is not None:  # of a proxy
        arguments["auth"] = user

    key, options = _check_key(connection.api_key), _grpc_options()
    if (key or user) and url.startswith("http:"):  # a proxy would read them
        arguments["trust_env"] = False
        options["grpc.enable_http_proxy"] = 0

    with _no_key_told(connection), translated(connection.location):
        client = QdrantClient(
            url=url,
            api_key=key,
            grpc_port=connection.grpc_port,
            prefer_grpc=connection.prefer_grpc,
            timeout=math.ceil(connection.timeout),  # as it would; see _Pace
            check_compatibility=False,  # it waits, and warns from a thread
            grpc_options=options,
            **arguments,
        )
        setattr(client._client, "_timeout", connection.timeout)  # noqa: B010 - of gRPC
        try:
            with pace:
                version = _greet(client, connection)

            client.get_collections()  # wants the key, which a greeting does not
        except BaseException:
            client.close()
            raise

    _check_version(version, connection.location)
    return client


def _grpc_options() -> dict[str, Any]:
    """Lets gRPC trust what ``SSL_CERT_FILE`` names, as REST does."""
    named = os.environ.get("SSL_CERT_FILE")
    if not named:
        return {}

    trusted = [named, os.environ.get("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH")]
    try:
        certificates = [Path(file).read_bytes() for file in trusted if file]
    except OSError as e:
        raise ConfigError(
            f"'{e.filename}' cannot be read, which SSL_CERT_FILE (or "
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH) names. It is to hold certificates"
        ) from e

    return {"root_certificates": b"\n".join(certificates)}


@contextmanager
def _no_key_told(connection: Connection) -> Iterator[None]:
    """Says why no key was sent to a server that wants one."""
    try:
        yield
    except AuthenticationFailed as e:
        if connection.api_key:
            raise

        why = (
            connection.withheld
            or f"Set {ENVIRONMENT['api_key']}, and {ENVIRONMENT['url']} beside it"
        )
        raise AuthenticationFailed(
            f"Qdrant at {connection.location} wants an API key, and none was sent. "
            f"{why}"
        ) from e


class _Pace:
    """Holds calls to the timeout, and connections to a few seconds at most.

    An event hook of httpx, as ``QdrantClient`` rounds its timeout up to whole
    seconds. While it is entered, the few seconds hold for answers, too.

    Args:
        timeout: seconds a call may take that has none of its own
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._opening = False

    def __enter__(self) -> None:
        self._opening = True

    def __exit__(self, *args: object) -> None:
        self._opening = False

    def __call__(self, request: Any) -> None:
        limits = request.extensions.get("timeout", {})
        for phase, limit in limits.items():
            if limit == math.ceil(self._timeout):
                limits[phase] = self._timeout

        for phase in limits if self._opening else ("connect",):
            limits[phase] = min(limits.get(phase) or _CONNECT_SECONDS, _CONNECT_SECONDS)


def _greet(client: QdrantClient, connection: Connection) -> str | None:
    """Returns the server's version, or ``None`` if it does not tell."""
    from qdrant_client import grpc
    from qdrant_client.http.exceptions import UnexpectedResponse

    if connection.prefer_grpc:
        limit = min(connection.timeout, _CONNECT_SECONDS)
        client.grpc_collections.List(grpc.ListCollectionsRequest(), timeout=limit)

    try:
        return str(client.info().version)
    except UnexpectedResponse:  # a proxy may keep it to itself
        return None


def _check_key(key: str | None) -> str | None:
    """Returns a key fit for a header: one that is not would be told in an error."""
    key = None if key is None else key.strip()
    if key and not (key.isascii() and key.isprintable()):
        raise AuthenticationFailed(
            "The API key has characters that no key has, such as a line break. Was it "
            "copied whole, and alone?"
        )

    return key or None


def _check_version(version: str | None, location: str) -> None:
    found = re.match(r"(\d+)\.(\d+)", version or "")
    if not found:
        return

    server = tuple(map(int, found.groups()))
    ours = importlib.metadata.version("qdrant-client")
    major, minor = map(int, ours.split(".")[:2])
    oldest = ".".join(map(str, OLDEST_SERVER))
    if server < OLDEST_SERVER:
        logger.warning(
            "Qdrant at %s is version %s, but %s or newer is needed: without it, "
            "indexes do not know whose they are. Upgrade the server",
            location,
            version,
            oldest,
        )
    elif server[0] != major or abs(server[1] - minor) > 1:
        logger.warning(
            "Qdrant at %s is version %s and qdrant-client here is %s. They are made "
            "for each other up to one minor version apart: upgrade the older one",
            location,
            version,
            ours,
        )
