"""Vectors read over REST as arrays: what the client would have read."""

from __future__ import annotations

import numpy as np
import pytest
from qdrant_client import models

from fiftyone_qdrant import points
from fiftyone_qdrant.errors import CollectionNotFound, ConnectionFailed
from fiftyone_qdrant.qdrant import reads, rest_reading


def test_pages_are_those_of_the_client(index):
    client = index.client
    assert rest_reading.available()
    some = models.MatchAny(any=index.samples.values("id")[:20])
    matching = models.FieldCondition(key=points.SAMPLE_ID, match=some)
    for condition in (None, models.Filter(must=[matching])):
        for payload in (True, False):
            given = (condition, 7, None, payload, True)
            page, offset = rest_reading.scroll(client, "points", *given)
            theirs, their_offset = client.scroll(
                "points",
                scroll_filter=condition,
                limit=7,
                with_payload=payload,
                with_vectors=True,
            )
            assert offset == their_offset
            same(page, theirs)


@pytest.mark.parametrize("names", [True, ["b"]])
def test_points_with_names_and_whole_numbers_are_those_of_the_client(index, names):
    client = index.client
    size = models.VectorParams(size=2, distance=models.Distance.DOT)
    client.create_collection("named", {"a": size, "b": size})
    ids = points.to_point_ids(["a" * 24, "b" * 24, "c" * 24])
    vectors = [{"a": [1, 2.5], "b": [3, 4]}, {"b": [0, -1e-7]}, {"a": [1, 1]}]
    client.upsert(
        "named",
        [
            models.PointStruct(id=i, vector=v, payload={"tags": [{"x": n}, None]})
            for n, (i, v) in enumerate(zip(ids, vectors, strict=True))
        ],
    )
    found = rest_reading.retrieve(client, "named", ids, True, names)
    same(found, client.retrieve("named", ids, True, names))


def same(found, theirs):
    assert found.point_ids == [p.id for p in theirs]
    assert found.payloads == [p.payload or {} for p in theirs]
    for ours, r in zip(found.vectors, theirs, strict=True):
        if isinstance(r.vector, dict):
            assert set(ours) == set(r.vector)
            for name, vector in r.vector.items():
                np.testing.assert_array_equal(ours[name], np.float32(vector))
        else:
            assert ours.dtype == np.float32
            np.testing.assert_array_equal(ours, np.float32(r.vector))


@pytest.mark.parametrize("parser", [True, False])
def test_embeddings_are_the_same_without_the_parser(
    index, vectors, monkeypatch, parser
):
    monkeypatch.setattr(rest_reading, "available", lambda: parser)
    monkeypatch.setattr(reads, "_READ_POINTS", 7)
    found, ids, _ = index.get_embeddings()
    order = [index.samples.values("id").index(i) for i in ids]
    np.testing.assert_array_equal(found, vectors[order])
    some = ids[:11].tolist()
    np.testing.assert_array_equal(index.get_embeddings(some)[0], found[:11])


def test_another_client_reads_by_itself(index, monkeypatch):
    monkeypatch.setattr(index.client._client, "openapi_client", None)
    own = models.Record(id=1, payload={"its": "own"}, vector=[0.0])
    monkeypatch.setattr(type(index.client), "retrieve", lambda *_, **__: [own])

    found = rest_reading.retrieve(index.client, "points", [], True, True)

    assert found == points.Page.of([own])


def test_refusals_are_told_as_those_of_the_client(index):
    index.client.delete_collection("points")
    with pytest.raises(CollectionNotFound, match="no collection 'points'"):
        list(index.collection.retrieve(["a" * 24]))


def test_an_answer_that_is_none_is_said(index, monkeypatch):
    from httpx import Response

    api = index.client.http.client
    ok = Response(200, content=b"<html>")
    index.collection.schema()
    monkeypatch.setattr(api, "middleware", lambda *_: ok)
    with pytest.raises(ConnectionFailed, match="not answer like a Qdrant server"):
        list(index.collection.retrieve(["a" * 24]))
