"""What a person sees in the panel Qdrant Status is the truth, and stays it."""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import sys

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import psutil
import pytest
from bson import ObjectId
from playwright.sync_api import expect

from fiftyone_qdrant.qdrant.connection import ENVIRONMENT
from fiftyone_qdrant.runs import load_index
from tests import isolation
from tests.browser.app import Form, open_app
from tests.browser.server import app_server
from tests.browser.status_panel import StatusPanel
from tests.server.stand_in import StandIn

KEY = "near"
COUNT = 60


@pytest.fixture
def dataset(make_shown):
    """60 digits, not indexed."""
    return make_shown(COUNT)


def index_of(dataset, samples=None, key=KEY, **config):
    """Indexes some samples, all by default, by their pixels."""
    return fob.compute_similarity(
        dataset if samples is None else samples,
        embeddings="embedding",
        backend="qdrant",
        brain_key=key,
        **config,
    )


def open_panel(app, dataset):
    app.open_dataset(dataset.name)
    return StatusPanel(app)


def test_its_figures_are_true_and_add_missing_makes_the_index_whole(
    app, dataset, digits, digit_images
):
    index = index_of(dataset, dataset[:45])
    index.add_to_index(np.ones((2, 64)), [str(ObjectId()), str(ObjectId())])
    panel = open_panel(app, dataset)
    (row,) = panel.expect_row(KEY, Missing="15", Orphans="2", State="● ready")
    row.pop(" ")  # the actions
    assert row == {
        "Index": KEY,
        "Of": "samples",
        "Model": "-",
        "Vectors": "64 · cosine",
        "Points": "47",
        "Coverage": "75\u00a0% of 60",
        "Missing": "15",
        "Orphans": "2",
        "State": "● ready",
        "Engine": "embedded",
        "Collection": index.config.collection_name,
    }

    more = [
        fo.Sample(str(digit_images[n]), number=n, embedding=digits.vectors[n])
        for n in range(COUNT, COUNT + 10)
    ]
    dataset.add_samples(more)
    panel.click("Refresh")
    panel.expect_row(KEY, Coverage="64.2\u00a0% of 70", Missing="25")
    panel.box.get_by_role("cell", name="25", exact=True).click()
    expect(app.tiles).to_have_count(25)

    form = panel.act(KEY, "Sync")
    form.execute()
    app.expect_told(f"Syncing '{KEY}' is done: 25 added, 0 updated, 2 removed")
    panel.expect_row(KEY, Points="70", Missing="0", Orphans="0")
    assert index.total_index_size == 70

    panel.click("Health")
    panel.expect_text("green: all optimizations are done")
    panel.click("Parameters")
    panel.expect_text("hnsw_config.ef_construct")
    panel.expect_calm()


def test_a_renamed_index_is_shown_and_a_dropped_one_is_called_gone(app, dataset):
    index_of(dataset)
    panel = open_panel(app, dataset)
    panel.expect_row(KEY, Missing="0")
    form = panel.act(KEY, "Rename")
    form.fill("New brain key", "dear")
    form.execute()
    form.result("Index renamed")
    form.close()
    panel.expect_row("dear", Missing="0")

    dataset.reload()
    load_index(dataset, "dear").collection.drop()
    panel.click("Refresh")
    panel.expect_row("dear", State="● gone", Missing="-")
    panel.expect_text(re.compile("delete the brain run as well"))
    panel.expect_text("1 index needs attention")


_INGEST = """
import sys
import fiftyone as fo
from fiftyone_qdrant.ingest import batches, ingest

batches._BATCH = 10


def wait(bar):
    print(bar.iteration, flush=True)
    sys.stdin.readline()


dataset = fo.load_dataset(sys.argv[1])
ingest.create_index(dataset, "live", embeddings="embedding", progress=wait)
"""


