"""The documentation says what the code does."""

import re
import runpy
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

import fiftyone_qdrant

REPO = Path(__file__).resolve().parents[2]
MANIFEST = yaml.safe_load((REPO / "fiftyone.yml").read_text())
PROJECT = (REPO / "pyproject.toml").read_text()
README = (REPO / "README.md").read_text()


def test_the_parameters_page_is_what_make_docs_writes():
    script = runpy.run_path(str(REPO / "scripts" / "document_parameters.py"))
    assert (REPO / "docs" / "parameters.md").read_text() == script["page"]() + "\n"


@pytest.mark.parametrize("name", [*MANIFEST["operators"], *MANIFEST["panels"]])
def test_the_readme_names_every_operator_and_panel_that_is_listed(name):
    source = next(REPO.glob(f"[op]*s/**/{name}.py")).read_text()
    label = re.search(r'label ?= ?"([^"]+)"', source)[1]
    unlisted = re.search(r"unlisted ?= ?True", source)
    assert unlisted or f"**{label}**" in README


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *map(str, REPO.glob("docs/**/*.md"))]
)
def test_links_between_pages_lead_somewhere(page):
    path = REPO / page
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text()):
        assert (path.parent / target).exists(), target


def test_the_layers_are_drawn_as_they_are_checked():
    script = runpy.run_path(str(REPO / "scripts" / "document_layers.py"))
    assert script["page"]() == script["PAGE"].read_text(), "run `make docs`"


def test_the_plugin_asks_for_what_the_package_asks_for():
    lowest = runpy.run_path(str(REPO / "scripts" / "lowest.py"))
    needed = lowest["dependencies"](PROJECT)
    assert (REPO / "requirements.txt").read_text().split() == needed
    for pinned in lowest["lowest"](needed):
        name, bound = pinned.split("==")
        have, least = (
            tuple(map(int, re.findall(r"\d+", v)))[:3] for v in (version(name), bound)
        )
        assert have >= least


def test_one_version_everywhere():
    ours = fiftyone_qdrant.__version__
    assert MANIFEST["version"] == ours
    assert f"## [{ours}]" in (REPO / "CHANGELOG.md").read_text()
