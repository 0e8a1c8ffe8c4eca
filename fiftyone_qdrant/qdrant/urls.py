"""URLs of Qdrant servers: as people write them, and which of them mean one place."""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from fiftyone_qdrant.errors import ConfigError

CLOUD = ".cloud.qdrant.io"
_NOT_IN_A_HOST = re.compile(r"[\s\\%@<>\"^`{|}\x00-\x1f\x7f]")

Origin = tuple[str, str, int]  # scheme, host, port


def each(value: Any) -> list[str]:
    """Returns the URLs that a setting has: one, or several with commas between.

    Raises:
        ConfigError: if one of them is no http(s) URL
    """
    found = [normalize_url(u) for u in str(value).split(",") if u.strip()]
    return list(dict.fromkeys(found)) or [normalize_url(value)]


def origins(value: Any) -> set[Origin]:
    """Returns the origins of all URLs that a setting has."""
    return {o for o in map(origin, str(value).split(",")) if o is not None}


def normalize_url(url: Any) -> str:
    """Returns a URL with a scheme: people write ``localhost:6333``, too.

    Raises:
        ConfigError: if it is no http(s) URL
    """
    text = str(url).strip()
    if "://" not in text:
        text = f"http://{text}"

    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname or ""
    except ValueError as e:  # what it says may hold the password
        raise ConfigError(
            "The url has no port from 1 to 65535, or no host that can be read. Write "
            "it like http://localhost:6333"
        ) from e

    if (
        parts.scheme not in ("http", "https")
        or not host
        or port == 0
        or _NOT_IN_A_HOST.search(host)
        or "\\" in parts.netloc  # where parsers disagree on the host
    ):
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


def origin(url: Any) -> Origin | None:
    """Returns scheme, host and port that requests to a URL go to.

    However it is written: two URLs of one origin mean one server. ``None`` if it is
    no URL.
    """
    try:
        text = normalize_url(url)
    except ConfigError:
        return None

    parts = urlsplit(text)
    host = str(parts.hostname).rstrip(".")
    try:
        host = ipaddress.ip_address(host).compressed
    except ValueError:
        host = host.lower()

    return parts.scheme, host, parts.port or implied_port(text)


def is_safe(url: str) -> bool:
    """Whether a secret that is sent there cannot be read on the way."""
    scheme, host, _ = origin(url) or ("", "", 0)
    return scheme == "https" or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def bare(url: str) -> str:
    """Returns the URL of the REST API: no user, no password, the port always said.

    Different parsers then cannot take it for different hosts.
    """
    parts = urlsplit(url)
    host = str(parts.hostname)
    host = f"[{host}]" if ":" in host else host
    port = parts.port or implied_port(url)
    return urlunsplit((parts.scheme, f"{host}:{port}", parts.path, "", ""))


def shown(url: str) -> str:
    """Returns a URL fit to be shown: no user, no password."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, _host_of(parts), parts.path, "", ""))


def credentials(url: str) -> tuple[str, str] | None:
    """Returns the user and password in a URL, if it has any."""
    parts = urlsplit(url)
    if not parts.username:
        return None

    return unquote(parts.username), unquote(parts.password or "")


def with_credentials_of(url: str, other: str | None) -> str:
    """Returns a URL with the user and password of another one, ``None``: without."""
    parts = urlsplit(url)
    user = urlsplit(other).netloc.rpartition("@")[0] if other else ""
    netloc = f"{user}@{_host_of(parts)}" if user else _host_of(parts)
    return urlunsplit(parts._replace(netloc=netloc))


def _host_of(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]
