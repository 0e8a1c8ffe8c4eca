"""Building an index while the collection is used."""

from __future__ import annotations

import os
import shutil
import signal
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from qdrant_client.http import models

from fiftyone_qdrant.embedded import EmbeddedClient, files
from fiftyone_qdrant.embedded.client import launcher
from fiftyone_qdrant.embedded.owner import seal, settings, store

SIZE = 64
COUNT = 8000
RNG = np.random.default_rng(4)
CENTRES = RNG.standard_normal((100, SIZE))
VECTORS = (
    CENTRES[RNG.integers(100, size=COUNT)] + 0.6 * RNG.standard_normal((COUNT, SIZE))
).astype(np.float32)
INT8 = models.ScalarQuantization(
    scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)
)
THRESHOLD = 500  # kB; the collection has 2000 kB


def create(client, name="a", threshold: int | None = THRESHOLD, **settings):
    client.create_collection(
        name,
        models.VectorParams(size=SIZE, distance=models.Distance.EUCLID),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=threshold),
        **settings,
    )


def fill(client, name="a"):
    client.upload_collection(name, VECTORS, ids=range(COUNT))


def wait_until_green(client, name="a", seconds=60.0):
    until = time.monotonic() + seconds
    while True:
        info = client.get_collection(name)
        if info.status == models.CollectionStatus.GREEN:
            return info
        assert time.monotonic() < until, "still not indexed"
        time.sleep(0.05)


def recall(client, name="a", **params):
    queries = VECTORS[:50]
    found = client.query_batch_points(
        name,
        [models.QueryRequest(query=q, limit=10, **params) for q in queries.tolist()],
    )
    hits = 0
    for query, answer in zip(queries, found, strict=True):
        nearest = np.argsort(np.linalg.norm(VECTORS - query, axis=1))[:10]
        hits += len({p.id for p in answer.points} & set(nearest.tolist()))
    return hits / 500


def test_a_collection_over_its_threshold_is_indexed_after_a_flush(client):
    create(client)
    fill(client)
    assert client.get_collection("a").indexed_vectors_count == 0

    client.flush("a")

    info = wait_until_green(client)
    assert info.indexed_vectors_count == COUNT
    assert info.points_count == COUNT
    assert recall(client) > 0.95


def test_a_collection_is_indexed_some_seconds_after_the_last_write(client):
    create(client)
    fill(client)

    until = time.monotonic() + 30
    while client.get_collection("a").indexed_vectors_count < COUNT:
        assert time.monotonic() < until, "still not indexed"
        time.sleep(0.1)


@pytest.mark.parametrize("threshold", [None, 0, 10_000])
def test_a_collection_under_its_threshold_is_searched_exactly(client, threshold):
    create(client, threshold=threshold)
    fill(client)

    client.flush("a")

    info = client.get_collection("a")
    assert info.status == models.CollectionStatus.GREEN
    assert info.indexed_vectors_count == 0
    assert recall(client) == 1.0


def test_searches_with_a_filter_are_exact_where_the_graph_is_used(client):
    create(client, hnsw_config=models.HnswConfigDiff(full_scan_threshold=10))
    fill(client)
    client.flush("a")
    wait_until_green(client)
    shallow = models.SearchParams(hnsw_ef=1)
    assert recall(client, params=shallow) < 1  # it is the graph that is searched
    tenth = list(range(0, COUNT, 10))
    among = models.Filter(must=[models.HasIdCondition(has_id=tenth)])

    for query in VECTORS[:20]:
        found = client.query_points("a", query=query, limit=50, query_filter=among)
        distances = np.linalg.norm(VECTORS[tenth] - query, axis=1)
        nearest = [tenth[i] for i in np.argsort(distances)[:50]]
        assert [p.id for p in found.points] == nearest


def test_a_quantized_graph_is_rescored(client):
    create(
        client,
        hnsw_config=models.HnswConfigDiff(full_scan_threshold=10),
        quantization_config=models.BinaryQuantization(
            binary=models.BinaryQuantizationConfig()
        ),
    )
    fill(client)
    client.flush("a")
    wait_until_green(client)
    plain = models.SearchParams(
        quantization=models.QuantizationSearchParams(rescore=False, oversampling=1.0)
    )

    assert recall(client) > recall(client, params=plain) + 0.1


def test_a_swapped_in_index_is_sealed_again(client):
    create(client)
    fill(client)
    client.flush("a")
    wait_until_green(client)

    sealed = seal.path_of(f"{client.path}/collections/a/shard")
    wait_for(lambda: os.path.exists(sealed))


