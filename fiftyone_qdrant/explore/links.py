"""A picture behind a link: fetched without letting anybody look around in our network.

Whoever may type a link could otherwise have the server fetch what only the server can
reach. So the addresses of a name are checked, and just these are connected to: asked
again, the name may have others.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

from fiftyone_qdrant.errors import ConfigError

_MOST_BYTES = 10_000_000
_SECONDS = 10.0
_REDIRECTS = 3
_CHUNK = 65_536
_MOVED = (301, 302, 303, 307, 308)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


def fetch(url: str) -> bytes:
    """Returns what is behind an https link.

    Args:
        url: the link; its certificate must be valid

    Raises:
        ConfigError: if it is no https link, leads to an address that is not public,
            also by a redirect, is larger than 10 MB, takes longer than 10 s, or fails
    """
    for _ in range(_REDIRECTS + 1):
        found = _get(_parts(url))
        if isinstance(found, bytes):
            return found

        url = urljoin(url, found)

    raise ConfigError("The link leads from one place to the next too often")


def without_secrets(url: str) -> str:
    """Returns a link without its query and user: these may hold a signature or key."""
    parts = urlsplit(url)
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def check_address(address: str) -> None:
    """Makes sure that an IP address is one of the public internet.

    Raises:
        ConfigError: if it is not
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    inside = [ip]
    if isinstance(ip, ipaddress.IPv6Address):  # IPv4 in disguise
        inside += [a for a in (ip.ipv4_mapped, ip.sixtofour) if a is not None]
        inside += list(ip.teredo or ())
        if ip in _NAT64:
            inside.append(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF))

    if any(not a.is_global or a.is_multicast for a in inside):
        raise ConfigError(
            "The link leads into a private network. Download the picture and upload it "
            "here instead"
        )


class _Public(http.client.HTTPSConnection):
    """A connection to a public address, or none."""

    def __init__(self, host: str, port: int | None, seconds: float) -> None:
        self._secured = ssl.create_default_context()
        super().__init__(host, port or 443, timeout=seconds, context=self._secured)

    def connect(self) -> None:
        """Connects past any proxy, which could reach what we must not."""
        kind = socket.SOCK_STREAM
        found = socket.getaddrinfo(self.host, self.port, type=kind)
        addresses = [str(address[0]) for *_, address in found]
        for address in addresses:
            check_address(address)

        plain = socket.create_connection((addresses[0], self.port), self.timeout)
        try:
            check_address(plain.getpeername()[0])
            self.sock = self._secured.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def _get(parts: SplitResult) -> bytes | str:
    """Returns the content of a link, or where it leads to."""
    connection = _Public(str(parts.hostname), parts.port, _SECONDS)
    late = threading.Event()

    def give_up() -> None:
        late.set()
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)  # also if bytes trickle in

    timer = threading.Timer(_SECONDS, give_up)
    timer.start()
    try:
        found = _ask(connection, parts)
        if late.is_set():  # it may not be whole
            raise TimeoutError

        return found
    except ConfigError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as e:
        if late.is_set() or isinstance(e, TimeoutError):
            raise ConfigError(
                f"The link took longer than {_SECONDS:.0f} seconds: download the "
                "picture and upload it here instead"
            ) from e

        raise ConfigError(
            f"The link to '{parts.hostname}' could not be read: "
            f"{str(e) or type(e).__name__}"
        ) from e
    finally:
        timer.cancel()
        connection.close()


def _ask(connection: _Public, parts: SplitResult) -> bytes | str:
    target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
    connection.request("GET", target, headers={"User-Agent": "fiftyone-qdrant"})
    answer = connection.getresponse()
    if answer.status in _MOVED:
        return answer.getheader("Location") or ""

    if answer.status != http.client.OK:
        raise ConfigError(
            f"'{parts.hostname}' answers {answer.status} {answer.reason}: open the "
            "link in a browser to see whether it is right"
        )

    content = bytearray()
    while chunk := answer.read1(_CHUNK):
        content += chunk
        if len(content) > _MOST_BYTES:
            raise ConfigError(
                f"The link has more than {_MOST_BYTES // 1_000_000} MB: make the "
                "picture smaller and upload it"
            )

    return bytes(content)


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        known = parts.port is None or parts.port > 0
    except ValueError as e:
        raise ConfigError("This is no link: paste one that begins with https://") from e

    if parts.scheme != "https" or not parts.hostname or not known:
        raise ConfigError("This is no link: paste one that begins with https://")

    if parts.username is not None or parts.password is not None:
        raise ConfigError("Leave the user and the password out of the link")

    return parts
