"""Collection parameters: one declaration, checked against qdrant_client's models."""

import pytest
from qdrant_client import models

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.parameters.table import (
    COLLECTION,
    GROUPS,
    HNSW,
    OPTIMIZERS,
    PARAMETERS,
    QUANTIZATIONS,
    STRICT_MODE,
    WAL,
)

# of other vectors than ours, and what 1.20 says not to use any more
LEFT_OUT = {"multivector_config", "sparse_config", "max_resident_memory_percent"}
ALL = [(g.name, p) for g in (*GROUPS, *QUANTIZATIONS.values()) for p in g.parameters]


@pytest.mark.parametrize(
    ("group", "model"),
    [
        (HNSW, models.HnswConfigDiff),
        (OPTIMIZERS, models.OptimizersConfigDiff),
        (WAL, models.WalConfigDiff),
        (STRICT_MODE, models.StrictModeConfig),
        (QUANTIZATIONS["scalar"], models.ScalarQuantizationConfig),
        (QUANTIZATIONS["product"], models.ProductQuantizationConfig),
        (QUANTIZATIONS["binary"], models.BinaryQuantizationConfig),
        (QUANTIZATIONS["turbo"], models.TurboQuantQuantizationConfig),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_every_field_of_the_clients_models_is_declared(group, model):
    declared = {p.name for p in group.parameters}
    assert declared == set(model.model_fields) - LEFT_OUT


def test_a_partial_dict_sends_only_what_it_says():
    sent = CollectionParameters.parse(hnsw_config={"m": 8, "on_disk": None})
    arguments = sent.to_arguments()
    assert list(arguments) == ["hnsw_config"]
    assert arguments["hnsw_config"].model_dump(exclude_none=True) == {"m": 8}


def test_nothing_given_sends_nothing():
    empty = dict.fromkeys(PARAMETERS)
    assert CollectionParameters.parse(**empty).to_arguments() == {}


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"hnsw_config": {"mm": 1}}, "no parameter 'mm'"),
        ({"hnsw_config": {"m": "16"}}, "hnsw_config.m must be a whole number"),
        ({"hnsw_config": {"m": 1.5}}, "hnsw_config.m must be a whole number"),
        ({"hnsw_config": {"m": -1}}, "hnsw_config.m must be between 0 and 1024"),
        ({"hnsw_config": {"on_disk": 1}}, "hnsw_config.on_disk must be true or false"),
        ({"hnsw_config": 3}, "hnsw_config must be a dict"),
        ({"optimizers_config": {"deleted_threshold": 2}}, "between 0 and 1"),
        ({"shard_number": 0}, "shard_number must be at least 1"),
        ({"on_disk": "yes"}, "on_disk must be true or false"),
        ({"quantization_config": {"quaternary": {}}}, "Unknown quantization"),
        ({"quantization_config": {}}, "one of scalar, product, binary"),
        (
            {"quantization_config": {"product": {"compression": "x5"}}},
            "compression must be one of x4",
        ),
        ({"replication_factor": 1, "write_consistency_factor": 2}, "no write could"),
        ({"speed": 9}, "Unknown parameter 'speed'"),
    ],
)
def test_a_wrong_parameter_is_named(keywords, words):
    with pytest.raises(ConfigError, match=words):
        CollectionParameters.parse(**keywords)


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"scalar": {"quantile": 0.9}}, models.ScalarQuantization),
        ({"product": {"compression": "x32"}}, models.ProductQuantization),
        ({"binary": {"encoding": "two_bits"}}, models.BinaryQuantization),
        ({"turbo": {"bits": "bits2"}}, models.TurboQuantization),
    ],
)
def test_quantization_is_given_in_qdrants_own_form(given, kind):
    parsed = CollectionParameters.parse(quantization_config=given).to_arguments()
    assert isinstance(parsed["quantization_config"], kind)


