"""What waits, runs or is built on a dataset is listed, and what waits taken off."""

import time

import pytest
from bson import ObjectId
from fiftyone.operators.delegated import DelegatedOperationService

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.qdrant.health import CollectionHealth
from fiftyone_qdrant.status import jobs
from fiftyone_qdrant.status.activity import cancel_work, work_under_way
from fiftyone_qdrant.status.indexes import IndexStatus
from tests.plugin.calls import call, delegate, fall_silent


def wait_for(condition):
    until = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)

    return found


@pytest.fixture
def queued(dataset):
    """An operation that waits for a worker."""
    yield delegate(
        "create_qdrant_index", dataset, brain_key="later", embeddings="pixels"
    )
    service = DelegatedOperationService()
    for operation in service.list_operations(dataset_name=dataset.name):
        service.delete_operation(operation.id)


def test_what_waits_for_a_worker_is_listed_and_taken_off_the_queue(dataset, queued):
    (work,) = work_under_way(dataset)
    assert work.title == "Create Qdrant Index 'later'"
    assert (work.waiting, work.progress, work.brain_key) == (True, None, "later")
    assert "fiftyone delegated launch" in work.label
    cancel_work(dataset, work.id)
    assert work_under_way(dataset) == []
    with pytest.raises(ConfigError, match="begun or ended"):
        cancel_work(dataset, work.id)


def test_a_delegated_ingest_is_listed_once_while_it_runs(dataset, queued):
    service = DelegatedOperationService()
    service.set_running(queued)
    (work,) = work_under_way(dataset)
    assert (work.id, work.waiting) == (None, False)
    with jobs.job(dataset, "create", "later", 40) as report:
        report.advance(10)
        (work,) = wait_for(lambda: [w for w in work_under_way(dataset) if w.id])
        assert len(work_under_way(dataset)) == 1
        assert work.title == "Creating 'later'"

    with pytest.raises(ConfigError, match="It may have ended"):
        cancel_work(dataset, work.id)


def test_an_operation_whose_worker_died_is_said_to_give_no_news(dataset, queued):
    fall_silent(queued)
    (work,) = work_under_way(dataset)
    assert (work.silent, work.waiting, work.id) == (True, False, None)
    assert work.label.startswith("no news since 20")
    assert f"fiftyone delegated fail {queued}" in work.label
    service = DelegatedOperationService()
    service._repo.ping(ObjectId(queued))  # as a worker that is watched does
    (work,) = work_under_way(dataset)
    assert not work.silent


@pytest.mark.parametrize(
    ("operator", "writes"), [("query_similar", False), ("sync_index", True)]
)
def test_only_what_changes_an_index_counts_as_writing(
    dataset, queued, operator, writes
):
    call("create_qdrant_index", dataset, brain_key="now", embeddings="pixels")
    more = {} if writes else {"query": dataset.first().id}
    delegate(operator, dataset, brain_key="now", **more)
    found = {work.brain_key: work.writes for work in work_under_way(dataset)}
    assert found == {"later": True, "now": writes}


def test_other_datasets_work_is_not_listed(make_dataset, queued):
    assert work_under_way(make_dataset(1)) == []


def test_an_index_that_is_built_says_how_far_it_is(dataset):
    health = CollectionHealth("yellow", 200, 50, 2)
    status = IndexStatus(
        "big", "c", "server", points=200, state="building", health=health
    )
    (work,) = work_under_way(dataset, [status])
    assert (work.id, work.progress, work.writes) == (None, 0.25, False)
    assert "'big'" in work.title