def test_what_is_written_during_the_build_is_there_afterwards(client):
    create(client)
    fill(client)
    client.flush("a")
    assert client.get_collection("a").status == models.CollectionStatus.YELLOW

    writes = 0
    while client.get_collection("a").status == models.CollectionStatus.YELLOW:
        new = COUNT + writes
        client.upsert("a", [models.PointStruct(id=new, vector=[float(new)] * SIZE)])
        client.delete("a", [writes])
        client.set_payload("a", {"n": writes}, [COUNT - 1 - writes])
        assert client.query_points("a", query=VECTORS[5], limit=1).points
        writes += 1

    assert writes > 5
    assert client.count("a").count == COUNT
    assert client.get_collection("a").indexed_vectors_count > 0
    records = client.retrieve("a", list(range(COUNT + writes)), with_vectors=True)
    assert [r.id for r in records] == list(range(writes, COUNT + writes))
    by_id = {r.id: r for r in records}
    for i in range(writes):
        assert by_id[COUNT + i].vector[0] == COUNT + i
        assert by_id[COUNT - 1 - i].payload["n"] == i


def test_quantization_is_built_and_keeps_the_recall(client):
    create(client, quantization_config=INT8, hnsw_config=models.HnswConfigDiff(m=8))
    fill(client)

    client.flush("a")

    wait_until_green(client)
    engine = files.read_json(f"{client.path}/collections/a/shard/edge_config.json")
    assert "quantization_config" in engine
    assert engine["hnsw_config"]["m"] == 8
    assert recall(client) > 0.93


def test_changed_settings_build_the_index_anew(client):
    create(client, quantization_config=INT8)
    fill(client)
    client.flush("a")
    wait_until_green(client)

    client.update_collection(
        "a",
        hnsw_config=models.HnswConfigDiff(m=24),
        quantization_config=models.Disabled.DISABLED,
    )

    wait_until_green(client)
    engine = files.read_json(f"{client.path}/collections/a/shard/edge_config.json")
    assert engine["hnsw_config"]["m"] == 24
    assert engine.get("quantization_config") is None
    assert client.get_collection("a").indexed_vectors_count == COUNT


def test_a_killed_owner_leaves_a_good_store_and_the_next_one_goes_on(client):
    create(client)
    fill(client)
    client.flush("a")

    os.kill(client.store_info()["pid"], signal.SIGKILL)

    assert client.count("a").count == COUNT
    info = wait_until_green(client)
    assert info.indexed_vectors_count == COUNT
    assert os.listdir(f"{client.path}/making") == []


def test_a_stop_gives_up_the_build_and_the_next_owner_goes_on(client):
    create(client)
    fill(client)
    client.flush("a")

    assert launcher.stop(client.path, timeout=5)

    assert wait_until_green(client).indexed_vectors_count == COUNT


def test_a_collection_can_be_deleted_while_it_is_indexed(client):
    create(client)
    fill(client)
    client.flush("a")

    assert client.delete_collection("a")

    create(client)
    assert client.count("a").count == 0


@pytest.mark.parametrize("renamed", [0, 1], ids=["before", "between"])
def test_an_owner_that_ended_while_swapping_leaves_all_points(client, renamed):
    create(client)
    fill(client)
    launcher.stop(client.path)
    shard = Path(client.path, "collections", "a", "shard")
    if renamed == 0:
        shutil.copytree(shard, f"{shard}.next")
    else:
        shard.rename(f"{shard}.next")

    with EmbeddedClient(client.path) as other:
        assert other.count("a").count == COUNT
    assert not Path(f"{shard}.next").exists()


def test_copies_keep_the_holes_of_files(tmp_path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    with open(tmp_path / "a" / "b" / "sparse", "wb") as file:
        file.seek(10 << 20)
        file.write(b"end of data")
        file.truncate(50 << 20)
    (tmp_path / "a" / "empty").touch()

    files.copy_tree(str(tmp_path / "a"), str(tmp_path / "c"))

    copy = tmp_path / "c" / "b" / "sparse"
    assert copy.read_bytes() == (tmp_path / "a" / "b" / "sparse").read_bytes()
    assert copy.stat().st_blocks * 512 < 1 << 20
    assert (tmp_path / "c" / "empty").exists()


def test_disk_usage_counts_what_is_allocated(client):
    create(client)
    fill(client)
    client.flush("a")

    used = client.disk_usage("a")

    lengths = sum(f.stat().st_size for f in Path(client.path).rglob("a/**/*"))
    assert VECTORS.nbytes < used < lengths


def engine_config(client, name="a"):
    path = f"{client.path}/collections/{name}/shard/edge_config.json"
    return files.read_json(path)


def wait_for(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)


def test_settings_changed_during_the_build_are_built_next(client):
    create(client)
    fill(client)
    client.flush("a")
    assert client.get_collection("a").status == models.CollectionStatus.YELLOW

    client.update_collection("a", hnsw_config=models.HnswConfigDiff(m=24))

    wait_for(lambda: (engine_config(client).get("hnsw_config") or {}).get("m") == 24)
    assert wait_until_green(client).indexed_vectors_count == COUNT


def test_m_zero_takes_the_graph_away(client):
    create(client)
    fill(client)
    client.flush("a")
    wait_until_green(client)

    client.update_collection("a", hnsw_config=models.HnswConfigDiff(m=0))

    assert wait_until_green(client).indexed_vectors_count == 0
    assert client.count("a").count == COUNT
    assert recall(client) == 1.0


def test_vectors_move_to_the_disk_without_an_index_and_with_one(client):
    on_disk = {"": models.VectorParamsDiff(on_disk=True)}
    create(client, "plain", threshold=0)
    create(client, "indexed")
    for name in ("plain", "indexed"):
        fill(client, name)
        client.flush(name)
        wait_until_green(client, name)

        client.update_collection(name, vectors_config=on_disk)

        wait_until_green(client, name)
        (vectors,) = engine_config(client, name)["vectors"].values()
        assert vectors["on_disk"] is True
        assert client.get_collection(name).config.params.vectors.on_disk is True
        assert client.count(name).count == COUNT
    assert client.get_collection("plain").indexed_vectors_count == 0
    assert client.get_collection("indexed").indexed_vectors_count == COUNT


def test_an_indexing_threshold_of_zero_keeps_the_index_there_is(client):
    create(client)
    fill(client)
    client.flush("a")
    wait_until_green(client)

    client.update_collection(
        "a",
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=0),
        hnsw_config=models.HnswConfigDiff(m=24),
    )

    info = wait_until_green(client)
    assert info.indexed_vectors_count == COUNT
    assert engine_config(client)["hnsw_config"]["m"] == 24


