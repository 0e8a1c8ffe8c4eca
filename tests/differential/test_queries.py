"""Random queries in random views, against exact numpy and the sklearn backend."""

from __future__ import annotations

import logging
import warnings
from contextlib import ExitStack, contextmanager
from functools import partial
from unittest import mock

import hypothesis
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fiftyone_qdrant.errors import MissingIDs
from fiftyone_qdrant.index import all_pairs
from fiftyone_qdrant.points import DISTANCES, pairwise_distances
from fiftyone_qdrant.search import search
from tests.conftest import SEED
from tests.differential.oracle import TOLERANCE, Exact
from tests.differential.world import FIELD, KINDS, SIZE, ks, queries, recipes

FEWEST_CASES = 500
POST = ["post-mean", "post-min", "post-max"]
kinds = st.sampled_from(KINDS)
metrics = st.sampled_from(list(DISTANCES))

# Search has three ways to find what is in a view. Few points take each of them
# only if its limits are low: hits asked for at first, hits that are worth a look
# at MongoDB, ids worth sending, queries per call
LIMITS = {
    "as they are": {},
    "probe often": {"_FIRST_PROBE": 3},
    "ask MongoDB for all": {"_FIRST_PROBE": 7, "_LARGEST_PROBE": 9},
    "send ids": {"_FIRST_PROBE": 2, "_LARGEST_PROBE": 3, "_QUERIES_PER_CALL": 2},
    "rank all": {"_FIRST_PROBE": 2, "_LARGEST_PROBE": 3, "MAX_ID_FILTER": 4},
    "never scan": {"_FIRST_PROBE": 2, "_LARGEST_PROBE": 3, "_SCANNED_PER_HIT": 0},
}
limits = st.sampled_from(sorted(LIMITS))
SMALL_BLOCKS = {"_FEWEST": 0, "_TILE_ROWS": 16, "_TILE_COLUMNS": 11}


@pytest.fixture(scope="module", autouse=True)
def _enough_cases(request, cases):
    """After a run of the whole module, check how many examples it was."""
    yield
    config = request.config
    some = config.option.keyword or any("::" in a for a in config.args)
    if not some and not request.session.testsfailed:
        assert cases.ran.total() >= FEWEST_CASES


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    """Finding duplicates logs two lines each time, a lot for one failure."""
    logger = logging.getLogger("fiftyone")
    level = logger.level
    logger.setLevel(logging.WARNING)
    yield
    logger.setLevel(level)


def examples(number):
    """Settings for a test of so many examples, the same for each FQ_TEST_SEED."""

    def decorate(test):
        settings = hypothesis.settings(max_examples=number)
        return hypothesis.seed(SEED)(settings(test))

    return decorate


@contextmanager
def low(module, limits):
    """Within it a module has these limits."""
    with ExitStack() as stack:
        for name, value in limits.items():
            stack.enter_context(mock.patch.object(module, name, value))

        yield


def expected_of(world, metric, rows, query, aggregation):
    """The exact ranking of what is at rows, for each query that is left."""
    vectors = query.vectors(world)
    if aggregation == "mean":
        longest = np.linalg.norm(vectors, axis=1).max()
        vectors = vectors.mean(axis=0, keepdims=True)
        # A mean that cancels out has rounding's direction
        hypothesis.assume(longest == 0 or np.linalg.norm(vectors) > 1e-3 * longest)

    ids = world.ids[rows]
    if aggregation in POST:
        return [Exact.of(ids, world.vectors[rows], vectors, metric, aggregation)]

    return [Exact.of(ids, world.vectors[rows], [v], metric) for v in vectors]


