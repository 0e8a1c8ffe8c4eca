"""Small worlds of every kind that can be indexed, with a vector for each id."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import fiftyone as fo
import numpy as np
from fiftyone import ViewField as F

SIZE = 4
BOX = {"bounding_box": [0.1, 0.1, 0.5, 0.5]}


@dataclass
class World:
    """A dataset, and how to look at it in the terms of one kind of index.

    Attributes:
        dataset: the dataset
        view: makes the view that is indexed, each time anew where FiftyOne does
        part: takes a part of that view
        grow: adds something to the dataset
        shrink: deletes something from the dataset
        patches_field: the label field whose patches are indexed
        vectors: the vector of each id
    """

    dataset: Any
    view: Callable[[], Any]
    part: Callable[[Any], Any]
    grow: Callable[[], Any]
    shrink: Callable[[], Any]
    patches_field: str | None = None
    keep: Any = None
    filled: Any = None
    vectors: dict[str, np.ndarray] = field(default_factory=dict)

    def ids(self, view: Any = None) -> list[str]:
        """The ids of a view, by FiftyOne's own means."""
        view = self.view() if view is None else view
        if self.patches_field is None or view._is_patches:
            return list(view.values("id"))

        _, path = view._get_label_field_path(self.patches_field, "id")
        return [i for i in view.values(path, unwind=True) if i is not None]

    def wholes(self) -> list[Any]:
        """What stands for all that is indexed: the dataset, but for several slices."""
        return [] if self.view.__qualname__.startswith("all_slices") else [self.dataset]

    def again(self) -> Any:
        """The view as it is when it is made of the dataset as it is now."""
        view = self.view()
        if view._is_generated:
            view.reload()

        return view

    def fill(self, rng: np.random.Generator, view: Any = None) -> Any:
        """Gives what has none a vector, in the field "vector"; returns the view."""
        view = self.view() if view is None else view
        ids = self.ids(view)
        for i in ids:
            self.vectors.setdefault(i, rng.normal(size=SIZE).astype(np.float32))

        values = {i: self.vectors[i] for i in ids}
        if self.patches_field is None or view._is_patches:
            name = "vector" if self.patches_field is None else self.patches_field
            path = name if name == "vector" else f"{name}.vector"
            if path == "vector":
                view.set_values("vector", values, key_field="id")
            else:
                view.set_values(path, list(values.values()), dynamic=True)
        else:
            _, path = view._get_label_field_path(self.patches_field, "vector")
            view.set_label_values(path, values, dynamic=True)

        return view

    def nearest(self, query: str, k: int, among: Any = None) -> list[str]:
        """The k nearest ids, by numpy."""
        among = list(self.vectors) if among is None else list(among)
        distances = [
            np.linalg.norm(self.vectors[i] - self.vectors[query]) for i in among
        ]
        return [among[i] for i in np.argsort(distances, kind="stable")[:k]]


def samples() -> World:
    dataset = fo.Dataset()
    dataset.add_samples([fo.Sample(f"{i}.png", number=i) for i in range(8)])
    return World(
        dataset,
        view=lambda: dataset,
        part=lambda view: view.match(F("number") < 5),
        grow=lambda: dataset.add_samples([fo.Sample("n.png", number=9)]),
        shrink=lambda: dataset.delete_samples(dataset.first().id),
    )


def _boxes(n: int) -> fo.Detections:
    return fo.Detections(
        detections=[fo.Detection(label=str(i), index=i, **BOX) for i in range(n)]
    )


def patches() -> World:
    dataset = fo.Dataset()
    dataset.add_samples(
        [fo.Sample(f"{i}.png", number=i, things=_boxes(i % 3)) for i in range(8)]
    )
    return World(
        dataset,
        view=lambda: dataset,
        part=lambda view: view.match(F("number") < 5),
        grow=lambda: dataset.add_samples(
            [fo.Sample("n.png", number=9, things=_boxes(1))]
        ),
        shrink=lambda: dataset.delete_labels(
            ids=dataset.values("things.detections.id", unwind=True)[:1]
        ),
        patches_field="things",
    )


def patches_view() -> World:
    world = patches()
    dataset = world.dataset
    world.view = lambda: dataset.to_patches("things")
    world.part = lambda view: view.limit(4)
    return world


def single_labels() -> World:
    dataset = fo.Dataset()
    dataset.add_samples(
        [
            fo.Sample(f"{i}.png", number=i, thing=fo.Detection(label="a", **BOX))
            for i in range(7)
        ]
    )
    return World(
        dataset,
        view=lambda: dataset,
        part=lambda view: view.match(F("number") < 5),
        grow=lambda: dataset.add_samples(
            [fo.Sample("n.png", number=9, thing=fo.Detection(label="a", **BOX))]
        ),
        shrink=lambda: dataset.delete_samples(dataset.first().id),
        patches_field="thing",
    )


