"""Errors of ours in the App: told, and the form opened again; elsewhere raised."""

from __future__ import annotations

import pytest
from fiftyone.operators.executor import ExecutionContext, Executor

from fiftyone_qdrant.errors import ConfigError
from tests.plugin.calls import form_of, operator

MISTAKE = {"brain_key": "pixels", "hnsw_config": {"m": 5000}}


def context(dataset, **more):
    asked = {"dataset_name": dataset.name, **more}
    return ExecutionContext(asked, executor=Executor())


def test_an_error_in_a_form_is_told_and_the_form_opened_again(indexed):
    ctx = context(indexed, params={**MISTAKE, "prompt": "form 1"})

    assert operator("tune_index").execute(ctx) is None

    told, again = ctx.executor.to_json()["requests"]
    assert told["operator_uri"].endswith("notify")
    assert "hnsw_config.m must be between" in told["params"]["message"]
    filled_in = again["params"]["filled_in"]
    assert filled_in.pop("problem") == told["params"]["message"]
    assert filled_in == MISTAKE

    ctx = context(indexed, params={**MISTAKE, "problem": "It broke"}, prompt_id="2")
    form = operator("tune_index").resolve_input(ctx).type
    (first, *_, last) = form.properties.values()
    assert first.view.description == "It broke"
    assert last.default == "2"


@pytest.mark.parametrize("more", [{}, {"delegated": True}], ids=["python", "worker"])
def test_an_error_without_a_form_is_raised(indexed, more):
    params = {**MISTAKE, "prompt": "form 1"} if more else MISTAKE
    ctx = context(indexed, params=params, **more)
    with pytest.raises(ConfigError, match="must be between"):
        operator("tune_index").execute(ctx)


def test_what_comes_with_a_form_is_none_of_its_fields(indexed):
    filled_in = {"brain_key": "other", "embeddings": "pixels"}
    come = {"prompt": "form 1", "problem": "It broke"}
    fields = form_of("create_qdrant_index", indexed, **filled_in, **come)
    assert "Unknown parameter" not in str(fields["preflight"].to_json())
    assert not any(p.invalid for p in fields.values())
