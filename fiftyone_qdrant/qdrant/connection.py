"""Where Qdrant is, which source says so, and which API key goes there.

One :class:`Connection` names one engine at one place. For a new index the first
match wins: keyword arguments, environment variables (or plugin secrets, which are
environment variables), the brain config, a Qdrant on ``localhost:6333``, the
embedded store beside FiftyOne's own database. A stored run stays on its engine, and
an embedded one in its store, whatever the environment says.

A key belongs to the url of its own source, and goes to no other server: see
:func:`_choose_key`.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

from fiftyone_qdrant.embedded.client.launcher import is_store, store_path
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.parameters.parameter import EMBEDDED as EMBEDDED
from fiftyone_qdrant.parameters.parameter import SERVER as SERVER
from fiftyone_qdrant.qdrant import urls
from fiftyone_qdrant.qdrant.configured import ENVIRONMENT as ENVIRONMENT
from fiftyone_qdrant.qdrant.configured import KEYWORDS as KEYWORDS
from fiftyone_qdrant.qdrant.configured import brain_config, default_path, environment
from fiftyone_qdrant.qdrant.local_server import is_qdrant as _is_qdrant

LOCAL_SERVER = "http://localhost:6333"
DEFAULT_GRPC_PORT = 6334
DEFAULT_TIMEOUT = 60
_LONGEST_TIMEOUT = 1_000_000  # seconds; more than some systems' calls can take

_IN_A_FORM = "a form asks without it, only running it sends it"
_keeping_keys: ContextVar[bool] = ContextVar("keeping_keys", default=False)


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
        others: further addresses of the same cluster, each with the key that goes
            there: the next one is asked when one does not answer
        withheld: why a key that somebody gave is not sent there, if so
        existing: whether it is the embedded store of a stored run, so that none may
            be made there
    """

    engine: str
    url: str | None = field(default=None, repr=False)  # may hold a password
    path: str | None = None
    api_key: str | None = field(default=None, repr=False)
    grpc_port: int = DEFAULT_GRPC_PORT
    prefer_grpc: bool = False
    timeout: float = DEFAULT_TIMEOUT
    others: tuple[tuple[str, str | None], ...] = field(default=(), repr=False)
    withheld: str | None = field(default=None, repr=False, compare=False)
    existing: bool = field(default=False, repr=False, compare=False)

    @property
    def key_waits(self) -> bool:
        """Whether there is a key for it, which only running an operator sends."""
        return str(self.withheld).endswith(_IN_A_FORM)

    @property
    def addresses(self) -> tuple[Connection, ...]:
        """One connection to each address, this one's url first."""
        if not self.others:
            return (self,)

        places = ((self.url, self.api_key), *self.others)
        return tuple(
            replace(self, url=url, api_key=key, others=()) for url, key in places
        )

    @property
    def remote(self) -> bool:
        """Whether it is a server, perhaps of several nodes."""
        return self.engine == SERVER

    @property
    def missing_store(self) -> str | None:
        """The directory where an embedded store is to be made yet, if one is."""
        return None if self.path is None or is_store(self.path) else self.path

    @property
    def location(self) -> str:
        """Where the engine is, fit to be shown: no key, no password."""
        if self.path is not None:
            return self.path

        every = (str(self.url), *(url for url, _ in self.others))
        return ", ".join(map(urls.shown, every))


@contextlib.contextmanager
def keys_kept() -> Iterator[None]:
    """Within it no API key and no password is sent: for forms that are filled in."""
    token = _keeping_keys.set(True)
    try:
        yield
    finally:
        _keeping_keys.reset(token)


def resolve(
    keywords: Mapping[str, Any],
    engine: str | None = None,
    path: str | None = None,
) -> Connection:
    """Decides where an index is.

    Args:
        keywords: the values of :data:`KEYWORDS` that the caller gave; ``None`` does
            not count as given
        engine: the engine the run was made with, or ``None`` for a new index
        path: the embedded store the run was made in, if any

    Raises:
        ConfigError: if a value is wrong, or contradicts the run
    """
    explicit = {k: v for k, v in keywords.items() if v is not None}
    sources = (explicit, environment(), brain_config())

    def first(name: str) -> Any:
        return next((s[name] for s in sources if s.get(name) is not None), None)

    where, place = _place(sources, engine, path)
    timeout = _seconds(first("timeout"))
    if where == EMBEDDED:
        return Connection(EMBEDDED, path=store_path(str(place)), timeout=timeout)

    prefer_grpc = first("prefer_grpc")
    if prefer_grpc not in (None, True, False):
        raise ConfigError(f"prefer_grpc must be true or false, not {prefer_grpc!r}")

    grpc_port = _port(first("grpc_port"))
    places, reasons = [], []
    for url in urls.each(place):
        key, reason = _choose_key(sources, url, grpc_port if prefer_grpc else None)
        places.append((_with_password(sources, url), key))
        reasons.append(reason)

    (url, key), *others = places
    return Connection(
        SERVER,
        url=url,
        api_key=key,
        grpc_port=grpc_port,
        prefer_grpc=bool(prefer_grpc),
        timeout=timeout,
        others=tuple(others),
        withheld=next((r for r in reasons if r), None),
    )


