"""What this machine is told of where Qdrant is: environment and brain config."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from collections.abc import Mapping
from typing import Any

from fiftyone_qdrant.errors import ConfigError

# The keywords that say where Qdrant is. None of them but `path` is ever stored.
KEYWORDS = ("url", "api_key", "grpc_port", "prefer_grpc", "path", "timeout")
ENVIRONMENT = {
    name: f"FIFTYONE_BRAIN_SIMILARITY_QDRANT_{name.upper()}" for name in KEYWORDS
}


def default_path() -> str:
    """Returns the directory of the embedded store that is used by default."""
    return os.path.join(os.path.expanduser("~"), ".fiftyone", "var", "lib", "qdrant")


def configured_path() -> str:
    """Returns the directory of the embedded store, where no FiftyOne is imported."""
    path = environment().get("path") or _config_file().get("path")
    return str(path or default_path())


def _config_file() -> dict[str, Any]:
    home = os.path.join(os.path.expanduser("~"), ".fiftyone", "brain_config.json")
    place = os.environ.get("FIFTYONE_BRAIN_CONFIG_PATH", home)
    try:
        with open(place, "rb") as file:
            return dict(json.load(file)["similarity_backends"]["qdrant"])
    except (FileNotFoundError, KeyError):
        return {}
    except (OSError, ValueError, TypeError) as e:
        raise ConfigError(f"{place} cannot be read: {e}") from e


class BackendConfig(dict[str, Any]):
    """This backend's part of FiftyOne's brain config.

    FiftyOne gives a deep copy of it to a new run's config, merged with what the
    caller gave: nobody could tell the two apart. So the copy does not have the
    :data:`KEYWORDS`; :mod:`.connection` looks them up.

    Args:
        values: what FiftyOne has read, from the file and from the environment
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        taken = [k for k in KEYWORDS if os.environ.get(ENVIRONMENT[k]) and k in self]
        stored: dict[str, Any] = {}
        with contextlib.suppress(ConfigError):  # FiftyOne has read it, or complained
            stored = _config_file() if taken else {}

        self._from_environment = {k: (self[k], stored.get(k)) for k in taken}

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {k: copy.deepcopy(v) for k, v in self.items() if k not in KEYWORDS}

    def connection_values(self) -> dict[str, Any]:
        """Returns the :data:`KEYWORDS` that it says itself, not the environment."""
        values = {k: self[k] for k in KEYWORDS if k in self}
        for name, (taken, stored) in self._from_environment.items():
            if values.get(name) == taken:
                values[name] = stored

        return values


def given(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the keywords that a caller gave, of those that a run's config gets.

    If another dict has taken the place of :class:`BackendConfig`, its values come
    as well. They cannot be told from the same ones given by hand, and are left out.
    """
    import fiftyone.brain as fob

    values = fob.brain_config.similarity_backends.get("qdrant") or {}
    if isinstance(values, BackendConfig):
        values = {}

    return {k: v for k, v in keywords.items() if v is not None and v != values.get(k)}


def brain_config() -> dict[str, Any]:
    """Returns the values of :data:`KEYWORDS` that the brain config itself has."""
    import fiftyone.brain as fob

    values = fob.brain_config.similarity_backends.get("qdrant") or {}
    if isinstance(values, BackendConfig):
        return values.connection_values()

    return {k: values[k] for k in KEYWORDS if k in values}


def environment() -> dict[str, Any]:
    """Returns the values of :data:`KEYWORDS` that the environment has."""
    values: dict[str, Any] = {}
    for name, variable in ENVIRONMENT.items():
        text = os.environ.get(variable)
        if not text:
            continue

        if name == "prefer_grpc" and text.lower() in ("true", "false"):
            values[name] = text.lower() == "true"
        else:
            values[name] = text

    return values
