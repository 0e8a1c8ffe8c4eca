"""What people import: one face, lazy, and the only one that the pages speak of."""

import importlib
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fiftyone_qdrant

REPO = Path(__file__).resolve().parents[2]
PAGES = [REPO / "README.md", REPO / "CHANGELOG.md", *REPO.glob("docs/*.md")]
# paths that are stored or documented as paths: run classes, errors, `python -m`
PATHS = {"similarity", "errors", "embedded"}


@pytest.mark.parametrize("name", fiftyone_qdrant.__all__)
def test_a_public_name_is_a_documented_function(name):
    function = getattr(fiftyone_qdrant, name)
    assert function.__name__ == name
    assert function.__doc__


def test_no_public_name_is_also_a_module():
    modules = {m.name for m in pkgutil.iter_modules(fiftyone_qdrant.__path__)}
    assert not modules & set(fiftyone_qdrant.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'serach'"):
        _ = fiftyone_qdrant.serach


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_pages_speak_of_public_names_only(page):
    text = page.read_text()
    dotted = re.findall(r"fiftyone_qdrant\.(\w+)", text)
    imported = re.findall(r"from fiftyone_qdrant import ([\w, ]+)", text)
    names = [*dotted, *(n.strip() for i in imported for n in i.split(","))]
    unknown = {n for n in names if n not in fiftyone_qdrant.__all__} - PATHS
    assert not unknown
    assert "from fiftyone_qdrant." not in text.replace("fiftyone_qdrant.errors", "")


def test_importing_the_package_loads_no_engine_and_no_index():
    code = """
import sys, fiftyone_qdrant
heavy = "qdrant_client", "qdrant_edge", "fiftyone_qdrant.similarity"
print([module for module in heavy if module in sys.modules])
"""
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-1] == "[]"


def test_every_module_can_be_imported_alone():
    for module in pkgutil.walk_packages(fiftyone_qdrant.__path__, "fiftyone_qdrant."):
        if not module.name.endswith((".__main__", ".run_owner")):
            importlib.import_module(module.name)
