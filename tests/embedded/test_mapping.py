"""The table between ``qdrant_client.models`` and the engine, held to both packages."""

from __future__ import annotations

import typing
from enum import Enum

import numpy as np
import pytest
from pydantic import BaseModel
from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded.owner import mapping

SIZE = 4
VECTORS = np.eye(SIZE, dtype=np.float32)
TEXTS = ["a red truck", "a blue truck", "a red balloon", "nothing"]
INDEXES = [getattr(models, n) for n in dir(models) if n.endswith("IndexParams")]
INDEXES.remove(models.SparseIndexParams)
# of other vectors, of other collections, of servers that embed
LACKING = {"IdfScope", "IdfCorpusParams", "LookupLocation", "ShardKeyWithFallback"}
LACKING |= {"Document", "Image", "InferenceObject"}
# what they say with their fields is read before
READ_ELSEWHERE = {"QueryRequest", "Prefetch", "HasIdCondition"}


def reachable(kind, found=None):
    """Return all models and enums that may be within a kind of value."""
    found = set() if found is None else found
    if isinstance(kind, type) and issubclass(kind, (BaseModel, Enum)):
        if kind in found:
            return found
        found.add(kind)
        for field in getattr(kind, "model_fields", {}).values():
            reachable(field.annotation, found)
    for part in typing.get_args(kind):
        reachable(part, found)
    return found


ASKED = reachable(models.QueryRequest) | {models.PayloadSchemaType}
INDEXED = set().union(*map(reachable, INDEXES)) - set(INDEXES)
ENUMS = {k for k in ASKED | INDEXED if issubclass(k, Enum)}


def by_name(kinds):
    return sorted(kinds, key=lambda kind: kind.__name__)


@pytest.mark.parametrize(
    "model", by_name((ASKED | INDEXED | set(INDEXES)) - ENUMS), ids=lambda m: m.__name__
)
def test_every_field_of_a_model_reaches_the_engine_or_is_known_to_lack(model):
    name = model.__name__
    if name in LACKING:
        with pytest.raises(errors.UnsupportedByEngine, match=name):
            mapping.maker(name)
    elif name not in READ_ELSEWHERE:
        make, names = mapping.maker(name)
        wanted = {names.get(f, f) for f in model.model_fields if f != "type"}
        assert wanted <= mapping.fields(make)


def test_every_member_of_an_enum_is_one_of_the_engine():
    kinds = {k for k in ENUMS if not k.__name__.endswith("IndexType")}
    tags = {"Snowball", "NoStemmer"}  # that only tell models apart

    for kind in by_name(kinds):
        if kind.__name__ not in LACKING | tags:
            for one in kind:
                mapping.member(kind.__name__, one.value)


@pytest.fixture(scope="module")
def texts(shared_client):
    shape = models.VectorParams(size=SIZE, distance=models.Distance.DOT)
    shared_client.create_collection("texts", shape)
    payload = [{"text": text, "n": n} for n, text in enumerate(TEXTS)]
    shared_client.upload_collection("texts", VECTORS, payload, ids=range(SIZE))
    shared_client.create_payload_index(
        "texts",
        "text",
        models.TextIndexParams(
            type=models.TextIndexType.TEXT,
            tokenizer=models.TokenizerType.WORD,
            stopwords=models.Language.ENGLISH,
            scoring=models.TextScoringParams(type=models.TextScoringType.BM25),
        ),
    )
    return "texts"


@pytest.mark.parametrize(
    "text",
    ["red truck", models.TextQueryInput(query="red truck")],
    ids=["text", "input"],
)
def test_a_text_query_ranks_by_a_text_index(shared_client, texts, text):
    query = models.TextQuery(text=text)

    found = shared_client.query_points(texts, query, using="text").points

    assert found[0].id == 0
    assert {p.id for p in found} == {0, 1, 2}


def test_a_text_condition_reads_a_text_index(shared_client, texts):
    match = models.MatchTextAny(text_any="blue balloon")
    wanted = models.Filter(must=models.FieldCondition(key="text", match=match))

    page, _ = shared_client.scroll(texts, wanted)

    assert [p.id for p in page] == [1, 2]


def test_the_parts_of_slices_are_all_points(shared_client, texts):
    parts = [models.Slice(total=2, index=i) for i in range(2)]

    counts = [
        shared_client.count(texts, models.Filter(must=[models.SliceCondition(slice=p)]))
        for p in parts
    ]

    assert sum(c.count for c in counts) == SIZE


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"lookup_from": models.LookupLocation(collection="x")}, "lookup_from"),
        (
            {
                "prefetch": models.Prefetch(
                    lookup_from=models.LookupLocation(collection="x")
                )
            },
            "Prefetch.lookup_from",
        ),
        (
            {"search_params": models.SearchParams(idf=models.IdfScope.GLOBAL)},
            "IdfScope 'global'",
        ),
        ({"query": models.SparseVector(indices=[1], values=[1.0])}, "SparseVector"),
        ({"with_vectors": ["image"]}, "'image'"),
    ],
    ids=["lookup", "lookup before", "idf", "sparse", "names"],
)
def test_what_the_engine_lacks_is_refused_in_words(shared_client, texts, how, words):
    asked = {"query": [1.0] * SIZE, **how}

    with pytest.raises(errors.UnsupportedByEngine, match=words):
        shared_client.query_points(texts, **asked)


def test_a_vector_of_another_name_is_said_not_to_be_there(shared_client, texts):
    with pytest.raises(errors.VectorError, match="no vector of that name"):
        shared_client.query_points(texts, [1.0] * SIZE, using="image")