def test_models_of_qdrant_client_are_accepted_as_well():
    given = models.HnswConfigDiff(m=4)
    parsed = CollectionParameters.parse(hnsw_config=given)
    assert parsed.values == {"hnsw_config": {"m": 4}}


def test_what_the_embedded_engine_lacks_is_named_and_left_out():
    parsed = CollectionParameters.parse(
        shard_number=2,
        replication_factor=1,
        on_disk=True,
        hnsw_config={"m": 8},
        optimizers_config={"indexing_threshold": 5, "flush_interval_sec": 5},
        wal_config={"wal_capacity_mb": 32},
        strict_mode_config={"enabled": True},
        quantization_config={"turbo": {"bits": "bits4", "memory": "pinned"}},
    )
    assert sorted(parsed.ignored_by("embedded")) == [
        "optimizers_config.flush_interval_sec",
        "quantization_config.turbo.memory",
        "shard_number",
        "strict_mode_config.enabled",
        "wal_config.wal_capacity_mb",
    ]
    assert parsed.on("embedded").values == {
        "on_disk": True,
        "hnsw_config": {"m": 8},
        "optimizers_config": {"indexing_threshold": 5},
        "quantization_config": {"turbo": {"bits": "bits4"}},
    }


@pytest.mark.parametrize(
    ("group", "parameter"), ALL, ids=[f"{g}.{p.name}" for g, p in ALL]
)
def test_every_parameter_says_what_it_is(group, parameter):
    assert len(parameter.description) > 10
    assert len(parameter.advice) > 10
    assert not parameter.advice.endswith(".")
    assert not parameter.description.endswith(".")


def test_thresholds_in_kilobytes_say_so():
    for name in ("full_scan_threshold", "indexing_threshold", "memmap_threshold"):
        (found,) = (p for _, p in ALL if p.name == name)
        assert "kilobytes" in found.description


def test_collection_settings_are_arguments_of_create_collection():
    import inspect

    from qdrant_client import QdrantClient

    known = inspect.signature(QdrantClient.create_collection).parameters
    names = {p.name for p in COLLECTION} - {"on_disk"}  # it belongs to the vectors
    assert names <= set(known)


def wrong_values(p):
    """Values that a parameter does not take, of each sort that it can be given."""
    if p.type is str:
        return ["x", 3]

    if p.type is bool:
        return ["yes", 1]

    wrong = ["many", True]
    wrong += [1.5] if p.type is int else []
    wrong += [p.minimum - 1] if p.minimum is not None else []
    return wrong + ([p.maximum + 1] if p.maximum is not None else [])


def keywords_for(group, name, value):
    """The keyword arguments that give one parameter a value."""
    top, *kind = group.split(".")
    return {top: {kind[0]: {name: value}} if kind else {name: value}}


@pytest.mark.parametrize(
    ("path", "keywords"),
    [
        *(
            (f"{g}.{p.name}", keywords_for(g, p.name, v))
            for g, p in ALL
            for v in wrong_values(p)
        ),
        *((p.name, {p.name: v}) for p in COLLECTION for v in wrong_values(p)),
    ],
    ids=lambda x: x if isinstance(x, str) else str(x),
)
def test_what_is_refused_is_told_with_its_path(path, keywords):
    told = CollectionParameters.problems(**keywords)
    assert list(told) == [path]
    with pytest.raises(ConfigError) as caught:
        CollectionParameters.parse(**keywords)

    assert str(caught.value) == told[path]


def test_all_problems_are_told_at_once():
    told = CollectionParameters.problems(
        hnsw_config={"m": -1, "ef_construct": 1},
        wal_config=3,
        replication_factor=1,
        write_consistency_factor=2,
        quantization_config={"scalar": {"quantile": 7}},
        speed=9,
    )
    assert set(told) == {
        "hnsw_config.m",
        "hnsw_config.ef_construct",
        "wal_config",
        "write_consistency_factor",
        "quantization_config.scalar.quantile",
        "speed",
    }
