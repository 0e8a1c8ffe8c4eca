"""What is asked for in the App goes on in a process of its own, and can be resumed."""

from __future__ import annotations

import fiftyone.operators as foo
import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant import create_index, load_index, rename_index, sync
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.status import background, jobs
from fiftyone_qdrant.status.activity import (
    dismiss_work,
    resume_work,
    signs_of_work,
    work_under_way,
)
from fiftyone_qdrant.status.indexes import index_statuses
from tests.plugin.calls import URI, call, database, ended, task_of, wait_for
from tests.plugin.conftest import log_in

SPAWN = background._spawn


def ask(name, ctx, **params):
    """Runs an operator as a form of the App does; returns its result."""
    return call(name, {**ctx, "extended": {}}, **params)


def test_create_add_and_sync_from_the_app_go_on_by_themselves(dataset, in_this_process):
    first = {"dataset": dataset, "view": dataset[:10]}
    made = ask("create_qdrant_index", first, brain_key="k", embeddings="pixels")
    assert made == {"started": True, "brain_key": "k"}
    task = ended(dataset)
    assert (task.state, task.message) == ("done", "Creating 'k' is done: 10 points")
    index = load_index(dataset, "k")
    assert index.total_index_size == 10

    chosen = {"dataset": dataset, "selected": dataset.values("id")[9:12]}
    ask("add_selected_to_index", chosen, brain_key="k")
    assert ended(dataset).message == "Adding to 'k' is done: 2 new, 1 replaced"
    assert index.total_index_size == 12

    ask("sync_index", {"dataset": dataset}, brain_key="k")
    words = "Syncing 'k' is done: 28 added, 0 updated, 0 removed"
    assert ended(dataset).message == words
    assert index.total_index_size == 40
    assert work_under_way(dataset) == []


@pytest.fixture
def left(dataset, monkeypatch, tmp_path):
    """``left(state, …)``: the dataset with a task of a create that ended so."""
    monkeypatch.setattr(background, "_spawn", lambda: (_Nothing(), log_in(tmp_path)))

    def leave(state, words="so", key="k"):
        ctx = {"dataset": dataset, "view": dataset[:10]}
        ask("create_qdrant_index", ctx, brain_key=key, embeddings="pixels")
        (task,) = (t for t in background.tasks(dataset) if t.brain_key == key)
        background.end(dataset, task, state, words)
        jobs.withdraw(dataset, task.id)
        return task

    return leave


class _Nothing:
    """A process that was started and does nothing."""

    returncode = 0

    def communicate(self, told):
        """Takes what it is told."""


def works_on(dataset):
    return [(w.title, w.label, w.resumable) for w in work_under_way(dataset)]


@pytest.mark.parametrize("state", ["cancelled", "failed", "died"])
def test_what_ended_early_is_listed_until_it_is_finished(dataset, left, state):
    left(state, "that is why")
    ends = {"cancelled": "was cancelled", "failed": "failed", "died": "broke off"}
    words = (f"Creating 'k' {ends[state]}", "that is why", True)
    assert works_on(dataset) == [words]
    call("create_qdrant_index", dataset, brain_key="k", embeddings="pixels")
    assert works_on(dataset) == []
    assert background.tasks(dataset) == []


def test_a_sync_that_leaves_nothing_missing_ends_unfinished(dataset, left):
    left("cancelled")
    index, _ = create_index(dataset[:10], "k", embeddings="pixels")
    index.config.unfinished = True
    index.save_config()
    left("cancelled")
    (status,) = index_statuses(dataset)
    assert status.state == "unfinished"
    sync(index, dataset)
    (status,) = index_statuses(dataset)
    assert status.state == "ready"
    assert works_on(dataset) == []


def test_a_task_whose_process_died_unseen_is_found_dead(dataset, left, monkeypatch):
    task = left("running")
    monkeypatch.setattr(jobs, "_STARTS_WITHIN", 0)
    assert task_of(dataset).state == "died"
    assert [t.id for t in background.news(dataset)] == [task.id]


