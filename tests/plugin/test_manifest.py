"""What the plugin declares is what it has."""

from __future__ import annotations

from pathlib import Path

import fiftyone.operators as foo
import fiftyone.operators.types as types
import fiftyone.plugins as fop
import pytest
import yaml
from fiftyone.operators.registry import OperatorRegistry

from fiftyone_qdrant.qdrant.connection import ENVIRONMENT

REPO = Path(__file__).resolve().parents[2]
PLUGIN = "@community/qdrant"


@pytest.fixture(scope="module")
def manifest():
    return yaml.safe_load((REPO / "fiftyone.yml").read_text())


@pytest.fixture(scope="module")
def registry():
    return OperatorRegistry()


@pytest.fixture(scope="module")
def registered(registry):
    found = registry.list_operators(builtin=False)
    return [op for op in found if op.plugin_name == PLUGIN]


def test_plugin_loads_without_errors(registry):
    assert registry.list_errors() == []


def test_plugin_is_found_once_and_enabled():
    assert [p.name for p in fop.list_plugins(enabled=True)].count(PLUGIN) == 1


def test_operators_are_those_of_the_manifest(registered, manifest):
    """FiftyOne drops what is missing on either side without a word."""
    panels = {op.name for op in registered if is_panel(op)}
    operators = {op.name for op in registered} - panels
    assert operators == set(manifest["operators"])
    assert panels == set(manifest["panels"])


def is_panel(op) -> bool:
    return isinstance(op, foo.Panel)


def test_fixed_names_are_there(registered):
    labels = {op.name: op.config.label for op in registered}
    assert (
        labels.items()
        >= {
            "create_qdrant_index": "Create Qdrant Index",
            "add_selected_to_index": "Add Selected to Index",
            "remove_selected": "Remove Selected",
            "query_similar": "Query Similar",
            "cleanup_collection": "Cleanup Collection",
            "qdrant_status": "Qdrant Status",
        }.items()
    )


def test_operators_describe_themselves(registered):
    for op in registered:
        if not is_panel(op):
            assert op.config.description, op.name
            assert op.config.description != op.config.label
            assert isinstance(op.config.risk_level, types.RiskLevel), op.name


def test_risk_rises_with_what_can_be_lost(registered):
    order = list(types.RiskLevel)
    risks = {
        op.name: order.index(op.config.risk_level)
        for op in registered
        if not is_panel(op)
    }
    assert risks["cleanup_collection"] == order.index(types.RiskLevel.DANGEROUS)
    assert all(
        risk < risks["cleanup_collection"]
        for name, risk in risks.items()
        if name != "cleanup_collection"
    )
    assert risks["query_similar"] == min(risks.values())
    assert risks["remove_selected"] > risks["add_selected_to_index"]


def test_icons_exist(registered):
    for op in registered:
        assert op.config.icon, op.name
        icons = [op.config.icon, op.config.light_icon, op.config.dark_icon]
        for icon in filter(None, icons):
            if icon.startswith("/"):
                assert (REPO / icon.lstrip("/")).is_file(), (op.name, icon)


def test_secrets_are_the_variables_that_are_read(manifest):
    of_fiftyone = {"FIFTYONE_ZOO_ALLOWED_MODEL_NAMES"}
    assert set(manifest["secrets"]) == {*ENVIRONMENT.values(), *of_fiftyone}


def test_required_fiftyone_is_the_packages(manifest):
    needed = manifest["fiftyone"]["version"]
    assert f'"fiftyone{needed}"' in (REPO / "pyproject.toml").read_text()
    fop.ensure_plugin_compatibility(PLUGIN, error_level=0)
