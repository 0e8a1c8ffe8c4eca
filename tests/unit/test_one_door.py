"""FiftyOne's private members: used in one module, and listed for who tries another."""

import ast
import inspect
import re
from pathlib import Path

import fiftyone.brain.similarity as fbs

REPO = Path(__file__).resolve().parents[2]
DOOR = REPO / "fiftyone_qdrant" / "dataset" / "samples.py"
MODULES = [
    path
    for folder in ("fiftyone_qdrant", "operators", "panels")
    for path in (REPO / folder).rglob("*.py")
    if "embedded" not in path.parts
]


def private_names(path, of_self):
    """The members ``_name`` that a module takes of itself, or of other objects."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and re.match("_[a-zA-Z]", node.attr):
            is_self = isinstance(node.value, ast.Name) and node.value.id == "self"
            if is_self == of_self:
                found.add(node.attr)
        elif isinstance(node, ast.keyword) and (node.arg or "").startswith("_"):
            found.add(node.arg)
        elif of_self and isinstance(node, ast.FunctionDef):
            found.add(node.name)

    return found


def listed(heading):
    page = (REPO / "CONTRIBUTING.md").read_text()
    section = page.split(f"**{heading}**")[1].split("\n\n")[0]
    return set(re.findall(r"`(_\w+)`", section))


def test_only_one_module_knows_private_members_of_datasets_and_views():
    known = private_names(DOOR, of_self=False)
    assert known == listed("Datasets and views")
    for path in MODULES:
        if path != DOOR:
            assert not known & private_names(path, of_self=False), path


def test_the_private_members_of_the_brain_contract_are_listed():
    contract = set(re.findall(r"\b_[a-z]\w+", inspect.getsource(fbs)))
    ours = [REPO / "fiftyone_qdrant" / "similarity.py"]
    ours.append(REPO / "fiftyone_qdrant" / "index" / "duplicates.py")
    used = set().union(*(private_names(path, of_self=True) for path in ours))
    assert used & contract == listed("The brain contract")
