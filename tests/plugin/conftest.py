"""What the tests of the plugin share: a store of their own, and datasets."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest

from tests import isolation
from tests.plugin.calls import call

PATH = "FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"


@pytest.fixture(scope="session")
def store_folder():
    """The folder of an embedded store; its owner process ends with the tests."""
    path = Path(tempfile.mkdtemp(prefix="fqp-", dir="/tmp"))  # sockets' paths are short
    yield path
    isolation.end_processes_below(path)
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def client(store_folder):
    """A client of that store."""
    from fiftyone_qdrant.embedded import EmbeddedClient

    with EmbeddedClient(store_folder) as opened:
        yield opened


@pytest.fixture(autouse=True)
def store(store_folder, client, monkeypatch):
    """The embedded store where new indexes go: empty before each test."""
    import fiftyone_qdrant  # noqa: F401  (registers the backend)

    monkeypatch.setenv(PATH, str(store_folder))
    yield store_folder
    for collection in client.get_collections().collections:
        client.delete_collection(collection.name)


@pytest.fixture
def dataset(make_dataset, digits):
    """40 digits, their pixels in the field "pixels"."""
    dataset = make_dataset(40)
    dataset.set_values("pixels", list(digits.vectors[:40]))
    return dataset


@pytest.fixture
def patches(make_dataset, digits):
    """20 pictures with 40 labelled digits, each with its pixels."""
    dataset = make_dataset(20, patches=True)
    counts = [len(v or []) for v in dataset.values("detections.detections")]
    vectors = iter(digits.vectors)
    values = [[next(vectors) for _ in range(n)] or None for n in counts]
    dataset.set_values("detections.detections.pixels", values, dynamic=True)
    return dataset


@pytest.fixture
def indexed(dataset):
    """The dataset, with an index "pixels" of its pixels."""
    call("create_qdrant_index", dataset, brain_key="pixels", embeddings="pixels")
    return dataset


@pytest.fixture
def indexed_patches(patches):
    """The pictures, with an index "objects" of their labels' pixels."""
    call(
        "create_qdrant_index",
        patches,
        brain_key="objects",
        embeddings="pixels",
        patches_field="detections",
    )
    return patches


@pytest.fixture
def prompted(dataset, digits_model):
    """The dataset, with an index "prompted" of a model that embeds text."""
    call("create_qdrant_index", dataset, brain_key="prompted", model=digits_model)
    return dataset


@pytest.fixture
def in_this_process(monkeypatch, tmp_path):
    """What is asked for goes on in a thread: a process takes seconds to import."""
    from fiftyone_qdrant.status import background

    class Thread:
        returncode = 0

        def communicate(self, told):
            background.run(json.loads(told))

    monkeypatch.setattr(background, "_spawn", lambda: (Thread(), log_in(tmp_path)))


def log_in(folder):
    """Returns an empty log file in a folder."""
    log = folder / "log"
    log.touch()
    return log
