"""Landmarks become points in space: by hand, with holes and objects in front, and on scenes whose joints are known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dihpose import InputError, sample
from dihpose.depth.lifting import lift, parse_intrinsics
from dihpose.skeleton import INDEX
from dihpose.synthesis import scenes, sensors

HEIGHT, WIDTH = 120, 160
CAMERA = (160.0, 150.0, 80.0, 60.0)
# Pixels of a person who stands 2 m away with hanging arms.
STANDING = {
    "neck": (80, 30), "head": (80, 18), "head_top": (80, 6),
    "left_hip": (86, 68), "left_knee": (88, 92), "left_ankle": (90, 116), "left_shoulder": (94, 30),
    "left_elbow": (104, 48), "left_wrist": (110, 66),
    "right_hip": (74, 68), "right_knee": (72, 92), "right_ankle": (70, 116), "right_shoulder": (66, 30),
    "right_elbow": (56, 48), "right_wrist": (50, 66),
}  # fmt: skip


def person(**at) -> np.ndarray:
    """Landmarks (17, 3) at the given pixels; all others are missing."""
    landmarks = np.tile([np.nan, np.nan, 0.0], (17, 1))
    for name, xy in at.items():
        landmarks[INDEX[name]] = (*xy, 1.0)
    return landmarks


def scene(z: float = 2.0, wall: float = 4.5, half: int = 4) -> np.ndarray:
    """The person STANDING, made of squares around the landmarks, in front of a wall."""
    depth = np.full((HEIGHT, WIDTH), wall, np.float32)
    depth[26:70, 66:95] = z
    for x, y in STANDING.values():
        square(depth, x, y, z, half)
    return depth


def square(depth: np.ndarray, x: int, y: int, z: float, half: int = 4) -> None:
    depth[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1] = z


def depths(landmarks: np.ndarray, depth: np.ndarray, camera=CAMERA) -> dict[str, float]:
    """The depth of each point that was found, by name."""
    points = lift(landmarks, depth, camera)
    assert points.shape == (17, 3)
    return {name: points[i, 2] for name, i in INDEX.items() if not np.isnan(points[i]).any()}


# --- By hand ----------------------------------------------------------------------------------------------------------


def test_points_by_hand():
    """40 pixels right of the centre at 2 m and f = 160: 40 x 2 / 160 = 0.5 m; 30 down at f = 150: 0.4 m."""
    landmarks = person(neck=(80, 60), left_wrist=(120, 90), right_wrist=(40, 52.5))
    points = lift(landmarks, np.full((HEIGHT, WIDTH), 2.0, np.float32), CAMERA)
    np.testing.assert_allclose(points[INDEX["neck"]], (0, 0, 2), atol=1e-6)
    np.testing.assert_allclose(points[INDEX["left_wrist"]], (0.5, 0.4, 2), atol=1e-6)
    np.testing.assert_allclose(points[INDEX["right_wrist"]], (-0.5, -0.1, 2), atol=1e-6)
    assert np.isnan(np.delete(points, [INDEX[n] for n in ("neck", "left_wrist", "right_wrist")], 0)).all()


def test_a_tilted_plane():
    """z = 2 + x / 2: in pixels z = 2 / (1 - (u - cx) / 2 fx), and every point lies on it."""
    z = 2 / (1 - (np.arange(WIDTH) - 80) / 320)
    depth = np.tile(z.astype(np.float32), (HEIGHT, 1))
    points = lift(person(**STANDING), depth, CAMERA)
    found = points[[INDEX[name] for name in STANDING]]
    np.testing.assert_allclose(found[:, 2], 2 + found[:, 0] / 2, atol=1e-6)
    assert np.ptp(found[:, 2]) > 0.3


def test_a_person_lying_with_the_feet_to_the_camera():
    """1.7 m from head to feet, along the axis: each landmark has the depth of its part of the bed."""
    rows = {"head_top": 20, "head": 24, "neck": 30, "left_hip": 50, "right_hip": 50, "left_knee": 68, "right_knee": 68,
            "left_ankle": 90, "right_ankle": 90}  # fmt: skip
    z = np.interp(np.arange(HEIGHT), (20, 90), (3.4, 1.7)).astype(np.float32)
    depth = np.tile(z[:, None], (1, WIDTH))
    found = depths(person(**{name: (70 + 8 * (name > "m"), row) for name, row in rows.items()}), depth)
    assert found == pytest.approx({name: z[row] for name, row in rows.items()}, abs=0.02)


def test_whole_numbers_are_pixel_centres():
    depth = np.full((HEIGHT, WIDTH), 3.0, np.float32)
    points = lift(person(neck=(79.5, 60)), depth, CAMERA)
    np.testing.assert_allclose(points[INDEX["neck"]], (-0.5 * 3 / 160, 0, 3), atol=1e-6)


# --- Edges, holes, objects in front ---------------------------------------------------------------------------------


@pytest.mark.parametrize("off", [-1.5, 0.0, 1.5])
@pytest.mark.parametrize("wall", [2.6, 3.0, 5.0])
def test_a_thin_forearm_in_front_of_a_wall(off, wall):
    """A cylinder with a radius of 4 cm, 2 m away; the landmark is at its edge or 1.5 pixels to either side of the edge."""
    camera = (400.0, 400.0, 80.0, 60.0)
    u = (np.arange(WIDTH) - 110) / 400
    # The rays x = u z through the pixels meet x^2 + (z - 2)^2 = 0.04^2 first where z (1 + u^2) = 2 - root.
    root = 0.04**2 * (1 + u**2) - 4 * u**2
    first = np.where(root > 0, (2 - np.sqrt(root.clip(0))) / (1 + u**2), wall)
    edge = np.flatnonzero(root > 0).max()
    depth = scene(2.0, wall)
    depth[50:90, 100:122] = first[100:122]
    landmarks = person(**STANDING | {"left_wrist": (edge + off, 70)})
    found = depths(landmarks, depth, camera)
    assert found["left_wrist"] == pytest.approx(1.98, abs=0.025)
    assert found["neck"] == pytest.approx(2)


def test_landmarks_beside_the_body_find_the_body():
    """One pixel outside limbs as wide as a window: in some windows most readings are the wall's."""
    depth = scene(half=2)
    for shift in ((3, 0), (-3, 0), (0, 3), (0, -3)):
        moved = {name: (x + shift[0], y + shift[1]) for name, (x, y) in STANDING.items() if "ankle" not in name}
        assert depths(person(**moved), depth) == pytest.approx(dict.fromkeys(moved, 2.0))