@examples(360)
@given(kind=kinds, metric=metrics, data=st.data())
def test_hits_are_the_exact_ones_of_the_view(bench, cases, kind, metric, data):
    world, index = bench.worlds[kind], bench.indexes[kind, metric]
    recipe = data.draw(recipes(kind), "view")
    query = data.draw(queries, "query")
    k = data.draw(ks, "k")
    reverse = data.draw(st.booleans(), "reverse")
    aggregation = data.draw(st.sampled_from(["mean", None, *POST]), "aggregation")
    how = data.draw(limits, "limits")

    view = world.view(recipe)
    rows = world.indexed(view)
    expected = expected_of(world, metric, rows, query, aggregation)
    with index.use_view(view), low(search, LIMITS[how]):
        samples, labels, distances = index._kneighbors(
            query.argument(world), k, reverse, aggregation, return_dists=True
        )

    found = labels if kind == "patches" else samples
    if aggregation is not None or query.single:
        samples, found, distances = [samples], [found], [distances]

    assert len(found) == len(samples) == len(distances) == len(expected)
    itself = query.itself(world)
    for exact, ids, of, dists in zip(expected, found, samples, distances, strict=True):
        exact.check_query(ids, dists, k, reverse, itself)
        assert list(of) == [world.sample_id(i) for i in ids]

    cases.ran["queries"] += 1


@examples(300)
@given(kind=kinds, metric=metrics, data=st.data())
def test_views_are_sorted_exactly_and_as_by_sklearn(bench, cases, kind, metric, data):
    world, index = bench.worlds[kind], bench.indexes[kind, metric]
    recipe = data.draw(recipes(kind, kind == "patches"), "view")
    query = data.draw(queries, "query")
    k = data.draw(ks, "k")
    reverse = data.draw(st.booleans(), "reverse")
    aggregation = data.draw(st.sampled_from(["mean", *POST]), "aggregation")
    dist_field = data.draw(st.sampled_from([None, "dist"]), "dist_field")

    view = world.view(recipe)
    rows = world.indexed(view)
    if not len(rows):
        dist_field = None  # FiftyOne makes no field for no values

    (expected,) = expected_of(world, metric, rows, query, aggregation)
    how = {"k": k, "reverse": reverse, "aggregation": aggregation}
    argument = query.argument(world)
    if aggregation == "mean":
        ours = view.sort_by_similarity(
            argument,
            k=k,
            reverse=reverse,
            dist_field=dist_field,
            brain_key=f"{kind}_{metric}",
        )
    else:  # only the index's own method knows these
        with index.use_view(view):
            ours = index.sort_by_similarity(argument, dist_field=dist_field, **how)

    itself = query.itself(world)
    if kind == "patches" and not view._is_patches:
        check_sorted_samples(world, expected, ours, k, reverse, dist_field, itself)
    else:
        found = list(dict.fromkeys(ours.values("id")))
        distances = None
        if dist_field is not None:
            stored = dict(zip(*ours.values(["id", dist_field]), strict=True))
            distances = [stored[i] for i in found]

        expected.check_query(found, distances, k, reverse, itself)

    cases.ran["sorted views"] += 1
    theirs = bench.references.get((kind, metric))
    if theirs is None or not sklearn_is_right(world, view, query, metric, aggregation):
        return

    argument = query.vectors(world)[0] if query.form == "list" else argument
    with theirs.use_view(view), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of NaN
        samples, labels, distances = theirs._kneighbors(
            argument, return_dists=True, **how
        )
        sorted_theirs = theirs.sort_by_similarity(argument, **how)

    with index.use_view(view):
        (hits,) = index.search(argument, **how)

    expected.check(labels if kind == "patches" else samples, distances, k, reverse)
    np.testing.assert_allclose(hits.distances, distances, rtol=1e-4, atol=1e-4)
    if kind == "patches" and not view._is_patches:
        check_sorted_samples(world, expected, sorted_theirs, k, reverse, None, None)
    else:
        expected.check(sorted_theirs.values("id"), None, k, reverse)

    cases.compared += 1


def sklearn_is_right(world, view, query, metric, aggregation):
    """Whether the reference answers this as FiftyOne documents it."""
    rows = world.indexed(view)
    if not len(rows) or len(world.content(view)[0]) != len(set(world.content(view)[0])):
        return False  # fails for empty views; finds twice what is in a view twice

    if not query.by_id:
        return True

    asked = query.rows_of(world)
    if max(asked) >= world.real:
        return False  # has no ghosts

    if len(asked) > 1 and aggregation in POST and set(asked) <= set(rows):
        return False  # leaves each query out of what is combined

    zero = not world.vectors[asked].any(axis=1).all()
    return not (metric == "cosine" and zero)  # says that zero is 0 from itself


