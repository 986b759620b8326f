"""What a network gets, holes filled in, and pictures for the eye."""

import json

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dihpose import depth


def test_preprocessing_as_json_and_back():
    ours = depth.Preprocessing(height=100, width=120, median=5, near=0.5, far=6.5, inpaint=3)
    assert depth.Preprocessing.from_json(ours.to_json()) == ours
    assert json.loads(ours.to_json()) == {
        "height": 100, "width": 120, "median": 5, "near": 0.5, "far": 6.5, "inpaint": 3,
    }  # fmt: skip


def test_json_without_inpaint_fills_no_holes():
    old = depth.Preprocessing.from_json('{"height": 100, "width": 120, "median": 5, "near": 0.5, "far": 6.5}')
    assert old == depth.Preprocessing(height=100, width=120, median=5, near=0.5, far=6.5, inpaint=0)
    with pytest.raises(TypeError, match="colour"):
        depth.Preprocessing.from_json('{"colour": 1}')


def test_default_preprocessing_is_the_papers():
    assert depth.Preprocessing() == depth.Preprocessing(height=368, width=444, median=3, near=0.0, far=8.0)


@pytest.mark.parametrize("shape", [(424, 512), (90, 70), (1, 1)])
def test_network_input(shape):
    noise = np.random.default_rng(0).uniform(-1, 12, shape).astype(np.float32)
    x = depth.Preprocessing()(depth.as_metres(noise))
    assert x.shape == (1, 1, 368, 444)
    assert x.dtype == np.float32
    assert x.min() >= -0.5
    assert x.max() <= 0.5


def test_a_flat_wall_stays_flat():
    wall = np.full((50, 60), 2.0, np.float32)
    np.testing.assert_allclose(depth.Preprocessing()(wall), 2 / 8 - 0.5, atol=1e-6)


def test_normalise_by_hand():
    metres = np.array([0, 2, 4, 6, 8, 10], np.float32)
    np.testing.assert_allclose(depth.Preprocessing().normalise(metres), [-0.5, -0.25, 0, 0.25, 0.5, 0.5])
    np.testing.assert_allclose(depth.Preprocessing(near=2, far=6).normalise(metres), [-0.5, -0.5, 0, 0.5, 0.5, 0.5])


def test_median_removes_a_speckle_and_keeps_an_edge():
    frame = np.full((12, 16), 2.0, np.float32)
    frame[:, 8:] = 4
    clean = depth.Preprocessing(height=12, width=16)(frame)
    frame[5, 3] = 7.5
    np.testing.assert_array_equal(depth.Preprocessing(height=12, width=16)(frame), clean)
    assert depth.Preprocessing(height=12, width=16, median=0)(frame)[0, 0, 5, 3] == np.float32(7.5 / 8 - 0.5)
    np.testing.assert_array_equal(clean[0, 0, :, 7:9], np.tile(np.float32([-0.25, 0]), (12, 1)))


def test_a_view_of_a_frame_is_prepared_like_a_copy():
    frame = np.random.default_rng(0).uniform(1, 5, (40, 50)).astype(np.float32)
    part = frame[3:33, 5:45]
    np.testing.assert_array_equal(depth.Preprocessing()(part), depth.Preprocessing()(part.copy()))


# --- Holes filled in ---------------------------------------------------------------------------------------------------


def with_holes(seed: int, share: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    frame = rng.uniform(0.5, 8, rng.integers(2, 20, 2)).astype(np.float32)
    frame[rng.random(frame.shape) < share] = 0
    return frame


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.99), st.floats(0.5, 8, width=32), st.integers(1, 6))
def test_holes_in_a_plane_are_filled_with_its_depth(seed, share, distance, radius):
    holed = np.where(with_holes(seed, share) > 0, np.float32(distance), np.float32(0))
    assume(holed.any())
    np.testing.assert_allclose(depth.inpaint(holed, radius), distance, rtol=1e-5)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.99), st.integers(1, 6))
def test_readings_stay_and_holes_are_filled(seed, share, radius):
    holed = with_holes(seed, share)
    assume(holed.any())
    before = holed.copy()
    filled = depth.inpaint(holed, radius)
    assert filled.dtype == np.float32 and filled.all()
    np.testing.assert_array_equal(holed, before)
    np.testing.assert_array_equal(filled[before > 0], before[before > 0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_a_filled_hole_is_within_the_range_of_its_rim(seed, radius):
    """Readings farther from the hole than the radius are ten times as deep, and have no influence."""
    rng = np.random.default_rng(seed)
    frame = rng.uniform(20, 80, (30, 32)).astype(np.float32)
    top, left = rng.integers(6, 15, 2)
    height, width = rng.integers(1, 9, 2)
    rim = slice(top - radius, top + height + radius), slice(left - radius, left + width + radius)
    frame[rim] /= 10
    frame[top : top + height, left : left + width] = 0
    low, high = frame[rim][frame[rim] > 0].min(), frame[rim].max()
    filled = depth.inpaint(frame, radius)[top : top + height, left : left + width]
    assert filled.min() >= low - 1e-5 and filled.max() <= high + 1e-5


def test_an_empty_frame_stays_empty():
    empty = np.zeros((5, 7), np.float32)
    filled = depth.inpaint(empty)
    assert filled is not empty and filled.shape == (5, 7) and not filled.any()
    np.testing.assert_array_equal(depth.Preprocessing(inpaint=3)(empty), np.full((1, 1, 368, 444), -0.5, np.float32))


def test_holes_are_filled_before_all_other_steps():
    wall = np.full((30, 36), 2.0, np.float32)
    wall[10:16, 20:27] = 0
    size = {"height": 30, "width": 36}
    assert depth.Preprocessing(**size)(wall)[0, 0, 12, 23] == -0.5
    np.testing.assert_allclose(depth.Preprocessing(**size, inpaint=3)(wall), -0.25, atol=1e-6)
    noise = with_holes(0, 0.3)
    first, second = (depth.Preprocessing(**size, inpaint=radius)(noise) for radius in (1, 4))
    assert not np.array_equal(first, second)  # the radius is handed on
    np.testing.assert_array_equal(second, depth.Preprocessing(**size)(depth.inpaint(noise, 4)))


# --- Pictures --------------------------------------------------------------------------------------------------------


def test_colourise():
    picture = depth.colourise(np.array([[0, 1, 2, 3]], np.float32), near=1, far=3)
    assert picture.shape == (1, 4, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[0, 0], 0)
    lightness = picture[0, 1:].astype(int) @ [299, 587, 114]
    assert lightness[0] > lightness[1] > lightness[2] > 0
    # Viridis, from its published table: yellow (253, 231, 37) is its bright end, violet (68, 1, 84) its dark one.
    np.testing.assert_allclose(picture[0, [1, 3]], [[253, 231, 37], [68, 1, 84]], atol=3)


def test_colourise_without_readings_is_black():
    assert not depth.colourise(np.zeros((3, 4), np.float32)).any()


def test_colourise_a_wall_has_colour():
    assert depth.colourise(np.full((3, 4), 2, np.float32)).any(-1).all()