def test_resume_asks_the_same_again_in_a_process_of_its_own(dataset, left, monkeypatch):
    left("cancelled")
    dataset.name += "-renamed"
    monkeypatch.setattr(background, "_spawn", SPAWN)
    resume_work(dataset, "k")
    assert ended(dataset).message == "Creating 'k' is done: 10 points"


def test_an_index_left_by_a_script_is_resumed_by_what_its_run_says(
    dataset, in_this_process
):
    index, _ = create_index(dataset[:10], "k", embeddings="pixels")
    index.remove_from_index(sample_ids=dataset.values("id")[5:10])
    index.config.unfinished = True
    index.save_config()
    statuses = index_statuses(dataset)
    (work,) = work_under_way(dataset, statuses)
    assert work.resumable
    resume_work(dataset, "k")
    assert ended(dataset).message == "Creating 'k' is done: 40 points"
    assert work_under_way(dataset, index_statuses(dataset)) == []


def test_there_is_nothing_to_resume_once_it_is_done(dataset, left):
    left("done")
    with pytest.raises(ConfigError, match="There is nothing to go on with"):
        resume_work(dataset, "k")


def test_an_index_is_written_to_by_one_task_at_a_time(dataset, left):
    left("done")
    job_id = jobs.announce(dataset, "add", "k")
    with pytest.raises(ExecutionError, match=r"being written to \(starting\). Wait"):
        left("done")

    jobs.withdraw(dataset, job_id)


def test_the_end_is_told_once_and_to_those_who_watched(dataset, left):
    task = left("failed", "No such field")
    (news,) = background.news(dataset)
    assert (news.message, news.severity) == (
        "Creating 'k' failed: No such field",
        "error",
    )
    assert background.news(dataset) == []
    assert [t.id for t in background.news(dataset, watched=[task.id])] == [task.id]


def test_opening_the_dataset_tells_what_ended_meanwhile(dataset, left):
    left("done", "40 points")
    result = foo.execute_operator(f"{URI}tell_news", {"dataset": dataset})
    (request,) = result.to_json()["executor"]["requests"]
    assert request["params"] == {
        "message": "Creating 'k' is done: 40 points",
        "variant": "success",
    }


def test_a_task_follows_a_rename_of_its_index(dataset, left):
    call("create_qdrant_index", dataset, brain_key="k", embeddings="pixels")
    task = left_add(dataset)
    rename_index(dataset, "k", "new")
    (found,) = background.tasks(dataset)
    assert (found.id, found.brain_key) == (task.id, "new")
    assert '"brain_key": "new"' in found.request


def left_add(dataset):
    request = {"params": {"brain_key": "k"}}
    task = background.start(dataset, "add", "k", URI + "add_selected_to_index", request)
    background.end(dataset, task, "cancelled", "so")
    jobs.withdraw(dataset, task.id)
    return task


def test_a_dismissed_task_is_listed_no_more(dataset, left):
    left("failed")
    dismiss_work(dataset, "k")
    assert works_on(dataset) == []


def test_a_process_that_dies_is_told_at_once(dataset, monkeypatch):
    monkeypatch.setattr(background, "_START", "import os; os.kill(os.getpid(), 9)")
    ask("create_qdrant_index", {"dataset": dataset}, brain_key="k", embeddings="pixels")
    wait_for(lambda: not jobs.running_jobs(dataset))
    assert task_of(dataset).words == "Its process ended in the middle (exit status -9)"


def test_whatever_begins_or_ends_is_a_sign(dataset, left):
    seen = [signs_of_work(dataset)]
    left("running")
    seen.append(signs_of_work(dataset))
    dismiss_work(dataset, "k")
    seen.append(signs_of_work(dataset))
    assert seen[0] != seen[1] != seen[2] == seen[0]


def test_a_request_too_long_for_mongodb_runs_all_the_same(dataset, left, monkeypatch):
    monkeypatch.setattr(background, "_LARGEST", 10)
    left("cancelled")
    assert [w.resumable for w in work_under_way(dataset)] == [False]


def test_an_api_key_among_the_params_is_never_kept(dataset):
    with pytest.raises(ExecutionError, match="FiftyOne stores parameters"):
        ask("create_qdrant_index", {"dataset": dataset}, brain_key="k", api_key="s3cr")

    assert "s3cr" not in database()
