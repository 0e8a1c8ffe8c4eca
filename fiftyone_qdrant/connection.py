"""Where Qdrant is, and which source says so.

One :class:`Connection` names one engine at one place. For a new index the first
match wins: keyword arguments, environment variables (or plugin secrets, which are
environment variables), the brain config, a Qdrant on ``localhost:6333``, the
embedded store beside FiftyOne's own database. A stored run stays on its engine, and
an embedded one in its store, whatever the environment says.
"""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from .errors import ConfigError

EMBEDDED = "embedded"
SERVER = "server"

# The keywords that say where Qdrant is. None of them but `path` is ever stored.
KEYWORDS = ("url", "api_key", "grpc_port", "prefer_grpc", "path", "timeout")
ENVIRONMENT = {
    name: f"FIFTYONE_BRAIN_SIMILARITY_QDRANT_{name.upper()}" for name in KEYWORDS
}
LOCAL_SERVER = "http://localhost:6333"
CLOUD = ".cloud.qdrant.io"
DEFAULT_GRPC_PORT = 6334
DEFAULT_TIMEOUT = 60


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
    timeout: float = DEFAULT_TIMEOUT

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
    return os.path.join(os.path.expanduser("~"), ".fiftyone", "var", "lib", "qdrant")


def configured_path() -> str:
    """Returns the directory of the embedded store, where no FiftyOne is imported."""
    home = os.path.join(os.path.expanduser("~"), ".fiftyone", "brain_config.json")
    place = os.environ.get("FIFTYONE_BRAIN_CONFIG_PATH", home)
    stored: Any = {}
    try:
        with open(place, "rb") as file:
            stored = json.load(file)["similarity_backends"]["qdrant"]
    except (FileNotFoundError, KeyError):
        pass
    except (OSError, ValueError, TypeError) as e:
        raise ConfigError(f"{place} cannot be read: {e}") from e

    return str(_environment().get("path") or stored.get("path") or default_path())


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


def implied_port(url: str) -> int:
    """Returns the port that a URL without one means.

    Qdrant listens on 6333, in its cloud as well. An https URL of another host, or
    one with a path, is that of a proxy before it, which has the ports of the web.
    """
    parts = urlsplit(url)
    if parts.scheme == "https" and not str(parts.hostname).endswith(CLOUD):
        return 443

    return 80 if parts.scheme == "http" and parts.path.strip("/") else 6333


def _is_qdrant(url: str) -> bool:
    """Whether a Qdrant server answers there, decided within half a second."""
    try:
        with urllib.request.urlopen(url, timeout=0.5) as response:  # noqa: S310
            return "qdrant" in str(json.load(response).get("title", ""))
    except (OSError, ValueError, AttributeError):
        return False
