"""What both the embedded client and ``QdrantClient`` do."""

from __future__ import annotations

import datetime
import uuid
from itertools import count

import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http import models

SIZE = 16
COUNT = 200
METRICS = [
    models.Distance.COSINE,
    models.Distance.DOT,
    models.Distance.EUCLID,
    models.Distance.MANHATTAN,
]
VECTORS = np.random.default_rng(7).standard_normal((COUNT, SIZE)).astype(np.float32)
IDS = [str(uuid.UUID(int=(i * 7919 % 1000 << 96) + i)) for i in range(COUNT)]
PAYLOADS = [
    {
        "number": i,
        "label": "abcde"[i % 5],
        "flag": i % 2 == 0,
        "score": i / 10,
        "tags": ["x", "y"][: i % 3],
        "when": f"2024-01-{i % 28 + 1:02d}T00:00:00Z",
        "nested": [{"a": i % 4, "b": i % 3}],
        "place": {"lon": i / 10, "lat": 10.0},
    }
    for i in range(COUNT)
]
EXACT = models.SearchParams(exact=True)
_numbers = count()


@pytest.fixture(params=["embedded", "memory"], scope="module")
def qdrant(request):
    if request.param == "embedded":
        yield request.getfixturevalue("shared_client")
    else:
        yield QdrantClient(":memory:")


@pytest.fixture(scope="module")
def both(shared_client):
    """Both, to compare."""
    return shared_client, QdrantClient(":memory:")


def make(qdrant, metric=models.Distance.COSINE, filled=True) -> str:
    name = f"c{next(_numbers)}"
    qdrant.create_collection(
        name, vectors_config=models.VectorParams(size=SIZE, distance=metric)
    )
    if filled:
        qdrant.upload_collection(
            name, vectors=VECTORS, payload=PAYLOADS, ids=IDS, wait=True
        )
    return name


_filled: dict[tuple[int, str], str] = {}


def read_only(qdrant, metric=models.Distance.COSINE) -> str:
    """Return a collection that no test changes."""
    key = (id(qdrant), metric)
    if key not in _filled:
        _filled[key] = make(qdrant, metric)
    return _filled[key]


def hits(points):
    return [(p.id, p.score) for p in points]


