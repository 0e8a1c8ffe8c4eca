"""An index at another place: it goes on answering, loses nothing, and can return."""

from __future__ import annotations

import contextlib
import os

import fiftyone.brain as fob
import numpy as np
import pytest

from fiftyone_qdrant import (
    abandon_move,
    apply_search,
    drop_old_copy,
    load_index,
    move_index,
    rename_index,
    undo_move,
)
from fiftyone_qdrant.errors import (
    CollectionExists,
    CollectionNotFound,
    ConfigError,
    EngineError,
)
from fiftyone_qdrant.index import claims, moves
from fiftyone_qdrant.ingest import in_step
from fiftyone_qdrant.qdrant.connection import ENVIRONMENT
from fiftyone_qdrant.search.kept import kept
from tests.library.conftest import IN_MEMORY_SAYS, put_on

HERE = os.environ["FIFTYONE_BRAIN_SIMILARITY_QDRANT_PATH"]
SAYS = [pytest.mark.filterwarnings(w) for w in IN_MEMORY_SAYS]


@pytest.fixture
def places(request, monkeypatch, tmp_path):
    """Where an index is made, and where it is moved to."""
    kinds = {"here": {"path": HERE}, "elsewhere": {"path": str(tmp_path / "store")}}
    names = getattr(request, "param", ("here", "elsewhere"))
    if "server" in names:
        kinds["server"] = put_on("stand-in", monkeypatch)
        monkeypatch.setenv(ENVIRONMENT["url"], kinds["server"]["url"])

    return [kinds[name] for name in names]


BOTH_WAYS = pytest.mark.parametrize(
    "places",
    [
        ("here", "elsewhere"),
        pytest.param(("here", "server"), marks=SAYS),
        pytest.param(("server", "here"), marks=SAYS),
    ],
    indirect=True,
)


@pytest.fixture
def index(make_dataset, rng, places):
    """An index of 60 digits at the first place."""
    dataset = make_dataset(60)
    dataset.set_values("vector", list(rng.normal(size=(60, 8))))
    made = fob.compute_similarity(
        dataset, embeddings="vector", backend="qdrant", brain_key="index", **places[0]
    )
    old = made.collection
    yield made
    old.drop()
    load_index(dataset, "index").collection.drop()


def answers(dataset):
    index = load_index(dataset, "index")
    found = index.search(dataset.values("id")[:5], k=10, aggregation=None)
    return [(hits.ids, hits.distances) for hits in found]


def assert_alike(found, others):
    for (ids, distances), (other_ids, other_distances) in zip(
        found, others, strict=True
    ):
        assert ids == other_ids
        np.testing.assert_allclose(distances, other_distances, atol=1e-5)


@BOTH_WAYS
def test_it_answers_the_same_at_its_new_place(index, places):
    dataset, before = index.samples, answers(index.samples)
    vectors = index.get_embeddings()[0]
    moved = move_index(dataset, "index", **places[1])

    now = load_index(dataset, "index")
    assert moved.points == now.total_index_size == 60
    assert (moved.agreement, moved.exact) == (1, True)
    assert now.collection.connection.location == moved.place
    assert now.collection.name == index.config.collection_name
    assert_alike(answers(dataset), before)
    np.testing.assert_allclose(now.get_embeddings()[0], vectors, rtol=1e-6)


def test_how_it_is_searched_goes_along(index, places):
    apply_search(index, {"hnsw_ef": 99})
    move_index(index.samples, "index", **places[1])
    assert kept(load_index(index.samples, "index").collection).hnsw_ef == 99


def test_what_is_set_meanwhile_stays_set(index, places):
    def change(bar):
        in_step.keep(load_index(index.samples, "index"), in_step.OFF)

    move_index(index.samples, "index", progress=change, **places[1])
    assert in_step.mode_of(load_index(index.samples, "index")) == in_step.OFF


@BOTH_WAYS
def test_undo_brings_back_what_was_written_since(index, places):
    dataset = index.samples
    move_index(dataset, "index", **places[1])
    now = load_index(dataset, "index")
    first, second, *_ = dataset.values("id")
    now.remove_from_index([first])
    now.add_to_index(np.ones((1, 8)), [second])
    before = now.get_embeddings()

    undone = undo_move(dataset, "index")

    back = load_index(dataset, "index")
    assert back.collection.connection.location == undone.place
    assert undone.points == 59
    after = back.get_embeddings()
    np.testing.assert_allclose(after[0], before[0], rtol=1e-6)
    assert list(after[1]) == list(before[1])


def test_an_index_object_from_before_goes_along(index, places):
    move_index(index.samples, "index", **places[1])
    here = load_index(index.samples, "index")
    here.remove_from_index([index.samples.first().id])

    assert len(index.search(np.ones(8), k=None)[0].ids) == 59
    index.remove_from_index([index.samples.last().id])
    assert here.total_index_size == 58


def test_what_is_written_meanwhile_is_in_the_copy(index, places):
    first, second, third, *_ = index.samples.values("id")
    writer, written = load_index(index.samples, "index"), []

    def write(bar):
        written.append(bar.iteration)
        writer.remove_from_index([first])
        writer.add_to_index(np.full((2, 8), bar.iteration), [second, third])

    moved = move_index(index.samples, "index", progress=write, **places[1])

    assert moved.points == 59
    now = load_index(index.samples, "index")
    np.testing.assert_allclose(now.get_embeddings([second])[0][0], written[-1])


