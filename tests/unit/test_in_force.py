"""Settings in force and the memory they take, of vectors with settings of their own."""

import pytest
from qdrant_client import models

from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.parameters.estimates import estimate
from fiftyone_qdrant.parameters.in_force import compare, settings_in_force
from fiftyone_qdrant.status.footprint import memory

INT8 = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type="int8"))
OWN = models.VectorParams(
    size=512,
    distance="Cosine",
    on_disk=True,
    hnsw_config=models.HnswConfigDiff(m=64),
    quantization_config=INT8,
)
PLAIN = models.VectorParams(size=512, distance="Cosine")


def told(vectors, indexed=0):
    """What Qdrant says of a collection of 100,000 points."""
    config = {
        "params": models.CollectionParams(vectors=vectors),
        "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
        "optimizer_config": {
            "deleted_threshold": 0.2,
            "vacuum_min_vector_number": 1000,
            "default_segment_number": 0,
            "flush_interval_sec": 5,
        },
    }
    return models.CollectionInfo(
        status="green",
        optimizer_status="ok",
        segments_count=1,
        points_count=100_000,
        indexed_vectors_count=indexed,
        config=config,
        payload_schema={},
    )


@pytest.mark.parametrize("name", [None, "own"])
def test_what_vectors_have_of_their_own_is_in_force(name):
    info = told(OWN if name is None else {"own": OWN, "plain": PLAIN})
    got = settings_in_force(info, name)
    assert (got["on_disk"], got["hnsw_config"]["m"]) == (True, 64)
    assert got["hnsw_config"]["ef_construct"] == 100
    assert got["quantization_config"] == {"scalar": {"type": "int8"}}


def test_what_was_asked_for_and_is_the_vectors_own_is_no_difference():
    asked = CollectionParameters.parse(hnsw_config={"m": 64}, quantization_config=INT8)
    assert compare(512, "cosine", asked, told(OWN)) == []
    (found,) = compare(512, "cosine", asked.parse(hnsw_config={"m": 8}), told(OWN))
    assert (found.field, found.asked, found.got) == ("hnsw_config.m", 8, 64)


def test_memory_before_is_memory_afterwards():
    before = estimate(100_000, 512, {}, timed=False).memory
    assert before == memory(told(PLAIN, indexed=100_000)).total == 217_600_000


def test_memory_of_each_vector_follows_its_own_settings():
    found = memory(told({"own": OWN, "plain": PLAIN}, indexed=200_000))
    assert found.vectors == 100_000 * 512 * 4
    assert found.graph == 100_000 * 2 * (64 + 16) * 4
    assert found.quantized == 100_000 * 512
