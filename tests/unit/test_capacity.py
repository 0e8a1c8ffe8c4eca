"""What so many vectors are planned to take, beside what some really took."""

import pytest

from fiftyone_qdrant import plan_capacity
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.parameters.collection_parameters import CollectionParameters
from fiftyone_qdrant.quality.capacity import stored

GB = 10**9
# what collections took on disk once their graph was built: du of an embedded store
MEASURED = [(1_000_000, 128, 0.852 * GB)]


@pytest.mark.parametrize(("count", "size", "took"), MEASURED)
def test_what_is_stored_is_what_was_measured(count, size, took):
    assert stored(count, size, {}) == pytest.approx(took, rel=0.15)


@pytest.mark.parametrize("count", [10**n for n in range(6, 10)])
@pytest.mark.parametrize("recall", [0.9, 0.98, 0.995])
def test_presets_can_be_made_as_they_are(count, recall):
    presets = plan_capacity(count, 512, recall=recall)

    assert [p.name for p in presets] == ["laptop", "one server", "cluster"]
    for p in presets:
        CollectionParameters.parse(**p.settings)
        assert p.disk >= 2 * stored(count, 512, p.settings)
        assert p.shards % p.nodes == 0 or p.nodes == 1

    laptop, _, cluster = presets
    assert not laptop.settings.keys() & {"shard_number", "replication_factor"}
    assert cluster.fits
    assert cluster.nodes >= 3  # a majority is left when one fails
    assert cluster.memory <= cluster.nodes * 48 * GB


def test_vectors_are_compressed_only_where_they_must_be():
    small, large = (plan_capacity(n, 512)[0] for n in (1_000_000, 10_000_000))

    assert "quantization_config" not in small.settings
    assert small.fits
    assert large.settings["on_disk"] is True
    assert "quantization_config" in large.settings
    assert large.fits


def test_what_does_not_fit_is_said():
    laptop = plan_capacity(10**9, 512)[0]

    assert not laptop.fits
    assert laptop.why.startswith("Too large for 8 GB")


def test_more_points_never_take_less():
    plans = [plan_capacity(n, 256) for n in (10**4, 10**6, 10**8, 10**10)]
    for presets in zip(*plans, strict=True):
        assert [p.disk for p in presets] == sorted(p.disk for p in presets)


@pytest.mark.parametrize(
    ("count", "size", "recall"),
    [(0, 8, 0.9), (1.5, 8, 0.9), (True, 8, 0.9), (10, 0, 0.9), (10, 8, 1.0)],
)
def test_a_wrong_argument_is_named(count, size, recall):
    with pytest.raises(ConfigError, match="must be"):
        plan_capacity(count, size, recall=recall)