def test_holes_do_no_harm():
    """70 % of all readings are missing, and all those at the landmarks themselves."""
    depth = scene()
    depth[np.random.default_rng(0).random(depth.shape) < 0.7] = 0
    for x, y in STANDING.values():
        depth[y, x] = 0
    assert depths(person(**STANDING), depth) == pytest.approx(dict.fromkeys(STANDING, 2.0))


def test_nothing_is_invented():
    """No reading around the left wrist, only the wall around the right one; an image without readings; no landmark."""
    depth = scene()
    square(depth, *STANDING["left_wrist"], 0, half=9)
    square(depth, *STANDING["right_wrist"], 4.5, half=9)
    found = depths(person(**STANDING), depth)
    assert found == pytest.approx(dict.fromkeys(STANDING.keys() - {"left_wrist", "right_wrist"}, 2.0))
    assert depths(person(**STANDING), np.zeros_like(depth)) == {}
    assert depths(person(), depth) == {}


def test_a_pole_in_front_is_not_the_person():
    """1 m in front: over a hip, over half of a knee, beside an ankle."""
    depth = scene()
    square(depth, *STANDING["left_hip"], 1.0, half=7)
    depth[85:100, 89:94] = 1.0
    depth[108:120, 94:97] = 1.0
    found = depths(person(**STANDING), depth)
    assert found == pytest.approx(dict.fromkeys(STANDING.keys() - {"left_hip"}, 2.0))


def test_an_arm_towards_the_camera_belongs_to_the_person():
    """The wrist is 0.6 m nearer than the shoulder, in front of the trunk, which is seen all around it."""
    depth, at = scene(), STANDING | {"left_elbow": (90, 40), "left_wrist": (84, 48)}
    square(depth, *at["left_elbow"], 1.7, half=4)
    square(depth, *at["left_wrist"], 1.4, half=3)
    found = depths(person(**at), depth)
    assert found == pytest.approx(dict.fromkeys(at, 2.0) | {"left_elbow": 1.7, "left_wrist": 1.4})


def test_at_and_beyond_the_image_s_border():
    depth = np.full((HEIGHT, WIDTH), 2.0, np.float32)
    at = {"neck": (0, 0), "head": (-0.5, 30), "left_wrist": (159.4, 119.4), "right_wrist": (159.5, 50), "left_eye": (30, -0.6),
          "right_eye": (np.inf, 20)}  # fmt: skip
    assert depths(person(**at), depth) == pytest.approx(dict.fromkeys(("neck", "head", "left_wrist"), 2.0))


def test_one_landmark_alone():
    assert depths(person(neck=(80, 30)), scene()) == pytest.approx({"neck": 2.0})


