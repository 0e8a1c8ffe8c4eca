"""Changes of a dataset are noticed by comparing just what was written since."""

import pytest

from fiftyone_qdrant import create_index, load_index, sync
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.ingest import in_step
from fiftyone_qdrant.ingest.in_step import attend, keep, look
from fiftyone_qdrant.status import background, jobs
from tests.library import kinds

N = 40


@pytest.fixture
def dataset(make_embedded):
    return make_embedded(N)


@pytest.fixture
def index(dataset, monkeypatch):
    """An index of all but the last four samples, looked at once; nothing waits."""
    monkeypatch.setattr(in_step, "QUIET", 0)
    monkeypatch.setattr(in_step, "_OVERLAP", 0)
    index, _ = create_index(dataset[: N - 4], "index", embeddings="vector")
    assert look(index).in_step
    return index


def new_samples(dataset):
    """Adds copies of two samples, with their vectors."""
    dataset.add_samples([sample.copy() for sample in dataset[:2]])


def other_vectors(dataset):
    """Gives two indexed samples the vectors of each other."""
    ids = dataset.values("id")[:2]
    vectors = dataset.values("vector")[:2]
    dataset.select(ids, ordered=True).set_values("vector", vectors[::-1])


def deleted(dataset):
    dataset.delete_samples(dataset.values("id")[:3])


def tags(dataset):
    dataset[: N - 4].tag_samples("seen")


def nothing(dataset):
    """Does nothing."""


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (new_samples, "2 new"),
        (other_vectors, "2 changed"),
        (deleted, "3 deleted"),
        (tags, "nothing has changed"),
        (nothing, "nothing has changed"),
    ],
)
def test_what_was_written_is_noticed_and_nothing_else(dataset, index, change, words):
    change(dataset)
    assert look(index).words == words


def test_what_was_noticed_stays_until_it_is_mended(dataset, index):
    other_vectors(dataset)
    assert look(index).words == "2 changed"
    tags(dataset)
    assert look(index).words == "2 changed"
    sync(index, dataset)
    assert look(index).in_step


def test_an_index_of_a_part_is_not_synced_automatically(dataset, index):
    keep(index, "auto")
    new_samples(dataset)
    assert attend(load_index(dataset, "index")).words == "2 new"
    assert background.tasks(dataset) == []


def test_an_index_that_is_off_is_not_looked_at(dataset, index):
    keep(index, "off")
    new_samples(dataset)
    assert attend(load_index(dataset, "index")) is None


def test_an_unknown_mode_is_refused(index):
    with pytest.raises(ConfigError, match="Choose 'off', 'tell' or 'auto'"):
        keep(index, "always")


def test_it_is_not_compared_while_something_is_written(dataset, index, monkeypatch):
    before = look(index)
    monkeypatch.setattr(in_step, "QUIET", 1000)
    new_samples(dataset)
    assert look(index) == before
    monkeypatch.setattr(in_step, "QUIET", 0)
    with jobs.job(dataset, "sync", "index"):
        assert look(index) == before

    assert look(index).words == "2 new"


def test_only_what_was_written_is_read(dataset, index, monkeypatch):
    new_samples(dataset)
    read = []
    present = index.collection.present
    monkeypatch.setattr(
        index.collection, "present", lambda ids: read.extend(ids) or present(ids)
    )
    look(index)
    assert len(read) == 2


def test_what_gets_its_vector_later_is_new_to_an_index_of_all(dataset, index):
    create_index(dataset, "all", embeddings="vector")
    whole = load_index(dataset, "all")
    assert look(whole).in_step
    late = dataset.first().copy()
    vector, late["vector"] = late["vector"], None
    dataset.add_sample(late)
    assert look(whole).in_step
    late["vector"] = vector
    late.save()
    assert look(whole).words == "1 new"


@pytest.fixture
def parts(request, rng, monkeypatch):
    """Frames or clips, and their index."""
    monkeypatch.setattr(in_step, "QUIET", 0)
    world = kinds.KINDS[request.param]()
    labels = world.patches_field
    view = world.fill(rng)
    create_index(view, "index", embeddings="vector", patches_field=labels)
    index = load_index(world.dataset, "index")
    yield world, index
    index.collection.drop()
    world.dataset.delete()


@pytest.mark.parametrize("parts", ["frames", "frame_patches", "clips"], indirect=True)
def test_frames_and_clips_that_went_are_noticed(parts):
    world, index = parts
    assert look(index).in_step
    world.shrink()
    assert look(index).gone > 0


@pytest.mark.parametrize("parts", ["frames", "frame_patches"], indirect=True)
def test_frames_that_came_are_noticed(parts, rng):
    world, index = parts
    assert look(index).in_step
    world.grow()
    world.fill(rng)
    assert look(index).missing > 0
