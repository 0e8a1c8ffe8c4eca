"""What one parameter of a collection is, and how its values are checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fiftyone_qdrant.errors import ConfigError

EMBEDDED = "embedded"
SERVER = "server"
ENGINES = {EMBEDDED: "Embedded Qdrant", SERVER: "Qdrant server"}


@dataclass(frozen=True)
class Parameter:
    """One setting of a collection.

    Attributes:
        name: Qdrant's name of the field
        type: ``int``, ``float``, ``bool`` or ``str``
        description: what it is, with its unit
        advice: when to change it, in one line
        default: what Qdrant uses when it is not given, for display only
        minimum: the smallest allowed value
        maximum: the largest allowed value
        choices: the allowed values of a ``str``
        embedded: whether the embedded engine honours it
        label: what it is called where people set it, in a few words
        here: the embedded engine's default in words, where that is another
    """

    name: str
    type: type
    description: str
    advice: str = ""
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    embedded: bool = True
    label: str = ""
    here: str = ""

    def on(self, engine: str | None) -> bool:
        """Whether an engine honours it."""
        return self.embedded or engine != EMBEDDED

    def check(self, value: Any, where: str) -> Any:
        """Returns ``value`` as this parameter's type.

        Raises:
            ConfigError: if it has another type or is out of range
        """
        if self.type is bool:
            if not isinstance(value, bool):
                raise ConfigError(f"{where} must be true or false, not {value!r}")

            return value

        if self.type is str:
            if value not in self.choices:
                allowed = ", ".join(self.choices)
                raise ConfigError(f"{where} must be one of {allowed}, not {value!r}")

            return value

        whole = self.type is int
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or (whole and int(value) != value)
        ):
            kind = "a whole number" if whole else "a number"
            raise ConfigError(f"{where} must be {kind}, not {value!r}")

        low, high = self.minimum, self.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            limits = f"at least {low}" if high is None else f"between {low} and {high}"
            raise ConfigError(f"{where} must be {limits}, not {value!r}")

        return self.type(value)


@dataclass(frozen=True)
class Group:
    """Parameters that are given together, as one dict keyword.

    Attributes:
        name: the keyword argument
        label: its title in forms and docs
        parameters: the keys the dict may have
        key: for quantization, the key of Qdrant's one-of that holds them
    """

    name: str
    label: str
    parameters: tuple[Parameter, ...]
    key: str | None = None

    def check(self, values: Any, wrong: Problems) -> dict[str, Any]:
        """Returns the right values without those that are ``None``.

        Args:
            values: what is given
            wrong: gets what is wrong with single values

        Raises:
            ConfigError: if ``values`` is no dict or has an unknown key
        """
        if not isinstance(values, Mapping):
            raise ConfigError(f"{self.name} must be a dict, not {values!r}")

        known = {p.name: p for p in self.parameters}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ConfigError(
                f"{self.name} has no parameter {', '.join(map(repr, unknown))}. "
                f"It has {', '.join(known)}"
            )

        checked = {}
        for name, value in values.items():
            path = f"{self.name}.{name}"
            with wrong.noted(path):
                if value is not None:
                    checked[name] = known[name].check(value, path)

        return checked


class Problems(dict[str, str]):
    """What is wrong with parameters: the path of each, such as ``hnsw_config.m``."""

    @contextmanager
    def noted(self, path: str) -> Iterator[None]:
        """Notes an error as that of a parameter, and goes on."""
        try:
            yield
        except ConfigError as e:
            self[path] = str(e)