# --- Any input ---------------------------------------------------------------------------------------------------

coordinates = arrays(float, (17, 2), elements=st.floats(-20, 60) | st.just(np.nan))
readings = arrays(np.float32, (30, 40), elements=st.just(0.0) | st.floats(0.25, 9, width=32), fill=st.just(0.0))


@settings(max_examples=60, deadline=None)
@given(coordinates, readings)
def test_a_point_has_a_reading_s_depth_and_falls_on_its_landmark(xy, depth):
    given_both = depth.copy(), xy.copy()
    points = lift(np.column_stack([xy, np.ones(17)]), depth, (50.0, 60.0, 20.0, 15.0))
    found = ~np.isnan(points).any(1)
    np.testing.assert_array_equal(found, ~np.isnan(points).all(1))
    assert set(points[found, 2]) <= set(depth[depth > 0].astype(float))
    back = points[found, :2] * (50, 60) / points[found, 2:] + (20, 15)
    np.testing.assert_allclose(back, xy[found], atol=1e-9)
    np.testing.assert_array_equal(depth, given_both[0])
    np.testing.assert_array_equal(xy, given_both[1])


# --- Scenes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [sensors.Kinect2(), sensors.StructuredLight()], ids=lambda m: type(m).__name__)
def test_better_than_the_reading_at_the_landmark(model):
    """Landmarks 1.5 pixels off in frames of 222 x 184, against the depth at the landmark's own pixel.

    That depth is missing more often and has larger errors. Both keep the few centimetres between skin and joint.
    """
    generator = torch.Generator().manual_seed(1)
    drawn = scenes.sample(40, generator)
    frames = sensors.measure(
        drawn.depth, drawn.camera.intrinsics[:, 0], generator, model, scenes.heads(drawn), drawn.people > 0
    )
    usable = sample.inside(drawn.landmarks, 184, 222) & ~drawn.covered
    rng, errors = np.random.default_rng(0), []
    for b, p in (usable.sum(-1) >= 5).nonzero().tolist():
        shown = (drawn.visible & usable)[b, p].numpy()
        xy = drawn.landmarks[b, p].numpy() + rng.normal(0, 1.5, (17, 2))
        xy[~usable[b, p].numpy()] = np.nan
        frame = frames[b].numpy()
        lifted = lift(np.column_stack([xy, np.ones(17)]), frame, drawn.camera.intrinsics[b].tolist())[:, 2]
        column, row = np.rint(xy[shown]).astype(int).T.clip(0, [[221], [183]])
        naive = np.where(frame[row, column] > 0, frame[row, column], np.nan)
        errors.append(np.abs(np.stack([naive, lifted[shown]]) - drawn.landmarks3d[b, p, shown, 2].numpy()))
    naive, lifted = np.concatenate(errors, 1)
    assert len(naive) > 500
    assert np.isnan(lifted).mean() < 0.5 * np.isnan(naive).mean()
    both = ~np.isnan(naive) & ~np.isnan(lifted)
    assert np.mean(lifted[both] > 0.3) < 0.6 * np.mean(naive[both] > 0.3)
    assert np.nanmedian(lifted) < 0.08 and np.nanpercentile(lifted, 95) < 0.25


# --- Intrinsics -------------------------------------------------------------------------------------------------------


def test_intrinsics_are_four_positive_numbers():
    assert parse_intrinsics("365.5, 366,256,2.12e2") == (365.5, 366.0, 256.0, 212.0)
    for text in ("", "dih", "1,2,3", "1,2,3,4,5", "0,1,2,3", "1,1,-2,3", "nan,1,2,3", "1,inf,2,3"):
        with pytest.raises(InputError, match=r"^intrinsics '.*': give FX,FY,CX,CY, four positive numbers in pixels"):
            parse_intrinsics(text)


@pytest.mark.parametrize("intrinsics", [(0, 5, 1, 1), (5, -5, 1, 1), (5, 5, np.nan, 1), (5, 5, 1), np.eye(3)])
def test_bad_intrinsics(intrinsics):
    with pytest.raises(
        InputError, match=r"^intrinsics [\s\S]+: give four numbers, fx, fy, cx, cy in pixels, the first two above 0"
    ):
        lift(person(neck=(1, 1)), np.ones((4, 5), np.float32), intrinsics)


def test_a_crop_may_leave_the_principal_point_outside():
    points = lift(person(neck=(1, 2)), np.full((4, 5), 2, np.float32), (10, 10, -9, 22))
    np.testing.assert_allclose(points[INDEX["neck"]], (2, -4, 2))
