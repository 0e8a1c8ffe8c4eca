"""A place that is not there, or not ours, is said in one clear sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fiftyone_qdrant import errors
from tests import isolation
from tests.plugin.bad_input.conftest import (
    KEY,
    both_doors,
    check_sentence,
    create,
    refused,
)
from tests.plugin.http_server import http_server
from tests.plugin.processes import run_python


@both_doors
def test_unreachable_server(door, indexed, nothing_lost):
    url = f"http://127.0.0.1:{isolation.free_port()}"
    saying = f"Qdrant at {url} does not answer"
    with refused(door, errors.ConnectionFailed, saying) as caught:
        create(door, indexed, url=url)
    check_sentence(caught.value)


@pytest.fixture(params=[401, 403])
def locked_server(request):
    """The URL of a server that refuses every key."""
    with http_server(request.param, lambda _: b"Must provide an API key") as address:
        yield f"http://{address}"


@both_doors
@pytest.mark.filterwarnings("ignore:Api key is used with an insecure connection")
def test_wrong_api_key(door, indexed, nothing_lost, locked_server, monkeypatch):
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_API_KEY", KEY)
    monkeypatch.setenv("FIFTYONE_BRAIN_SIMILARITY_QDRANT_URL", locked_server)
    saying = "refused the API key.*_QDRANT_API_KEY"
    with refused(door, errors.AuthenticationFailed, saying) as caught:
        create(door, indexed, url=locked_server)
    check_sentence(caught.value)


@pytest.fixture
def unwritable(tmp_path):
    """A folder that may not be written, even by root."""
    if os.geteuid():
        folder = tmp_path / "read-only"
        folder.mkdir()
        folder.chmod(0o500)
        return folder
    if not Path("/proc/self").exists():
        pytest.skip("root may write anywhere here")
    return Path("/proc")


@both_doors
def test_store_that_cannot_be_written(door, indexed, nothing_lost, unwritable):
    saying = "the embedded store .*/store cannot be used|no room: 0 bytes .*/store"
    with refused(door, errors.StoreUnavailable, saying) as caught:
        create(door, indexed, path=str(unwritable / "store"))
    check_sentence(caught.value)


@both_doors
def test_store_path_that_is_a_file(door, indexed, nothing_lost, tmp_path):
    path = tmp_path / "file"
    path.write_text("precious")
    with refused(door, errors.StoreUnavailable, "other files in it") as caught:
        create(door, indexed, path=str(path))
    check_sentence(caught.value)
    assert path.read_text() == "precious"


@both_doors
def test_store_path_with_other_files(door, indexed, nothing_lost, tmp_path):
    (tmp_path / "thesis.doc").write_text("precious")
    with refused(door, errors.StoreUnavailable, "other files in it") as caught:
        create(door, indexed, path=str(tmp_path))
    check_sentence(caught.value)
    assert os.listdir(tmp_path) == ["thesis.doc"]


@pytest.fixture(scope="module")
def without_packages(tmp_path_factory):
    """What a process says in which packages are missing."""
    code = """
import importlib.metadata as metadata

import numpy as np
import fiftyone.brain as fob
import fiftyone.core.utils as fou

given = metadata.Distribution.from_name
missing = {}


def from_name(name):
    if name.lower().replace("_", "-") in missing:
        raise metadata.PackageNotFoundError(name)
    return given(name)


metadata.Distribution.from_name = from_name
dataset = make_dataset(4)
said = {}
for package, module in (
    ("qdrant-edge-py", "qdrant_edge"), ("qdrant-client", "qdrant_client")
):
    missing = {package}
    hidden = {n: m for n, m in sys.modules.items() if n.partition(".")[0] == module}
    sys.modules.update(dict.fromkeys([*hidden, module]))
    try:
        fob.compute_similarity(
            dataset, embeddings=np.eye(4), backend="qdrant", brain_key="new"
        )
    except Exception as e:
        said[package] = [str(e), [c.__name__ for c in type(e).__mro__]]
    sys.modules.pop(module)
    sys.modules.update(hidden)
runs = dataset.list_brain_runs()
missing = {}
index = fob.compute_similarity(dataset, embeddings=np.eye(4), backend="qdrant")
names = [c.name for c in index.client.get_collections().collections]
names = [n for n in names if fou.to_slug(dataset.name) in n]
answer({"said": said, "runs": runs, "collections": names})
index.cleanup()
dataset.delete()
"""
    return run_python(code, tmp_path_factory.mktemp("home"))


@pytest.mark.parametrize("package", ["qdrant-edge-py", "qdrant-client"])
def test_missing_package_is_named(package, without_packages):
    said, classes = without_packages["said"][package]
    assert package in said
    assert {"ImportError", "QdrantPluginError"} & set(classes)
    first = said.strip().splitlines()[0]
    assert 15 < len(first) < 300


def test_missing_package_leaves_nothing(without_packages):
    assert without_packages["runs"] == []
    assert len(without_packages["collections"]) == 1  # the one made afterwards
