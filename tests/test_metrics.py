import numpy as np

from dihpose.metrics import agreement


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