def _video(name: str, frames: int = 4) -> fo.Sample:
    video = fo.Sample(name)
    video["event"] = fo.TemporalDetections(
        detections=[
            fo.TemporalDetection(label="a", support=[1, 2]),
            fo.TemporalDetection(label="b", support=[2, frames]),
        ]
    )
    for number in range(1, frames + 1):
        video.frames[number] = fo.Frame(filepath=f"{name}{number}.png", det=_boxes(2))

    return video


def _videos() -> Any:
    dataset = fo.Dataset()
    dataset.add_samples([_video("a.mp4"), _video("b.mp4")])
    return dataset


def frames() -> World:
    dataset = _videos()

    def grow() -> None:
        video = dataset.first()
        video.frames[5] = fo.Frame(filepath="5.png", det=_boxes(2))
        video.save()

    return World(
        dataset,
        view=lambda: dataset.to_frames(),
        part=lambda view: view.match(F("frame_number") < 3),
        grow=grow,
        shrink=lambda: dataset.delete_frames(dataset.last().frames[4].id),
    )


def frame_patches() -> World:
    world = frames()
    world.patches_field = "det"
    return world


def frame_patches_view() -> World:
    world = frame_patches()
    dataset = world.dataset
    world.view = lambda: dataset.to_frames().to_patches("det")
    return world


def clips() -> World:
    dataset = _videos()
    return World(
        dataset,
        view=lambda: dataset.to_clips("event"),
        part=lambda view: view.limit(3),
        grow=lambda: dataset.add_samples([_video("c.mp4")]),
        shrink=lambda: dataset.delete_samples(dataset.last().id),
    )


def _kept(world: World, make: Callable[[], Any]) -> World:
    """FiftyOne gives these other ids each time: all look at the first ones made."""
    world.keep = make()
    world.view = lambda: world.keep
    return world


def trajectories() -> World:
    world = clips()
    dataset = world.dataset
    return _kept(world, lambda: dataset.to_trajectories("frames.det"))


def clips_of_frames() -> World:
    world = clips()
    dataset = world.dataset
    made = _kept(world, lambda: dataset.to_clips("frames.det", other_fields=True))
    made.part = lambda view: view.limit(1)
    return made


def saved_frames() -> World:
    world = frames()
    world.dataset.save_view("saved", world.dataset.to_frames())
    world.view = lambda: world.dataset.load_saved_view("saved")
    return world


def saved_clips() -> World:
    world = clips()
    world.dataset.save_view("saved", world.dataset.to_clips("event"))
    world.view = lambda: world.dataset.load_saved_view("saved")
    return world


def _pair(number: int) -> list[fo.Sample]:
    group = fo.Group()
    return [
        fo.Sample(f"{side}{number}.png", group=group.element(side), number=number)
        for side in ("left", "right")
    ]


def active_slice() -> World:
    dataset = fo.Dataset()
    dataset.add_samples([s for i in range(7) for s in _pair(i)])
    return World(
        dataset,
        view=lambda: dataset,
        part=lambda view: view.match(F("number") < 5).select_group_slices("left"),
        grow=lambda: dataset.add_samples(_pair(9)),
        shrink=lambda: dataset.delete_samples(dataset.first().id),
    )


def other_slice() -> World:
    world = active_slice()
    dataset = world.dataset
    world.view = lambda: dataset.select_group_slices("right")
    world.part = lambda view: view.match(F("number") < 5)
    world.shrink = lambda: dataset.delete_samples(world.view().first().id)
    return world


def all_slices() -> World:
    world = active_slice()
    dataset = world.dataset
    world.view = lambda: dataset.select_group_slices(["left", "right"])
    world.part = lambda view: view.match(F("number") < 3)
    return world


def dynamic_groups() -> World:
    world = samples()
    dataset = world.dataset
    dataset.set_values("scene", [i // 2 for i in range(8)])
    world.part = lambda view: view.group_by("scene")
    return world


def view_of_view() -> World:
    world = samples()
    world.view = lambda: world.dataset.match(F("number") >= 0).sort_by("number")
    return world


KINDS: dict[str, Callable[[], World]] = {
    make.__name__: make
    for make in (
        samples,
        patches,
        patches_view,
        single_labels,
        frames,
        frame_patches,
        frame_patches_view,
        clips,
        trajectories,
        clips_of_frames,
        saved_frames,
        saved_clips,
        active_slice,
        other_slice,
        all_slices,
        dynamic_groups,
        view_of_view,
    )
}
