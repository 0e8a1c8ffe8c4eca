"""An index is kept in step by the panel, as its run says."""

from __future__ import annotations

import fiftyone.operators as foo
import pytest

from fiftyone_qdrant import create_index, load_index
from fiftyone_qdrant.ingest import in_step
from fiftyone_qdrant.status import background
from tests.plugin.calls import ended
from tests.plugin.test_status_panel import PANEL, send


@pytest.fixture
def opened(dataset, monkeypatch):
    """``opened(mode)``: the state of the panel of an index of all; nothing waits."""
    monkeypatch.setattr(in_step, "QUIET", 0)
    panel = foo.get_operator(PANEL)

    def open_in(mode):
        create_index(dataset, "k", embeddings="pixels")
        state, _ = send(panel, dataset, "on_load")
        state, _ = send(panel, dataset, "compare", state)
        params = {"brain_key": "k", "mode": mode}
        state, _ = send(panel, dataset, "keep_in_step", state, **params)
        return panel, state

    return open_in


def test_what_has_changed_is_said_with_a_button(dataset, opened):
    panel, state = opened("tell")
    (step,) = state["steps"]
    assert (step["brain_key"], step["mode"], step["in_step"]) == ("k", "tell", True)
    dataset.add_samples([dataset.first().copy()])
    state, _ = send(panel, dataset, "watch", state)
    assert state["steps"][0]["in_step"] is False
    assert state["comparing"]  # its figures are read anew
    _, asked = send(panel, dataset, "sync_now", state, brain_key="k")
    assert "show_panel_output" in asked
    assert "prompt_user_for_operation" in asked


def test_automatically_it_is_synced_once_for_what_has_changed(
    dataset,
    opened,
    in_this_process,
):
    panel, state = opened("auto")
    dataset.delete_samples(dataset.values("id")[:2])
    send(panel, dataset, "watch", state)
    assert (
        ended(dataset).message == "Syncing 'k' is done: 0 added, 0 updated, 2 removed"
    )
    assert load_index(dataset, "k").total_index_size == 38
    first = background.tasks(dataset)[0].id
    send(panel, dataset, "watch", state)
    assert background.tasks(dataset)[0].id == first
