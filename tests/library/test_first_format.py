"""A dataset, a store and a backup that an early 0.1.0 wrote: they open unchanged.

``stores/make_first.py`` says how they were made.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_qdrant.embedded.client import administration, launcher
from fiftyone_qdrant.ingest.ingest import add_ids
from fiftyone_qdrant.ingest.sync import find_drift

ARCHIVE = Path(__file__).with_name("stores") / "first-0.1.0.tar.xz"


@pytest.fixture(scope="module")
def first():
    root = Path(tempfile.mkdtemp(prefix="fqf-", dir="/tmp"))
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(root, filter="data")

    yield root
    launcher.stop(root / "store")
    launcher.stop(root / "restored")
    shutil.rmtree(root)


@pytest.fixture(scope="module")
def dataset(first):
    return fo.Dataset.from_dir(
        dataset_dir=str(first / "dataset"), dataset_type=fo.types.FiftyOneDataset
    )


def open_index(dataset, key, store):
    return dataset.load_brain_results(key, path=str(store), cache=False)


def nearest(vectors, query, k):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    distances = 1 - unit @ (query / np.linalg.norm(query))
    order = np.argsort(distances)[:k]
    return order, distances[order]


def test_an_early_index_of_samples_answers_as_before(first, dataset):
    index = open_index(dataset, "samples", first / "store")
    ids, vectors = dataset.values(["id", "embedding"])
    vectors = np.stack(vectors)
    assert index.total_index_size == 285
    found, _, _ = index.get_embeddings(sample_ids=ids[25:])
    np.testing.assert_allclose(found, vectors[25:], rtol=1e-5)

    held = np.r_[0:10, 25:300]
    order, distances = nearest(vectors[held], vectors[50], 10)
    (hits,) = index.search(ids[50], k=10, exact=True)
    assert hits.ids == [ids[i] for i in held[order]]
    np.testing.assert_allclose(hits.distances, distances, atol=1e-6)


def test_an_early_index_of_patches_answers_as_before(first, dataset):
    index = open_index(dataset, "patches", first / "store")
    assert index.total_index_size == 300
    vectors, _, labels = index.get_embeddings()
    (hits,) = index.search(vectors[7], k=5)
    distances = np.linalg.norm(vectors - vectors[7], axis=1)
    assert hits.ids == [labels[i] for i in np.argsort(distances)[:5]]
    np.testing.assert_allclose(hits.distances, np.sort(distances)[:5], atol=1e-5)


def test_an_early_index_is_counted_and_filled(first, dataset):
    index = open_index(dataset, "samples", first / "store")
    ids = dataset.values("id")
    assert sorted(find_drift(index, dataset).missing) == sorted(ids[10:25])
    add_ids(index, ids[10:25])
    assert index.total_index_size == 300
    (hits,) = index.search(ids[15], k=1)
    assert hits.ids == [ids[15]]


def test_an_early_store_has_no_damage(first):
    problems = [c["problems"] for c in administration.verify(first / "store")]
    assert problems == [[], []]


def test_an_early_backup_is_restored(first, dataset):
    administration.restore(first / "restored", first / "backup")
    index = open_index(dataset, "samples", first / "restored")
    assert index.total_index_size == 285
    assert [c["problems"] for c in administration.verify(first / "backup")] == [[], []]
