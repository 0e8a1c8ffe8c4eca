"""Whatever can be created can be queried, counted, synced, added to and removed from.

Each kind that FiftyOne has, through both doors: Python's, with given vectors, and the
operators', with those of a field.
"""

import fiftyone.brain as fob
import fiftyone.operators as foo
import numpy as np
import pytest

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.ingest.ingest import add_samples
from fiftyone_qdrant.ingest.removal import remove
from fiftyone_qdrant.ingest.sync import find_drift, sync
from fiftyone_qdrant.matches import find_similar
from fiftyone_qdrant.runs import list_indexes, load_index
from fiftyone_qdrant.status.coverage import of_view
from fiftyone_qdrant.status.indexes import index_status
from tests.library import kinds
from tests.plugin.calls import form_of


def run(name, samples, **params):
    operator = foo.get_operator(f"@community/qdrant/{name}")
    return operator(samples, "index", **params).result


def by_api(world, view):
    """Vectors are given: the index knows no source to embed from."""
    vectors = [world.vectors[i] for i in world.ids(view)]
    if world.patches_field is None:
        fob.compute_similarity(
            view,
            embeddings=np.array(vectors),
            brain_key="index",
            backend="qdrant",
            metric="euclidean",
        )
        return

    index = fob.compute_similarity(
        view,
        patches_field=world.patches_field,
        embeddings=False,
        brain_key="index",
        backend="qdrant",
        metric="euclidean",
    )
    if view._is_patches:
        parents = view.values("sample_id")
    else:
        _, path = view._get_label_field_path(world.patches_field, "id")
        parents = [
            sample
            for sample, labels in zip(*view.values(["id", path]), strict=True)
            for _ in (labels if isinstance(labels, list) else [labels])
        ]

    index.add_to_index(np.array(vectors), parents, world.ids(view))


def by_operator(world, view):
    run(
        "create_qdrant_index",
        view,
        embeddings="vector",
        patches_field=world.patches_field,
        metric="euclidean",
    )


@pytest.fixture(params=kinds.KINDS)
def world(request, rng):
    made = kinds.KINDS[request.param]()
    made.filled = made.fill(rng)
    yield made
    made.dataset.reload()
    for key in list_indexes(made.dataset):
        load_index(made.dataset, key).collection.drop()

    made.dataset.delete()


@pytest.fixture(params=[by_api, by_operator], ids=["api", "operator"])
def indexed(request, world):
    request.param(world, world.filled)
    world.dataset.reload()
    return world


def index_of(world):
    world.dataset.reload()
    return load_index(world.dataset, "index")


def test_it_is_found_by_its_ids_everywhere_and_within_a_part(indexed):
    view = indexed.filled
    ids = indexed.ids(view)
    query = ids[1]
    found = view.sort_by_similarity(query, k=3, brain_key="index")
    assert shown(indexed, found) == set(indexed.nearest(query, 3))

    part = indexed.part(view)
    inside = indexed.ids(part)
    assert 0 < len(inside) < len(ids)
    index = index_of(indexed).use_view(part)
    (hits,) = index.search(query, k=2)
    assert hits.ids == indexed.nearest(query, 2, inside)
    assert index.index_size == len(inside)

    whole = find_similar(index_of(indexed), query, k=3)
    assert whole.ids == indexed.nearest(query, 3)
    assert shown(indexed, whole.view) == set(whole.ids)


def shown(world, view):
    return set(world.ids(view))


def test_it_is_counted_and_in_step(indexed):
    number = len(indexed.vectors)
    index = index_of(indexed)
    status = index_status(indexed.dataset, "index")
    assert index.total_index_size == index.index_size == number
    assert (status.points, status.total, status.missing) == (number, number, 0)
    assert (status.orphans, status.state) == (0, "ready")
    assert of_view(index, indexed.filled) == (number, number)
    for samples in (indexed.filled, *indexed.wholes()):
        drift = find_drift(index, samples)
        assert (drift.missing, drift.orphans, drift.changed) == ([], [], [])

    plan = form_of("sync_index", indexed.dataset, brain_key="index")["drift"].view
    if indexed.wholes():
        assert plan.label == "Up to date: nothing to add or remove"


@pytest.mark.parametrize("indexed", [by_api], indirect=True)
def test_its_unique_points_and_its_duplicates_are_shown(indexed):
    index = index_of(indexed)
    index.find_duplicates(fraction=0.5)
    listed = index.neighbors_map
    duplicates = [i for near in listed.values() for i, _ in near]
    assert sorted(duplicates) == sorted(index.duplicate_ids)
    assert {*duplicates, *index.unique_ids} == set(indexed.vectors)
    for i, near in listed.items():
        for duplicate, _ in near:
            assert indexed.nearest(duplicate, 1, index.unique_ids) == [i]

    if indexed.view.__qualname__.startswith("single_labels"):
        return  # FiftyOne makes no patches of a field of single labels

    assert shown(indexed, index.unique_view()) == set(index.unique_ids)
    view = index.duplicates_view(dist_field="far")
    assert shown(indexed, view) == {*duplicates, *listed}
    index.find_unique(2)
    assert shown(indexed, index.unique_view()) == set(index.unique_ids)
    assert len(index.unique_ids) == 2


