"""Arrays become metres: units, what is no distance, shapes, crops."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis.extra.numpy import array_shapes, arrays

from dihpose import InputError, depth

from .conftest import MM, error_of


@pytest.mark.parametrize(
    ("array", "unit", "metres"),
    [
        (np.array([[1500, 0]], np.uint16), "mm", [[1.5, 0]]),
        (np.array([[1500.0, 0]]), "mm", [[1.5, 0]]),
        (np.array([[15000, 0]], np.uint16), 1e-4, [[1.5, 0]]),
        (np.array([[15000, 0]], np.uint16), "0.0001", [[1.5, 0]]),
        (np.array([[3, 0]], np.uint16), "m", [[3, 0]]),
        (np.array([[1.5, 0]]), "m", [[1.5, 0]]),
        (np.array([[-5, 2000]], np.int16), None, [[0, 2]]),
        (np.zeros((3, 4), np.uint16), None, np.zeros((3, 4))),  # a frame without readings is no error
        (np.full((3, 4), np.nan), None, np.zeros((3, 4))),
    ],
)
def test_units(array, unit, metres):
    np.testing.assert_allclose(depth.as_metres(array, unit), metres, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.0, 1e10])
def test_what_is_no_distance_becomes_zero(bad, dtype):
    array = np.array([[bad, 2.0], [3.0, bad]], dtype)
    before = array.copy()
    np.testing.assert_array_equal(depth.as_metres(array), [[0, 2], [3, 0]])
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2), [("z", "<f4")]), np.array([[1, None]], object), np.ones((2, 2), bool)]
)
def test_elements_that_are_no_numbers(array):
    message = error_of(depth.as_metres, array, None, "my array")
    assert message.startswith(f"my array: holds {array.dtype}") and "depth must be numbers" in message


@pytest.mark.parametrize("shape", [(), (20,), (2, 4, 5), (4, 5, 2), (1, 1, 4, 5), (0, 5), (4, 0)])
def test_wrong_dimensions(shape):
    assert "give one depth image as (height, width)" in error_of(depth.as_metres, np.ones(shape))


@pytest.mark.parametrize("unit", ["km", "", "nan", "-1", 0, -0.001, float("inf"), "1e9"])
def test_unknown_unit(unit):
    message = error_of(depth.as_metres, np.ones((2, 2)), unit)
    assert message == f"depth: unknown unit {unit!r}; give m, mm, or metres per unit as a number"


searched = settings(deadline=None, derandomize=True)


@searched
@given(arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=8)))
@example(np.array([[0, 49]], np.uint16))
@example(np.array([[0, 50]], np.uint16))
@example(np.array([[0, 50_000]], np.uint16))
@example(np.array([[0, 50_001]], np.uint16))
def test_whole_numbers_are_millimetres(array):
    """Refused only where nothing beyond 5 cm is read, or half of the readings lie beyond 50 m."""
    readings = array[array > 0]
    refused = readings.size and (readings.max() < 50 or np.median(readings) > 50_000)
    try:
        metres = depth.as_metres(array)
    except InputError:
        assert refused
    else:
        assert not refused
        np.testing.assert_allclose(metres, array / 1000, rtol=1e-6)


@searched
@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=6)))
def test_any_floats_give_finite_distances_or_an_input_error(array):
    with np.errstate(all="ignore"):
        usable = np.isfinite(array) & (array > 0) & (array < 1e6)
        try:
            metres = depth.as_metres(array)
        except InputError:
            assert np.median(array[usable]) > 50
        else:
            np.testing.assert_array_equal(metres, np.where(usable, array, 0))


# --- Crops ------------------------------------------------------------------------------------------------------------


def test_parse_crop():
    assert depth.parse_crop("dih") == (64, 2, 799, 537)
    assert depth.parse_crop("1,2,30,40") == (1, 2, 30, 40)
    assert depth.parse_crop(" 0, 0, 1, 1 ") == (0, 0, 1, 1)


@pytest.mark.parametrize(
    "text", ["", "DIH", "1,2,3", "1,2,3,4,5", "a,b,c,d", "-1,0,3,3", "0,0,0,3", "0,0,3,-3", "0.5,0,3,3"]
)
def test_parse_crop_refuses(text):
    assert error_of(depth.parse_crop, text) == f"crop {text!r}: give dih or X,Y,WIDTH,HEIGHT in pixels"


def test_crop():
    np.testing.assert_array_equal(depth.crop(MM, (1, 2, 3, 2)), [[5500, 6000, 6500], [8000, 12345, 1]])
    np.testing.assert_array_equal(depth.crop(MM, (0, 0, 5, 4)), MM)


@pytest.mark.parametrize("box", [(0, 0, 6, 4), (0, 0, 5, 5), (3, 0, 3, 1), (0, 3, 1, 2), (-1, 0, 3, 3), (0, -1, 3, 3)])
def test_crop_that_leaves_the_image(box):
    message = error_of(depth.crop, MM, box, "my.png")
    assert message == f"my.png: is 5 x 4 pixels; the crop {','.join(map(str, box))} leaves it"