def check_sorted_samples(world, expected, found, k, reverse, dist_field, itself):
    """Check samples that were sorted by the best of their patches."""
    path = f"{FIELD}.detections"
    sign = -1 if reverse else 1
    ids, labels = found.values(["id", f"{path}.id"])
    content = dict(zip(ids, labels, strict=True))  # a view may hold a sample twice
    shown = [i for labels in content.values() for i in labels or () if i in expected]
    first = itself in shown and not reverse and ids[0] == world.sample_id(itself)
    order = {
        i: (not (first and i == itself), sign * expected.distance(i)) for i in shown
    }
    expected.check_query(sorted(shown, key=order.get), None, k, reverse, itself)
    if k is not None:
        assert sum(len(labels) for labels in content.values()) == len(shown)

    firsts = [
        min(sign * expected.distance(i) for i in labels if i in expected)
        for labels in content.values()
    ]
    if first:
        firsts[0] = min(firsts)  # by dot product others may be nearer, see Exact

    np.testing.assert_allclose(firsts, np.sort(firsts), rtol=2e-4, atol=2e-4)
    if dist_field is not None and shown:
        stored = found.values([f"{path}.id", f"{path}.{dist_field}"], unwind=True)
        distances = {i: d for i, d in zip(*stored, strict=True) if i in expected}
        expected.check_distances(list(distances), list(distances.values()))


@examples(120)
@given(kind=kinds, metric=metrics, data=st.data())
def test_embeddings_are_those_asked_for(bench, cases, kind, metric, data):
    world, index = bench.worlds[kind], bench.indexes[kind, metric]
    patches = kind == "patches"
    forms = ["nothing", "ids", "id", *(["samples"] if patches else [])]
    form = data.draw(st.sampled_from(forms), "by")
    numbers = st.lists(st.integers(0, len(world.ids) + 3), max_size=20)
    asked = data.draw(numbers, "ids")
    missing_may_be = data.draw(st.booleans(), "allow_missing")

    known = world.sample_ids if form == "samples" else world.ids
    absent = [f"{i:024x}" for i in range(4)]
    ids = [[*known, *absent][i] for i in asked][: 1 if form == "id" else None]
    hypothesis.assume(ids or form != "id")
    name = "label_ids" if patches and form != "samples" else "sample_ids"
    given_ids = {
        "nothing": {},
        "id": {name: str(ids[0]) if ids else None},
        "ids": {name: ids},
        "samples": {name: ids},
    }[form]
    cases.ran["embeddings"] += 1
    if not missing_may_be and set(ids) & set(absent) and form != "nothing":
        with pytest.raises(MissingIDs):
            index.get_embeddings(**given_ids, allow_missing=False)

        return

    found, sample_ids, label_ids = index.get_embeddings(
        **given_ids, allow_missing=missing_may_be
    )

    found_ids = list(label_ids if patches else sample_ids)
    assert (label_ids is None) == (not patches)
    rows = [world.rows[i] for i in found_ids]
    assert list(sample_ids) == list(world.sample_ids[rows])
    assert found.shape == (len(rows), SIZE)
    assert found.dtype == np.float32
    if rows:
        np.testing.assert_allclose(found, world.vectors[rows], rtol=1e-5, atol=1e-6)

    if form == "nothing":
        assert sorted(found_ids) == sorted(world.ids)
    elif form == "samples":
        order = [i for i in dict.fromkeys(ids) if i in known]
        assert list(dict.fromkeys(sample_ids)) == order
        assert len(rows) == np.isin(world.sample_ids, order).sum()
    else:
        assert found_ids == [i for i in ids if i in world.rows]


def all_distances(world, rows, metric):
    vectors = world.vectors[rows]
    matrix = np.array([pairwise_distances(v, vectors, metric) for v in vectors])
    return matrix.reshape(len(rows), len(rows))


def tolerances(world, rows, metric, distances):
    norms = np.linalg.norm(world.vectors[rows], axis=1)
    extra = 1e-6 * np.outer(norms, norms) if metric == "dotproduct" else 0
    return TOLERANCE * np.maximum(1, np.abs(distances)) + extra