@pytest.mark.parametrize(
    "world",
    ["frames", "frame_patches", "frame_patches_view", "clips", "trajectories"],
    indirect=True,
)
@pytest.mark.parametrize("indexed", [by_api], indirect=True)
def test_it_is_used_on_after_its_view_was_reloaded(indexed):
    view, query = indexed.filled, next(iter(indexed.vectors))
    index = index_of(indexed)
    for samples in (None, view):
        if samples is not None:
            index.use_view(samples)

        view.reload()  # deletes the documents that the index looked at
        if query not in indexed.ids(view):
            with pytest.raises(ConfigError, match="new ids"):
                index.search(query, k=3)

            return

        assert index.search(query, k=3)[0].ids == indexed.nearest(query, 3)
        assert index.index_size == len(indexed.vectors)
        found = view.sort_by_similarity(query, k=3, brain_key="index")
        assert shown(indexed, found) == set(indexed.nearest(query, 3))
        assert find_drift(index, view).missing == []


def test_drift_is_seen_and_mended(indexed, rng):
    before = set(indexed.vectors)
    indexed.shrink()
    indexed.grow()
    indexed.dataset.reload()
    view = indexed.fill(rng, indexed.again())
    after = set(indexed.ids(view))
    given = index_of(indexed).config.embeddings_field is None
    # A field of clips is in the documents of that view alone
    wholes = indexed.wholes() if given or not view._is_clips else []
    for samples in (view, *wholes):
        drift = find_drift(index_of(indexed), samples)
        assert set(drift.orphans) == before - after
        assert set(drift.missing) == after - before

    assert index_status(indexed.dataset, "index").orphans == len(before - after)
    planned = run("sync_index", view, dry_run=True)
    assert planned["missing"] == len(after - before)
    assert index_of(indexed).contents.point_ids() == before
    if given:
        with pytest.raises(ConfigError, match=r"Nothing was changed.*given vectors"):
            sync(index_of(indexed), view)

        assert index_of(indexed).contents.point_ids() == before
        return

    done = run("sync_index", view)
    assert (done["added"], done["removed"]) == tuple(
        map(len, (after - before, before - after))
    )
    index = index_of(indexed)
    assert index.contents.point_ids() == after
    query = (after - before).pop()
    assert find_similar(index, query, k=3).ids == indexed.nearest(query, 3, after)


def test_what_is_removed_is_missing_and_comes_back(indexed):
    ids = indexed.ids(indexed.filled)
    chosen = ids[:2]
    labels = chosen if indexed.patches_field is not None else None
    selected = None if labels else chosen
    view = indexed.filled
    done = run("remove_selected", view, selected=selected, labels=labels)
    assert (done["removed"], done["missing"]) == (2, 0)
    for samples in (view, *indexed.wholes()):
        assert set(find_drift(index_of(indexed), samples).missing) == set(chosen)

    if index_of(indexed).config.embeddings_field is not None:
        added = run("add_selected_to_index", view, selected=selected, labels=labels)
        assert added["new"] == 2
        assert index_of(indexed).contents.point_ids() == set(ids)

    collection = index_of(indexed).collection
    run("cleanup_collection", indexed.dataset, confirm=collection.name)
    assert not collection.exists()
    indexed.dataset.reload()
    assert list_indexes(indexed.dataset) == []


@pytest.mark.parametrize("place", ["stand-in"], indirect=True)
@pytest.mark.parametrize("kind", ["frame_patches_view", "clips", "all_slices"])
@pytest.mark.filterwarnings("ignore:Payload indexes have no effect")
@pytest.mark.filterwarnings("ignore:Local mode performs exact")
def test_on_a_server_it_is_the_same(make_index, rng, kind):
    world = kinds.KINDS[kind]()
    view = world.fill(rng)
    index = make_index(
        view,
        patches_field=world.patches_field,
        embeddings=False,
        embeddings_field="vector",
        metric="euclidean",
    )
    add_samples(index, view)
    ids = world.ids(view)
    (hits,) = index.search(ids[1], k=3)
    assert hits.ids == world.nearest(ids[1], 3)
    remove(index, **index.held.named(ids[:2]))
    assert set(find_drift(index, view).missing) == set(ids[:2])
    sync(index, view)
    assert index.contents.point_ids() == set(ids)
    world.dataset.delete()
