"""Many FiftyOne ids as one array, for comparing those of a dataset with an index's.

An id takes 12 bytes here, and 120 in a set of strings.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import overload

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


class PointIds(Sequence[str]):
    """Ids of points, as the embedded engine gets them: text only where it is read.

    Args:
        uuids: 16 bytes each
    """

    def __init__(self, uuids: bytes) -> None:
        self.uuids = uuids

    @classmethod
    def of(cls, ids: Sequence[str]) -> PointIds:
        """Returns those of sample or label ids, in their order.

        Raises:
            MissingIDs: if one is no FiftyOne id
        """
        uuids = np.zeros((len(ids), 16), dtype=np.uint8)
        if len(ids):
            uuids[:, :_BYTES] = pack(ids).view(np.uint8).reshape(-1, _BYTES)

        return cls(uuids.tobytes())

    def __len__(self) -> int:
        return len(self.uuids) // 16

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> PointIds: ...

    def __getitem__(self, at: int | slice) -> str | PointIds:
        if isinstance(at, int):
            return str(uuid.UUID(bytes=self.uuids[16 * range(len(self))[at] :][:16]))

        start, stop, step = at.indices(len(self))
        if step != 1:
            raise ValueError("point ids are sliced without a step")

        return PointIds(self.uuids[16 * start : 16 * stop])


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
