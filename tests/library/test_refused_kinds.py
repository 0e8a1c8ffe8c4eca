"""What cannot be indexed is refused before anything is made, with the way out."""

import fiftyone.brain as fob
import fiftyone.operators as foo
import numpy as np
import pytest
from fiftyone.operators.executor import ExecutionError

from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.ingest.ingest import create_index
from fiftyone_qdrant.ingest.preflight import preflight
from fiftyone_qdrant.matches import find_similar
from fiftyone_qdrant.runs import load_index
from tests.library import kinds


def by_brain(samples, **arguments):
    if "frames." not in arguments["embeddings"]:  # else FiftyOne looks for it first
        arguments["embeddings"] = False

    fob.compute_similarity(samples, brain_key="index", backend="qdrant", **arguments)


def by_library(samples, **arguments):
    create_index(samples, "index", **arguments)


def by_preflight(samples, **arguments):
    found = preflight(samples, "index", **arguments)
    raise ConfigError(". ".join(problem.text for problem in found.problems))


def by_operator(samples, **arguments):
    foo.get_operator("@community/qdrant/create_qdrant_index")(
        samples, "index", **arguments
    )


DOORS = [by_brain, by_library, by_preflight, by_operator]
REFUSED = {
    "patches without their field": (
        kinds.patches,
        lambda dataset: dataset.to_patches("things"),
        {"embeddings": "things.vector"},
        "Give patches_field='things'",
    ),
    "patches of frames without their field": (
        kinds.frames,
        lambda dataset: dataset.to_frames().to_patches("det"),
        {"embeddings": "det.vector"},
        "Give patches_field='det'",
    ),
    "patches of another field": (
        kinds.patches,
        lambda dataset: _with_others(dataset).to_patches("things"),
        {"embeddings": "vector", "patches_field": "others"},
        "Give patches_field='things'",
    ),
    "labels of frames in videos": (
        kinds.frames,
        lambda dataset: dataset,
        {"embeddings": "vector", "patches_field": "frames.det"},
        "to_frames(), with patches_field='det'",
    ),
    "a field of frames in videos": (
        kinds.frames,
        lambda dataset: dataset,
        {"embeddings": "frames.vector"},
        "to_frames(), with embeddings='vector'",
    ),
    "clips as patches": (
        kinds.clips,
        lambda dataset: dataset,
        {"embeddings": "vector", "patches_field": "event"},
        "to_clips('event'), without patches_field",
    ),
    "no label field": (
        kinds.samples,
        lambda dataset: dataset,
        {"embeddings": "vector", "patches_field": "number"},
        "'number' is no label field",
    ),
}


def _with_others(dataset):
    dataset.clone_sample_field("things", "others")
    return dataset


@pytest.fixture
def make_world(rng):
    made = []

    def make(kind):
        world = kind()
        made.append(world)
        world.filled = world.fill(rng)
        return world

    yield make
    for world in made:
        world.dataset.delete()


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_with_the_way_out_and_nothing_is_made(make_world, case, door):
    kind, look, arguments, words = REFUSED[case]
    dataset = make_world(kind).dataset
    with pytest.raises((ConfigError, ExecutionError)) as raised:
        door(look(dataset), **arguments)

    assert words in str(raised.value)
    assert "index" not in dataset.list_brain_runs()


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (kinds.frames, "holds frames, which the view does not show"),
        (kinds.frame_patches, "holds patches of 'det' in frames"),
        (kinds.clips, "holds clips, which the view does not show"),
        (kinds.trajectories, "holds clips, which the view does not show"),
    ],
)
def test_a_view_of_another_kind_is_refused_not_empty(make_world, kind, words):
    world = make_world(kind)
    create_index(
        world.filled,
        "index",
        embeddings="vector",
        patches_field=world.patches_field,
    )
    query = world.ids(world.filled)[0]
    world.dataset.reload()
    for videos in (world.dataset, world.dataset.limit(1)):
        with pytest.raises(ConfigError, match=words):
            videos.sort_by_similarity(query, k=2, brain_key="index")

    load_index(world.dataset, "index").collection.drop()


def test_clips_that_were_made_again_with_other_ids_are_refused(make_world):
    world = make_world(kinds.trajectories)
    create_index(world.filled, "index", embeddings="vector")
    again = world.dataset.to_trajectories("frames.det")
    index = load_index(world.dataset, "index").use_view(again)
    with pytest.raises(ConfigError, match="new ids each time"):
        index.search(world.ids(world.filled)[0], k=2)

    index.collection.drop()


@pytest.mark.parametrize("show", ["frames", "clips"])
def test_videos_are_found_in_views_of_their_parts(make_world, rng, show):
    dataset = make_world(kinds.frames).dataset
    dataset.add_samples([kinds._video("c.mp4")])
    vectors = rng.normal(size=(3, 4))
    index = fob.compute_similarity(
        dataset, embeddings=vectors, brain_key="index", backend="qdrant"
    )
    ids = dataset.values("id")
    part = dataset.select(ids[:2])
    view = part.to_frames() if show == "frames" else part.to_clips("event")
    with index.use_view(view):
        found = find_similar(index, ids[0], k=3, dist_field="distance")
        assert sorted(found.ids) == sorted(ids[:2])
        assert index.index_size == 2

    assert found.view.values("id") == found.ids
    assert np.isfinite(found.view.values("distance")).all()
    index.collection.drop()