def assert_same_hits(found, wanted):
    assert [p.id for p in found] == [p.id for p in wanted]
    np.testing.assert_allclose(
        [p.score for p in found], [p.score for p in wanted], atol=1e-5, rtol=1e-5
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
    name = f"c{next(_numbers)}"
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


def test_overwrite_payload_replaces_all_fields(qdrant):
    name = make(qdrant)

    qdrant.overwrite_payload(name, payload={"only": 1}, points=[IDS[0]])

    (record,) = qdrant.retrieve(name, ids=[IDS[0]])
    assert record.payload == {"only": 1}


def test_delete_payload_removes_fields(qdrant):
    name = make(qdrant)

    qdrant.delete_payload(name, keys=["label", "flag"], points=[IDS[0]])

    (record,) = qdrant.retrieve(name, ids=[IDS[0]])
    assert not {"label", "flag"} & set(record.payload)
    assert record.payload["number"] == 0


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


# -- searching --------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("limit", [1, 10, COUNT + 50])
def test_searching_by_a_vector_finds_the_same(both, metric, limit):
    found, wanted = (
        q.query_points(
            read_only(q, metric), query=VECTORS[5].tolist(), limit=limit
        ).points
        for q in both
    )

    assert_same_hits(found, wanted)


@pytest.mark.parametrize("metric", METRICS)
def test_searching_by_an_id_finds_the_same_without_the_point_itself(both, metric):
    found, wanted = (
        q.query_points(read_only(q, metric), query=IDS[5], limit=10).points
        for q in both
    )

    assert_same_hits(found, wanted)
    assert IDS[5] not in [p.id for p in found]
    assert len(found) == 10


def test_an_offset_skips_hits_when_searching_by_an_id(both):
    found, wanted = (
        q.query_points(read_only(q), query=IDS[5], limit=10, offset=7).points
        for q in both
    )

    assert_same_hits(found, wanted)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("quantile", [5, 50])
def test_a_score_threshold_keeps_the_same(both, metric, quantile):
    edge = both[0]
    everything = edge.query_points(
        make(edge, metric), query=VECTORS[5].tolist(), limit=COUNT
    ).points
    threshold = everything[quantile].score + 1e-4

    found, wanted = (
        q.query_points(
            read_only(q, metric),
            query=VECTORS[5].tolist(),
            limit=COUNT,
            score_threshold=threshold,
        ).points
        for q in both
    )

    assert_same_hits(found, wanted)


CONDITIONS = {
    "value": models.FieldCondition(key="label", match=models.MatchValue(value="a")),
    "integer": models.FieldCondition(key="number", match=models.MatchValue(value=7)),
    "true": models.FieldCondition(key="flag", match=models.MatchValue(value=True)),
    "false": models.FieldCondition(key="flag", match=models.MatchValue(value=False)),
    "bool is no int": models.FieldCondition(
        key="number", match=models.MatchValue(value=True)
    ),
    "any": models.FieldCondition(key="label", match=models.MatchAny(any=["a", "c"])),
    "any int": models.FieldCondition(key="number", match=models.MatchAny(any=[1, 9])),
    "except": models.FieldCondition(
        key="label", match=models.MatchExcept(**{"except": ["a", "c"]})
    ),
    "text": models.FieldCondition(key="label", match=models.MatchText(text="a")),
    "range": models.FieldCondition(key="score", range=models.Range(gte=1.5, lt=9)),
    "dates": models.FieldCondition(
        key="when",
        range=models.DatetimeRange(
            gt=datetime.datetime(2024, 1, 3, tzinfo=datetime.timezone.utc),
            lte=datetime.datetime(2024, 1, 20, tzinfo=datetime.timezone.utc),
        ),
    ),
    "count": models.FieldCondition(key="tags", values_count=models.ValuesCount(gte=1)),
    "empty": models.IsEmptyCondition(is_empty=models.PayloadField(key="tags")),
    "null": models.IsNullCondition(is_null=models.PayloadField(key="label")),
    "ids": models.HasIdCondition(has_id=IDS[::3]),
    "no ids": models.HasIdCondition(has_id=[]),
    "nested": models.NestedCondition(
        nested=models.Nested(
            key="nested",
            filter=models.Filter(
                must=[
                    models.FieldCondition(key="a", match=models.MatchValue(value=1)),
                    models.FieldCondition(key="b", match=models.MatchValue(value=2)),
                ]
            ),
        )
    ),
    "array": models.FieldCondition(key="nested[].a", match=models.MatchValue(value=3)),
    "radius": models.FieldCondition(
        key="place",
        geo_radius=models.GeoRadius(
            center=models.GeoPoint(lon=5.0, lat=10.0), radius=200_000
        ),
    ),
    "box": models.FieldCondition(
        key="place",
        geo_bounding_box=models.GeoBoundingBox(
            top_left=models.GeoPoint(lon=1.0, lat=11.0),
            bottom_right=models.GeoPoint(lon=7.0, lat=9.0),
        ),
    ),
    "polygon": models.FieldCondition(
        key="place",
        geo_polygon=models.GeoPolygon(
            exterior=models.GeoLineString(
                points=[
                    models.GeoPoint(lon=1.0, lat=9.0),
                    models.GeoPoint(lon=7.0, lat=9.0),
                    models.GeoPoint(lon=7.0, lat=11.0),
                    models.GeoPoint(lon=1.0, lat=9.0),
                ]
            )
        ),
    ),
    "filter": models.Filter(
        should=[
            models.FieldCondition(key="number", match=models.MatchValue(value=1)),
            models.FieldCondition(key="number", match=models.MatchValue(value=2)),
        ]
    ),
}


@pytest.fixture(scope="module")
def filled_both(shared_client):
    memory = QdrantClient(":memory:")
    return [(q, make(q)) for q in (shared_client, memory)]


@pytest.mark.parametrize("clause", ["must", "should", "must_not"])
@pytest.mark.parametrize("condition", list(CONDITIONS))
def test_a_filter_selects_the_same(filled_both, clause, condition):
    wanted = models.Filter(**{clause: [CONDITIONS[condition]]})

    one, other = (
        (
            q.count(name, count_filter=wanted).count,
            hits(
                q.query_points(
                    name, query=IDS[0], query_filter=wanted, limit=10, with_payload=True
                ).points
            ),
        )
        for q, name in filled_both
    )

    assert one[0] == other[0]
    assert [i for i, _ in one[1]] == [i for i, _ in other[1]]


def test_min_should_selects_the_same(filled_both):
    wanted = models.Filter(
        min_should=models.MinShould(
            conditions=[CONDITIONS[c] for c in ("value", "true", "range")], min_count=2
        )
    )

    one, other = (q.count(n, count_filter=wanted).count for q, n in filled_both)

    assert one == other > 0


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("by_id", [True, False])
def test_recommending_by_average_vector_finds_the_same(both, metric, by_id):
    pos = IDS[:2] if by_id else VECTORS[:2].tolist()
    neg = IDS[2:4] if by_id else VECTORS[2:4].tolist()
    query = models.RecommendQuery(
        recommend=models.RecommendInput(positive=pos, negative=neg)
    )

    found, wanted = (
        q.query_points(read_only(q, metric), query=query, limit=10).points for q in both
    )

    assert_same_hits(found, wanted)


@pytest.mark.parametrize("metric", METRICS)
def test_recommending_by_best_score_finds_the_same(both, metric):
    query = models.RecommendQuery(
        recommend=models.RecommendInput(
            positive=IDS[:2],
            negative=[IDS[2]],
            strategy=models.RecommendStrategy.BEST_SCORE,
        )
    )

    found, wanted = (
        q.query_points(read_only(q, metric), query=query, limit=10).points for q in both
    )

    assert [p.id for p in found] == [p.id for p in wanted]


@pytest.mark.filterwarnings("ignore:Local mode performs exact")
@pytest.mark.parametrize("metric", METRICS)
def test_recommending_against_a_vector_ranks_the_farthest_first(both, metric):
    query = models.RecommendQuery(
        recommend=models.RecommendInput(
            negative=[VECTORS[5].tolist()],
            strategy=models.RecommendStrategy.SUM_SCORES,
        )
    )

    found, wanted = (
        q.query_points(
            read_only(q, metric), query=query, limit=COUNT, search_params=EXACT
        ).points
        for q in both
    )

    assert [p.id for p in found] == [p.id for p in wanted]
    assert found[-1].id == IDS[5] or metric == models.Distance.DOT


def test_mmr_finds_the_same(both):
    query = models.NearestQuery(
        nearest=VECTORS[5].tolist(),
        mmr=models.Mmr(diversity=0.4, candidates_limit=50),
    )

    found, wanted = (
        q.query_points(read_only(q), query=query, limit=10).points for q in both
    )

    assert [p.id for p in found] == [p.id for p in wanted]


def test_discovery_finds_the_same(both):
    query = models.DiscoverQuery(
        discover=models.DiscoverInput(
            target=VECTORS[5].tolist(),
            context=[models.ContextPair(positive=IDS[1], negative=IDS[2])],
        )
    )

    found, wanted = (
        q.query_points(read_only(q), query=query, limit=10).points for q in both
    )

    assert [p.id for p in found] == [p.id for p in wanted]


def test_a_sample_returns_points(qdrant):
    query = models.SampleQuery(sample=models.Sample.RANDOM)

    found = qdrant.query_points(read_only(qdrant), query=query, limit=10).points

    assert len({p.id for p in found}) == 10


def test_a_batch_of_queries_is_answered_in_order(qdrant):
    name = read_only(qdrant)
    requests = [
        models.QueryRequest(query=VECTORS[i].tolist(), limit=1) for i in range(40)
    ]

    answers = qdrant.query_batch_points(name, requests=requests)

    assert [a.points[0].id for a in answers] == IDS[:40]


def test_vectors_and_payload_come_with_hits_when_asked_for(qdrant):
    name = read_only(qdrant, models.Distance.DOT)

    (hit,) = qdrant.query_points(
        name, query=IDS[1], limit=1, with_vectors=True, with_payload=["number"]
    ).points

    number = hit.payload["number"]
    assert hit.payload == {"number": number}
    np.testing.assert_array_equal(np.float32(hit.vector), VECTORS[number])


@pytest.mark.parametrize(
    "call",
    [
        lambda q: q.get_collection("never"),
        lambda q: q.count("never"),
        lambda q: q.query_points("never", query=[0.0] * SIZE),
        lambda q: q.retrieve("never", ids=[1]),
        lambda q: q.scroll("never"),
        lambda q: q.upsert("never", points=[models.PointStruct(id=1, vector=[1.0])]),
        lambda q: q.delete("never", points_selector=[1]),
    ],
    ids=["get", "count", "query", "retrieve", "scroll", "upsert", "delete"],
)
def test_a_missing_collection_is_an_error_that_names_it(qdrant, call):
    with pytest.raises(Exception, match="never"):
        call(qdrant)


def test_searching_by_an_unknown_id_is_an_error(qdrant):
    with pytest.raises(Exception, match="0042"):
        qdrant.query_points(
            read_only(qdrant), query="00000000-0000-0000-0000-000000000042"
        )
