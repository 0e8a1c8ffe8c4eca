"""The data that is asked about, and what hypothesis asks: queries and views.

Queries and views are drawn as plain data, which hypothesis can print and shrink,
and become vectors, ids and FiftyOne views here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from fiftyone_qdrant.points import Matrix

SIZE = 8
N = 60  # samples in each dataset
UNINDEXED = 3  # samples, or patches, that are in no index
GHOSTS = 5  # points whose sample is gone
COPIES = 6  # points that have equal vectors
LABELS = ("a", "b", "c")
FIELD = "things"
KINDS = ("samples", "patches", "slices")


def make_vectors(rng: np.random.Generator, n: int) -> Matrix:
    """Random vectors with all that makes rankings hard, around an exact zero.

    Equal ones, near ones, parallel ones, long ones and zero; and each one's negative,
    because the sklearn backend shifts vectors by their mean.
    """
    half = (3 * rng.normal(size=(n // 2, SIZE))).astype(np.float32)
    half[:COPIES] = half[0]
    half[COPIES] = 2.5 * half[0]
    half[COPIES + 1] = 0
    half[COPIES + 2] *= 30
    half[COPIES + 3] = half[COPIES + 4] + np.float32(1e-3)
    rest = np.zeros((n % 2, SIZE), dtype=np.float32)
    return np.concatenate([half, -half, rest])


def make_dataset(kind: str) -> Any:
    """A dataset of ``N`` samples, with up to three detections each, on some none."""
    import fiftyone as fo

    dataset = fo.Dataset()
    group = fo.Group()
    samples = []
    for i in range(N):
        sample = fo.Sample(f"{i}.png", number=i)
        if kind == "slices":
            group = fo.Group() if i % 5 != 1 else group  # most have one slice only
            sample["group"] = group.element("right" if i % 5 == 1 else "left")
        elif i % 7:
            sample[FIELD] = fo.Detections(
                detections=[
                    fo.Detection(
                        label=LABELS[(i + j) % len(LABELS)],
                        bounding_box=[0.1, 0.1, 0.5, 0.5],
                    )
                    for j in range(i % 4)
                ]
            )

        samples.append(sample)

    dataset.add_samples(samples)
    return dataset


class World:
    """A dataset, and the vectors of its samples, or of its patches.

    Attributes:
        dataset: the FiftyOne dataset
        kind: one of ``KINDS``
        ids: of all points: first those whose sample is in the dataset, then ghosts
        sample_ids: the sample of each point
        vectors: float32, shape ``(num_points, SIZE)``
    """

    def __init__(self, dataset: Any, kind: str, rng: np.random.Generator) -> None:
        from bson import ObjectId

        self.dataset = dataset
        self.kind = kind
        self._views: dict[Any, Any] = {}
        self._numbers = dict(zip(*self.whole.values(["number", "id"]), strict=True))
        ids, samples = self.content(self.whole)
        ghosts = [str(ObjectId()) for _ in range(GHOSTS)]
        self.real = len(ids) - UNINDEXED
        self.ids = np.array(ids[UNINDEXED:] + ghosts)
        self.sample_ids = np.array(samples[UNINDEXED:] + ghosts)
        self.vectors = make_vectors(rng, self.real)
        gone = self.vectors[rng.integers(0, self.real, size=GHOSTS)]
        self.vectors = np.concatenate([self.vectors, gone])
        self.rows = {i: row for row, i in enumerate(self.ids)}

    @property
    def patches_field(self) -> str | None:
        return FIELD if self.kind == "patches" else None

    @property
    def whole(self) -> Any:
        """What is indexed: the dataset, or all its slices."""
        if self.kind == "slices":
            return self.dataset.select_group_slices(_allow_mixed=True)

        return self.dataset

    def content(self, view: Any) -> tuple[list[str], list[str]]:
        """The ids in a view, as FiftyOne tells them, and the sample of each."""
        if self.kind != "patches":
            ids = view.values("sample_id" if view._is_patches else "id")
            return ids, ids

        if view._is_patches:
            return tuple(view.values(["id", "sample_id"]))

        pairs = zip(*view.values([f"{FIELD}.detections.id", "id"]), strict=True)
        flat = [(label, sample) for labels, sample in pairs for label in labels or ()]
        return [label for label, _ in flat], [sample for _, sample in flat]

    def sample_id(self, point: str) -> str:
        """The sample of one point."""
        return str(self.sample_ids[self.rows[point]])

    def indexed(self, view: Any) -> np.ndarray:
        """The rows of the points that are in a view, once each, in its order."""
        ids = dict.fromkeys(self.content(view)[0])
        return np.array([self.rows[i] for i in ids if i in self.rows], dtype=np.int64)

    def view(self, recipe: tuple) -> Any:
        """The view that a recipe describes, the same one each time."""
        if recipe not in self._views:
            view = self.dataset
            for number, (stage, *how) in enumerate(recipe):
                if stage == "saved":
                    name = f"{self.kind} {len(self._views)} {number}"
                    self.dataset.save_view(name, view.view())
                    view = self.dataset.load_saved_view(name)
                else:
                    view = self._add_stage(view, stage, *how)

            self._views[recipe] = view

        return self._views[recipe]

    def _add_stage(self, view: Any, stage: str, *how: Any) -> Any:
        from fiftyone import ViewField as F

        if stage == "slice":
            return self.whole if how == ("all",) else view.select_group_slices(*how)

        if stage == "patches":
            return view.to_patches(FIELD)

        if stage == "every":
            return view.match(F("number") % how[0] == 0)

        if stage == "below":
            return view.match(F("number") < how[0])

        if stage == "label":
            return view.match(F(FIELD + ".label") == how[0])

        if stage == "labels":
            if self.kind == "slices":
                return view

            return view.filter_labels(FIELD, F("label") == how[0])

        if stage == "select":
            ids = [self._numbers[n] for n in how[0]]
            return view.select(ids, ordered=how[1])

        if stage == "take":
            return view.take(how[0], seed=how[1])

        if stage == "shuffle":
            return view.shuffle(seed=how[0])

        if stage == "sort":
            return view.sort_by("number", reverse=how[0])

        if stage == "join":
            return view.limit(how[0]).concat(view.skip(how[1]))

        return getattr(view, stage)(*how)  # limit, skip


@dataclass(frozen=True)
class Query:
    """A query, as rows of the points.

    Attributes:
        form: how it is given: as an id, ids, an array of ids, a vector, a list of
            numbers, or vectors
        rows: which points
        noise: how far to move their vectors, which must not matter for ids
        seed: where to
        dtype: of vectors
    """

    form: str
    rows: tuple[int, ...]
    noise: float = 0.0
    seed: int = 0
    dtype: str = "float32"

    @property
    def by_id(self) -> bool:
        return self.form in ("id", "ids", "array of ids")

    @property
    def single(self) -> bool:
        """Whether it is given as one, not as a list of one or several."""
        return self.form in ("id", "vector", "list")

    def rows_of(self, world: World) -> list[int]:
        return [row % len(world.ids) for row in self.rows]

    def itself(self, world: World) -> str | None:
        """The id of the point that is asked for, if it is one, by id."""
        alone = self.by_id and len(self.rows) == 1
        return str(world.ids[self.rows_of(world)[0]]) if alone else None

    def vectors(self, world: World) -> Matrix:
        """The float32 vectors that are meant."""
        vectors = world.vectors[self.rows_of(world)]
        if self.by_id or not self.noise:
            return vectors

        noise = np.random.default_rng(self.seed).normal(size=vectors.shape)
        return vectors + (self.noise * noise).astype(np.float32)

    def argument(self, world: World) -> Any:
        """What is given to FiftyOne."""
        if self.by_id:
            ids = world.ids[self.rows_of(world)]
            if self.form == "array of ids":
                return ids

            return str(ids[0]) if self.form == "id" else ids.tolist()

        vectors = self.vectors(world).astype(self.dtype)
        if self.form == "vectors":
            return vectors

        return vectors[0] if self.form == "vector" else vectors[0].tolist()


_row = st.one_of(st.integers(0, COPIES + 4), st.integers(0, 2 * N))
_rows = st.lists(_row, min_size=1, max_size=4).map(tuple)
_one = st.tuples(_row)
_moved = {
    "noise": st.sampled_from([0.0, 0.1, 5.0]),
    "seed": st.integers(0, 99),
    "dtype": st.sampled_from(["float32", "float64"]),
}
queries = st.one_of(
    st.builds(Query, st.just("id"), _one),
    st.builds(Query, st.sampled_from(["ids", "array of ids"]), _rows),
    st.builds(Query, st.sampled_from(["vector", "list"]), _one, **_moved),
    st.builds(Query, st.just("vectors"), _rows, **_moved),
)
ks = st.one_of(st.none(), st.integers(1, COPIES), st.integers(1, 2 * N))

_counts = st.integers(0, N + 5)
_seeds = st.integers(0, 9)
_anywhere = [
    st.tuples(st.sampled_from(["limit", "skip"]), _counts),
    st.tuples(st.just("shuffle"), _seeds),
    st.tuples(st.just("take"), _counts, _seeds),
    st.tuples(st.just("saved")),
]
_numbers = st.lists(st.integers(0, N - 1), max_size=6, unique=True).map(tuple)
_of_samples = [
    *_anywhere,
    st.tuples(st.just("every"), st.integers(2, 20)),
    st.tuples(st.just("below"), _counts),
    st.tuples(st.just("sort"), st.booleans()),
    st.tuples(st.just("select"), _numbers, st.booleans()),
    st.tuples(st.just("labels"), st.sampled_from(LABELS)),
]
_of_patches = [*_anywhere, st.tuples(st.just("label"), st.sampled_from(LABELS))]
_join = st.tuples(st.just("join"), _counts, _counts)


def recipes(kind: str, patches: bool = True, repeats: bool = True) -> Any:
    """Draws how to make a view.

    Args:
        kind: one of ``KINDS``
        patches: whether it may be a view of patches
        repeats: whether it may hold a sample twice
    """
    stages = [*_of_samples, _join] if repeats else _of_samples
    some = st.lists(st.one_of(stages), max_size=3).map(tuple)
    if kind == "slices":
        sides = st.sampled_from(["all", "left", "right"])
        return st.builds(lambda side, rest: (("slice", side), *rest), sides, some)

    if not patches:
        return some

    few = st.lists(st.one_of(_of_samples), max_size=2)
    then = st.lists(st.one_of(_of_patches), max_size=2)
    of_patches = st.builds(lambda a, b: (*a, ("patches",), *b), few, then)
    return st.one_of(some, of_patches)
