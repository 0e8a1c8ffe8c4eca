"""Without the App, an operator's schema says all that it takes and gives."""

from __future__ import annotations

import fiftyone.operators as foo
import pytest
from fiftyone.operators.executor import ExecutionContext

import fiftyone_qdrant  # noqa: F401  (registers the backend)
from fiftyone_qdrant.qdrant.connection import KEYWORDS
from tests.plugin.calls import URI, call

CALLED = [
    op.name
    for op in foo.list_operators()
    if op.uri.startswith(URI) and "__call__" in type(op).__dict__
]


@pytest.fixture
def schema_of(indexed):
    """``schema_of(operator, **params)`` -> the properties that an agent is told."""

    def resolve(name, **params):
        ctx = ExecutionContext({"dataset_name": indexed.name, "params": params})
        told = foo.get_operator(URI + name).resolve_input(ctx).to_json()
        return told["type"]["properties"]

    return resolve


@pytest.mark.parametrize("name", CALLED)
def test_a_schema_lists_all_that_a_call_takes(name, schema_of):
    """The parameters of the call are those that execute reads."""
    code = type(foo.get_operator(URI + name)).__call__.__code__
    taken = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
    of_the_context = {"samples", "selected", "labels", "delegate"}
    told = schema_of(name)
    assert set(taken) - of_the_context <= set(told)
    for parameter in set(taken) - of_the_context:
        assert told[parameter]["type"]["name"]
        view = told[parameter].get("view") or {}
        assert view.get("description") or view.get("label"), parameter


def test_what_a_form_hides_in_tabs_is_told_with_its_default(schema_of):
    told = schema_of("query_similar")
    assert told["negatives"]["type"]["name"] == "List"
    assert told["exact"]["type"]["name"] == "Boolean"
    assert told["exact"]["default"] is False
    assert "the path or the bytes of an image" in told["image"]["view"]["description"]


def test_where_an_index_goes_is_told_but_for_secrets(schema_of):
    told = schema_of("create_qdrant_index")
    assert set(KEYWORDS) - {"api_key"} <= set(told)
    assert not {"api_key", "unfinished", "move"} & set(told)
    assert {"metric", "hnsw_config", "from_brain_key", "patches_field"} <= set(told)


def test_what_a_schema_says_is_taken(indexed, schema_of):
    ids = indexed.values("id")
    given = {"brain_key": "pixels", "query": ids[0], "negatives": ids[1:2], "k": 3}
    assert set(given) <= set(schema_of("query_similar", **given))
    assert len(call("query_similar", indexed, **given)["ids"]) == 3


@pytest.mark.parametrize("name", CALLED)
def test_what_comes_out_is_declared(name, indexed):
    ctx = ExecutionContext({"dataset_name": indexed.name, "params": {}})
    operator = foo.get_operator(URI + name)
    told = operator.resolve_output(ctx).to_json()["type"]["properties"]
    assert set(told) == {key for key, _ in operator.outputs}
