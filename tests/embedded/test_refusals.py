"""What the embedded client refuses, and in which words."""

from __future__ import annotations

import json
import os
import uuid

import numpy as np
import pytest
from qdrant_client.http import models

from fiftyone_qdrant import errors
from fiftyone_qdrant.embedded import EmbeddedClient, protocol
from fiftyone_qdrant.embedded.client import launcher
from fiftyone_qdrant.embedded.owner.dispatch import Dispatcher
from fiftyone_qdrant.embedded.owner.store import Store

SIZE = 8
PARAMS = models.VectorParams(size=SIZE, distance=models.Distance.COSINE)
VECTORS = np.random.default_rng(2).standard_normal((300, SIZE)).astype(np.float32)


@pytest.fixture
def name(shared_client):
    """An empty collection."""
    name = uuid.uuid4().hex
    shared_client.create_collection(name, PARAMS)
    return name


# -- stores -----------------------------------------------------------------------


def test_a_file_is_no_store(store):
    store.write_text("hello")

    with pytest.raises(errors.StoreUnavailable, match="other files in it"):
        EmbeddedClient(store)


def test_a_directory_below_a_file_is_no_store(store):
    store.write_text("hello")

    with pytest.raises(errors.StoreUnavailable, match="cannot be used"):
        EmbeddedClient(store / "below")


def test_a_directory_with_other_files_is_left_alone(store):
    store.mkdir()
    (store / "thesis.txt").write_text("hello")

    with pytest.raises(errors.StoreUnavailable, match="other files in it"):
        EmbeddedClient(store)

    assert os.listdir(store) == ["thesis.txt"]


def test_an_empty_directory_becomes_a_store(store):
    store.mkdir()

    with EmbeddedClient(store) as client:
        assert client.get_collections().collections == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_no_store(store):
    store.mkdir(0o500)

    with pytest.raises(errors.StoreUnavailable, match="cannot be used"):
        EmbeddedClient(store)


def test_a_store_of_a_newer_version_is_left_alone(store):
    with EmbeddedClient(store):
        launcher.stop(store)
    record = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps({**record, "format": 99}))

    with pytest.raises(errors.StoreUnavailable, match="newer version"):
        EmbeddedClient(store)

    assert json.loads((store / "store.json").read_text())["format"] == 99


def test_a_missing_engine_is_said_to_be_missing(store, monkeypatch):
    found = launcher.importlib.util.find_spec
    monkeypatch.setattr(
        launcher.importlib.util,
        "find_spec",
        lambda name: None if name == "qdrant_edge" else found(name),
    )

    with pytest.raises(errors.StoreUnavailable, match="pip install qdrant-edge-py"):
        EmbeddedClient(store)


def test_an_owner_that_cannot_start_says_why(store, monkeypatch):
    monkeypatch.setenv("FIFTYONE_QDRANT_OWNER_IDLE_SECONDS", "soon")

    with pytest.raises(errors.EngineError, match="soon"):
        EmbeddedClient(store)


def test_a_write_is_refused_when_the_disk_is_nearly_full(store, monkeypatch):
    with EmbeddedClient(store) as client:
        client.create_collection("a", PARAMS)
        launcher.stop(store)
        monkeypatch.setenv("FIFTYONE_QDRANT_MIN_FREE_BYTES", str(1 << 60))

        with pytest.raises(errors.StoreUnavailable, match="needs 1,150,000 TB"):
            client.upload_collection("a", VECTORS, ids=range(300))

        assert client.count("a").count == 0


def test_a_write_needs_twice_its_size_on_the_disk(store, monkeypatch):
    monkeypatch.setenv("FIFTYONE_QDRANT_MIN_FREE_BYTES", "1")
    store.mkdir()
    opened = Store(str(store), "0.9.0")
    disk = os.statvfs(store)
    free = disk.f_bavail * disk.f_frsize

    opened.check_space(1 << 20)
    opened.check_space(int(0.4 * free))
    with pytest.raises(errors.StoreUnavailable, match="nothing was written"):
        opened.check_space(int(0.6 * free))
    opened.close()


