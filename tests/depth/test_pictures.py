"""People are drawn over depth in the colours of their sides."""

import numpy as np

from dihpose import association, depth, skeleton


def person(**placed):
    landmarks = np.full((17, 3), (np.nan, np.nan, 0.0))
    for name, xy in placed.items():
        landmarks[skeleton.INDEX[name]] = (*xy, 1.0)
    return association.Pose(landmarks, 1.0)


def test_overlay_has_the_frame_s_size_and_the_sides_colours():
    frame = np.full((120, 160), 2.0, np.float32)
    left = person(left_shoulder=(40, 30), left_elbow=(40, 90))
    right = person(right_shoulder=(120, 30), right_elbow=(120, 90))
    picture = depth.overlay(frame, [left, right])
    assert picture.shape == (120, 160, 3)
    assert picture.dtype == np.uint8
    assert picture[60, 40].tolist() == [0x00, 0x72, 0xB2]  # left: blue
    assert picture[60, 120].tolist() == [0xD5, 0x5E, 0x00]  # right: orange


def test_overlay_without_people_or_readings():
    picture = depth.overlay(np.zeros((30, 40), np.float32), [])
    assert (picture == 0).all()


def test_overlay_of_landmarks_outside_the_frame():
    picture = depth.overlay(np.ones((30, 40), np.float32), [person(neck=(-500, 5), head=(900, -40))])
    assert picture.shape == (30, 40, 3)


def test_given_landmarks_become_people_to_draw():
    landmarks = np.full((3, 17, 2), np.nan)
    landmarks[0, :2], landmarks[2, 4] = [(1, 2), (3, 4)], (5, 6)
    people = depth.as_people(landmarks)
    assert [person.found.sum() for person in people] == [2, 1]
    assert people[1].landmarks[4].tolist() == [5, 6, 1]
    only = depth.as_people(landmarks, np.arange(17) == np.array([[1]] * 3))
    assert [np.flatnonzero(person.found).tolist() for person in only] == [[1]]
