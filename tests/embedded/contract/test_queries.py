"""Queries: what both the embedded client and ``QdrantClient`` find."""

from __future__ import annotations

import datetime

import numpy as np
import pytest
from qdrant_client import QdrantClient
from qdrant_client.http import models

from tests.embedded.contract.conftest import (
    COUNT,
    EXACT,
    IDS,
    METRICS,
    SIZE,
    VECTORS,
    assert_same_hits,
    hits,
    make,
    read_only,
)


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


@pytest.mark.parametrize(
    ("clause", "count"), [("must", 0), ("should", 0), ("must_not", COUNT)]
)
def test_a_bool_is_no_integer(filled_both, clause, count):
    """Unlike in qdrant-client's in-memory mode before 1.20."""
    (embedded, name), _ = filled_both
    is_true = models.FieldCondition(key="number", match=models.MatchValue(value=True))
    wanted = models.Filter(**{clause: [is_true]})
    assert embedded.count(name, count_filter=wanted).count == count


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


def number_is(value):
    match = models.MatchValue(value=value)
    return models.FieldCondition(key="number", match=match)


PREFETCHES = [
    models.Prefetch(query=VECTORS[5].tolist(), limit=20),
    models.Prefetch(
        query=IDS[7], limit=20, filter=models.Filter(must_not=[number_is(5)])
    ),
]
FORMULAS = {
    "constant": 2.0,
    "condition": number_is(5),
    "sum": models.SumExpression(sum=["$score", 1.5, number_is(5)]),
    "product": models.MultExpression(mult=[0.5, "$score"]),
    "of a field": models.SumExpression(
        sum=["$score", models.AbsExpression(abs=models.NegExpression(neg="score"))]
    ),
    "quotient": models.DivExpression(
        div=models.DivParams(left="score", right=2.0, by_zero_default=1.0)
    ),
    "power": models.PowExpression(pow=models.PowParams(base="score", exponent=2.0)),
    "distance": models.NegExpression(
        neg=models.GeoDistance(
            geo_distance=models.GeoDistanceParams(
                origin=models.GeoPoint(lon=1.0, lat=9.0), to="place"
            )
        )
    ),
    "decay": models.GaussDecayExpression(
        gauss_decay=models.DecayParamsExpression(x="score", target=1.0, scale=3.0)
    ),
    "time": models.ExpDecayExpression(
        exp_decay=models.DecayParamsExpression(
            x=models.DatetimeKeyExpression(datetime_key="when"),
            target=models.DatetimeExpression(datetime="2024-01-09T00:00:00Z"),
            scale=86_400.0,
        )
    ),
}
FUSIONS = {
    "rrf": models.FusionQuery(fusion=models.Fusion.RRF),
    "dbsf": models.FusionQuery(fusion=models.Fusion.DBSF),
    "rrf with weights": models.RrfQuery(rrf=models.Rrf(k=3, weights=[2.0, 1.0])),
    "a vector": VECTORS[9].tolist(),
}


@pytest.mark.parametrize("query", FUSIONS.values(), ids=FUSIONS)
def test_several_searches_are_fused_to_the_same(both, query):
    found, wanted = (
        q.query_points(read_only(q), query, prefetch=PREFETCHES, limit=40).points
        for q in both
    )

    scores = {p.id: p.score for p in wanted}  # those with the same are in any order
    assert {p.id for p in found} == scores.keys()
    np.testing.assert_allclose(
        [p.score for p in found], [scores[p.id] for p in found], rtol=1e-4, atol=1e-6
    )


def test_a_single_search_within_another_narrows_it(both):
    narrow = models.Prefetch(prefetch=PREFETCHES[0], query=IDS[3], limit=5)

    found, wanted = (
        q.query_points(read_only(q), IDS[9], prefetch=narrow).points for q in both
    )

    assert_same_hits(found, wanted)
    assert len(found) == 5


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_a_formula_scores_the_same(both, formula):
    query = models.FormulaQuery(formula=formula, defaults={"score": 0.0})

    found, wanted = (
        q.query_points(read_only(q), query, prefetch=PREFETCHES[:1], limit=20).points
        for q in both
    )

    scores = {p.id: p.score for p in wanted}
    assert {p.id for p in found} == scores.keys()
    np.testing.assert_allclose(
        [p.score for p in found], [scores[p.id] for p in found], rtol=1e-3
    )


def test_feedback_on_hits_ranks_the_same(both):
    query = models.RelevanceFeedbackQuery(
        relevance_feedback=models.RelevanceFeedbackInput(
            target=VECTORS[5].tolist(),
            feedback=[
                models.FeedbackItem(example=IDS[1], score=0.9),
                models.FeedbackItem(example=VECTORS[2].tolist(), score=0.1),
            ],
            strategy=models.NaiveFeedbackStrategy(
                naive=models.NaiveFeedbackStrategyParams(a=1.0, b=1.0, c=1.0)
            ),
        )
    )

    found, wanted = (q.query_points(read_only(q), query, limit=20).points for q in both)

    assert_same_hits(found, wanted)


@pytest.mark.parametrize("clause", ["must", "should", "must_not"])
def test_a_condition_may_stand_alone_in_its_clause(filled_both, clause):
    wanted = models.Filter(**{clause: CONDITIONS["any"]})

    one, other = (q.count(n, count_filter=wanted).count for q, n in filled_both)

    assert one == other > 0


def test_a_facet_counts_the_same(filled_both):
    among = models.Filter(must=[CONDITIONS["range"]])
    for q, name in filled_both:
        q.create_payload_index(name, "label", models.PayloadSchemaType.KEYWORD)

    one, other = (
        {h.value: h.count for h in q.facet(n, "label", among, exact=True).hits}
        for q, n in filled_both
    )

    assert one == other
    assert sum(one.values()) == 75
