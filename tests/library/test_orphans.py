"""Whose the collections at a place are, and which of them nobody needs."""

import fiftyone as fo
import fiftyone.brain as fob
import pytest
from bson import ObjectId

from fiftyone_qdrant.cleanup import clean_up_collection, plan_collection_cleanup
from fiftyone_qdrant.embedded.client import launcher
from fiftyone_qdrant.errors import CollectionShared, ConfigError
from fiftyone_qdrant.index import ownership
from fiftyone_qdrant.qdrant.collection import Collection, list_collections
from fiftyone_qdrant.runs import load_index, rename_index
from fiftyone_qdrant.status import catalog as catalog_module
from fiftyone_qdrant.status.catalog import catalog, describe, orphans
from tests.library.conftest import ONE_ENGINE

N, SIZE = 12, 4


@pytest.fixture
def make_samples():
    made = []

    def make():
        dataset = fo.Dataset()
        made.append(dataset.name)
        dataset.add_samples([fo.Sample(f"{i}.png") for i in range(N)])
        return dataset

    yield make
    for name in made:
        if fo.dataset_exists(name):
            fo.delete_dataset(name)


@pytest.fixture
def samples(make_samples):
    return make_samples()


@pytest.fixture
def vectors(rng):
    return rng.normal(size=(N, SIZE))


@pytest.fixture
def lost(make_index, make_samples, vectors):
    """The collection that a deleted dataset left behind."""
    dataset = make_samples()
    collection = make_index(dataset, embeddings=vectors, brain_key="lost").collection
    dataset.delete()
    return collection


def kind_of(collection, dataset=None):
    return describe(collection.connection, collection.name, dataset).kind


def test_each_kind_of_collection_is_told(make_index, samples, make_samples, vectors):
    other = make_samples()
    mine = make_index(samples, embeddings=vectors).collection
    theirs = make_index(other, embeddings=vectors).collection
    assert kind_of(mine, samples) == "this dataset"
    assert kind_of(theirs, samples) == "other dataset"
    other.delete_brain_run("index")
    assert kind_of(theirs, samples) == "unused"
    other.delete()
    assert kind_of(theirs, samples) == "orphan"


def test_an_orphan_is_listed_with_its_size_and_whose_it_was(lost):
    (entry,) = [e for e in orphans(lost.connection) if e.name == lost.name]
    assert (entry.points, entry.users) == (N, ())
    assert entry.bytes >= N * SIZE * 4
    assert entry.made_for
    assert entry.created_at


def test_an_orphan_is_cleaned_up_by_its_name(lost, samples):
    place = lost.connection
    plan = clean_up_collection(place, lost.name, samples, dry_run=True)
    assert (plan.points, plan.obstacle, plan.deleted) == (N, None, False)
    with pytest.raises(ConfigError, match="To do it, give confirm="):
        clean_up_collection(place, lost.name, samples)

    assert clean_up_collection(place, lost.name, samples, confirm=lost.name).deleted
    assert not lost.exists()
    assert not plan_collection_cleanup(place, lost.name, samples).exists


def test_who_deletes_an_orphan_is_told_that_a_copy_of_the_database_may_use_it(
    make_index, lost, samples, vectors
):
    words = "another copy of this FiftyOne database may still have it"
    assert words in plan_collection_cleanup(lost.connection, lost.name).summary
    with pytest.raises(ConfigError, match=words):
        clean_up_collection(lost.connection, lost.name)

    mine = make_index(samples, embeddings=vectors).collection
    plan = plan_collection_cleanup(mine.connection, mine.name, samples)
    assert words not in plan.summary


@pytest.mark.parametrize("database", [None, str(ObjectId())], ids=["old", "another"])
def test_what_another_database_may_use_is_no_orphan(
    make_index, make_samples, samples, vectors, monkeypatch, database
):
    given = ownership.to_metadata
    monkeypatch.setattr(
        ownership,
        "to_metadata",
        lambda *args: {**given(*args), "database_id": database},
    )
    dataset = make_samples()
    collection = make_index(dataset, embeddings=vectors).collection
    dataset.delete()
    place, name = collection.connection, collection.name
    assert kind_of(collection) == "unknown"
    assert name not in {e.name for e in orphans(place)}
    with pytest.raises(CollectionShared, match="another FiftyOne database"):
        clean_up_collection(place, name, samples, confirm=name)

    assert collection.count() == N
    assert clean_up_collection(place, name, samples, confirm=name, force=True).deleted


def test_a_foreign_collection_is_not_deleted_unless_forced(
    make_index, samples, vectors, monkeypatch
):
    monkeypatch.setattr(ownership, "to_metadata", lambda *args: {"team": "search"})
    collection = make_index(samples, embeddings=vectors).collection
    samples.delete_brain_run("index")
    assert kind_of(collection, samples) == "foreign"
    with pytest.raises(CollectionShared, match="not made by this plugin"):
        clean_up_collection(
            collection.connection, collection.name, samples, confirm=collection.name
        )

    assert collection.count() == N


