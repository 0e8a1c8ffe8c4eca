"""Many FiftyOne ids as one array, for comparing those of a dataset with an index's.

An id takes 12 bytes here, and 120 in a set of strings.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from fiftyone_qdrant.errors import MissingIDs

Packed = npt.NDArray[np.bytes_]
"""Ids of 12 bytes each, shape ``(num_ids,)``."""

_BYTES = 12
_TYPE = f"S{_BYTES}"
_AT_ONCE = 1 << 14  # ids that are strings at a time


def pack(ids: Iterable[str]) -> Packed:
    """Returns ids of samples or labels, in the order given.

    Raises:
        MissingIDs: if one is no FiftyOne id
    """
    rest, blocks = iter(ids), []
    while some := list(islice(rest, _AT_ONCE)):
        if set(map(len, some)) != {2 * _BYTES}:
            raise _no_id(some)

        try:
            block = bytes.fromhex("".join(some))
        except ValueError as e:
            raise _no_id(some) from e

        if len(block) != _BYTES * len(some):  # fromhex() skips white space
            raise _no_id(some)

        blocks.append(block)

    return np.frombuffer(b"".join(blocks), dtype=_TYPE)


def from_uuids(uuids: npt.NDArray[np.uint8]) -> tuple[Packed, int]:
    """Returns the ids that points were made from, and how many points were not.

    Args:
        uuids: those of the points, shape ``(num_points, 16)``
    """
    foreign = np.asarray(uuids[:, _BYTES:].any(axis=1))
    ids = uuids[~foreign, :_BYTES] if foreign.any() else uuids[:, :_BYTES]
    return np.ascontiguousarray(ids).view(_TYPE).ravel(), int(foreign.sum())


def unpack(ids: Packed) -> list[str]:
    """Returns ids as FiftyOne writes them."""
    text, width = ids.tobytes().hex(), 2 * _BYTES
    return [text[i : i + width] for i in range(0, len(text), width)]


def blocks(ids: Packed, size: int) -> Iterator[list[str]]:
    """Yields ids as FiftyOne writes them, so many at a time."""
    for start in range(0, len(ids), size):
        yield unpack(ids[start : start + size])


def joined(parts: Sequence[Packed]) -> Packed:
    """Returns the ids of parts as one, in their order."""
    return np.concatenate([np.empty(0, dtype=_TYPE), *parts])


def among(ids: Packed, others: Packed) -> npt.NDArray[np.bool_]:
    """Returns which of some ids others are.

    Args:
        ids: in any order
        others: in ascending order
    """
    if not len(others):
        return np.zeros(len(ids), dtype=bool)

    rows = np.searchsorted(others, ids)
    rows[rows == len(others)] = 0
    return np.asarray(others[rows] == ids)


def _no_id(ids: list[str]) -> MissingIDs:
    digits = set("0123456789abcdefABCDEF")
    bad = next(i for i in ids if len(i) != 2 * _BYTES or set(i) - digits)
    return MissingIDs(
        f"'{bad}' is not a FiftyOne id. Give the ids of samples or labels, "
        "24 hex digits each, as in sample.id"
    )