def test_the_size_of_a_write_is_what_it_brings(client, monkeypatch):
    client.create_collection("a", PARAMS)
    launcher.stop(client.path)
    opened, asked = Store(client.path, "0.9.0"), []
    monkeypatch.setattr(opened, "check_space", asked.append)
    dispatcher = Dispatcher(opened, {}, lambda: None)
    kind, ids = protocol.pack_ids([1, 2, 3])
    message = {"op": "upsert", "collection": "a", "dim": SIZE}
    buffers = [memoryview(ids), memoryview(VECTORS[:3]).cast("B")]

    dispatcher({**message, "ids": [kind, 0], "vectors": 1}, buffers)

    assert asked == [3 * 8 + 3 * SIZE * 4]
    opened.close()


# -- collections ------------------------------------------------------------------


def test_creating_a_collection_twice_raises_collection_exists(shared_client, name):
    with pytest.raises(errors.CollectionExists, match=name):
        shared_client.create_collection(name, PARAMS)


def test_a_missing_collection_raises_collection_not_found(shared_client):
    with pytest.raises(errors.CollectionNotFound, match="never"):
        shared_client.get_collection("never")
    with pytest.raises(errors.CollectionNotFound, match="never"):
        shared_client.upload_collection("never", VECTORS)
    with pytest.raises(errors.CollectionNotFound, match="never"):
        shared_client.retrieve("never", [])


def test_deleting_a_missing_collection_returns_false(shared_client):
    assert shared_client.delete_collection("never") is False


def test_all_unsupported_parameters_are_named_at_once(shared_client):
    with pytest.raises(errors.UnsupportedByEngine) as caught:
        shared_client.create_collection(
            "never",
            PARAMS,
            shard_number=2,
            replication_factor=3,
            write_consistency_factor=2,
            sharding_method=models.ShardingMethod.CUSTOM,
            wal_config=models.WalConfigDiff(wal_capacity_mb=32),
            strict_mode_config=models.StrictModeConfig(enabled=True),
            optimizers_config=models.OptimizersConfigDiff(
                memmap_threshold=1, flush_interval_sec=5, max_optimization_threads=2
            ),
        )

    for parameter in (
        "shard_number",
        "replication_factor",
        "write_consistency_factor",
        "sharding_method",
        "wal_config",
        "strict_mode_config",
        "optimizers_config.memmap_threshold",
        "optimizers_config.flush_interval_sec",
        "optimizers_config.max_optimization_threads",
        "Leave it out, or use a Qdrant server",
    ):
        assert parameter in str(caught.value)
    assert not shared_client.collection_exists("never")


def test_parameters_of_a_single_node_are_accepted(shared_client):
    shared_client.create_collection(
        "single",
        PARAMS,
        shard_number=1,
        replication_factor=1,
        write_consistency_factor=1,
        wal_config=None,
    )

    assert shared_client.collection_exists("single")


def test_named_vectors_are_refused(shared_client):
    with pytest.raises(errors.UnsupportedByEngine, match="one unnamed vector"):
        shared_client.create_collection("never", {"image": PARAMS})


def test_settings_are_kept_as_asked_for(shared_client):
    shared_client.create_collection(
        "settings",
        models.VectorParams(size=SIZE, distance=models.Distance.EUCLID, on_disk=True),
        hnsw_config=models.HnswConfigDiff(m=8),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=1234),
        quantization_config=models.ScalarQuantization(
            scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8)
        ),
        on_disk_payload=True,
    )

    config = shared_client.get_collection("settings").config

    assert config.params.vectors.on_disk is True
    assert config.params.on_disk_payload is True
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (8, 100)
    assert config.optimizer_config.indexing_threshold == 1234
    assert config.quantization_config.scalar.type == models.ScalarType.INT8


@pytest.mark.parametrize(
    "odd",
    ["Ünïcödé 日本", "a/../b", "..", ".", "A", "a", "CON", "%41", " ", "x" * 255],
)
def test_any_name_can_be_a_collections_name(shared_client, odd):
    shared_client.create_collection(odd, PARAMS)
    shared_client.upload_collection(odd, VECTORS[:3], ids=[1, 2, 3])

    assert shared_client.count(odd).count == 3
    assert odd in [c.name for c in shared_client.get_collections().collections]


