"""What waits, runs or is built on a dataset is listed, and what waits taken off."""

import time

import fiftyone.operators as foo
import pytest
from fiftyone.operators.delegated import DelegatedOperationService

from fiftyone_qdrant import jobs
from fiftyone_qdrant.activity import cancel_work, work_under_way
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.health import CollectionHealth
from fiftyone_qdrant.status import IndexStatus

URI = "@community/qdrant/create_qdrant_index"


def wait_for(condition):
    until = time.monotonic() + 30
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)

    return found


@pytest.fixture
def queued(dataset):
    """An operation that waits for a worker."""
    params = {"brain_key": "later", "embeddings": "pixels"}
    result = foo.execute_operator(
        URI, {"dataset": dataset}, params=params, request_delegation=True
    )
    yield result.result["id"]
    service = DelegatedOperationService()
    for operation in service.list_operations(dataset_name=dataset.name):
        service.delete_operation(operation.id)


def test_what_waits_for_a_worker_is_listed_and_taken_off_the_queue(dataset, queued):
    (work,) = work_under_way(dataset)
    assert work.title == "Create qdrant index 'later'"
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
