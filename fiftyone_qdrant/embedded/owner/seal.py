"""What a shard on disk is known to be like while nothing is being written to it.

The engine keeps no checksums, and some damage to its files makes it answer wrongly
without a word. So a flush leaves a seal beside the shard: how many points it has, how
long its files are, and how a sample of its points scores against one of them. The
first write after that breaks the seal, and opening a sealed shard compares it. Closing
it adds the checksums of its files, which only a thorough check compares.
"""

from __future__ import annotations

import os
import uuid
import zlib
from collections.abc import Iterator
from typing import Any

import qdrant_edge as qe

from fiftyone_qdrant.embedded.files import (
    data_extents,
    read_json,
    sync_directory,
    write_json,
)

NAME = "seal.json"

# the engine rewrites these when it opens a shard with deleted points
_REWRITTEN = "id_tracker.versions"
_PROBES = 16
_TOLERANCE = 1e-4
_BLOCK = 1 << 20


def path_of(shard_dir: str) -> str:
    """Returns where the seal of a shard is."""
    return os.path.join(os.path.dirname(shard_dir), NAME)


def read(shard_dir: str) -> dict[str, Any] | None:
    """Returns the seal of a shard, or None if something was written since.

    Raises:
        ValueError: if what is there is no seal
    """
    seal = read_json(path_of(shard_dir))
    if seal is not None and not _is_seal(seal):
        raise ValueError(f"{path_of(shard_dir)} is no seal")

    found: dict[str, Any] | None = seal
    return found


def _is_seal(seal: Any) -> bool:
    if not isinstance(seal, dict):
        return False

    parts: list[Any] = [
        seal.get("files"),
        seal.get("checksums", {}),
        seal.get("scores"),
    ]
    if not all(isinstance(part, dict) for part in parts):
        return False

    files, sums, scores = map(dict[str, Any], parts)
    return (
        isinstance(seal.get("points"), int)
        and all(map(_is_inside, [*files, *sums]))
        and isinstance(seal.get("ids"), list)
        and all(map(_is_id, [*seal["ids"], *scores]))
        and all(isinstance(score, (int, float)) for score in scores.values())
    )


def _is_inside(name: str) -> bool:
    return not os.path.isabs(name) and ".." not in name.split(os.sep)


def _is_id(text: Any) -> bool:
    try:
        return isinstance(_key(text), (int, uuid.UUID))
    except (AttributeError, TypeError, ValueError):
        return False


def _key(text: str) -> int | uuid.UUID:
    return int(text) if text.isdecimal() else uuid.UUID(text)


def put(shard_dir: str, shard: Any) -> None:
    """Seals a shard that was just flushed, and that nobody writes to."""
    sample = shard.query(exactly(qe.Sample.Random, with_vector=True))
    ids = [str(point.id) for point in sample]
    seal = {
        "points": shard.info().points_count,
        "files": {name: os.path.getsize(path) for name, path in _files(shard_dir)},
        "ids": ids,
        "scores": _scores(shard, ids),
    }
    write_json(path_of(shard_dir), seal)


def add_checksums(shard_dir: str) -> None:
    """Adds the files' checksums to the seal of a closed shard, if it is sealed."""
    seal = read(shard_dir)
    if seal is not None and "checksums" not in seal:
        write_json(path_of(shard_dir), {**seal, "checksums": checksums(shard_dir)})


def remove(shard_dir: str) -> None:
    """Breaks the seal, before the shard is written to."""
    try:
        os.unlink(path_of(shard_dir))
    except FileNotFoundError:
        return

    sync_directory(os.path.dirname(shard_dir))  # or a power failure brings it back


def damage_of_files(seal: dict[str, Any], shard_dir: str) -> str | None:
    """Returns which file is not as long as it was sealed, or None."""
    for name, size in seal["files"].items():
        try:
            found = os.path.getsize(os.path.join(shard_dir, name))
        except FileNotFoundError:
            return f"the file {name} is missing"

        if found != size:
            return f"the file {name} has {found} bytes instead of {size}"

    return None


def damage_of_answers(seal: dict[str, Any], shard: Any) -> str | None:
    """Returns what a loaded shard answers otherwise than when sealed, or None."""
    points = shard.info().points_count
    if points != seal["points"]:
        return f"it has {points} points instead of {seal['points']}"

    wanted = seal["scores"]
    found = _scores(shard, seal["ids"])
    if found.keys() != wanted.keys():
        return "it does not find points that it has"

    # scores near 0 may be sums of large terms, which another CPU adds otherwise
    tolerance = _TOLERANCE * max([1.0, *map(abs, wanted.values())])
    for point, score in wanted.items():
        if abs(found[point] - score) > tolerance:
            return f"the vector of point {point} is not what was written"

    return None


def damage_of_contents(seal: dict[str, Any], shard_dir: str) -> str | None:
    """Returns which file differs from its checksum, or None."""
    for name, checksum in seal.get("checksums", {}).items():
        if name.endswith(_REWRITTEN):  # seals of earlier versions have them
            continue

        if _checksum(os.path.join(shard_dir, name)) != checksum:
            return f"the content of the file {name} was changed"

    return None


def checksums(shard_dir: str) -> dict[str, int]:
    """Returns the checksums of a shard's files. Only its segments' are sealed."""
    return {
        name: _checksum(path)
        for name, path in _files(shard_dir)
        if not name.endswith(_REWRITTEN)
    }


def _files(shard_dir: str) -> Iterator[tuple[str, str]]:
    # not the log and the journals, which the engine clears when it opens a shard
    for folder, _, names in os.walk(os.path.join(shard_dir, "segments")):
        for name in names:
            path = os.path.join(folder, name)
            if "journal" not in name:
                yield os.path.relpath(path, shard_dir), path


def _checksum(path: str) -> int:
    """Returns a checksum that is the same whether zeros are data or a hole."""
    total = os.path.getsize(path)
    with open(path, "rb", buffering=0) as file:
        done = -1
        for start, end in data_extents(file):
            for block in range(max(start // _BLOCK, done + 1), -(-end // _BLOCK)):
                done = block
                file.seek(block * _BLOCK)
                data = file.read(_BLOCK)
                if data.count(0) != len(data):
                    total = zlib.crc32(data, zlib.crc32(b"%d" % block, total))

    return total


def _scores(shard: Any, ids: list[str]) -> dict[str, float]:
    """Returns how points score against the first of them."""
    keys: list[Any] = [_key(i) for i in ids]
    first = shard.retrieve(keys[:1], False, True)
    if not (first and first[0].vector):  # it may have lost it
        return {}

    among = qe.Filter(must=[qe.HasIdCondition(set(keys))])
    query = qe.Query.Nearest(first[0].vector)
    found = shard.query(exactly(query, filter=among))
    return {str(point.id): point.score for point in found}


def exactly(query: Any, **more: Any) -> Any:
    """Returns the request of a query, exact unless told otherwise."""
    plain = {"limit": _PROBES, "offset": 0, "with_payload": False, "with_vector": False}
    return qe.QueryRequest(
        **{**plain, "query": query, "params": qe.SearchParams(exact=True), **more}
    )
