"""What Sync Index says before it is run."""

from __future__ import annotations

from fiftyone.operators.executor import ExecutionContext

from tests.plugin.calls import operator


def test_a_sync_of_models_says_what_it_cannot_know(prompted):
    ctx = ExecutionContext(
        {"dataset_name": prompted.name, "params": {"brain_key": "prompted"}}
    )
    form = operator("sync_index").resolve_input(ctx).type
    told = form.get_property("drift").view.description
    assert "changed in place go unnoticed" in told
