"""Recall and latency measured on an index's own vectors, and what follows from it."""

import os
import time

import fiftyone.brain as fob
import numpy as np
import pytest

from fiftyone_qdrant import apply_search, load_index, measure
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.quality.applying import last_measured, record
from fiftyone_qdrant.quality.measuring import interval
from fiftyone_qdrant.search.kept import SearchSettings
from fiftyone_qdrant.tuning import in_force

N, SIZE = 4000, 32
POOR = {"m": 4, "ef_construct": 16, "full_scan_threshold": 10}


def make_poor(key, **settings):
    """A dataset and an index of it whose graph has few edges."""
    import fiftyone as fo

    rng = np.random.default_rng(51)
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(filepath=f"/tmp/{n}.png") for n in range(N)])
    index = fob.compute_similarity(
        dataset,
        embeddings=rng.normal(size=(N, SIZE)).astype(np.float32),
        backend="qdrant",
        brain_key=key,
        path=os.environ["FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"],
        hnsw_config=POOR,
        optimizers_config={"indexing_threshold": 100},
        **settings,
    )
    index.collection.flush()
    until = time.monotonic() + 60
    while index.collection.info().indexed_vectors_count < N:
        assert time.monotonic() < until, "it was not indexed"
        time.sleep(0.05)

    return dataset


@pytest.fixture(scope="module")
def poor():
    dataset = make_poor("index")
    yield dataset
    load_index(dataset, "index").collection.drop()
    dataset.delete()


@pytest.fixture
def index(poor):
    index = load_index(poor, "index")
    yield index
    apply_search(index, {})


def test_a_bad_graph_measures_badly_and_apply_lifts_other_queries(poor, index):
    found = measure(index, queries=60, k=10, seed=1)
    assert found.present.recall < 0.9
    chosen = found.choose(0.97)

    before = apply_search(index, chosen.settings)

    elsewhere = load_index(poor, "index")  # as another process opens it
    others = measure(elsewhere, queries=60, k=10, seed=2)
    assert len(set(others.queries) & set(found.queries)) < 10
    assert others.present.recall >= 0.96
    assert others.present.settings == chosen.settings

    assert apply_search(index, before) == chosen.settings
    assert measure(elsewhere, k=10, seconds=0).present.recall < 0.9


def test_what_is_measured_is_the_same_every_time(index):
    first, second = (measure(index, queries=20, k=10, seed=3) for _ in range(2))

    assert first.queries == second.queries
    assert [p.recall for p in first.points] == [p.recall for p in second.points]
    recalls = [p.recall for p in first.points[1:]]
    assert recalls == sorted(recalls)  # more candidates miss less
    for p in first.points:
        assert 0 <= p.low <= p.recall <= p.high <= 1
        assert 0 < p.p50 <= p.p95


def test_a_recall_that_no_setting_reaches_is_said_with_what_helps(index):
    found = measure(index, queries=20, k=10)
    with pytest.raises(ConfigError, match="raise m and"):
        found.choose(1.01)


def test_searches_in_a_small_view_are_exact(poor, index):
    found = measure(index, poor[:200], queries=20, k=10)

    assert found.share == pytest.approx(0.05)
    assert {p.recall for p in found.points} == {1.0}
    assert not index.has_view  # as before


def test_when_time_is_up_the_present_setting_is_still_measured(index):
    found = measure(index, queries=200, k=10, seconds=0)

    assert not found.complete
    assert len(found.points) == 1
    assert 0 < len(found.queries) < 200


def test_progress_reaches_its_end_and_may_cancel(index):
    steps = []
    measure(index, queries=20, k=10, progress=lambda n, of: steps.append((n, of)))
    assert steps[-1][0] == steps[-1][1]
    assert steps == sorted(steps)

    def cancel(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(index, queries=20, k=10, progress=cancel)


def test_what_was_measured_is_kept_until_the_index_changes(poor, index, rng):
    assert last_measured(index) is None
    record(index, measure(index, queries=20, k=10))

    said = last_measured(load_index(poor, "index"))
    assert not said.outdated
    assert str(said).startswith(f"recall {said.now.recall:.3f} ± ")
    assert "20 queries" in str(said)

    apply_search(index, {"hnsw_ef": 512})
    assert last_measured(index).now.settings == SearchSettings(512)
    apply_search(index, {"hnsw_ef": 333})
    assert last_measured(index).now is None

    (gone,) = poor.take(1, seed=1).values("id")
    vectors = index.get_embeddings([gone])[0]
    index.remove_from_index([gone])
    index.collection.refresh()
    assert last_measured(index).outdated
    index.add_to_index(vectors, [gone])


def test_what_is_quantized_is_measured_with_and_without_rescoring():
    dataset = make_poor("index", quantization_config={"turbo": {"bits": "bits2"}})
    index = load_index(dataset, "index")
    assert in_force(index)["quantization_config"] == {"turbo": {"bits": "bits2"}}

    found = measure(index, queries=20, k=10)
    deep = {
        (p.settings.oversampling, p.settings.rescore): p.recall
        for p in found.points
        if p.settings.hnsw_ef == 512
    }
    apply_search(index, SearchSettings(512, 4.0, True))
    applied = measure(index, queries=20, k=10, seconds=0).present
    index.collection.drop()
    dataset.delete()

    assert deep[1.0, False] < deep[4.0, True] - 0.1
    assert applied.recall == deep[4.0, True]


def test_an_exact_index_has_one_way_to_search(make_dataset, rng):
    dataset = make_dataset(30)
    index = fob.compute_similarity(
        dataset,
        embeddings=rng.normal(size=(30, 8)).astype(np.float32),
        backend="qdrant",
        brain_key="index",
    )
    found = measure(index, k=50)
    index.collection.drop()

    assert [p.exact for p in found.points] == [True]
    assert found.present.recall == 1.0
    assert found.choose(0.99) == found.present


def test_an_empty_view_is_nothing_to_measure(poor, index):
    with pytest.raises(ConfigError, match="nothing to measure"):
        measure(index, poor.limit(5).match({"filepath": "none"}))


@pytest.mark.parametrize(
    "settings", [{"hnsw_ef": 0}, {"oversampling": 0.1}, {"rescore": 3}, {"ef": 5}]
)
def test_wrong_settings_are_refused(index, settings):
    with pytest.raises(ConfigError):
        apply_search(index, settings)


def test_the_interval_holds_the_true_recall_as_often_as_it_says(rng):
    held = 0
    for _ in range(400):
        of_queries = np.clip(rng.normal(0.9, 0.05, 200), 0, 1)
        low, high = interval(rng.binomial(25, of_queries) / 25, 25)
        held += low <= 0.9 <= high

    assert held >= 360  # of 400 at 95 %
