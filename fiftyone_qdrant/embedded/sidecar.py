"""A collection's name on disk, and the one place that says what its settings may be.

A sidecar file may come from another version, a backup, or a damaged disk. It is
checked whenever it enters: found, restored, created or changed. What passes can be
read by every part of the owner without a second look.
"""

from __future__ import annotations

import json
import math
import os
import stat
from hashlib import sha256
from typing import Any

from fiftyone_qdrant.embedded.files import read_json

SIDECAR = "collection.json"

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_NAME_LENGTH = 255
_MAX_SIZE = 1 << 20  # of vectors; Qdrant's own limit is lower
_MAX_NUMBER = 1 << 53
_MAX_DEPTH = 100
_DISTANCES = ("Cosine", "Dot", "Euclid", "Manhattan")
_DATATYPES = (None, "float32", "float16", "uint8", "turbo4", "turbo8", "turbo16")


def directory_name(name: str) -> str:
    """Returns the directory name for a collection, one to one.

    Upper case is escaped too: some file systems do not tell it from lower case.
    """
    quoted = "".join(
        chr(b) if chr(b) in _PLAIN else f"%{b:02x}"
        for b in name.encode("utf-8", "surrogatepass")
    )
    if len(quoted) > 200:
        digest = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        quoted = f"{quoted[:120]}%%{digest}"

    return quoted


def collection_name(directory: str) -> str:
    """Returns the name that :func:`directory_name` made a directory's name from.

    That of a directory which was not made so is returned as it is.
    """
    if "%%" in directory:
        return directory  # a long name, of which a part is kept

    parts = directory.split("%")
    try:
        raw = parts[0].encode() + b"".join(
            bytes.fromhex(part[:2]) + part[2:].encode() for part in parts[1:]
        )
        return raw.decode("utf-8", "surrogatepass")
    except ValueError:
        return directory


def read(directory: str) -> dict[str, Any]:
    """Returns the settings of the collection in a directory.

    Raises:
        OSError: if they cannot be read now
        ValueError: if there are none that could be a collection's, with the reason
    """
    config = read_settings(directory)
    name = config["name"]
    if directory_name(name) != os.path.basename(directory):
        raise ValueError(f"it is of a collection {name!r}")

    return config


def read_settings(directory: str) -> dict[str, Any]:
    """Does as :func:`read`, whatever the directory is called."""
    if not stat.S_ISDIR(os.lstat(directory).st_mode):
        raise ValueError("it is no directory")

    config = read_json(os.path.join(directory, SIDECAR))
    if config is None:
        raise ValueError(f"{SIDECAR} is missing")

    check(config)
    found: dict[str, Any] = config
    return found


def name_in(directory: str) -> str:
    """Returns the name of the collection in a directory, as far as it is known."""
    try:
        return str(read(directory)["name"])
    except (OSError, ValueError):
        return collection_name(os.path.basename(directory))


def check(config: Any) -> None:
    """Refuses what no collection's settings can be.

    Raises:
        ValueError: with what is wrong
    """
    _expect(isinstance(config, dict), "settings", config)
    _check_depth(config)
    name = config.get("name")
    _expect(isinstance(name, str) and 0 < len(name) <= _NAME_LENGTH, "name", name)
    _check_vectors(config.get("vectors"))
    for key in ("on_disk_payload", "index_due"):
        _expect(_is(config.get(key), bool), key, config.get(key))

    for key in ("metadata", "built"):
        _expect(_is(config.get(key), dict), key, config.get(key))

    _check_index(config)
    built = config.get("built") or {}
    _check_index(built)
    for key in ("on_disk", "points"):
        _expect(_is_number(built.get(key)), f"built.{key}", built.get(key))

    try:
        json.dumps(config, allow_nan=False)  # it is sent to clients
    except ValueError as e:
        raise ValueError(f"it has numbers that are none: {e}") from e


def _check_vectors(vectors: Any) -> None:
    _expect(isinstance(vectors, dict), "vectors", vectors)
    size, distance = vectors.get("size"), vectors.get("distance")
    _expect(type(size) is int and 0 < size <= _MAX_SIZE, "vectors.size", size)
    _expect(distance in _DISTANCES, "vectors.distance", distance)
    on_disk, datatype = vectors.get("on_disk"), vectors.get("datatype")
    _expect(_is(on_disk, bool), "vectors.on_disk", on_disk)
    _expect(datatype in _DATATYPES, "vectors.datatype", datatype)


def _check_index(config: dict[str, Any]) -> None:
    for key in ("hnsw_config", "optimizers_config"):
        given = config.get(key)
        _expect(_is(given, dict), key, given)
        for name, value in (given or {}).items():
            _expect(_is_number(value), f"{key}.{name}", value)

    given = config.get("quantization_config")
    fits = isinstance(given, dict) and [type(v) for v in given.values()] == [dict]
    _expect(given is None or fits, "quantization_config", given)


def _is(value: Any, kind: type) -> bool:
    return value is None or isinstance(value, kind)


def _is_number(value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return True

    number = isinstance(value, (int, float)) and -_MAX_NUMBER <= value <= _MAX_NUMBER
    return number and math.isfinite(value)


def _check_depth(config: Any) -> None:
    level = [config]
    for _ in range(_MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, (dict, list))
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]

    if level:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} deep")


def _expect(fits: bool, what: str, found: Any) -> None:
    if not fits:
        said = repr(found)
        said = said if len(said) <= 40 else f"{said[:40]}…"
        raise ValueError(f"its {what} cannot be {said}")
