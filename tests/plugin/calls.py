"""Calling the plugin's operators, and what is in the world before and after."""

from __future__ import annotations

import datetime
import json
import time
from typing import Any

import fiftyone.core.odm as foo_odm
import fiftyone.operators as foo
from bson import ObjectId
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionContext, Executor

from fiftyone_qdrant.status import background, jobs

URI = "@community/qdrant/"


def call(name: str, ctx: Any, **params: Any) -> dict[str, Any]:
    """Runs an operator on a dataset (or a context) and returns its result."""
    if not isinstance(ctx, dict):
        ctx = {"dataset": ctx}
    result = foo.execute_operator(URI + name, ctx, params=params).result
    json.dumps(result)  # raises for what is not plain JSON
    return result


def delegate(name: str, dataset: Any, **params: Any) -> Any:
    """Queues an operator for a worker; returns the operation's id."""
    ctx = {"dataset": dataset}
    selected = params.pop("selected", None)
    if selected is not None:
        ctx["selected"] = selected
    queued = foo.execute_operator(
        URI + name, ctx, params=params, request_delegation=True
    )
    assert queued.delegated
    return queued.result["id"]


def form_of(name: str, dataset: Any, selected: Any = (), **params: Any) -> Any:
    """Returns the fields of an operator's form as the App shows it, by name."""
    asked = {"dataset_name": dataset.name, "selected": list(selected)}
    ctx = ExecutionContext({**asked, "params": params, "prompt_id": "a form"})
    return operator(name).resolve_input(ctx).type.properties


def panel_context(
    dataset: Any, state: dict[str, Any] | None = None, **params: Any
) -> ExecutionContext:
    """Returns the context of an event of the status panel, as the App makes it."""
    params |= {"panel_id": "p", "panel_state": state or {}}
    asked = {"dataset_name": dataset.name, "panel_id": "p", "params": params}
    return ExecutionContext(executor=Executor(), request_params=asked)


def fall_silent(operation_id: Any) -> None:
    """Has an operation run that was last heard of a quarter of an hour ago."""
    DelegatedOperationService().set_running(operation_id)
    now = datetime.datetime.now(datetime.timezone.utc)
    then = now - datetime.timedelta(minutes=15)
    foo_odm.get_db_conn().delegated_ops.update_one(
        {"_id": ObjectId(operation_id)},
        {"$set": {"started_at": then, "updated_at": then}},
    )


def operator(name: str) -> Any:
    """Returns an operator, to be called as a typed function."""
    return foo.get_operator(URI + name)


def sentence(error: BaseException) -> str:
    """Returns what an error tells the user: an operator's ends its traceback."""
    last = str(error).strip().splitlines()[-1]
    _, found, said = last.partition("Error: ")
    return said if found else last


def snapshot(client: Any) -> dict[str, Any]:
    """Returns the runs of the database, and the collections with their sizes."""
    db = foo_odm.get_db_conn()
    names = [c.name for c in client.get_collections().collections]
    return {
        "runs": sorted(str(run) for run in db.runs.find()),
        "results": db["fs.files"].count_documents({}),
        "keys": sorted(str(d.get("brain_methods")) for d in db.datasets.find()),
        "collections": {name: client.count(name).count for name in sorted(names)},
    }


def database() -> str:
    """Returns everything in FiftyOne's database, as text."""
    db = foo_odm.get_db_conn()
    found = [doc for name in db.list_collection_names() for doc in db[name].find()]
    files = [doc["data"] for doc in db["fs.chunks"].find()]
    return " ".join(map(str, [*found, *files]))


def labels_of(dataset: Any) -> list[str]:
    """Returns the ids of all labels of the pictures, in order."""
    return dataset.values("detections.detections.id", unwind=True)


def wait_for(condition: Any) -> Any:
    """Returns what a function returns, as soon as that is true."""
    until = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.05)

    return found


def task_of(dataset: Any) -> Any:
    """Returns the only task of a dataset."""
    (task,) = background.tasks(dataset)
    return task


def ended(dataset: Any) -> Any:
    """Returns the only task of a dataset when it has ended."""
    task = wait_for(lambda: (t := task_of(dataset)).state != "running" and t)
    wait_for(lambda: not jobs.running_jobs(dataset))
    dataset.reload()
    return task
