"""Several make one brain key at once: one index, clear refusals, nothing left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import fiftyone as fo
import fiftyone.brain as fob
import fiftyone.core.odm as foo
import numpy as np
import pytest

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.index import claims
from fiftyone_qdrant.ingest.ingest import create_index
from fiftyone_qdrant.qdrant.connection import resolve
from fiftyone_qdrant.runs import load_index
from fiftyone_qdrant.status.catalog import catalog

N, TRIALS = 30, 2
WORKER = """
import sys
import fiftyone as fo
import fiftyone.brain as fob
import fiftyone_qdrant
from fiftyone_qdrant.ingest.ingest import create_index
import fiftyone.operators as foo

def compute(dataset, key):
    fob.compute_similarity(
        dataset, embeddings="vector", backend="qdrant", brain_key=key
    )

def create(dataset, key):
    create_index(dataset, key, embeddings="vector")

def operate(dataset, key):
    params = {"brain_key": key, "embeddings": "vector"}
    uri = "@community/qdrant/create_qdrant_index"
    foo.execute_operator(uri, {"dataset": dataset}, params=params)

foo.list_operators()
for line in sys.stdin:
    way, name, key = line.split()
    if key == "-":
        dataset = fo.load_dataset(name)
        dataset.list_brain_runs()
        print("here", flush=True)
        continue

    try:
        {"compute": compute, "create": create, "operate": operate}[way](dataset, key)
        print("made", flush=True)
    except Exception as e:
        print(str(e).strip().splitlines()[-1], flush=True)
