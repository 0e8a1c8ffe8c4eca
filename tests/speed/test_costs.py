"""What things cost, in numbers that do not depend on the machine.

Calls to the store, questions to MongoDB, bytes sent; and, with a generous factor, time
against the bare engine in the same run. ``make bench`` measures the rest.
"""

from __future__ import annotations

import subprocess
import sys
import time
import tracemalloc
import uuid
from collections import Counter

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pymongo.collection
import pytest
import qdrant_edge as qe

import fiftyone_qdrant  # noqa: F401  (registers the backend)
from benchmarks import bare
from fiftyone_qdrant import packed
from fiftyone_qdrant.embedded.client import session
from fiftyone_qdrant.embedded.owner.queries import Planner
from fiftyone_qdrant.index import vector_table
from fiftyone_qdrant.ingest import sync
from fiftyone_qdrant.qdrant import reads
from fiftyone_qdrant.search import restriction, search
from fiftyone_qdrant.status import coverage
from fiftyone_qdrant.status.indexes import index_statuses

N, SIZE, K = 3000, 64, 25


@pytest.fixture(scope="module")
def index():
    """An index of 3,000 samples in a ``bucket`` and, with an index, on a ``shelf``."""
    vectors = np.random.default_rng(7).normal(size=(N, SIZE)).astype(np.float32)
    dataset = fo.Dataset()
    dataset.add_samples(
        [fo.Sample(f"/{n}.png", bucket=n % 100, shelf=n % 100) for n in range(N)],
        validate=False,
    )
    dataset.create_index("shelf")
    made = fob.compute_similarity(
        dataset, embeddings=vectors, backend="qdrant", brain_key="index"
    )
    yield made
    made.cleanup()
    dataset.delete()


@pytest.fixture
def calls(monkeypatch):
    """Counts requests to the store by name, their bytes and hits, and aggregations."""
    counted = Counter()
    send, aggregate = session.Session.call, pymongo.collection.Collection.aggregate

    def counted_send(self, op, message, buffers=(), **how):
        counted[op] += 1
        counted["bytes"] += sum(map(len, buffers)) + len(str(message))
        counted["hits"] += sum(q["limit"] for q in message.get("queries", ()))
        return send(self, op, message, buffers, **how)

    def counted_aggregate(self, *args, **kwargs):
        counted["mongodb"] += 1
        return aggregate(self, *args, **kwargs)

    monkeypatch.setattr(session.Session, "call", counted_send)
    monkeypatch.setattr(pymongo.collection.Collection, "aggregate", counted_aggregate)
    return counted


def ids(index):
    return index.samples.values("id")


