"""The same work through Python, a delegated worker and the App ends the same."""

from __future__ import annotations

import os
from typing import Any

import fiftyone.operators as foo
import pytest
from playwright.sync_api import expect

from fiftyone_qdrant.runs import load_index
from tests.plugin.calls import URI, call
from tests.plugin.processes import delegated_worker

KEY = "same"
COUNT, FIRST = 60, 20
ADDED = [18, 19, 22, 23]
REMOVED = [0, 1]


class Python:
    """Through ``foo.execute_operator()``."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        dataset.save_view("first", dataset[:FIRST])
        dataset.save_view("all", dataset[:COUNT])

    def do(self, name: str, ctx: dict[str, Any], **params: Any) -> dict[str, Any]:
        return call(name, ctx, **params)

    def ids(self, numbers: list[int]) -> list[str]:
        return [self.dataset.values("id")[n] for n in numbers]

    def numbers(self, ids: list[str]) -> list[int]:
        order = {i: n for n, i in enumerate(self.dataset.values("id"))}
        return [order[i] for i in ids]

    def indexed(self) -> list[int]:
        self.dataset.reload()
        return sorted(self.numbers(load_index(self.dataset, KEY).sample_ids))

    def create(self) -> Any:
        params = {"brain_key": KEY, "embeddings": "embedding"}
        view = self.dataset.load_saved_view("first")
        made = self.do("create_qdrant_index", {"view": view}, **params)
        return made["points"], made["skipped"]

    def add(self) -> Any:
        ctx = {"dataset": self.dataset, "selected": self.ids(ADDED)}
        added = self.do("add_selected_to_index", ctx, brain_key=KEY)
        return added["new"], added["replaced"]

    def query(self) -> list[int]:
        ctx = {"dataset": self.dataset, "selected": self.ids([3])}
        found = self.do("query_similar", ctx, brain_key=KEY, k=5)
        return self.numbers(found["ids"])

    def remove(self) -> Any:
        ctx = {"dataset": self.dataset, "selected": self.ids(REMOVED)}
        removed = self.do("remove_selected", ctx, brain_key=KEY)
        return removed["removed"], removed["missing"]

    def sync(self) -> Any:
        done = self.do("sync_index", {"dataset": self.dataset}, brain_key=KEY)
        return done["added"], done["updated"], done["removed"]

    def plan_cleanup(self, name: str) -> bool:
        ctx = {"dataset": self.dataset}
        plan = self.do("cleanup_collection", ctx, brain_key=KEY, dry_run=True)
        return name in plan["summary"]

    def clean_up(self, name: str) -> None:
        ctx = {"dataset": self.dataset}
        self.do("cleanup_collection", ctx, brain_key=KEY, confirm=name)


class Worker(Python):
    """Through a real worker process."""

    def __init__(self, dataset: Any, wait: Any) -> None:
        super().__init__(dataset)
        dataset.persistent = True
        self._wait = wait

    def do(self, name: str, ctx: dict[str, Any], **params: Any) -> dict[str, Any]:
        uri = URI + name
        queued = foo.execute_operator(uri, ctx, params=params, request_delegation=True)
        done = self._wait(queued.result["id"])
        assert done.run_state == "completed", done.result.error
        return done.result.result


class Person(Python):
    """Through the App in a browser."""

    def __init__(self, dataset: Any, app: Any) -> None:
        super().__init__(dataset)
        self._app, self._selected = app, False

    def _form(self, label: str, selected: list[int], view: str = "all") -> Any:
        if self._selected:
            self._app.clear_selection()  # a page that is loaded anew remembers it

        self._selected = bool(selected)
        self._app.open_dataset(self.dataset.name, view=view)
        if selected:
            self._app.select("number", *selected)
        return self._app.run_operator(label)

    def create(self) -> Any:
        form = self._form("Create Qdrant Index", [], view="first")
        form.fill("Brain key", KEY)
        form.choose("Embeddings field", "embedding")
        expect(form.box.get_by_text(f"Up to {FIRST} vectors of 64")).to_be_visible()
        form.execute()
        self._app.expect_told(f"Creating '{KEY}' is done: {FIRST} points")
        return FIRST, 0

    def add(self) -> Any:
        form = self._form("Add Selected to Index", ADDED)
        form.execute()
        self._app.expect_told(f"Adding to '{KEY}' is done: 2 new, 2 replaced")
        return 2, 2

    def query(self) -> list[int]:
        form = self._form("Query Similar", [3])
        form.fill("Number of matches", "5")
        form.execute()
        return [int(n) for n in self._app.shown("number", count=5)]

    def remove(self) -> Any:
        form = self._form("Remove Selected", REMOVED)
        form.execute()
        removed = form.result("Removed from the index")
        form.close()
        return int(removed["Removed points"]), int(removed["Not in the index"])

    def sync(self) -> Any:
        form = self._form("Sync Qdrant Index", [])
        form.execute()
        words = f"{COUNT - FIRST} added, 0 updated, 0 removed"
        self._app.expect_told(f"Syncing '{KEY}' is done: {words}")
        return COUNT - FIRST, 0, 0

    def plan_cleanup(self, name: str) -> bool:
        form = self._form("Cleanup Collection", [])
        form.expect_refused(f"Type the collection's name to confirm: {name}")
        return True

    def clean_up(self, name: str) -> None:
        form = self._form("Cleanup Collection", [])
        form.fill("Confirm", name)
        form.execute()
        form.result("Cleanup Collection")


def scenario(door: Python) -> list[Any]:
    """Create from a view, add, query, remove, sync, clean up; what each step says."""
    said = [door.create(), door.indexed(), door.add(), door.indexed(), door.query()]
    said += [door.remove(), door.indexed(), door.sync(), door.indexed()]
    collection = load_index(door.dataset, KEY).collection
    said += [door.plan_cleanup(collection.name), collection.exists()]
    door.clean_up(collection.name)
    door.dataset.reload()
    return [*said, collection.exists(), door.dataset.list_brain_runs()]


@pytest.fixture
def worker(tmp_path):
    with delegated_worker(tmp_path / "log", **dict(os.environ)) as wait:
        yield wait


@pytest.mark.browser
def test_all_three_doors_say_and_leave_the_same(make_shown, worker, request):
    said = scenario(Python(make_shown(COUNT)))
    assert said[0] == (FIRST, 0)
    assert said[2] == (2, 2)
    assert said[3] == [*range(FIRST), 22, 23]
    assert said[5] == (2, 0)
    assert said[7] == (COUNT - FIRST, 0, 0)
    assert said[8] == list(range(COUNT))
    assert said[9:] == [True, True, False, []]
    assert scenario(Worker(make_shown(COUNT), worker)) == said
    app = request.getfixturevalue("app")  # from here on this thread has a loop
    assert scenario(Person(make_shown(COUNT), app)) == said
