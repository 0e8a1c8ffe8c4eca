"""One thread looks after the indexes of the datasets that are open in the App."""

from fiftyone_qdrant import create_index
from fiftyone_qdrant.ingest import in_step, watching
from fiftyone_qdrant.status.looks import last_look, take_turn
from tests.embedded.test_owner import wait_until


def test_new_samples_are_noticed_without_a_panel(make_embedded, monkeypatch):
    monkeypatch.setattr(in_step, "QUIET", 0)
    monkeypatch.setattr(watching, "PAUSE", 0.05)
    dataset = make_embedded(6)
    create_index(dataset, "index", embeddings="vector")
    watching.watch(dataset)
    dataset.add_samples([dataset.first().copy()])
    wait_until(lambda: last_look(dataset, "index").missing == 1, 60)
    watching._names.clear()
    watching._thread.join(10)
    assert not watching._thread.is_alive()


def test_of_many_processes_one_looks_at_a_time(make_dataset):
    dataset = make_dataset(1)
    assert [take_turn(dataset, 60), take_turn(dataset, 60)] == [True, False]
    assert take_turn(dataset, 0)


def test_a_dataset_that_is_gone_is_looked_at_no_more():
    name = "no such dataset"
    watching._names.add(name)
    watching._look_at(name)
    assert name not in watching._names
