"""Strict mode: every verb stays within every limit, and answers as without any."""

from __future__ import annotations

import logging

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_qdrant.errors import EngineError, LimitExceeded, RequestTooLarge
from fiftyone_qdrant.ingest import ingest, sync
from fiftyone_qdrant.qdrant.limits import Limits
from fiftyone_qdrant.status.indexes import index_status
from tests.server.misbehaviour import Fault

LIMITS = {
    "max_query_limit": 7,
    "search_max_batchsize": 1,
    "search_max_hnsw_ef": 8,
    "search_allow_exact": False,
    "search_max_oversampling": 1.0,
    "upsert_max_batchsize": 7,
    "condition_max_size": 5,
    "filter_max_conditions": 1,
    "max_timeout": 1,
    "unindexed_filtering_retrieve": False,
    "unindexed_filtering_update": False,
    "max_payload_index_count": 1,
    "max_points_count": 1000,
    "max_collection_vector_size_bytes": 2**20,
    "max_collection_payload_size_bytes": 2**20,
    "read_rate_limit": 10_000,
    "write_rate_limit": 30,
}
MODES = {name: {name: value} for name, value in LIMITS.items()} | {"all": LIMITS}
N = 60


@pytest.fixture
def strict(server, monkeypatch):
    """``strict(mode)`` limits the collections there are; a minute passes in a pause."""

    def limit(mode):
        server.strict[""] = {"enabled": True, **mode}

    def pass_time(seconds):
        for kind in server.strict_mode.spent:
            server.strict_mode.spent[kind] = 0

    monkeypatch.setattr("fiftyone_qdrant.qdrant.retries.time.sleep", pass_time)
    return limit


def ids_of(found):
    return [h.ids for h in found]


def in_view(ask):
    def within(index, samples, vectors, rows):
        with index.use_view(samples.select(samples[rows].values("id"))):
            return ask(index, samples, vectors)

    return within


