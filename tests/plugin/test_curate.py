"""The operators of Qdrant Curate: asked headless, by workers, and cut short."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import fiftyone as fo
import pytest
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant.curate import stored
from fiftyone_qdrant.curate.duplicates import (
    duplicates_to_delete,
    groups_at,
    show_groups,
)
from fiftyone_qdrant.status import background, jobs
from fiftyone_qdrant.status.activity import resume_work, work_under_way
from tests.plugin.calls import call, delegate, ended, sentence
from tests.plugin.processes import REPO

ASKED = {
    "find_near_duplicates": {"brain_key": "pixels", "threshold": 0.2},
    "audit_labels": {"brain_key": "pixels", "field": "truth", "k": 5},
    "select_samples": {"brain_key": "pixels", "n": 5},
}


@pytest.fixture
def labelled(indexed, digits):
    """The indexed digits with their labels in the field "truth"."""
    labels = [fo.Classification(label=str(n)) for n in digits.labels[:40]]
    indexed.set_values("truth", labels)
    return indexed


@pytest.mark.parametrize("name", ASKED)
def test_an_answer_is_kept_and_counted(labelled, name):
    result = call(name, labelled, **ASKED[name])
    one = stored.latest(labelled, name, "pixels")
    assert one.key == result["run_key"]
    answer = stored.read(labelled, one)
    counted = {
        "find_near_duplicates": lambda: {"pairs": len(answer.distances)},
        "audit_labels": lambda: {"labelled": 40, "doubtful": answer.doubtful},
        "select_samples": lambda: {"chosen": 5, "ids": answer.ids},
    }[name]()
    assert counted.items() <= result.items()


def test_a_worker_keeps_an_answer_and_leaves_no_job(labelled):
    delegate("find_near_duplicates", labelled, **ASKED["find_near_duplicates"])
    DelegatedOperationService().execute_queued_operations(log=False)
    labelled.reload()
    assert stored.latest(labelled, "find_near_duplicates", "pixels")
    assert jobs.running_jobs(labelled) == []
    (task,) = background.tasks(labelled)
    assert task.state == "done"


KILLED = """
import os, signal, sys
import fiftyone_qdrant
from fiftyone_qdrant.curate import stored
from fiftyone.operators.delegated import DelegatedOperationService

stored.keep = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
DelegatedOperationService().execute_queued_operations(log=False)
"""


def test_a_worker_killed_in_the_middle_is_said_and_gone_on_with(
    labelled, in_this_process, monkeypatch
):
    labelled.persistent = True
    delegate("find_near_duplicates", labelled, **ASKED["find_near_duplicates"])
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=REPO, check=False)
    assert killed.returncode == -signal.SIGKILL

    with monkeypatch.context() as patched:
        patched.setattr(jobs, "_DEAD_AFTER", 0)
        patched.setattr(jobs, "_STARTS_WITHIN", 0)
        (work,) = [w for w in work_under_way(labelled) if w.ended]

    assert work.title == "Finding near-duplicates in 'pixels' broke off"
    (job,) = jobs.running_jobs(labelled)
    jobs.withdraw(labelled, job.id)  # as it is after 20 seconds
    resume_work(labelled, "pixels")
    assert ended(labelled).state == "done"
    assert stored.latest(labelled, "find_near_duplicates", "pixels")


def test_answers_follow_an_index_that_is_renamed(labelled):
    call("select_samples", labelled, **ASKED["select_samples"])
    call("rename_index", labelled, brain_key="pixels", new_brain_key="digits")
    one = stored.latest(labelled, "select_samples", "digits")
    assert stored.read(labelled, one).brain_key == "digits"


def test_groups_are_shown_by_what_is_kept(labelled):
    call("find_near_duplicates", labelled, **ASKED["find_near_duplicates"])
    _, groups = groups_at(labelled, "pixels", 0.1)
    assert groups
    grouped = show_groups(labelled, "pixels", 0.1)
    assert grouped.values("id") == [group[0] for group in groups]
    flat = show_groups(labelled, "pixels", 0.1, flat=True)
    assert flat.values("id") == [i for group in groups for i in group]
    kept = labelled.match_tags("kept").values("id")
    assert set(kept) == {group[0] for group in groups}


def test_duplicates_are_deleted_once_their_number_is_typed(labelled):
    call("find_near_duplicates", labelled, **ASKED["find_near_duplicates"])
    _, groups = groups_at(labelled, "pixels", 0.1)
    gone = [i for group in groups for i in group[1:]]
    files = labelled.select(gone).values("filepath")
    asked = {"brain_key": "pixels", "threshold": 0.1}
    with pytest.raises(ExecutionError) as error:
        call("delete_duplicates", labelled, **asked, confirm=len(gone) - 1)

    assert sentence(error.value).endswith(f"That is not {len(gone)}")
    assert len(labelled) == 40
    call("delete_duplicates", labelled, **asked, confirm=len(gone))
    assert not set(gone) & set(labelled.values("id"))
    assert len(labelled) == 40 - len(gone)
    assert all(map(os.path.isfile, files))
    assert groups_at(labelled, "pixels", 0.1)[1] == []


def test_of_labels_whose_kept_one_was_deleted_one_is_left(indexed_patches):
    key, dataset = "objects", indexed_patches
    call("find_near_duplicates", dataset, brain_key=key, threshold=0.1)
    group = max(groups_at(dataset, key, 0.1)[1], key=len)
    dataset.delete_labels(ids=group[:1], fields="detections")
    assert set(group[1:]) - set(duplicates_to_delete(dataset, key, 0.1))


def test_only_pairs_across_sets_and_with_another_dataset_are_found(labelled):
    labelled.set_values("half", [n % 2 for n in range(40)])
    asked = ASKED["find_near_duplicates"]
    every = call("find_near_duplicates", labelled, **asked)["pairs"]
    across = call("find_near_duplicates", labelled, **asked, only="across", by="half")
    within = call("find_near_duplicates", labelled, **asked, only="within", by="half")
    assert across["pairs"] + within["pairs"] == every
    with pytest.raises(ExecutionError):
        call("find_near_duplicates", labelled, **asked, against="no such dataset")
