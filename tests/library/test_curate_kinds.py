"""Labels of all that can be indexed are judged and changed, and parts of it chosen."""

import pytest

from fiftyone_qdrant import audit_labels, change_labels, plan_labels, select_samples
from fiftyone_qdrant.curate.relabelling import add_tag, remove_tag
from fiftyone_qdrant.errors import ConfigError
from fiftyone_qdrant.runs import load_index
from tests.library.kinds import KINDS
from tests.library.test_every_kind import by_api

CHOSEN = (
    *("patches", "frames", "frame_patches_view", "saved_clips", "trajectories"),
    *("active_slice", "all_slices", "dynamic_groups"),
)


@pytest.fixture(params=CHOSEN)
def world(request, rng):
    """A small world of a kind, indexed; what is no patch has a label in "kind"."""
    world = KINDS[request.param]()
    view = world.fill(rng)
    if world.patches_field is None:
        flat = view.select_group_slices() if view.media_type == "group" else view
        flat.set_values("kind", ["a" if n % 3 else "b" for n in range(len(flat))])

    by_api(world, view)
    yield world
    load_index(world.dataset, "index").collection.drop()
    world.dataset.delete()


def test_labels_are_judged_changed_and_chosen_from(world):
    view = world.view()
    field = world.patches_field or "kind"
    audit = audit_labels(view, "index", field, k=3, twins=0)
    assert sorted(audit.ids + audit.new_ids) == sorted(world.ids())
    chosen = select_samples(view, "index", 2, balance=field, twins=0)
    assert set(chosen.ids) <= set(audit.ids)

    one = audit.ids[0]
    changes = plan_labels(world.dataset, "index", field, {one: "c"})
    assert change_labels(world.dataset, changes) == [one]
    again = audit_labels(world.view(), "index", field, k=3, twins=0)
    assert again.labels[again.ids.index(one)] == "c"
    assert change_labels(world.dataset, changes.reverse) == [one]
    tagged = add_tag(world.dataset, "index", [one], "doubtful")
    assert tagged.ids == [one]
    remove_tag(world.dataset, tagged)
    assert add_tag(world.dataset, "index", [one], "doubtful").ids == [one]


def test_a_field_that_clips_made_anew_lack_is_told(rng):
    world = KINDS["clips"]()
    view = world.fill(rng)
    view.set_values("kind", ["a", "b", "a", "b"])
    by_api(world, view)
    with pytest.raises(ConfigError, match="Use the view that has it"):
        audit_labels(world.view(), "index", "kind")

    load_index(world.dataset, "index").collection.drop()
    world.dataset.delete()