"""


@pytest.fixture(scope="module")
def processes():
    """Three that make an index each time they are told how, of what and its key."""
    running = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    yield running
    for process in running:
        process.kill()
        process.communicate()


def tell(process, way, dataset, key):
    process.stdin.write(f"{way} {dataset.name} {key}\n")
    process.stdin.flush()


def heard(process):
    """The next of its own lines: FiftyOne prints some, too."""
    for line in process.stdout:
        if line.strip() in ("here", "made") or "ndex '" in line or "brain run" in line:
            return line.strip()

    raise AssertionError("the process has ended")


def check_one(dataset, key, answers):
    """One of them made the index; the others were refused, and left nothing."""
    assert answers.count("made") == 1, answers
    for answer in answers:
        assert answer == "made" or "is being made by" in answer or "already" in answer

    dataset.reload()
    documents = foo.get_db_conn().runs.count_documents(
        {"_dataset_id": dataset._doc.id, "key": key}
    )
    assert documents == 1
    index = load_index(dataset, key)
    assert index.config.unfinished is None
    assert index.total_index_size == N
    dataset.clear_cache()
    nearest = dataset.sort_by_similarity(dataset.first().id, k=3, brain_key=key)
    assert nearest.first().id == dataset.first().id
    assert len(nearest) == 3


def check_nothing_over(dataset):
    made = [e for e in catalog(resolve({}), dataset) if e.made_for == dataset.name]
    assert len(made) == len(dataset.list_brain_runs())
    assert all(len(e.users) == 1 for e in made)


@pytest.mark.parametrize(
    "ways",
    [
        ("compute", "compute"),
        ("create", "create"),
        ("operate", "compute", "create"),
    ],
    ids=" and ".join,
)
@pytest.mark.slow
def test_processes_at_once(make_embedded, processes, ways):
    dataset = make_embedded(N)
    making = dict(zip(processes, ways, strict=False))
    for process, way in making.items():
        tell(process, way, dataset, "-")

    assert {heard(process) for process in making} == {"here"}
    for trial in range(TRIALS):
        key = f"key{trial}"
        for process, way in making.items():
            tell(process, way, dataset, key)

        check_one(dataset, key, [heard(process) for process in making])

    check_nothing_over(dataset)


@pytest.mark.parametrize("way", ["compute", "create", "both"])
def test_threads_at_once(make_embedded, way):
    dataset = make_embedded(N)
    for trial in range(TRIALS):
        together = threading.Barrier(3)

        def make(number, key=f"key{trial}", together=together):
            together.wait()
            try:
                if way == "compute" or (way == "both" and number % 2):
                    fob.compute_similarity(
                        dataset, embeddings="vector", backend="qdrant", brain_key=key
                    )
                else:
                    create_index(dataset, key, embeddings="vector")
            except ValueError as e:
                return str(e)

            return "made"

        with ThreadPoolExecutor(3) as threads:
            check_one(dataset, f"key{trial}", list(threads.map(make, range(3))))

    check_nothing_over(dataset)


def test_the_loser_leaves_the_collection_that_both_were_to_use(make_embedded):
    dataset = make_embedded(N)
    config = fob.brain_config.similarity_backends["qdrant"]["config_cls"]
    method = fo.core.utils.etau.get_class(config)(collection_name="shared").build()
    loser = method.initialize(dataset, "key")
    vectors, ids = np.array(dataset.values("vector")), dataset.values("id")
    loser.add_to_index(vectors, ids)
    fob.compute_similarity(
        dataset,
        embeddings="vector",
        backend="qdrant",
        brain_key="key",
        collection_name="shared",
    )
    with pytest.raises(ConfigError, match="already"):
        method.save_run_results(dataset, "key", loser)

    assert load_index(dataset, "key").total_index_size == N


def test_a_run_that_no_dataset_has_is_no_user(make_embedded):
    """As a process leaves it that is killed between two writes."""
    dataset = make_embedded(N)
    index, _ = create_index(dataset, "key", embeddings="vector")
    foo.get_db_conn().datasets.update_one(
        {"_id": dataset._doc.id}, {"$unset": {"brain_methods.key": 1}}
    )
    (entry,) = [
        e for e in catalog(resolve({}), dataset) if e.name == index.collection.name
    ]
    assert (entry.users, entry.kind) == ((), "unused")
    index.collection.drop()
    foo.get_db_conn().runs.delete_one({"key": "key", "_dataset_id": dataset._doc.id})


HOLD = """
import sys, time
import fiftyone as fo
from fiftyone_qdrant.index import (claims)
with claims.claimed(fo.load_dataset(sys.argv[1]), "key"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.mark.slow
def test_what_a_dead_process_claimed_is_taken_over(make_embedded):
    dataset = make_embedded(N)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, dataset.name], stdout=subprocess.PIPE, text=True
    )
    with process:
        assert any(line.strip() == "held" for line in process.stdout)
        with pytest.raises(ConfigError, match=f"being made by process {process.pid}"):
            create_index(dataset, "key", embeddings="vector")

        with pytest.raises(ConfigError, match="is being made by"):
            fob.compute_similarity(
                dataset, embeddings="vector", backend="qdrant", brain_key="key"
            )

        os.kill(process.pid, signal.SIGKILL)

    _, done = create_index(dataset, "key", embeddings="vector")
    assert done.new == N


@pytest.mark.parametrize(("silent_for", "taken"), [(10, False), (40, True)])
def test_a_claim_of_another_machine_ends_with_its_signs_of_life(
    make_embedded, monkeypatch, silent_for, taken
):
    dataset = make_embedded(N)
    now = claims._now()
    with claims.claimed(dataset, "key"):
        foo.get_db_conn()[claims._CLAIMS].update_one(
            {"_id": claims._claim_id(dataset, "key")},
            {
                "$set": {
                    "host": "another",
                    "alive_at": now - claims.datetime.timedelta(seconds=silent_for),
                }
            },
        )
        if taken:
            create_index(dataset, "key", embeddings="vector")
        else:
            with pytest.raises(ConfigError, match="on another"):
                create_index(dataset, "key", embeddings="vector")

    assert foo.get_db_conn()[claims._CLAIMS].count_documents({}) == 0


def test_a_failed_creation_leaves_no_claim(make_embedded):
    dataset = make_embedded(N)
    with pytest.raises(ConfigError):
        create_index(dataset, "key", embeddings="vector", speed=9)

    assert foo.get_db_conn()[claims._CLAIMS].count_documents({}) == 0
    create_index(dataset, "key", embeddings="vector")