def test_what_other_programs_wrote_is_found_by_comparing(index, places):
    first, *_ = index.samples.values("id")
    collection = load_index(index.samples, "index").collection

    def write(bar):
        collection.delete([first])

    assert move_index(index.samples, "index", progress=write, **places[1]).points == 59


class Stopped(Exception):
    pass


def stop_after(points):
    def stop(bar):
        if bar.iteration >= points:
            raise Stopped

    return stop


@pytest.mark.parametrize("after", [60, 120])
def test_a_move_that_was_stopped_goes_on(index, places, after):
    dataset, before = index.samples, answers(index.samples)
    with pytest.raises(Stopped):
        move_index(dataset, "index", progress=stop_after(after), **places[1])

    assert_alike(answers(dataset), before)
    load_index(dataset, "index").remove_from_index([dataset.last().id])
    moved = move_index(dataset, "index")

    assert moved.points == 59
    assert moved.place == places[1]["path"]


def test_a_stopped_move_goes_nowhere_else(index, places, tmp_path):
    with pytest.raises(Stopped):
        move_index(index.samples, "index", progress=stop_after(60), **places[1])

    with pytest.raises(ConfigError, match="on its way to collection"):
        move_index(index.samples, "index", path=str(tmp_path / "third"))


def test_an_abandoned_move_leaves_nothing(index, places):
    with pytest.raises(Stopped):
        move_index(index.samples, "index", progress=stop_after(60), **places[1])

    there = load_index(index.samples, "index").config.move["to"]
    abandon_move(index.samples, "index")

    now = load_index(index.samples, "index")
    assert now.config.move is None
    assert not now.collection.schema().metadata.get(moves.MOVING)
    from fiftyone_qdrant.embedded import EmbeddedClient

    client = EmbeddedClient(path=places[1]["path"])
    assert not client.collection_exists(there["collection_name"])


def test_the_old_copy_is_deleted_when_asked_for_only(index, places):
    old = index.collection
    move_index(index.samples, "index", **places[1])
    assert old.exists()
    drop_old_copy(index.samples, "index")
    assert not old.exists()
    with pytest.raises(ConfigError, match="has no old copy"):
        undo_move(index.samples, "index")


def test_without_its_old_copy_a_move_cannot_be_undone(index, places):
    old = index.collection
    move_index(index.samples, "index", **places[1])
    old.drop()
    with pytest.raises(CollectionNotFound, match="was deleted"):
        undo_move(index.samples, "index")


def test_the_index_of_a_clone_stays_where_it_is(index, places):
    clone = index.samples.clone()
    move_index(index.samples, "index", **places[1])
    theirs = load_index(clone, "index")
    theirs.search(clone.first().id, k=3)

    assert theirs.collection.connection.path == HERE
    with pytest.raises(Exception, match="used by 'index' of dataset"):
        drop_old_copy(index.samples, "index")

    clone.delete()


def test_settings_change_on_the_way(index, places):
    move_index(
        index.samples,
        "index",
        hnsw_config={"m": 32},
        quantization_config={"scalar": {}},
    )
    now = load_index(index.samples, "index")
    assert now.collection.connection.path == HERE
    assert now.collection.name != index.config.move
    config = now.collection.info().config
    assert config.hnsw_config.m == 32
    assert config.quantization_config is not None


def test_it_replaces_no_collection(index, places):
    name = index.collection.name
    with pytest.raises(CollectionExists, match=f"'{name}'"):
        move_index(index.samples, "index", path=HERE, collection_name=name)


@pytest.mark.parametrize("places", [("here", "server")], indirect=True)
def test_a_server_that_is_not_configured_is_refused_before_anything(index, places):
    with pytest.raises(ConfigError, match="only the configured server"):
        move_index(index.samples, "index", url="http://elsewhere:6333")

    assert load_index(index.samples, "index").config.move is None


@pytest.mark.parametrize(
    "places", [pytest.param(("server", "elsewhere"), marks=SAYS)], indirect=True
)
def test_it_comes_from_a_server_that_is_not_the_configured_one(
    index, places, monkeypatch
):
    before = answers(index.samples)
    monkeypatch.setenv(ENVIRONMENT["url"], "http://localhost:1")
    move_index(index.samples, "index", from_url=places[0]["url"], **places[1])
    assert_alike(answers(index.samples), before)


def test_what_is_being_moved_is_not_renamed(index):
    claimed = claims.claimed(index.samples, "index", "moved")
    with claimed, pytest.raises(ConfigError, match="being moved by process"):
        rename_index(index.samples, "index", "other")

    assert index.samples.list_brain_runs() == ["index"]


@pytest.mark.parametrize("ended", [False, True])
def test_a_write_that_a_move_was_tired_of_is_noted_again_or_said(index, ended):
    collection, ids = index.collection, index.samples.values("id")[:1]
    collection.call("update_collection", metadata={moves.MOVING: "a move"})
    says = contextlib.nullcontext()
    if ended:
        says = pytest.raises(EngineError, match="Write it again: 1 points")

    collection.forget()
    with says, moves.noted(collection, ids):
        for name in moves.notes("a move"):
            moves.forget_note(name)

        if ended:
            metadata = {moves.MOVING: None, moves.MOVED: {"an index": "elsewhere"}}
            collection.call("update_collection", metadata=metadata)

    noted = [moves.read_note(name) for name in moves.notes("a move")]
    moves.forget_writes("a move")
    assert noted == ([] if ended else [(ids, True)])
