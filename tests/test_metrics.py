import numpy as np
import pytest
from hypothesis import given as draws
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from dihpose.metrics import accounted, agreement


def test_counts_by_hand():
    given = np.full((2, 17, 2), np.nan)
    given[0, :3] = [[0, 0], [10, 0], [20, 0]]
    given[1, :2] = [[100, 100], [110, 100]]
    found = np.full((2, 17, 2), np.nan)
    found[0, :2] = [[100, 101], [110, 109]]  # the second person, one landmark 9 away
    found[1, :3] = [[0, 2], [np.nan, np.nan], [20, 0]]  # the first, one landmark missing
    result = agreement(given, found, tolerance=3)
    assert (result.people, result.found_people, result.landmarks, result.found, result.within) == (2, 2, 5, 4, 3)
    assert sorted(result.distances) == [0, 1, 2, 9]


def test_people_are_paired_one_to_one():
    given = np.zeros((2, 17, 2))
    given[1] += 50
    found = np.zeros((1, 17, 2))
    result = agreement(given, found, tolerance=3)
    assert (result.landmarks, result.found, result.within) == (34, 17, 17)


def test_nobody_found():
    result = agreement(np.zeros((1, 17, 2)), np.zeros((0, 17, 2)), tolerance=3)
    assert (result.found_people, result.landmarks, result.within) == (0, 17, 0)


def test_scores_beside_the_coordinates_are_passed_over():
    given, found = np.zeros((1, 17, 2)), np.full((1, 17, 3), 0.5)
    assert agreement(given, found, tolerance=1).within == 17
    assert agreement(found, given, tolerance=1).within == 17


def test_what_becomes_of_found_landmarks_by_hand():
    """A person 100 px tall (head and hip), neck between; beside them somebody of whom nothing is given."""
    given = np.full((1, 17, 2), np.nan)
    given[0, [0, 1, 3]] = [(50, 50), (50, 0), (50, 100)]
    found = np.full((2, 17, 3), np.nan)
    found[0, [0, 1]] = [(200, 50, 0.9), (200, 0, 0.9)]  # the other one
    found[1, [0, 1, 3, 8]] = [
        (50, 59, 0.9),
        (50, 12, 0.9),
        (50, 100, 0.9),
        (90, 60, 0.9),
    ]  # 9 px off, 12 px off, exact, a wrist
    assert accounted(given, found) == {"hit": 2, "elsewhere": 1, "not_given": 1, "of_nobody": 2}
    assert accounted(given, found, kappa=0.13) == {"hit": 3, "elsewhere": 0, "not_given": 1, "of_nobody": 2}
    assert accounted(given, found[:1]) == {"hit": 0, "elsewhere": 0, "not_given": 0, "of_nobody": 2}
    assert accounted(given[:0], found) == {"hit": 0, "elsewhere": 0, "not_given": 0, "of_nobody": 6}
    assert sum(accounted(given, found[:0]).values()) == 0
    alone = np.full((1, 17, 2), np.nan)
    alone[0, 0] = (50, 59)  # no height, so no tolerance
    assert accounted(alone, found) == {"hit": 0, "elsewhere": 0, "not_given": 0, "of_nobody": 6}


@pytest.mark.filterwarnings("error")
@draws(st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**31))
def test_found_landmarks_are_all_accounted_for_and_no_more_of_them_hit_than_one_by_one(people, others, seed):
    """Who pairs people first cannot hit more than who pairs each landmark anew; and hits no fewer in another order."""
    rng = np.random.default_rng(seed)
    given, found = rng.uniform(0, 60, (people, 17, 2)), rng.uniform(0, 60, (others, 17, 3))
    given[rng.random((people, 17)) < 0.3] = np.nan
    found[rng.random((others, 17)) < 0.3] = np.nan
    found[..., 2] = 1.0
    counts = accounted(given, found, kappa=0.3)
    assert sum(counts.values()) == (~np.isnan(found[..., 0])).sum() and min(counts.values()) >= 0
    apart = np.linalg.norm(given[:, None] - found[None, ..., :2], axis=-1)
    within = apart <= 0.3 * np.array([np.ptp(y[~np.isnan(y)]) for y in given[..., 1]]).reshape(-1, 1, 1)
    one_by_one = sum(within[:, :, k][linear_sum_assignment(~within[:, :, k])].sum() for k in range(17))
    assert counts["hit"] <= one_by_one
    assert counts["hit"] == accounted(given[::-1], found[::-1], kappa=0.3)["hit"]
