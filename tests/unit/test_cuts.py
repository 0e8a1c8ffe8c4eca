"""A cut is proposed where distances jump, and nowhere else."""

import numpy as np
import pytest

from fiftyone_qdrant.explore.cuts import proposed_cut


@pytest.fixture
def planted(rng):
    """500 distances, 30 of them in a group of their own, below 0.3."""
    group = rng.uniform(0.1, 0.3, 30)
    return np.sort(np.concatenate([group, rng.uniform(0.6, 0.9, 470)]))


def test_the_cut_is_between_a_planted_group_and_the_rest(planted):
    assert 0.3 <= proposed_cut(planted) <= 0.6


def test_it_is_at_the_same_place_from_the_other_end(planted):
    farthest = (1 - planted)[::-1][::-1]
    assert 0.4 <= proposed_cut(farthest) <= 0.7


def test_of_two_jumps_the_larger_one_counts(rng):
    groups = [rng.uniform(a, a + 0.02, 40) for a in (0.1, 0.35, 0.9)]
    assert 0.37 <= proposed_cut(np.sort(np.concatenate(groups))) <= 0.9


@pytest.mark.parametrize("spread", ["uniform", "normal", "exponential"])
def test_data_without_groups_has_hardly_ever_a_cut(rng, spread):
    proposed = 0
    for _ in range(200):
        all_of = np.sort(getattr(rng, spread)(size=20_000))
        proposed += proposed_cut(all_of[:500]) is not None

    assert proposed <= 6


@pytest.mark.parametrize(
    "distances",
    [[], [0.1], [0.1, 0.9], [0.1, 0.2, 0.9], [0.5] * 50, [0.1, np.nan] * 20],
)
def test_few_or_equal_or_unknown_distances_have_no_cut(distances):
    assert proposed_cut(distances) is None


def test_a_single_near_hit_is_no_group(rng):
    assert proposed_cut([0.0, *np.sort(rng.uniform(0.5, 0.6, 100))]) is None


def test_ties_within_a_group_do_not_matter(planted):
    assert 0.3 <= proposed_cut(np.sort(planted.round(2))) <= 0.6