@examples(100)
@given(kind=kinds, metric=metrics, data=st.data())
def test_neighbors_of_all_points_are_the_exact_ones(bench, cases, kind, metric, data):
    world, index = bench.worlds[kind], bench.indexes[kind, metric]
    recipe = data.draw(recipes(kind, kind == "patches", repeats=False), "view")
    k = data.draw(st.integers(1, 20), "k")
    small = data.draw(st.booleans(), "small blocks")

    view = world.view(recipe)
    with index.use_view(view), low(all_pairs, SMALL_BLOCKS if small else {}):
        found, distances = index._kneighbors(k=k, return_dists=True)
        assert list(current_ids(index)) == list(world.ids[world.indexed(view)])

    rows = world.indexed(view)
    exact = all_distances(world, rows, metric)
    within = tolerances(world, rows, metric, exact)
    np.fill_diagonal(exact, np.inf)
    assert len(found) == len(distances) == len(rows)
    for i, (others, dists) in enumerate(zip(found, distances, strict=True)):
        n = min(k, len(rows) - 1)
        assert len(set(others)) == len(others) == len(dists) == n
        best = np.sort(exact[i])[:n]
        assert i not in others
        assert (np.abs(exact[i][others] - best) <= 2 * within[i][others]).all()
        assert (np.abs(dists - exact[i][others]) <= within[i][others]).all()

    cases.ran["neighbors of all"] += 1


def current_ids(index):
    patches = index.config.patches_field is not None
    return index.current_label_ids if patches else index.current_sample_ids


@examples(100)
@given(kind=kinds, metric=metrics, data=st.data())
def test_duplicates_are_the_exact_ones_and_those_of_sklearn(
    bench, cases, kind, metric, data
):
    world, index = bench.worlds[kind], bench.indexes[kind, metric]
    recipe = data.draw(recipes(kind, kind == "patches", repeats=False), "view")
    part = data.draw(st.floats(0, 1), "part of the distances")
    small = data.draw(st.booleans(), "small blocks")

    view = world.view(recipe)
    rows = world.indexed(view)
    hypothesis.assume(len(rows) > 1)
    ids = world.ids[rows]
    exact = all_distances(world, rows, metric)
    within = tolerances(world, rows, metric, exact)
    thresh = between(exact, 10 * within.max(), part)
    with index.use_view(view), low(all_pairs, SMALL_BLOCKS if small else {}):
        found, distances = index._radius_neighbors(thresh=thresh, return_dists=True)
        unique = index._remove_duplicates_thresh(thresh, current_ids(index))

    kept = np.ones(len(rows), dtype=bool)
    for i, (others, dists) in enumerate(zip(found, distances, strict=True)):
        near = exact[i] <= thresh
        near[i] = False
        assert sorted(others) == list(np.flatnonzero(near))
        assert (np.abs(dists - exact[i][others]) <= within[i][others]).all()
        kept[i + 1 :] &= ~(kept[i] & near[i + 1 :])

    assert list(unique) == list(ids[kept])
    cases.ran["duplicates"] += 1
    if kind == "slices":
        return  # FiftyOne's own selection of the unique ones is of one slice only

    with index.use_view(view):
        index.find_duplicates(thresh=thresh)

    assert index.duplicate_ids == list(ids[~kept])
    assert set(index.unique_ids) == set(ids[kept])
    row = {i: n for n, i in enumerate(ids)}
    close_to = partial(pytest.approx, rel=TOLERANCE, abs=within.max())
    listed = []
    for nearest, others in index.neighbors_map.items():
        for other, distance in others:
            listed.append(other)
            best = exact[row[other]][kept].min()
            assert distance == close_to(best)
            assert exact[row[other], row[nearest]] == close_to(best)

    assert sorted(listed) == sorted(index.duplicate_ids)
    if (kind, metric) in bench.references:
        theirs = bench.references[kind, metric]
        with theirs.use_view(view):
            theirs.find_duplicates(thresh=thresh)

        assert index.duplicate_ids == list(theirs.duplicate_ids)
        cases.compared += 1


def between(distances, gap, part):
    """A threshold in a gap of at least this width, after a part of the distances."""
    values = np.unique(distances[np.triu_indices(len(distances), 1)])
    gaps = np.flatnonzero(np.diff(values) > gap)
    middles = (values[gaps] + values[gaps + 1]) / 2
    ends = [values[0] - 1, *middles, values[-1] + 1]
    return float(ends[round(part * (len(ends) - 1))])