@pytest.fixture
def ingest(dataset):
    """Another process that indexes the dataset, and goes on when it is told."""
    process = subprocess.Popen(
        [sys.executable, "-c", _INGEST, dataset.name],
        cwd=isolation.REPO,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def go_on(to):
        while (line := process.stdout.readline()).strip() != str(to):
            assert line, "it has ended"
            process.stdin.write("\n")
            process.stdin.flush()

    process.go_on = go_on
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_an_ingest_of_another_process_moves_and_ends(app, dataset, ingest):
    panel = open_panel(app, dataset)
    panel.expect_text("No Qdrant index yet")
    ingest.go_on(to=10)
    panel.click("Refresh")
    panel.expect_text("Creating 'live'")
    panel.expect_row("live", State="● filling")
    ingest.stdin.write("\n")
    ingest.stdin.flush()
    ingest.go_on(to=40)
    panel.expect_text(re.compile("40 of 60"))
    ingest.communicate("\n\n\n")
    expect(panel.box.get_by_text("Creating 'live'")).to_have_count(0)
    panel.expect_row("live", State="● ready", Missing="0", Points="60")
    panel.expect_calm()


def test_cancel_stops_an_ingest_after_the_batch_under_way(app, dataset, ingest):
    ingest.go_on(to=20)
    panel = open_panel(app, dataset)
    panel.click("Cancel")
    panel.expect_text(re.compile("ends after the batch under way"))
    expect(panel.box.get_by_role("button", name="Cancelling…")).to_be_disabled()
    ingest.communicate("\n\n\n\n\n")
    assert ingest.returncode == 1
    panel.expect_row("live", State="● unfinished", Points="20", Missing="40")
    panel.click("Resume")
    app.expect_told("Creating 'live' is done: 60 points")
    panel.expect_row("live", State="● ready", Points="60", Missing="0")


def test_a_store_whose_owner_hangs_is_said_and_recovers(app, dataset):
    index = index_of(dataset)
    panel = open_panel(app, dataset)
    panel.expect_row(KEY, Missing="0")
    owner = psutil.Process(index.client.store_info()["pid"])
    owner.send_signal(signal.SIGSTOP)
    try:
        panel.click("Refresh")
        panel.expect_text("Embedded Qdrant cannot be used")
        panel.expect_row(KEY, State="● unreachable")
    finally:
        owner.send_signal(signal.SIGCONT)

    panel.click("Retry")
    panel.expect_row(KEY, State="● ready", Missing="0")
    owner.kill()
    owner.wait(10)
    panel.click("Refresh")
    panel.expect_row(KEY, State="● ready", Missing="0")


def test_a_server_that_is_down_is_said_and_retry_finds_it_again(
    browser, dataset, tmp_path, monkeypatch
):
    with StandIn() as server:
        monkeypatch.setenv(ENVIRONMENT["url"], server.url)
        index_of(dataset)
        with app_server(tmp_path / "log") as url, open_app(browser, url) as app:
            panel = open_panel(app, dataset)
            panel.expect_row(KEY, State="● ready", Missing="0", Engine="server")
            server.stop()
            panel.click("Refresh")
            panel.expect_text("Qdrant server cannot be used")
            panel.expect_text(re.compile("Is the server running and the url right"))
            panel.expect_row(KEY, State="● unreachable", Points="-", Missing="-")
            server.start()
            panel.click("Retry")
            panel.expect_row(KEY, State="● ready", Missing="0")
            assert app.complaints == []


def test_what_a_deleted_dataset_left_is_cleaned_up_from_it(app, dataset, make_shown):
    index_of(dataset)
    left = make_shown(5)
    collection = index_of(left, key="left").collection
    panel = open_panel(app, dataset)
    panel.click("All collections")
    row = panel.box.locator("tr").filter(has_text=collection.name)
    expect(row).to_contain_text("other dataset")
    left.delete()
    panel.click("Refresh")
    expect(row).to_contain_text("orphan")
    row.get_by_role("button").click()
    form = Form(app.page)
    form.fill("Confirm", collection.name)
    form.execute()
    assert (
        f"'{collection.name}' with 5 points"
        in form.result("Cleanup Collection")["Result"]
    )
    form.close()
    expect(row).to_have_count(0)
    assert not collection.exists()
    panel.expect_row(KEY, Missing="0")


def test_thirty_random_clicks_leave_no_error_and_no_request_loop(app, dataset, rng):
    for number, key in enumerate(("first", "second", "third")):
        index_of(dataset, dataset[: 20 * (number + 1)], key)
    dataset.save_view("few", dataset[10:30])
    panel = open_panel(app, dataset)
    panel.expect_row("third", Missing="0")

    def look_at(key):
        return lambda: panel.choose(key)

    def press(name):
        return lambda: panel.click(name)

    views = itertools.cycle(["few", None])

    def select():
        app.toggle(int(rng.integers(4)))

    def change_view():
        app.choose_view(next(views))

    moves = [
        *map(look_at, ("first", "second", "third")),
        *map(press, ("Coverage", "Health", "Parameters", "Refresh")),
        lambda: panel.box.get_by_role("button", name=" collections").click(),
        select,
        change_view,
    ]
    for number in rng.integers(len(moves), size=30):
        moves[number]()

    panel.expect_calm()
    panel.click("Refresh")
    panel.expect_row("first", Missing="40")
    expect(panel.box.get_by_text("That did not work")).to_have_count(0)
    expect(app.page.get_by_text("Uncaught Operator Error")).to_have_count(0)
    print(f"{len(panel.events)} events: {panel.events}")
    assert len(panel.events) < 150
