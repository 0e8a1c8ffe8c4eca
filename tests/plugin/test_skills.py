"""What the skills say works for who knows nothing but them and the schemas."""

from __future__ import annotations

import re

import fiftyone as fo
import fiftyone.operators as foo
import fiftyone.plugins as fop
import pytest
from fiftyone.operators.executor import ExecutionContext

from tests.plugin.calls import URI, call

SKILLS = {s.name: s for s in fop.list_skills(plugin="@community/qdrant")}


class Agent:
    """Calls operators by what their schemas list, and refuses all else."""

    def __init__(self, dataset, skill):
        self.dataset = dataset
        self.operators = re.findall(rf"`{URI}(\w+)`", SKILLS[skill].content)

    def schema(self, name, **params):
        assert name in self.operators
        asked = {"dataset_name": self.dataset.name, "params": params}
        operator = foo.get_operator(URI + name)
        told = operator.resolve_input(ExecutionContext(asked)).to_json()
        return told["type"]["properties"]

    def call(self, name, **params):
        assert set(params) <= set(self.schema(name, **params))
        result = call(name, self.dataset, **params)
        self.dataset.reload()
        return result


@pytest.fixture
def agent(indexed):
    return lambda skill: Agent(indexed, skill)


def test_all_skills_are_found():
    assert set(SKILLS) == {
        "build-and-search",
        "clean-duplicates",
        "audit-labels",
        "choose-what-to-label",
        "keep-healthy",
    }
    for skill in SKILLS.values():
        assert "Use when" in skill.description
        assert len(skill.content.splitlines()) < 50


@pytest.mark.parametrize("skill", sorted(SKILLS))
def test_a_skill_names_operators_and_params_that_there_are(skill, agent):
    told = agent(skill)
    taken = set().union(*(told.schema(name) for name in told.operators))
    assert set(re.findall(r"`(\w+): \w+`", SKILLS[skill].content)) <= taken


def test_build_and_search(dataset, agent):
    client = Agent(dataset, "build-and-search")
    source = {"brain_key": "mine", "embeddings": "pixels"}
    planned = client.call("create_qdrant_index", **source, dry_run=True)
    assert planned["problems"] == []
    client.call("create_qdrant_index", **source)
    one = dataset.first().id
    found = client.call("query_similar", brain_key="mine", query=one, k=3)
    assert found["ids"][0] == one
    assert found["distances"] == sorted(found["distances"])


def test_clean_duplicates(indexed, agent):
    twin = indexed.first().copy()
    indexed.add_sample(twin)
    client = agent("keep-healthy")
    client.call("sync_index", brain_key="pixels")
    client = agent("clean-duplicates")
    found = client.call("find_near_duplicates", brain_key="pixels", threshold=1e-6)
    assert (found["groups"], found["remove"]) == (1, 1)
    asked = {"brain_key": "pixels", "threshold": 1e-6}
    schema = client.schema("delete_duplicates", **asked)
    (number,) = re.findall(r"Type (\d+)", schema["confirm"]["view"]["label"])
    done = client.call("delete_duplicates", **asked, confirm=int(number))
    assert done["deleted"] == 1
    assert len(indexed) == 40


def test_audit_labels(indexed, agent):
    labels = ["a"] * 40
    labels[7] = "b"
    indexed.set_values("said", [fo.Classification(label=s) for s in labels])
    found = agent("audit-labels").call("audit_labels", brain_key="pixels", field="said")
    assert found["doubtful"] == 1
    (told,) = found["most_doubtful"]
    assert (told["id"], told["suggestion"]) == (indexed.values("id")[7], "a")
    assert told["score"] == 1


def test_choose_what_to_label(indexed, agent):
    client = agent("choose-what-to-label")
    found = client.call("select_samples", brain_key="pixels", n=4, strategy="coverage")
    assert len(set(found["ids"])) == 4
    assert found["radius"] == sorted(found["radius"], reverse=True)


def test_keep_healthy(indexed, agent):
    client = agent("keep-healthy")
    indexed.delete_samples(indexed.values("id")[:2])
    drift = client.call("sync_index", brain_key="pixels", dry_run=True)
    assert (drift["missing"], drift["orphans"], drift["changed"]) == (0, 2, 0)
    assert client.call("sync_index", brain_key="pixels")["removed"] == 2
    client.call("tune_index", brain_key="pixels", preset="small_memory", dry_run=True)
