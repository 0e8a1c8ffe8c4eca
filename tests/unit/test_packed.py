"""Ids as one array: there and back, which are among others, what is no id."""

import uuid

import numpy as np
import pytest
from bson import ObjectId

from fiftyone_qdrant import packed, points
from fiftyone_qdrant.errors import MissingIDs

ENDS = ["0" * 24, "f" * 24, "ab" + "0" * 22, "00" * 11 + "01", "0" * 22 + "20"]


def test_ids_come_back_in_their_order(rng):
    ids = ENDS + [str(ObjectId()) for _ in range(40_000)]
    rng.shuffle(ids)
    array = packed.pack(iter(ids))
    assert packed.unpack(array) == ids
    assert [i for block in packed.blocks(array, 999) for i in block] == ids
    assert packed.unpack(np.sort(array)) == sorted(ids)
    assert packed.unpack(packed.pack([])) == []


def test_among_is_membership_of_a_set(rng):
    ids = [*ENDS, *(f"{n:024x}" for n in rng.integers(200, size=500))]
    for others in ([], ENDS[:1], ids[::3], sorted(set(ids))):
        found = packed.among(packed.pack(ids), np.sort(packed.pack(others)))
        assert found.tolist() == [i in set(others) for i in ids]


@pytest.mark.parametrize(
    "bad", ["", "0" * 23, "0" * 25, "g" * 24, " " * 24, "a " * 12, "é" * 24]
)
def test_what_is_no_id_is_named(bad):
    with pytest.raises(MissingIDs, match=f"^'{bad}' is not a FiftyOne id"):
        packed.pack([ENDS[0], bad, ENDS[1]])


def test_points_of_other_makers_are_counted_and_left_out():
    ids = [ObjectId().binary for _ in range(5)]
    theirs = uuid.uuid4().bytes[:15] + b"\1"
    uuids = [*(i + bytes(4) for i in ids[:3]), theirs, *(i + bytes(4) for i in ids[3:])]
    array = np.frombuffer(b"".join(uuids), dtype=np.uint8).reshape(-1, 16)
    found, foreign = packed.from_uuids(array)
    assert (found.tolist(), foreign) == (
        packed.pack([i.hex() for i in ids]).tolist(),
        1,
    )


def test_point_ids_are_those_of_their_ids():
    ids = [*ENDS, str(ObjectId()), ENDS[1].upper()]
    found = packed.PointIds.of(ids)
    assert list(found) == points.to_point_ids(ids)
    assert [found[0], found[-1]] == list(found)[:: len(found) - 1]
    assert list(found[2:5]) == list(found)[2:5]
    assert list(packed.PointIds.of([])) == []