_Sources = Sequence[Mapping[str, Any]]  # keywords, environment, brain config
_NAMES = ("keyword api_key", ENVIRONMENT["api_key"], "api_key of the brain config")


def _choose_key(
    sources: _Sources, url: str, grpc_port: int | None
) -> tuple[str | None, str | None]:
    """Decides which API key goes to a server: the one place where that is decided.

    Args:
        sources: what each of them says
        url: of the server
        grpc_port: its gRPC port, if it will be used

    Returns:
        the key, if one may go there, and else why the nearest one may not
    """
    withheld = None
    for source, name in zip(sources, _NAMES, strict=True):
        key = source.get("api_key")
        if key in (None, ""):
            continue

        explicit = source is sources[0]
        reason = _why_not(sources, source, url, grpc_port)
        if reason is None and _keeping_keys.get():
            reason = _IN_A_FORM

        if reason is None:
            return str(key), None

        withheld = withheld or f"The {name} was not sent there: {reason}"
        if explicit:  # and no other instead of the one that was asked for
            break

    return None, withheld


def _why_not(
    sources: _Sources, source: Mapping[str, Any], url: str, grpc_port: int | None
) -> str | None:
    """Returns why a source's key does not belong to a url, or ``None`` if it does."""
    own, alone = source, source is sources[0] and not source.get("url")
    if alone:  # then it goes where the index is: to the url that is configured
        own = next((s for s in sources if s.get("url")), source)

    if not own.get("url"):
        return "no url is set beside it. A key belongs to the url of its own source"

    if urls.origin(url) not in urls.origins(own["url"]):
        return "it belongs to another url, the one that is set beside it"

    if alone and not urls.is_safe(url):
        return "over http it could be read on the way. Give the url beside it"

    port = source.get("grpc_port") or own.get("grpc_port")
    if grpc_port not in (None, _port(port)):
        return "it belongs to another grpc_port, the one that is set beside it"

    return None


def _with_password(sources: _Sources, url: str) -> str:
    """Returns a url with the password that its own source has for it, if any."""
    if _keeping_keys.get():
        return urls.with_credentials_of(url, None)

    if urls.credentials(url):
        return url

    for source in sources[1:]:
        for other in urls.each(source["url"]) if source.get("url") else ():
            same = urls.origin(other) == urls.origin(url)
            if same and urls.credentials(other):
                return urls.with_credentials_of(url, other)

    return url


def belonging(params: Mapping[str, Any], secrets: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the keywords that an operator's params and the plugin's secrets mean.

    Args:
        params: of the :data:`KEYWORDS`, those that were given as parameters
        secrets: the same of the plugin's secrets, a source as the environment is one
    """
    params = {k: v for k, v in params.items() if v is not None}
    secrets = {k: v for k, v in secrets.items() if v not in (None, "")}
    key, url = secrets.pop("api_key", None), params.get("url") or secrets.get("url")
    values = dict(params)
    if not (params.get("url") or params.get("path")):
        if secrets.get("url"):
            secrets.pop("path", None)

        values = {**secrets, **params}

    port = _port(params.get("grpc_port", secrets.get("grpc_port")))
    goes_there = bool(url) and not values.get("path")
    if key and goes_there:
        every = urls.each(url)
        if not any(_why_not(({}, secrets), secrets, u, port) for u in every):
            values["api_key"] = key

    return values


def _place(sources: _Sources, engine: str | None, path: str | None) -> tuple[str, str]:
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


def _seconds(value: Any) -> float:
    if value is None:
        return DEFAULT_TIMEOUT

    number = _number(value)
    if number is None or not 0 < number <= _LONGEST_TIMEOUT:
        raise ConfigError(
            f"timeout must be a positive number of seconds, not {value!r}"
        )

    return number


def _port(value: Any) -> int:
    if value is None:
        return DEFAULT_GRPC_PORT

    number = _number(value)
    if number is None or not number.is_integer() or not 0 < number < 2**16:
        raise ConfigError(f"grpc_port must be a port from 1 to 65535, not {value!r}")

    return int(number)


def _number(value: Any) -> float | None:
    """Returns a number, or what the environment has as text, or else ``None``."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None

    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None

    return number if math.isfinite(number) else None