VERBS = {
    "query by id": lambda i, s, v: ids_of(i.search(s.values("id")[7], k=5)),
    "query by vector": lambda i, s, v: ids_of(i.search(v[7], k=5)),
    "more than a page": lambda i, s, v: ids_of(i.search(v[7], k=20)),
    "most": lambda i, s, v: ids_of(i.search(v[7], k=55)),
    "rank all": lambda i, s, v: ids_of(i.search(v[7])),
    "exact": lambda i, s, v: ids_of(i.search(v[7], k=9, exact=True)),
    "deep": lambda i, s, v: ids_of(i.search(v[7], k=9, hnsw_ef=400)),
    "farthest": lambda i, s, v: ids_of(i.search(v[7], k=9, reverse=True)),
    "many": lambda i, s, v: ids_of(i.search(v[:9], k=9, aggregation=None)),
    "post-mean": lambda i, s, v: ids_of(i.search(v[:3], k=9, aggregation="post-mean")),
    "negatives": lambda i, s, v: ids_of(
        i.search(s.values("id")[7], k=9, negatives=s.values("id")[9])
    ),
    "few of a view": lambda i, s, v: in_view(VERBS["query by id"])(
        i, s, v, slice(3, 15)
    ),
    "all of a view": lambda i, s, v: in_view(VERBS["rank all"])(i, s, v, slice(3, 40)),
    "size": lambda i, s, v: i.total_index_size,
    "ids": lambda i, s, v: i.contents.ids()[0].tolist(),
    "embeddings": lambda i, s, v: i.get_embeddings()[0].round(4).tolist(),
    "some embeddings": lambda i, s, v: (
        i.get_embeddings(sample_ids=s.values("id")[:20])[0].round(4).tolist()
    ),
    "duplicates": lambda i, s, v: (
        i.find_duplicates(thresh=0.5),
        i.duplicate_ids,
    )[1],
    "status": lambda i, s, v: (
        lambda t: (t.state, t.points, t.indexed, t.orphans, t.problem)
    )(index_status(s, "index")),
    "drift": lambda i, s, v: sync.find_drift(i, s).summary,
    "remove": lambda i, s, v: (
        i.remove_from_index(sample_ids=s.values("id")[:20]),
        i.total_index_size,
    )[1],
    "add": lambda i, s, v: (
        i.add_to_index(v + 1, s.values("id")),
        i.get_embeddings(sample_ids=s.values("id"))[0].round(4).tolist(),
    )[1],
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_answers_within_every_limit(
    verb, create, samples, vectors, server, strict
):
    index = create(server.url, collection_name="points")
    wanted = VERBS[verb](index, samples, vectors)
    if verb in ("add", "remove"):
        index.add_to_index(vectors, samples.values("id"))

    for name, mode in MODES.items():
        strict(mode)
        index.contents.collection = type(index.collection)(
            index.collection.connection, "points"
        )
        assert VERBS[verb](index, samples, vectors) == wanted, name
        server.strict.clear()
        if verb in ("add", "remove"):
            index.add_to_index(vectors, samples.values("id"))


@pytest.mark.parametrize("mode", MODES)
def test_an_index_is_made_and_filled_within(mode, create, samples, server, strict):
    strict(MODES[mode])
    index = create(server.url, collection_name="points")
    assert (server.count("points"), index.total_index_size) == (N, N)


@pytest.mark.parametrize("mode", ["unindexed_filtering_retrieve", "all"])
def test_patches_are_read_by_sample_within(mode, samples, vectors, server, strict):
    """Their filter is on the sample, so its size counts as well."""
    box = [0, 0, 1, 1]
    things = [fo.Detection(label="a", bounding_box=box) for _ in range(N)]
    samples.set_values("things", [fo.Detections(detections=[t]) for t in things])
    strict(MODES[mode])
    each = [[v.tolist()] for v in vectors]
    samples.set_values("things.detections.vector", each, dynamic=True)
    index, done = ingest.create_index(
        samples, "patches", "vector", patches_field="things", url=server.url
    )
    assert done.new == N
    wanted = samples.values("id")[:20]
    assert len(index.contents.of_samples(wanted)[0]) == 20
    found, owners, _ = index.get_embeddings(sample_ids=wanted)
    assert owners.tolist() == wanted
    np.testing.assert_allclose(found, vectors[:20], rtol=1e-5)


def test_a_limit_set_meanwhile_is_read_from_the_refusal(
    index, samples, vectors, server, strict
):
    index.collection.schema()
    strict(LIMITS)
    index.collection.refresh = lambda: None  # so that nothing is read of it anew
    assert index.total_index_size == 30
    assert len(index.search(vectors[7], k=20)[0].ids) == 20
    limits = index.collection.bounds.limits
    assert (limits.max_query_limit, limits.search_allow_exact) == (7, False)


def test_what_cannot_be_exact_says_so(index, vectors, server, strict, caplog):
    (before,) = index.search(vectors[7], k=5, exact=True)
    strict({"search_allow_exact": False})
    with caplog.at_level(logging.WARNING):
        (hits,) = index.search(vectors[7], k=5, exact=True)
    assert (before.exact, hits.exact) == (True, False)
    assert "does not allow exact searches" in caplog.text
    (plain,) = index.search(vectors[7], k=5)
    assert plain.exact


def test_limits_that_are_off_are_none():
    assert Limits().points(10_000) == 10_000
    assert Limits(max_query_limit=3).points(10_000) == 3


FULL = {
    "max_points_count": 30,
    "max_collection_vector_size_bytes": 100,
    "max_collection_payload_size_bytes": 100,
}


@pytest.mark.parametrize("limit", FULL)
def test_a_full_collection_says_which_limit_to_raise(
    limit, index, samples, vectors, server, strict, fault
):
    strict({limit: FULL[limit]})
    saying = f"'points' at .* is full: Max .* reached. Its strict mode sets {limit}"
    with fault(f"add: {limit}", EngineError, saying=saying):
        index.add_to_index(vectors[30:], samples.values("id")[30:])


# --- too large ------------------------------------------------------------------

WRITE = "PUT /collections/points/points"
TOO_LARGE = {
    "413 of a proxy": {"status": 413, "body": b"<html>413</html>"},
    "400 of Qdrant": {
        "status": 400,
        "error": "JSON payload (7426431 bytes) is larger than allowed (limit: 1048576 "
        "bytes).",
    },
    "429, more than a minute may have": {
        "status": 429,
        "error": "Rate limiting exceeded: Write rate limit exceeded, request larger "
        "than rate limiter capacity, please try to split your request",
    },
}


@pytest.mark.parametrize("words", TOO_LARGE)
def test_what_is_too_large_is_made_smaller(words, index, samples, vectors, server):
    server.faults = [Fault(WRITE, times=3, **TOO_LARGE[words])]
    index.add_to_index(vectors[30:], samples.values("id")[30:])
    assert server.count("points") == N


@pytest.mark.parametrize("words", TOO_LARGE)
def test_the_one_point_that_is_too_large_is_named(
    words, index, samples, vectors, server, fault
):
    server.faults = [Fault(WRITE, **TOO_LARGE[words])]
    ids = samples.values("id")
    with fault(f"add: {words}", RequestTooLarge, saying=f"only the point of {ids[30]}"):
        index.add_to_index(vectors[30:], ids[30:])


def test_a_limit_of_the_server_in_bytes_is_kept(create, server):
    server.max_bytes = 1500
    create(server.url, collection_name="points")
    assert server.count("points") == N


def test_a_limit_that_leaves_no_way_is_said(index, vectors, server, fault):
    words = 'Bad request: Limit exceeded 9 > 2 for "prefetch". Help: Reduce it.'
    server.faults = [Fault("POST .*/query/batch", 400, words)]
    saying = "'points' at .* does not allow this .*Its strict mode sets prefetch"
    with fault("query: a limit of its own", LimitExceeded, saying=saying):
        index.search(vectors[7], k=5)