def test_importing_the_package_imports_no_engine():
    code = (
        "import sys, fiftyone_qdrant\n"
        "print([m for m in ('qdrant_client', 'qdrant_edge') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_query_by_id_is_one_search_and_one_question_to_mongodb(index, calls):
    some = ids(index)[0]
    calls.clear()
    index.search(some, k=K)
    assert (calls["query"], calls["retrieve"], calls["mongodb"]) == (1, 0, 1)


def test_many_queries_share_calls(index, calls):
    some = ids(index)[:200]
    calls.clear()
    index.search(some, k=K, aggregation=None)
    assert calls["query"] == 2  # of at most 128 queries each
    assert calls["retrieve"] + calls["query"] <= 4
    assert calls["mongodb"] == 1


def test_many_queries_in_a_small_dataset_do_not_send_its_ids(index, calls, monkeypatch):
    monkeypatch.setattr(restriction, "_FEW_IDS", 2 * N)
    some = ids(index)[:200]
    calls.clear()
    index.search(some, k=K, aggregation=None)
    assert calls["bytes"] < 200 * 4 * N  # an id has 16 bytes


def test_comparing_all_with_all_reads_the_vectors_once(index, calls):
    index.find_duplicates(thresh=1e-6)
    assert calls["query"] == 0
    assert calls["scroll"] + calls["retrieve"] <= 2 * (N // 1000 + 1)


def test_vectors_that_are_read_in_parts_are_read_once(index, calls, monkeypatch):
    """Each part is read by one call, so calls are parts."""
    monkeypatch.setattr(vector_table, "_READ_BYTES", 4 * SIZE * N // 4)
    monkeypatch.setattr(vector_table, "_IN_MEMORY", 0)  # they lie in a file
    monkeypatch.setattr(reads, "_READ_POINTS", N)
    monkeypatch.setattr(reads, "_READS_AT_ONCE", 1)
    for compare in (
        lambda: index._kneighbors(k=1),
        lambda: index._radius_neighbors(thresh=1e-6),
        lambda: index.find_duplicates(thresh=1e-6),
    ):
        calls.clear()
        compare()
        assert calls["retrieve"] == 4


def test_a_query_in_a_view_sends_no_more_than_one_in_the_dataset(index, calls):
    some = ids(index)[0]
    sent = []
    for view in (index.samples, index.samples.match(fo.ViewField("bucket") < 50)):
        with index.use_view(view):
            calls.clear()
            index.search(some, k=K)
            sent.append(calls["bytes"])

    whole, half = sent
    assert half <= 1.1 * whole


def test_a_view_is_searched_no_more_widely_than_it_took_before(index, calls):
    some = ids(index)[0]
    with index.use_view(index.samples.match(fo.ViewField("bucket") < 50)):
        (first,) = index.search(some, k=K)
        calls.clear()
        (again,) = index.search(some, k=K)

    assert again.ids == first.ids
    assert (calls["query"], calls["mongodb"]) == (1, 1)
    assert calls["hits"] < 5 * K


def test_a_view_found_to_be_small_is_searched_by_its_ids(index, calls):
    some = ids(index)[0]
    with index.use_view(index.samples.match(fo.ViewField("bucket") == 7)):
        (first,) = index.search(some, k=K)
        calls.clear()
        (again,) = index.search(some, k=K)

    assert again.ids == first.ids
    assert (calls["query"], calls["mongodb"]) == (1, 1)
    # of two queries, the id's own point and the rest: one more, for equals at the cut
    assert calls["hits"] == (K + 1) + 2


@pytest.mark.parametrize("field", ["shelf", "bucket"])
def test_the_ids_of_a_rare_view_are_read_where_an_index_finds_them(
    index, calls, monkeypatch, field
):
    monkeypatch.setattr(restriction, "_FEW_IDS", 0)
    monkeypatch.setattr(search, "_SCANNED_PER_HIT", 0)  # as if there were a million
    some = ids(index)[7]
    with index.use_view(index.samples.match(fo.ViewField(field) == 11)):
        (first,) = index.search(some, k=K)
        calls.clear()
        (again,) = index.search(some, k=K)

    assert again.ids == first.ids
    if field == "shelf":
        assert (calls["query"], calls["mongodb"]) == (1, 1)
        assert calls["hits"] == (K + 1) + 2
    else:  # a look at all samples: more hits are asked about instead
        assert calls["query"] == calls["mongodb"] == 2
        assert calls["hits"] > N


def test_a_query_by_id_among_ids_has_no_second_condition():
    """With one, the engine looks all ids up thrice as often."""
    asked, others = np.zeros((2, 16), dtype=np.uint8)
    others[0] = 1
    buffers = [memoryview(asked.tobytes()), memoryview(others.tobytes())]
    wire = {
        "": "QueryRequest",
        "query": {
            "": "NearestQuery",
            "nearest": {"": "Example", "id": ["u", 0]},
        },
        "filter": {"": "Filter", "must": [{"": "HasIdCondition", "has_id": ["u", 1]}]},
        "limit": K,
    }
    stored = {uuid.UUID(int=0): [1.0, 0.0]}
    planner = Planner(lambda _: stored, buffers, "Cosine", quantized=False)
    planned = planner.plan(wire)
    assert (planned.drop, planned.request.limit) == ({uuid.UUID(int=0)}, K + 1)
    assert len(planned.request.filter.must) == 1
    assert planned.request.filter.must_not is None


def test_drift_of_ids_reads_each_side_once_and_keeps_no_ids(index, calls, monkeypatch):
    made = []
    monkeypatch.setattr(packed, "unpack", lambda i: made.extend(i) or [])
    for module in (coverage, sync):
        monkeypatch.setattr(module, "unpack", lambda i: made.extend(i) or [])

    monkeypatch.setattr(coverage, "_SOME", 10)
    calls.clear()
    assert sync.find_drift(index, index.samples).summary == "Up to date"
    assert (calls["scroll"], calls["retrieve"], calls["mongodb"]) == (1, 0, 1)
    assert len(made) <= 10  # those that tell of which group slices an index is


def test_counted_figures_list_nothing(index, calls):
    index_statuses(index.samples, exact=False)
    assert calls["scroll"] + calls["retrieve"] == 0


def test_packing_ids_takes_no_more_than_their_bytes_and_a_block():
    number = 400_000
    tracemalloc.start()
    array = packed.pack(f"{i:024x}" for i in range(number))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(array) == number
    assert peak < 40 * number  # as strings in a set they take 120 each


def test_opening_an_index_reads_none_of_its_points(index, calls):
    dataset = fo.load_dataset(index.samples.name)
    dataset.clear_cache()
    opened = dataset.load_brain_results("index")
    calls.clear()
    assert opened.total_index_size == N
    assert set(calls) - {"bytes", "hits"} <= {"about", "count"}


def test_writing_and_reading_keep_pace_with_the_bare_engine(index, tmp_path):
    vectors = np.random.default_rng(8).normal(size=(N, 512)).astype(np.float32)
    point_ids, samples = bare.point_ids(N), ids(index)
    params = qe.EdgeVectorParams(size=512, distance=qe.Distance.Cosine)
    shard = qe.EdgeShard.create(str(tmp_path), qe.EdgeConfig(vectors=params))
    ours = fob.compute_similarity(index.samples, embeddings=False, backend="qdrant")
    written, read = [], []
    for _ in range(3):
        written.append(
            (
                seconds(lambda: bare.write(shard, point_ids, vectors)),
                seconds(lambda: ours.add_to_index(vectors, samples)),
            )
        )
        read.append(
            (
                seconds(lambda: bare.read(shard, point_ids)),
                seconds(lambda: ours.get_embeddings(sample_ids=samples)),
            )
        )

    shard.close()
    ours.cleanup()
    for what, times in (("writing", written), ("reading", read)):
        best = np.min(times, axis=0)
        print(f"{what}: {best[1] / best[0]:.1f} times the bare engine's")
        assert best[1] < 5 * best[0]


def seconds(action):
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
