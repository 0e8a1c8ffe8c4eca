"""Operators in a delegated worker: another process, on the same embedded store."""

from __future__ import annotations

import fiftyone as fo
import fiftyone.brain as fob
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant.status.jobs import running_jobs
from tests.plugin.calls import URI, call, delegate, operator
from tests.plugin.conftest import PATH
from tests.plugin.processes import delegated_worker


@pytest.fixture(scope="module")
def run_in(store_folder, tmp_path_factory):
    """``run_in(operation id)`` waits for a worker to do it, and returns it."""
    log = tmp_path_factory.mktemp("worker") / "log"
    with delegated_worker(log, **{PATH: str(store_folder)}) as wait:
        yield wait


@pytest.fixture
def kept(dataset):
    """The dataset, kept for the worker to load."""
    dataset.persistent = True
    return dataset


def fresh(dataset):
    """Sees what another process has done to it."""
    dataset.reload()
    dataset.clear_cache()
    return dataset


def test_create_is_done_by_the_worker(kept, digits, run_in):
    done = run_in(
        delegate("create_qdrant_index", kept, brain_key="w", embeddings="pixels")
    )
    assert done.run_state == "completed", done.result.error
    assert done.result.result["points"] == 40
    stored, _, _ = fresh(kept).load_brain_results("w").get_embeddings(kept.values("id"))
    np.testing.assert_allclose(stored, digits.vectors[:40], rtol=1e-5)


def test_progress_is_stored(kept, run_in):
    done = run_in(
        delegate("create_qdrant_index", kept, brain_key="w", embeddings="pixels")
    )
    assert done.status.progress == 1
    assert "40 of 40" in done.status.label


def test_failure_is_stored_with_its_sentence(kept, run_in, client):
    kept.clone_sample_field("pixels", "holes")
    queued = delegate("create_qdrant_index", kept, brain_key="w", embeddings="holes")
    kept.set_values("holes", [np.full(8, np.nan)] * 40)  # after the form has looked
    done = run_in(queued)
    assert done.run_state == "failed"
    last = done.result.error.strip().splitlines()[-1]
    assert "Field 'holes' cannot be indexed. 40 of 40 vectors" in last
    assert fresh(kept).list_brain_runs() == []
    assert client.get_collections().collections == []


def test_store_is_used_by_both_at_the_same_time(
    make_dataset, kept, run_in, digits_model
):
    """While the worker embeds and writes, this process writes and queries."""
    large = make_dataset(1200)
    large.persistent = True
    call("create_qdrant_index", kept, brain_key="mine", embeddings="pixels")
    index = kept.load_brain_results("mine")
    query = kept.first().id
    expected = kept.sort_by_similarity(query, k=5, brain_key="mine").values("id")
    ids = kept.values("id")
    vectors, _, _ = index.get_embeddings(ids)
    rounds = []

    def use():
        index.remove_from_index(sample_ids=ids[30:])
        index.add_to_index(vectors[30:], ids[30:])
        found = kept.sort_by_similarity(query, k=5, brain_key="mine").values("id")
        assert found == expected
        rounds.append(index.total_index_size)

    done = run_in(
        delegate("create_qdrant_index", large, brain_key="w", model=digits_model), use
    )
    assert done.run_state == "completed", done.result.error
    assert done.result.result["points"] == 1200
    assert len(rounds) > 3
    assert set(rounds) == {40}
    assert fresh(large).load_brain_results("w").total_index_size == 1200


def test_selection_reaches_the_worker(kept, run_in):
    call("create_qdrant_index", kept, brain_key="w", embeddings="pixels")
    selected = kept.values("id")[:4]
    removed = run_in(
        delegate("remove_selected", kept, brain_key="w", selected=selected)
    )
    assert removed.result.result == {"removed": 4, "missing": 0, "points": 36}
    added = run_in(
        delegate("add_selected_to_index", kept, brain_key="w", selected=selected[:1])
    )
    assert added.result.result["new"] == 1
    assert kept.load_brain_results("w").total_index_size == 37


def test_query_result_is_stored(kept, run_in):
    call("create_qdrant_index", kept, brain_key="w", embeddings="pixels")
    params = {"brain_key": "w", "query": kept.first().id, "k": 5}
    done = run_in(delegate("query_similar", kept, **params))
    assert done.result.result == call("query_similar", kept, **params)


def test_cleanup_is_done_by_the_worker(kept, run_in, client):
    name = call("create_qdrant_index", kept, brain_key="w", embeddings="pixels")[
        "collection_name"
    ]
    done = run_in(delegate("cleanup_collection", kept, brain_key="w", confirm=name))
    assert done.result.result["deleted"] is True
    assert client.get_collections().collections == []
    assert fresh(kept).list_brain_runs() == []


def test_view_is_what_the_worker_indexes(kept, run_in):
    ctx = {"view": kept.limit(6)}
    params = {"brain_key": "w", "embeddings": "pixels"}
    uri = f"{URI}create_qdrant_index"
    queued = foo.execute_operator(uri, ctx, params=params, request_delegation=True)
    assert run_in(queued.result["id"]).result.result["points"] == 6


def test_typed_call_can_delegate(kept, run_in):
    create = operator("create_qdrant_index")
    queued = create(kept, "w", embeddings="pixels", delegate=True)
    assert queued.delegated
    assert run_in(queued.result["id"]).result.result["points"] == 40


def test_workers_run_is_seen_by_fiftyones_own_calls(kept, run_in):
    run_in(delegate("create_qdrant_index", kept, brain_key="w", embeddings="pixels"))
    assert fresh(kept).list_brain_runs(type=fob.Similarity, method="qdrant") == ["w"]
    found = kept.sort_by_similarity(kept.first().id, k=3, brain_key="w")
    assert isinstance(found, fo.DatasetView)
    assert found.first().id == kept.first().id


def test_an_ingest_in_the_worker_is_cancelled_from_here(
    make_dataset, run_in, digits_model
):
    large = make_dataset(1500)
    large.persistent = True
    cancelled = []

    def cancel():
        for job in running_jobs(large):
            if not job.cancelling:
                call("cancel_ingest", large, job_id=job.id)
                cancelled.append(job)

    params = {"brain_key": "w", "model": digits_model}
    done = run_in(delegate("create_qdrant_index", large, **params), cancel)
    (job,) = cancelled
    assert (job.kind, job.brain_key, job.total) == ("create", "w", 1500)
    assert "IngestCancelled: Cancelled. " in done.result.error
    assert "Run it again to resume" in done.result.error
    resumed = call("create_qdrant_index", fresh(large), **params)
    assert resumed["points"] == 1500
    assert 0 < resumed["kept"] < 1500
    with pytest.raises(ExecutionError, match="It may have ended"):
        call("cancel_ingest", large, job_id=job.id)
