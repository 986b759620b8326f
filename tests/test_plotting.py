import numpy as np
import pytest

from dihpose import association, plotting, skeleton


def person(**placed):
    landmarks = np.full((17, 3), (np.nan, np.nan, 0.0))
    for name, xy in placed.items():
        landmarks[skeleton.INDEX[name]] = (*xy, 1.0)
    return association.Pose(landmarks, 1.0)


def test_overlay_has_the_frame_s_size_and_the_sides_colours():
    depth = np.full((120, 160), 2.0, np.float32)
    left = person(left_shoulder=(40, 30), left_elbow=(40, 90))
    right = person(right_shoulder=(120, 30), right_elbow=(120, 90))
    picture = plotting.overlay(depth, [left, right])
    assert picture.shape == (120, 160, 3)
    assert picture.dtype == np.uint8
    assert picture[60, 40].tolist() == [0x00, 0x72, 0xB2]  # left: blue
    assert picture[60, 120].tolist() == [0xD5, 0x5E, 0x00]  # right: orange


def test_overlay_without_people_or_readings():
    picture = plotting.overlay(np.zeros((30, 40), np.float32), [])
    assert (picture == 0).all()


def test_overlay_of_landmarks_outside_the_frame():
    picture = plotting.overlay(np.ones((30, 40), np.float32), [person(neck=(-500, 5), head=(900, -40))])
    assert picture.shape == (30, 40, 3)


@pytest.mark.parametrize(
    ("x", "y", "colour"),
    [(1, 0, "#009E73"), (0, 1, "#0072B2"), (-1, 0, "#CC79A7"), (0, -1, "#E69F00"), (0, 0, "#FFFFFF")],
)
def test_direction_colours(x, y, colour):
    (rgb,) = plotting.direction_colours(np.array([[x]], float), np.array([[y]], float))[0]
    assert "#" + "".join(f"{round(255 * v):02X}" for v in rgb) == colour
