"""What the documentation's examples take for granted."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

import digits as digits_package
from tests import isolation

SAMPLES = 200  # as many as the documentation's "quickstart" has


@pytest.fixture(scope="session")
def store_folder():
    """The folder of an embedded store; its owner process ends with the tests."""
    path = Path(tempfile.mkdtemp(prefix="fqd-", dir="/tmp"))  # sockets' paths are short
    yield path
    isolation.end_processes_below(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(autouse=True)
def store(store_folder, monkeypatch):
    """The embedded store where new indexes go: empty before each test."""
    import fiftyone_qdrant  # noqa: F401  (registers the backend, as the plugin does)
    from fiftyone_qdrant.embedded import EmbeddedClient

    variable = "FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"
    monkeypatch.setenv(variable, str(store_folder))
    yield store_folder
    with EmbeddedClient(store_folder) as client:
        for collection in client.get_collections().collections:
            client.delete_collection(collection.name)


@pytest.fixture(scope="session")
def zoo_folder(digits) -> Path:
    """A folder of zoo datasets that holds a "quickstart" of 200 pictures."""
    import fiftyone as fo
    import fiftyone.types as fot
    import fiftyone.zoo as foz

    zoo = Path(fo.config.dataset_zoo_dir).with_name("zoo-of-the-documentation")
    folder = zoo / "quickstart"
    scenes = digits_package.write_scenes(zoo / "scenes", digits, SAMPLES)
    samples = []
    for scene in scenes:
        objects = [
            fo.Detection(label=label, bounding_box=box)
            for label, box in zip(scene.labels, scene.boxes, strict=True)
        ]
        truth = fo.Detections(detections=objects)
        samples.append(fo.Sample(str(scene.path), ground_truth=truth))

    dataset = fo.Dataset()
    dataset.add_samples(samples)
    dataset.export(str(folder), dataset_type=fot.FiftyOneDataset)
    dataset.delete()
    entry = foz.get_zoo_dataset("quickstart")
    info = foz.ZooDatasetInfo(entry, fot.FiftyOneDataset(), SAMPLES)
    info.write_json(entry.get_info_path(str(folder)))
    return zoo


@pytest.fixture
def zoo(zoo_folder, documented_models, monkeypatch):
    """The dataset and the models that the examples load by name."""
    import fiftyone as fo

    monkeypatch.setattr(fo.config, "dataset_zoo_dir", str(zoo_folder))
    yield
    if fo.dataset_exists("quickstart"):
        fo.delete_dataset("quickstart")


@pytest.fixture
def servers(monkeypatch) -> dict:
    """Lets every server be Qdrant's client in memory.

    Returns:
        the client that was opened for each ``Connection``, in order
    """
    from qdrant_client import QdrantClient

    from fiftyone_qdrant.qdrant import clients

    opened = {}

    def open_server(place):
        opened[place] = QdrantClient(":memory:")
        return opened[place]

    monkeypatch.setattr(clients, "_open_server", open_server)
    monkeypatch.setattr(clients, "_clients", {})
    return opened