def test_a_graph_that_was_given_up_comes_back(client):
    create(client)
    fill(client)
    client.flush("a")
    wait_until_green(client)

    for m, indexed in ((0, 0), (16, COUNT)):
        client.update_collection("a", hnsw_config=models.HnswConfigDiff(m=m))
        assert wait_until_green(client).indexed_vectors_count == indexed


def test_a_lower_threshold_counts_for_what_was_built_before(client):
    create(client, threshold=10_000)
    fill(client)
    on_disk = {"": models.VectorParamsDiff(on_disk=True)}
    client.update_collection("a", vectors_config=on_disk)
    assert wait_until_green(client).indexed_vectors_count == 0

    lower = models.OptimizersConfigDiff(indexing_threshold=THRESHOLD)
    client.update_collection("a", optimizers_config=lower)

    assert wait_until_green(client).indexed_vectors_count == COUNT


def test_a_build_that_its_owner_did_not_note_is_done_again(client):
    create(client, quantization_config=INT8)
    fill(client)
    client.flush("a")
    wait_until_green(client)
    os.kill(client.store_info()["pid"], signal.SIGKILL)
    sidecar = f"{client.path}/collections/a/collection.json"
    config = files.read_json(sidecar)
    plain = asdict(settings.Segments.plain(config))
    files.write_json(sidecar, {**config, "built": plain, "index_due": True})

    client.count("a")
    wait_until_green(client)

    built = files.read_json(sidecar)["built"]
    assert built["quantization_config"] == config["quantization_config"]


def test_saying_what_holds_anyway_builds_nothing(client):
    create(client, quantization_config=INT8)
    fill(client)
    client.flush("a")
    wait_until_green(client)

    scalar = models.ScalarQuantizationConfig(
        type=models.ScalarType.INT8, always_ram=False
    )
    client.update_collection(
        "a",
        hnsw_config=models.HnswConfigDiff(on_disk=False),
        quantization_config=models.ScalarQuantization(scalar=scalar),
    )

    assert client.get_collection("a").status == models.CollectionStatus.GREEN


def test_without_a_threshold_of_its_own_a_collection_tells_that_in_force(client):
    create(client, threshold=None)

    config = client.get_collection("a").config

    assert config.optimizer_config.indexing_threshold == 200_000 * SIZE * 4 // 1024
    assert config.optimizer_config.flush_interval_sec == store._FLUSH_SECONDS


def test_every_parameter_that_the_engine_has_reaches_it(client):
    from fiftyone_qdrant.parameters.table import HNSW, OPTIMIZERS

    hnsw = {
        "m": 12,
        "ef_construct": 60,
        "full_scan_threshold": 500,
        "max_indexing_threads": 1,
        "on_disk": True,
        "payload_m": 8,
        "inline_storage": True,
    }
    optimizers = {
        "deleted_threshold": 0.4,
        "vacuum_min_vector_number": 200,
        "default_segment_number": 1,
        "max_segment_size": 900_000,
        "indexing_threshold": 100,
    }
    for group, given in ((HNSW, hnsw), (OPTIMIZERS, optimizers)):
        assert set(given) == {p.name for p in group.parameters if p.embedded}
    client.create_collection(
        "a",
        models.VectorParams(size=SIZE, distance=models.Distance.DOT, on_disk=True),
        hnsw_config=models.HnswConfigDiff(**hnsw),
        optimizers_config=models.OptimizersConfigDiff(**optimizers),
        quantization_config=INT8,
        on_disk_payload=True,
    )
    fill(client)
    client.flush("a")
    wait_until_green(client)

    engine = engine_config(client)

    assert {k: engine["hnsw_config"].get(k) for k in hnsw} == hnsw
    assert {k: engine["optimizers"].get(k) for k in optimizers} == optimizers
    assert engine["quantization_config"]["scalar"]["type"] == "int8"
    assert engine["on_disk_payload"] is True
    (vectors,) = engine["vectors"].values()
    assert vectors["on_disk"] is True
