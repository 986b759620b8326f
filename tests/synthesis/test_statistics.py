"""Numbers of images drawn by hand, each known exactly."""

import numpy as np
import pytest

from dihpose.synthesis.statistics import BINS, WINDOW, describe, edges, holes, noise_by_range, summary


def wall(metres: float = 4.0, height: int = 100, width: int = 222) -> np.ndarray:
    return np.full((height, width), metres, np.float32)


def test_a_perfect_wall_has_no_holes_no_edges_and_no_noise():
    got = describe(wall())
    assert got["hole_fraction"] == got["hole_size"] == got["large_holes"] == got["pinholes"] == 0
    assert np.isnan(got["edge_left"]) and np.isnan(got["edge_right"])
    assert got["noise_mm_4_5m"] == pytest.approx(0, abs=1e-3) and np.isnan(got["noise_mm_3_4m"])


def test_holes_are_counted_by_size():
    """22,200 pixels; a hole of 300 (over 1 %), one of 100, and two single pixels."""
    depth = wall()
    depth[10:30, 10:25] = 0
    depth[50:60, 50:60] = 0
    depth[80, 80] = depth[90, 200] = 0
    expected = {
        "hole_fraction": 402 / 22200,
        "hole_size": 300 / 22200,
        "large_holes": 300 / 22200,
        "pinholes": 2 / 2.22,
    }
    assert holes(depth) == pytest.approx(expected)
    everything = holes(np.zeros((10, 20), np.float32))
    assert everything["hole_fraction"] == everything["hole_size"] == everything["large_holes"] == 1


def test_corners_of_pixels_join_holes():
    depth = wall()
    depth[5, 5] = depth[6, 6] = 0
    assert holes(depth)["pinholes"] == 0 and holes(depth)["hole_size"] == 2 / 22200


def test_the_width_of_edges_tells_left_from_right():
    """Before a wall at 4 m a post at 1 m: 6 pixels lost at its left, 2 at its right."""
    depth = wall()
    depth[:, 100:120] = 1
    assert edges(depth) == {"edge_left": 0, "edge_right": 0}
    depth[:, 94:100] = depth[:, 120:122] = 0
    assert edges(depth) == {"edge_left": 6, "edge_right": 2}
    depth[:50] = 4
    assert edges(depth) == {"edge_left": 6, "edge_right": 2}


def test_widths_are_those_of_the_reference_image():
    depth = wall(width=444)
    depth[:, 200:240] = 1
    depth[:, 188:200] = 0
    assert edges(depth)["edge_left"] == 6


def test_holes_in_one_surface_and_wide_gaps_are_no_edges():
    depth = wall()
    depth[:, 40:50] = 0  # the same surface goes on
    depth[:, 100:] = 1
    depth[:, 76:100] = 0  # more than a tenth of the image
    assert all(np.isnan(value) for value in edges(depth).values())


def test_noise_is_the_deviation_from_planes_in_bins_of_range():
    y, x = np.mgrid[:70, :210]
    checker = 0.010 * (-1.0) ** (x + y)
    slanted = 2.2 + 0.002 * x + 0.001 * y + checker
    # In 7 x 7 pixels a checkerboard is off balance by one pixel, and no plane fits it otherwise.
    expected = 0.010 * np.sqrt((49 - 1 / 49) / 46)
    got = noise_by_range(np.where(x < 105, slanted, 3 + slanted))
    np.testing.assert_allclose(got[[2, 5]], expected, rtol=1e-6)
    assert np.isnan(got[[0, 1, 3, 4, 6, 7]]).all() and len(got) == len(BINS) and WINDOW == 7


def test_squares_with_a_jump_or_a_hole_do_not_count_as_noise():
    depth = wall(2.5, 7, 14)
    depth[:, 3] = 1.0
    depth[3, 10] = 0
    assert np.isnan(noise_by_range(depth)).all()


def test_summary_gives_percentiles_over_images_that_have_a_number():
    images = [wall() for _ in range(5)]
    for k, image in enumerate(images):
        image[: 10 * k] = 0
    images[0][:, 100:] = 1
    got = summary(images)
    assert [got[f"hole_fraction/{p}"] for p in (25, 50, 75)] == pytest.approx([0.1, 0.2, 0.3])
    assert got["edge_right/50"] != got["edge_right/50"] and got["edge_left/50"] == 0
    assert set(summary(images, (10, 90))) == {f"{name}/{p}" for name in describe(images[0]) for p in (10, 90)}
    assert summary([]) == {}
