"""Random operations on one index, against a plain dict of id to vector."""

from __future__ import annotations

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fiftyone_qdrant.errors import (
    CollectionMismatch,
    CollectionNotFound,
    ConfigError,
    MissingIDs,
    VectorError,
)
from fiftyone_qdrant.points import DISTANCES
from tests.conftest import SEED
from tests.differential.oracle import Exact
from tests.differential.world import FIELD

RUNS, STEPS = 60, 20
SAMPLES = 8
NUMBER_OF_VECTORS = 6  # few, so that points are often equal
ABSENT = [f"{i:024x}" for i in range(3)]

_points = st.integers(0, 2 * SAMPLES + len(ABSENT))
_vectors = st.integers(0, NUMBER_OF_VECTORS - 1)
_batches = st.lists(st.tuples(_points, _vectors), max_size=8)
_some = st.lists(_points, max_size=6)
_sizes = st.sampled_from([3, 6])


def table(size):
    """The vectors that points get; one is zero, one is long."""
    vectors = np.random.default_rng([SEED, size]).normal(size=(NUMBER_OF_VECTORS, size))
    vectors[0] = 0
    vectors[1] *= 50
    return vectors.astype(np.float32)


class Operations(RuleBasedStateMachine):
    """What users do to an index, done to a dict as well.

    Attributes:
        index: the index, loaded anew now and then
        model: the vector of each id in the index, or ``None`` without collection
        samples_of: the sample of each id that there ever was in the dataset
    """

    cases = None  # set by the test
    place = None

    @initialize(
        metric=st.sampled_from(list(DISTANCES)),
        patches=st.booleans(),
        batch=_batches,
        size=_sizes,
    )
    def make(self, metric, patches, batch, size):
        import fiftyone as fo
        import fiftyone.brain as fob

        self.metric, self.patches = metric, patches
        self.dataset = fo.Dataset()
        detection = {"label": "a", "bounding_box": [0.1, 0.1, 0.5, 0.5]}
        self.dataset.add_samples(
            [
                fo.Sample(
                    f"{i}.png",
                    **{
                        FIELD: fo.Detections(
                            detections=[fo.Detection(**detection) for _ in range(i % 4)]
                        )
                    },
                )
                for i in range(SAMPLES)
            ]
        )
        ids, labels = self.dataset.values(["id", f"{FIELD}.detections.id"])
        if patches:
            pairs = zip(ids, labels, strict=True)
            self.samples_of = {label: i for i, of in pairs for label in of}
        else:
            self.samples_of = {i: i for i in ids}

        self.alive = list(ids)
        self.model = None
        self.size = 3
        self.index = fob.compute_similarity(
            self.dataset,
            backend="qdrant",
            brain_key="index",
            patches_field=FIELD if patches else None,
            embeddings=False,
            metric=metric,
            **self.place,
        )
        self.add(batch, overwrite=True, allow_existing=True, size=size)

    def teardown(self):
        import fiftyone as fo

        if hasattr(self, "index"):
            self.index.collection.drop()
            fo.delete_dataset(self.dataset.name)
            self.cases.ran["sequences of operations"] += 1

    # --- the model -------------------------------------------------------------

    def ids(self, numbers, absent=True):
        known = [*self.samples_of, *(ABSENT if absent else ())]
        return [known[n % len(known)] for n in numbers]

    def arguments(self, ids):
        if self.patches:
            return {
                "sample_ids": [self.samples_of[i] for i in ids],
                "label_ids": ids,
            }

        return {"sample_ids": ids}

    @property
    def kind(self):
        return "label_ids" if self.patches else "sample_ids"

    def expected(self, query, sample_ids=None):
        """The exact ranking of the points whose sample is there and in a view."""
        there = self.alive if sample_ids is None else sample_ids
        ids = [i for i in self.model if self.samples_of[i] in there]
        vectors = np.array([self.model[i] for i in ids], dtype=np.float32)
        return Exact.of(ids, vectors.reshape(-1, self.size), [query], self.metric)

    @invariant()
    def holds_what_the_model_holds(self):
        if not hasattr(self, "index"):
            return

        assert self.index.total_index_size == len(self.model or {})
        if self.model is None:
            assert len(self.index.sample_ids) == 0
            return

        found = self.index.get_embeddings()
        ids = list(found[2 if self.patches else 1])
        assert sorted(ids) == sorted(self.model)
        self.check_embeddings(found, ids)
        assert [list(i) for i in self.index.contents.ids() if i is not None] == [
            list(i) for i in found[1:] if i is not None
        ]

    # --- operations ------------------------------------------------------------

    @rule(
        batch=_batches,
        overwrite=st.booleans(),
        allow_existing=st.booleans(),
        size=_sizes,
    )
    def add(self, batch, overwrite, allow_existing, size):
        if self.model is None:
            self.size = size

        ids = self.ids([n for n, _ in batch], absent=False)
        vectors = table(self.size)[[n for _, n in batch]]
        model = self.model or {}
        how = {"overwrite": overwrite, "allow_existing": allow_existing}
        if not overwrite and not allow_existing and set(ids) & set(model):
            with pytest.raises(ConfigError):
                self.index.add_to_index(vectors, **self.arguments(ids), **how)

            return

        self.index.add_to_index(vectors, **self.arguments(ids), **how)
        given = list(zip(ids, vectors, strict=True))
        new = dict(given)  # the last of repeated ones, or what is there first
        if not overwrite:
            new = {i: v for i, v in dict(given[::-1]).items() if i not in model}

        if ids:
            self.model = {**model, **new}

    @precondition(lambda self: self.model is not None)
    @rule(batch=_batches, wrong=st.sampled_from(["nan", "size", "number"]))
    def add_what_is_wrong(self, batch, wrong):
        batch = batch or [(0, 2)]
        ids = self.ids([n for n, _ in batch], absent=False)
        vectors = table(self.size)[[n for _, n in batch]] + 1
        if wrong == "nan":
            vectors[-1, -1] = np.nan
        elif wrong == "size":
            vectors = vectors[:, 1:]
        else:
            vectors = vectors[1:]

        with pytest.raises((VectorError, CollectionMismatch, ConfigError)):
            self.index.add_to_index(vectors, **self.arguments(ids))

    @precondition(lambda self: self.model is not None)
    @rule(numbers=_some, allow_missing=st.booleans())
    def remove(self, numbers, allow_missing):
        ids = self.ids(numbers)
        if not allow_missing and set(ids) - set(self.model):
            with pytest.raises(MissingIDs):
                self.index.remove_from_index(**{self.kind: ids}, allow_missing=False)

            return

        self.index.remove_from_index(**{self.kind: ids}, allow_missing=allow_missing)
        self.model = {i: v for i, v in self.model.items() if i not in ids}

    @precondition(lambda self: self.model is not None and self.patches)
    @rule(numbers=_some)
    def remove_all_patches_of_samples(self, numbers):
        samples = {self.samples_of[i] for i in self.ids(numbers, absent=False)}
        self.index.remove_from_index(sample_ids=[*samples, ABSENT[0]])
        self.model = {
            i: v for i, v in self.model.items() if self.samples_of[i] not in samples
        }

    @rule(number=st.integers(0, SAMPLES - 1))
    def delete_a_sample_of_the_dataset(self, number):
        if len(self.alive) > 2:
            self.dataset.delete_samples(self.alive.pop(number % len(self.alive)))

    @rule()
    def load_again(self):
        self.index = self.dataset.load_brain_results("index", cache=False)

    @precondition(lambda self: self.model is not None)
    @rule(reluctance=st.integers(0, 4))
    def clean_up(self, reluctance):
        if reluctance:  # or there is little left to ask about
            return

        self.index.cleanup()
        self.model = None

    # --- questions -------------------------------------------------------------

    @precondition(lambda self: self.model is None)
    @rule()
    def find_no_collection(self):
        ids = {"sample_ids": ABSENT}
        for call in (
            lambda: self.index.search([1.0, 2.0, 3.0], k=2),
            lambda: self.index.get_embeddings(**ids),
            lambda: self.index.remove_from_index(**ids),
        ):
            with pytest.raises(CollectionNotFound):
                call()

    @precondition(lambda self: self.model is not None)
    @rule(
        number=_vectors,
        k=st.one_of(st.none(), st.integers(1, 12)),
        reverse=st.booleans(),
        limit=st.one_of(st.none(), st.integers(0, SAMPLES)),
    )
    def search(self, number, k, reverse, limit):
        query = table(self.size)[number]
        view = self.dataset if limit is None else self.dataset.limit(limit)
        with self.index.use_view(view):
            (hits,) = self.index.search(query, k=k, reverse=reverse)

        expected = self.expected(query, self.alive[:limit])
        expected.check(hits.ids, hits.distances, k, reverse)

    @precondition(lambda self: self.model)
    @rule(number=_points, k=st.integers(1, 4))
    def search_by_id(self, number, k):
        query = list(self.model)[number % len(self.model)]
        (hits,) = self.index.search(query, k=k)
        expected = self.expected(self.model[query])
        expected.check_query(hits.ids, hits.distances, k, itself=query)

    @precondition(lambda self: self.model is not None)
    @rule(number=_points)
    def search_by_an_id_that_is_not_there(self, number):
        absent = [i for i in [*self.samples_of, *ABSENT] if i not in self.model]
        with pytest.raises(MissingIDs):
            self.index.search(absent[number % len(absent)], k=2)

    @precondition(lambda self: self.model is not None)
    @rule(numbers=_some)
    def read_some(self, numbers):
        ids = self.ids(numbers)
        self.check_embeddings(
            self.index.get_embeddings(**{self.kind: ids}),
            [i for i in ids if i in self.model],
        )

    def check_embeddings(self, found, ids):
        vectors, sample_ids, label_ids = found
        assert list(sample_ids) == [self.samples_of[i] for i in ids]
        assert label_ids is None or list(label_ids) == list(ids)
        assert len(vectors) == len(ids)
        if len(ids):
            expected = np.array([self.model[i] for i in ids])
            np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-6)


def test_an_index_is_a_dict_whatever_is_done_to_it(cases, place):
    Operations.cases, Operations.place = cases, place
    # without the phase that explains failures, which traces all and takes minutes
    phases = (hypothesis.Phase.generate, hypothesis.Phase.shrink)
    settings = hypothesis.settings(
        max_examples=RUNS, stateful_step_count=STEPS, phases=phases
    )
    run_state_machine_as_test(hypothesis.seed(SEED)(Operations), settings=settings)
