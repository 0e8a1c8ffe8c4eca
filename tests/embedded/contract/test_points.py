"""Collections and points: what both the embedded client and ``QdrantClient`` do."""

from __future__ import annotations

import uuid

import numpy as np
import pytest
from qdrant_client.http import models

from tests.embedded.contract.conftest import (
    COUNT,
    IDS,
    METRICS,
    PAYLOADS,
    SIZE,
    VECTORS,
    make,
    read_only,
)

# -- collections ------------------------------------------------------------------


def test_a_new_collection_exists_and_is_listed(qdrant):
    name = make(qdrant, filled=False)

    assert qdrant.collection_exists(name)
    assert name in [c.name for c in qdrant.get_collections().collections]


def test_a_collection_that_was_not_created_does_not_exist(qdrant):
    assert not qdrant.collection_exists("never")


def test_a_deleted_collection_is_gone(qdrant):
    name = make(qdrant)

    assert qdrant.delete_collection(name)

    assert not qdrant.collection_exists(name)


def test_a_deleted_collection_can_be_created_anew_and_is_empty(qdrant):
    name = make(qdrant)
    qdrant.delete_collection(name)

    qdrant.create_collection(
        name,
        vectors_config=models.VectorParams(size=3, distance=models.Distance.DOT),
    )

    assert qdrant.count(name).count == 0


def test_creating_a_collection_twice_is_an_error(qdrant):
    name = make(qdrant)

    with pytest.raises(Exception, match=name):
        make_again(qdrant, name)


def make_again(qdrant, name):
    qdrant.create_collection(
        name,
        vectors_config=models.VectorParams(size=SIZE, distance=METRICS[0]),
    )


@pytest.mark.parametrize("metric", METRICS)
def test_get_collection_tells_size_metric_and_count(qdrant, metric):
    name = make(qdrant, metric)

    info = qdrant.get_collection(name)

    assert info.status == models.CollectionStatus.GREEN
    assert info.points_count == COUNT
    assert info.config.params.vectors.size == SIZE
    assert info.config.params.vectors.distance == metric
    assert info.payload_schema == {}


def test_metadata_is_kept_and_merged(qdrant):
    name = "with metadata"
    qdrant.create_collection(
        name,
        vectors_config=models.VectorParams(size=SIZE, distance=METRICS[0]),
        metadata={"a": 1, "b": {"c": 2}},
    )

    qdrant.update_collection(name, metadata={"b": 3, "d": [4]})

    metadata = qdrant.get_collection(name).config.metadata
    assert metadata == {"a": 1, "b": 3, "d": [4]}


# -- points -----------------------------------------------------------------------


def test_retrieve_keeps_the_order_asked_for(qdrant):
    name = read_only(qdrant)
    wanted = [IDS[9], IDS[3], IDS[150], IDS[0]]

    found = qdrant.retrieve(name, ids=wanted)

    assert [r.id for r in found] == wanted


def test_retrieve_leaves_out_what_is_not_there(qdrant):
    name = read_only(qdrant)

    found = qdrant.retrieve(name, ids=[IDS[1], str(uuid.uuid4()), IDS[0]])

    assert [r.id for r in found] == [IDS[1], IDS[0]]


def test_retrieve_returns_payload_by_default_and_no_vectors(qdrant):
    name = read_only(qdrant)

    (record,) = qdrant.retrieve(name, ids=[IDS[4]])

    assert record.payload == PAYLOADS[4]
    assert record.vector is None


def test_retrieve_returns_only_the_payload_asked_for(qdrant):
    name = read_only(qdrant)

    (some,) = qdrant.retrieve(name, ids=[IDS[4]], with_payload=["number"])
    (none,) = qdrant.retrieve(name, ids=[IDS[4]], with_payload=False)

    assert some.payload == {"number": 4}
    assert not none.payload


@pytest.mark.parametrize("metric", METRICS[1:])
def test_vectors_come_back_as_they_were(qdrant, metric):
    name = read_only(qdrant, metric)

    found = qdrant.retrieve(name, ids=IDS[:20], with_vectors=True)

    np.testing.assert_array_equal(
        np.asarray([r.vector for r in found], dtype=np.float32), VECTORS[:20]
    )