@pytest.mark.parametrize("bad", ["", "x" * 256])
def test_an_impossible_name_is_refused(shared_client, bad):
    with pytest.raises(errors.ConfigError, match="1 to 255"):
        shared_client.create_collection(bad, PARAMS)


def test_an_unknown_keyword_is_not_swallowed(shared_client, name):
    with pytest.raises(errors.UnsupportedByEngine, match="shard_key_selector"):
        shared_client.count(name, shard_key_selector="x")
    with pytest.raises(errors.UnsupportedByEngine, match="tpyo"):
        shared_client.upsert(name, [], tpyo=1)


# -- points -----------------------------------------------------------------------


def with_value(value, row=299):
    vectors = VECTORS.copy()
    vectors[row, 3] = value
    return vectors


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_write_nothing(shared_client, name, value):
    with pytest.raises(errors.VectorError, match="1 of 300"):
        shared_client.upload_collection(name, with_value(value), ids=range(300))

    assert shared_client.count(name).count == 0


@pytest.mark.parametrize(
    "vectors",
    [
        VECTORS[:, :7],
        np.hstack([VECTORS, VECTORS]),
        VECTORS[0],
        [*VECTORS.tolist(), []],
    ],
    ids=["short", "long", "flat", "ragged"],
)
def test_vectors_of_the_wrong_size_write_nothing(shared_client, name, vectors):
    with pytest.raises(errors.VectorError, match=r"size 8|8 numbers"):
        shared_client.upload_collection(name, vectors)

    assert shared_client.count(name).count == 0


def test_one_wrong_vector_in_an_upsert_writes_nothing(shared_client, name):
    points = [
        models.PointStruct(id=1, vector=[1.0] * SIZE),
        models.PointStruct(id=2, vector=[1.0] * (SIZE - 1)),
    ]

    with pytest.raises(errors.VectorError):
        shared_client.upsert(name, points)

    assert shared_client.count(name).count == 0


@pytest.mark.parametrize(
    "ids",
    [
        *(["nonsense"], [-1], [1.5], [None], [True], [1 << 64]),
        *(
            ["0123456789abcdef  3456789abcdef0"],
            ["01234567-89ab-cdef-0123-4567 9abcdef"],
        ),
    ],
    ids=repr,
)
def test_what_is_no_point_id_writes_nothing(shared_client, name, ids):
    with pytest.raises(errors.ConfigError, match="not a point id"):
        shared_client.upload_collection(name, VECTORS[:1], ids=ids)

    assert shared_client.count(name).count == 0


@pytest.mark.parametrize("given", [0, 2, 4])
def test_ids_of_another_number_than_vectors_write_nothing(shared_client, name, given):
    with pytest.raises(errors.ConfigError, match=f"3 vectors have {given} ids"):
        shared_client.upload_collection(name, VECTORS[:3], ids=list(range(given)))

    assert shared_client.count(name).count == 0


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"bytes", ...], ids=repr)
def test_a_payload_that_is_not_json_writes_nothing(shared_client, name, value):
    with pytest.raises(errors.ConfigError, match="payload"):
        shared_client.upload_collection(
            name, VECTORS[:2], payload=[{}, {"x": value}], ids=[1, 2]
        )

    assert shared_client.count(name).count == 0


def test_dates_uuids_and_numpy_values_are_stored_as_json(shared_client, name):
    import datetime

    some = uuid.uuid4()
    shared_client.upload_collection(
        name,
        VECTORS[:1],
        payload=[
            {
                "when": datetime.datetime(2024, 1, 2, 3),
                "id": some,
                "n": np.int64(3),
                "a": np.arange(2),
            }
        ],
        ids=[1],
    )

    (record,) = shared_client.retrieve(name, [1])
    assert record.payload == {
        "when": "2024-01-02T03:00:00",
        "id": str(some),
        "n": 3,
        "a": [0, 1],
    }


