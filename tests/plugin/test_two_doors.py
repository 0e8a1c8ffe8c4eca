"""The library is the same, installed or only as a part of the plugin's folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import fiftyone as fo
import pytest

from tests.plugin.conftest import PATH
from tests.plugin.processes import REPO, run_python

CLS = "fiftyone_qdrant.similarity.QdrantSimilarityConfig"
NOT_INSTALLED = "not_installed('fiftyone_qdrant')\n"
CREATE = """
import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
from fiftyone.operators.registry import OperatorRegistry

dataset = make_dataset(8)
dataset.name = dataset_name
dataset.persistent = True
dataset.set_values("vectors", list(np.eye(8)))
registry = OperatorRegistry()
made = foo.execute_operator(
    "@community/qdrant/create_qdrant_index",
    dict(dataset=dataset),
    params=dict(brain_key="made", embeddings="vectors"),
).result

import fiftyone_qdrant
from fiftyone_qdrant.similarity import (QdrantSimilarityConfig, QdrantSimilarityIndex)

operators = sys.modules["fiftyone.plugins.orgs.community.qdrant.operators"]
index = dataset.load_brain_results("made")
copies = [
    name
    for name, module in sys.modules.items()
    if str(getattr(module, "__file__", "")).endswith("fiftyone_qdrant/similarity.py")
]
answer({
    "errors": registry.list_errors(),
    "operators": [o.uri for o in registry.list_operators(builtin=False)],
    "made": made,
    "library": fiftyone_qdrant.__file__,
    "operators_folder": operators.__file__,
    "cls": dataset.get_brain_info("made").config.cls,
    "same_index": type(index) is QdrantSimilarityIndex,
    "same_config": type(index.config) is QdrantSimilarityConfig,
    "copies": copies,
    "path": [p for p in sys.path if p.startswith(plugins)],
})
"""
QUERY = """
import fiftyone as fo

found = {}
for name in dataset_names:
    dataset = fo.load_dataset(name)
    query = dataset.values("id")[3]
    view = dataset.sort_by_similarity(query, k=4, brain_key="made")
    found[name] = [view.first().id == query, len(view)]
    found[name + "-info"] = dataset.get_brain_info("made").config.method
answer({"found": found, "loaded": "fiftyone.plugins.orgs" in str(list(sys.modules))})
"""


@pytest.fixture(scope="module")
def plugin_folder(tmp_path_factory) -> Path:
    """A folder of plugins, ours in it as ``fiftyone plugins download`` copies it."""
    plugins = tmp_path_factory.mktemp("plugins")
    for name in ("operators", "panels", "assets", "fiftyone_qdrant"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPO / name, plugins / "copy" / name, ignore=ignored)
    for name in ("fiftyone.yml", "__init__.py", "_bootstrap.py"):
        shutil.copy(REPO / name, plugins / "copy")
    return plugins


@pytest.fixture(scope="module")
def by_folder(plugin_folder, store_folder, tmp_path_factory):
    """What a process sees where nothing of ours is installed."""
    code = f"dataset_name = 'by-folder'; plugins = {str(plugin_folder)!r}\n{CREATE}"
    environment = {
        PATH: str(store_folder),
        "FIFTYONE_PLUGINS_DIR": str(plugin_folder),
        "PYTHONPATH": "",
    }
    home = tmp_path_factory.mktemp("home")
    yield run_python(code, home, environment, start=NOT_INSTALLED)
    fo.load_dataset("by-folder").delete()


@pytest.fixture(scope="module")
def by_install(store_folder, tmp_path_factory):
    """What a process sees where the library is installed and the plugin, too."""
    code = f"dataset_name = 'by-install'; plugins = '/none'\n{CREATE}"
    environment = {PATH: str(store_folder)}
    home = tmp_path_factory.mktemp("home")
    yield run_python(code, home, environment, start="")
    fo.load_dataset("by-install").delete()


@pytest.fixture(scope="module")
def later(by_folder, by_install, store_folder, tmp_path_factory):
    """What a later process finds that has imported nothing but FiftyOne."""
    home = tmp_path_factory.mktemp("home")
    nothing = tmp_path_factory.mktemp("no-plugins")
    environment = {PATH: str(store_folder), "FIFTYONE_PLUGINS_DIR": str(nothing)}
    code = "dataset_names = ['by-folder', 'by-install']\n" + QUERY
    return run_python(code, home, environment, start="")


@pytest.fixture(autouse=True)
def store():
    """The runs of these processes are kept for all tests here."""


@pytest.fixture(params=["by_folder", "by_install"])
def door(request):
    return request.getfixturevalue(request.param)


def test_operators_load(door):
    assert door["errors"] == []
    assert {uri.partition("/")[0] for uri in door["operators"]} == {"@community"}
    assert "@community/qdrant/create_qdrant_index" in door["operators"]
    assert door["made"]["points"] == 8


def test_stored_class_is_the_libraries(door):
    assert door["cls"] == CLS


def test_there_is_one_copy_of_each_class(door):
    assert door["copies"] == ["fiftyone_qdrant.similarity"]
    assert door["same_index"]
    assert door["same_config"]


def test_plugin_folder_serves_the_library(by_folder, plugin_folder):
    assert Path(by_folder["library"]).is_relative_to(plugin_folder)
    assert Path(by_folder["operators_folder"]).is_relative_to(plugin_folder)


def test_plugin_folder_is_not_put_on_the_path(by_folder):
    """Else its folders "operators" and "panels" would hide others' modules."""
    assert by_folder["path"] == []


def test_installed_library_wins(by_install):
    assert Path(by_install["library"]).parent == REPO / "fiftyone_qdrant"
    assert "plugins" in by_install["operators_folder"]


@pytest.mark.parametrize("name", ["by-folder", "by-install"])
def test_run_is_queried_by_a_process_that_only_imported_fiftyone(later, name):
    assert later["found"][name] == [True, 4]
    assert later["found"][f"{name}-info"] == "qdrant"
    assert not later["loaded"]