def test_a_collection_that_a_clone_uses_is_not_deleted(make_index, samples, vectors):
    collection = make_index(samples, embeddings=vectors).collection
    clone = samples.clone()
    try:
        place, name = collection.connection, collection.name
        plan = plan_collection_cleanup(place, name, samples)
        assert len(plan.users) == 2
        assert f"'{clone.name}'" in plan.obstacle
        with pytest.raises(CollectionShared, match="it is also used by"):
            clean_up_collection(place, name, samples, confirm=name)
    finally:
        clone.delete()


def test_a_second_index_of_the_dataset_protects_the_collection(
    make_index, samples, vectors
):
    index = make_index(samples, embeddings=vectors)
    name = index.config.collection_name
    make_index(samples, "second", embeddings=False, collection_name=name)
    with pytest.raises(CollectionShared, match="'second'"):
        index.cleanup()

    assert index.total_index_size == N


def test_the_same_name_in_another_store_is_another_collection(
    samples, make_samples, vectors, tmp_path
):
    other, name = make_samples(), "of-that-name"
    for dataset, store in ((samples, "a"), (other, "b")):
        fob.compute_similarity(
            dataset,
            embeddings=vectors,
            backend="qdrant",
            brain_key="index",
            collection_name=name,
            path=str(tmp_path / store),
        )

    index = load_index(samples, "index")
    place = index.collection.connection
    assert [str(u) for u in ownership.users(place, name)] == [
        f"'index' of dataset '{samples.name}'"
    ]
    index.cleanup()
    assert load_index(other, "index").total_index_size == N
    for store in ("a", "b"):
        launcher.stop(tmp_path / store)


def test_cleaning_up_by_name_deletes_the_runs_of_the_dataset(
    make_index, samples, vectors
):
    collection = make_index(samples, embeddings=vectors).collection
    clean_up_collection(
        collection.connection, collection.name, samples, confirm=collection.name
    )
    assert samples.list_brain_runs() == []


def test_the_runs_that_go_are_named_and_none_if_the_collection_is_not_there(
    make_index, samples, vectors
):
    collection = make_index(samples, embeddings=vectors).collection
    place, name = collection.connection, collection.name
    plan = plan_collection_cleanup(place, name, samples)
    assert plan.runs == ("index",)
    assert plan.summary.endswith("with the run record of 'index'")
    kept = clean_up_collection(place, name, samples, delete_run=False, dry_run=True)
    assert kept.runs == ()

    collection.drop()  # as on a server that has no collection of this name
    clean_up_collection(place, name, samples, confirm=name)
    assert samples.list_brain_runs() == ["index"]


def test_the_catalog_names_every_collection(make_index, samples, vectors, lost):
    mine = make_index(samples, embeddings=vectors).collection
    names = [e.name for e in catalog(lost.connection, samples)]
    assert {lost.name, mine.name} <= set(names)
    assert names == sorted(names)


def test_an_index_made_while_the_catalog_is_read_is_no_orphan(
    make_index, make_samples, vectors, lost, monkeypatch
):
    made = []

    def list_late(connection):
        made.append(make_index(make_samples(), embeddings=vectors).collection.name)
        return list_collections(connection)

    monkeypatch.setattr(catalog_module, "list_collections", list_late)
    kinds = {entry.name: entry.kind for entry in catalog(lost.connection)}
    assert kinds[made[0]] == "other dataset"
    assert kinds[lost.name] == "orphan"


def test_an_index_made_while_it_is_described_is_no_orphan(
    make_index, make_samples, vectors, lost, monkeypatch
):
    given, pending = Collection.info, ["late"]

    def info_late(collection):
        while pending:
            name = pending.pop()
            make_index(make_samples(), embeddings=vectors, collection_name=name)

        return given(collection)

    monkeypatch.setattr(Collection, "info", info_late)
    assert describe(lost.connection, "late").kind == "other dataset"


def test_a_database_keeps_its_identity():
    first = ownership.database_id()
    config = fo.core.odm.get_db_config()
    config.save()  # as FiftyOne does when it migrates
    assert ownership.database_id() == first is not None


def test_a_renamed_index_opens_under_its_new_key(make_index, samples, vectors):
    make_index(samples, embeddings=vectors)
    rename_index(samples, "index", "renamed")
    assert samples.list_brain_runs() == ["renamed"]
    assert load_index(samples, "renamed").total_index_size == N


@pytest.mark.parametrize("key", ["index", "1bad", None, ""])
@ONE_ENGINE
def test_a_key_that_is_taken_or_none_is_refused(make_index, samples, vectors, key):
    make_index(samples, embeddings=vectors)
    with pytest.raises(ConfigError):
        rename_index(samples, "index", key)

    assert samples.list_brain_runs() == ["index"]