@pytest.mark.parametrize(
    "query", [[1.0] * 7, [np.nan] * 8, [], [[1.0] * 8]], ids=["7", "nan", "0", "2-d"]
)
def test_a_query_that_is_no_vector_of_the_collection_is_refused(
    shared_client, name, query
):
    shared_client.upload_collection(name, VECTORS, ids=range(300))

    with pytest.raises(errors.VectorError):
        shared_client.query_points(name, query=query)


def test_a_threshold_with_a_recommendation_is_refused_where_far_is_high(shared_client):
    shape = models.VectorParams(size=SIZE, distance=models.Distance.EUCLID)
    shared_client.create_collection("far", shape)
    shared_client.upload_collection("far", VECTORS[:20], ids=range(20))
    least_similar = models.RecommendQuery(
        recommend=models.RecommendInput(
            negative=[VECTORS[0].tolist()],
            strategy=models.RecommendStrategy.SUM_SCORES,
        )
    )

    with pytest.raises(errors.UnsupportedByEngine, match="score_threshold"):
        shared_client.query_points("far", least_similar, limit=3, score_threshold=1.0)


def test_setting_payload_of_a_missing_point_raises_missing_ids(shared_client, name):
    with pytest.raises(errors.MissingIDs):
        shared_client.set_payload(name, {"x": 1}, points=[77])


def test_an_unknown_example_raises_missing_ids(shared_client, name):
    with pytest.raises(errors.MissingIDs, match="77"):
        shared_client.query_points(name, query=77)


def test_facet_needs_an_index_and_says_so(shared_client, name):
    shared_client.upload_collection(
        name, VECTORS[:4], payload=[{"x": c} for c in "aabc"], ids=range(4)
    )
    with pytest.raises(errors.ConfigError, match="create_payload_index"):
        shared_client.facet(name, "x")

    shared_client.create_payload_index(name, "x", models.PayloadSchemaType.KEYWORD)

    hits = shared_client.facet(name, "x", exact=True).hits
    assert {h.value: h.count for h in hits} == {"a": 2, "b": 1, "c": 1}


def test_a_payload_index_is_told_by_get_collection(shared_client, name):
    shared_client.create_payload_index(name, "x", "keyword")
    shared_client.create_payload_index(name, "n", models.PayloadSchemaType.INTEGER)

    schema = shared_client.get_collection(name).payload_schema

    assert {k: v.data_type.value for k, v in schema.items()} == {
        "x": "keyword",
        "n": "integer",
    }


def test_ordering_by_an_indexed_field_works(shared_client, name):
    shared_client.upload_collection(
        name, VECTORS[:4], payload=[{"n": n} for n in (3, 1, 2, 0)], ids=range(4)
    )
    shared_client.create_payload_index(name, "n", models.PayloadSchemaType.INTEGER)

    page, _ = shared_client.scroll(name, order_by="n")

    assert [r.payload["n"] for r in page] == [0, 1, 2, 3]


def test_many_ids_in_a_filter_give_what_a_full_search_gives(shared_client, name):
    rng = np.random.default_rng(3)
    vectors = rng.standard_normal((20_000, SIZE)).astype(np.float32)
    ids = [str(uuid.UUID(int=i)) for i in range(20_000)]
    shared_client.upload_collection(name, vectors, ids=ids)
    everything = shared_client.query_points(name, query=vectors[0], limit=20_000)
    half, other = ids[::2], [ids[0], *ids[10_001:]]

    for some in (half, half, other, half):  # a set of ids may be known already
        held = set(some)
        wanted = [p.id for p in everything.points if p.id in held][:100]
        found = shared_client.query_points(
            name,
            query=vectors[0],
            limit=100,
            query_filter=models.Filter(
                must=[models.HasIdCondition.model_construct(has_id=some)]
            ),
        )
        assert [p.id for p in found.points] == wanted


def test_repr_tells_the_path(shared_client):
    assert repr(shared_client) == f"EmbeddedClient(path={shared_client.path!r})"


def test_info_tells_the_engine_and_its_version(shared_client):
    info = shared_client.info()

    assert info.title == "qdrant edge"
    assert info.version.startswith("0.")
