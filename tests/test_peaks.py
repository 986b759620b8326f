"""Peaks of part maps: their positions, scores and order."""

import itertools

import cv2
import numpy as np
import pytest
import torch

from dihpose import targets
from dihpose.peaks import find_peaks


def test_ties_are_broken_the_same_way_each_time():
    maps = np.zeros((1, 6, 6), np.float32)
    maps[0, 2, 2:4] = 0.8  # two equal cells: one peak, between them
    peaks = find_peaks(maps)
    assert peaks.xy.tolist() == [[2.5, 2]]
    flat = find_peaks(np.full((1, 6, 6), 0.5, np.float32))  # all cells are equal
    assert len(flat.kind) <= 1


def test_peaks_are_at_the_gaussians_centre_also_at_the_border():
    for x, y in itertools.product((-0.4, 0.2, 17.3, 55.4), (-0.3, 5.5, 45.4)):
        landmarks = torch.full((1, 17, 2), torch.nan)
        landmarks[0, 0] = torch.tensor([8 * (x + 0.5) - 0.5, 8 * (y + 0.5) - 0.5])
        peaks = find_peaks(targets.part_maps(landmarks, 46, 56)[:17].numpy())
        assert peaks.kind.tolist() == [0]
        np.testing.assert_allclose(peaks.xy[0], [x, y], atol=0.01)


def test_score_is_the_height_of_the_enlarged_map():
    """OpenCV, an independent library, enlarges the map 16 times (bicubic)."""
    rng = np.random.default_rng(1)
    small = cv2.GaussianBlur(rng.random((12, 14)).astype(np.float32), (5, 5), 1.0)
    large = cv2.resize(small, None, fx=16, fy=16, interpolation=cv2.INTER_CUBIC)
    peaks = find_peaks(small[None], threshold=0.0)
    inner = [i for i, xy in enumerate(peaks.xy) if (xy > 2).all() and (xy < (11, 9)).all()]
    assert inner
    for i in inner:
        column, row = (round(16 * (v + 0.5) - 0.5) for v in peaks.xy[i])
        near = large[row - 12 : row + 13, column - 12 : column + 13].max()
        assert peaks.score[i] == pytest.approx(near, abs=0.003)


def test_of_two_near_peaks_the_higher_is_kept_or_the_first_in_reading_order():
    """Of two neighbours only the higher is a candidate; two maxima two cells apart are both candidates."""
    maps = np.zeros((1, 9, 9), np.float32)
    maps[0, 3, 4], maps[0, 4, 5] = 0.5, 0.6  # neighbours across a corner: only the higher is a candidate
    assert len(find_peaks(maps).kind) == 1
    low, high = find_peaks(maps, scan_order=True), find_peaks(maps)
    assert low.score == high.score
    maps[:] = 0
    maps[0, 3, 3], maps[0, 3, 5], maps[0, 3, 4] = 0.5, 0.6, 0.45  # two tops, two cells apart
    first, best = find_peaks(maps, apart=2.5, scan_order=True), find_peaks(maps, apart=2.5)
    assert (round(first.xy[0, 0]), round(best.xy[0, 0])) == (3, 5)
    assert len(first.kind) == len(best.kind) == 1


def test_only_the_highest_of_very_many_peaks_are_looked_at():
    maps = np.zeros((1, 20, 20), np.float32)
    heights = np.linspace(0.3, 0.9, 100).reshape(10, 10)
    maps[0, ::2, ::2] = heights
    assert len(find_peaks(maps).kind) == 100
    peaks = find_peaks(maps, most=7)
    assert sorted(np.round(peaks.xy / 2).astype(int).tolist()) == [[x, 9] for x in range(3, 10)]