def test_vectors_of_a_cosine_collection_come_back_with_length_one(qdrant):
    name = read_only(qdrant)

    found = qdrant.retrieve(name, ids=IDS[:20], with_vectors=True)

    norms = np.linalg.norm(VECTORS[:20], axis=1, keepdims=True)
    vectors = np.asarray([r.vector for r in found])
    np.testing.assert_allclose(vectors, VECTORS[:20] / norms, atol=1e-6)


def test_scroll_goes_through_all_points_in_order_of_id(qdrant):
    name = read_only(qdrant)
    seen, offset = [], None

    while True:
        page, offset = qdrant.scroll(name, limit=37, offset=offset)
        seen += [r.id for r in page]
        if offset is None:
            break

    assert seen == sorted(IDS)


def test_scroll_returns_the_points_of_a_filter(qdrant):
    name = read_only(qdrant)
    wanted = models.Filter(
        must=[models.FieldCondition(key="label", match=models.MatchValue(value="c"))]
    )

    page, offset = qdrant.scroll(name, scroll_filter=wanted, limit=1000)

    assert offset is None
    assert {r.payload["number"] for r in page} == set(range(2, COUNT, 5))


def test_integer_ids_work_and_come_back_as_integers(qdrant):
    name = make(qdrant, filled=False)

    qdrant.upsert(
        name,
        points=[
            models.PointStruct(id=i, vector=VECTORS[i].tolist(), payload={"i": i})
            for i in (5, 1, 3)
        ],
    )

    page, _ = qdrant.scroll(name)
    assert [r.id for r in page] == [1, 3, 5]


def test_an_upsert_replaces_vector_and_payload(qdrant):
    name = make(qdrant, models.Distance.DOT)

    qdrant.upsert(
        name,
        points=models.Batch(
            ids=[IDS[0]], vectors=[VECTORS[1].tolist()], payloads=[{"new": True}]
        ),
    )

    (record,) = qdrant.retrieve(name, ids=[IDS[0]], with_vectors=True)
    assert record.payload == {"new": True}
    np.testing.assert_array_equal(np.float32(record.vector), VECTORS[1])
    assert qdrant.count(name).count == COUNT


@pytest.mark.parametrize(
    "selector",
    [
        IDS[:3],
        models.PointIdsList(points=IDS[:3]),
        models.Filter(must=[models.HasIdCondition(has_id=IDS[:3])]),
        models.FilterSelector(
            filter=models.Filter(must=[models.HasIdCondition(has_id=IDS[:3])])
        ),
    ],
    ids=["list", "ids", "filter", "filter selector"],
)
def test_delete_removes_the_points_selected(qdrant, selector):
    name = make(qdrant)

    qdrant.delete(name, points_selector=selector)

    assert qdrant.count(name).count == COUNT - 3
    assert qdrant.retrieve(name, ids=IDS[:4])[0].id == IDS[3]


def test_deleting_what_is_not_there_changes_nothing(qdrant):
    name = make(qdrant)

    qdrant.delete(name, points_selector=[str(uuid.uuid4())])

    assert qdrant.count(name).count == COUNT


def test_set_payload_keeps_the_other_fields(qdrant):
    name = make(qdrant)

    qdrant.set_payload(name, payload={"label": "z", "extra": 1}, points=[IDS[0]])

    (record,) = qdrant.retrieve(name, ids=[IDS[0]])
    assert record.payload == {**PAYLOADS[0], "label": "z", "extra": 1}


def test_points_without_payload_have_none_or_an_empty_one(qdrant):
    name = make(qdrant, filled=False)

    qdrant.upload_collection(name, vectors=VECTORS[:2], ids=IDS[:2], wait=True)

    assert not qdrant.retrieve(name, ids=IDS[:1])[0].payload


def test_uploading_a_generator_of_lists_works(qdrant):
    name = make(qdrant, filled=False)

    qdrant.upload_collection(
        name, vectors=(v.tolist() for v in VECTORS[:5]), ids=iter(IDS[:5]), wait=True
    )

    assert qdrant.count(name).count == 5
