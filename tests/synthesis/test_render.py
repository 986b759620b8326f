"""The z-buffer, culling or not, against ray casting of the same meshes by Embree, and triangles worked out by hand."""

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from dihpose.synthesis import render
from dihpose.synthesis.camera import Camera, level
from dihpose.synthesis.people import bodies, motion
from dihpose.synthesis.random import seeded

from .conftest import CHARACTERS, cast

HEIGHT, WIDTH = 212, 256


def seen(points: np.ndarray, faces: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """Depth (HEIGHT, WIDTH) by casting a ray through every pixel's centre; infinity where it meets nothing."""
    fx, fy, cx, cy = intrinsics
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rays = np.stack([(x - cx) / fx, (y - cy) / fy, np.ones_like(x, float)], -1).reshape(-1, 3)
    return cast(trimesh.Trimesh(points, faces, process=False), np.zeros_like(rays), rays).reshape(HEIGHT, WIDTH)


def edges(silhouette: np.ndarray) -> np.ndarray:
    """Pixels that have both kinds among themselves and their eight neighbours."""
    padded = np.pad(silhouette, 1, mode="edge")
    around = [padded[y : y + silhouette.shape[0], x : x + silhouette.shape[1]] for y in range(3) for x in range(3)]
    return np.any(around, 0) & ~np.all(around, 0)


@pytest.mark.parametrize("distance", [0.9, 2.5, 6.0])
def test_bodies_are_drawn_as_a_ray_caster_sees_them(distance):
    generator = seeded(7)
    which = torch.tensor([0, 11, 20])
    turned = motion.rotations(motion.sample(3, generator), CHARACTERS.bones)
    vertices, _ = bodies.pose(CHARACTERS, which, turned, bodies.dress(CHARACTERS, which, generator))
    vertices = vertices @ motion.about_z(torch.tensor([0.3, -1.2, 3.0])).mT + torch.tensor([0.1, distance, 0.0])
    zero = torch.zeros(3)
    position, intrinsics = torch.tensor([[0, 0, 1.2]] * 3), torch.tensor([[180.0, 190, 127, 106]] * 3)
    camera = Camera(level(zero, zero - 0.05, zero + 0.1), position, intrinsics)
    points = camera.view(vertices)
    drawn = render.zbuffer(points, CHARACTERS.faces, camera.intrinsics, HEIGHT, WIDTH, cull=True).numpy()
    for i in range(3):
        wanted = seen(points[i].numpy(), CHARACTERS.faces.numpy(), camera.intrinsics[i].numpy())
        assert np.isfinite(wanted).sum() > 300
        both = np.isfinite(drawn[i]) & np.isfinite(wanted)
        assert (np.abs(drawn[i][both] - wanted[both]) < 0.005).mean() >= 0.995
        differ = np.isfinite(drawn[i]) != np.isfinite(wanted)
        assert not (differ & ~edges(np.isfinite(wanted))).any()
        assert differ.sum() <= 0.005 * both.sum()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_any_triangles_are_drawn_as_a_slow_loop_sees_them(seed):
    generator = seeded(seed)
    points = torch.rand(1, 9, 3, generator=generator) * torch.tensor([4.0, 4, 3]) - torch.tensor([2, 2, -0.5])
    faces = torch.arange(9).view(3, 3)
    intrinsics = torch.tensor([[12.0, 15.0, 9.5, 7.0]])
    drawn = render.zbuffer(points, faces, intrinsics, 15, 20)[0]
    wanted, doubtful = slow(points[0].double().numpy(), faces.numpy(), intrinsics[0].double().numpy(), 15, 20)
    sure = ~doubtful
    assert (np.isfinite(drawn.numpy()) == np.isfinite(wanted))[sure].all()
    np.testing.assert_allclose(drawn.numpy()[sure], wanted[sure], rtol=1e-3)


def slow(points, faces, intrinsics, height, width):
    """Every pixel against every triangle, by solving for the ray's point in the triangle's plane."""
    fx, fy, cx, cy = intrinsics
    depth, doubtful = np.full((height, width), np.inf), np.zeros((height, width), bool)
    for face in faces:
        triangle = points[face].T  # columns are corners
        for y in range(height):
            for x in range(width):
                ray = np.array([(x - cx) / fx, (y - cy) / fy, 1.0])
                try:
                    share = np.linalg.solve(triangle, ray)  # ray = sum of shares of the corners, up to scale
                except np.linalg.LinAlgError:
                    continue
                if np.abs(share).min() < 1e-3 * np.abs(share).max():
                    doubtful[y, x] = True  # on an edge, where rounding decides
                elif (share > 0).all():
                    depth[y, x] = min(depth[y, x], 1 / share.sum())
    return depth, doubtful


def test_depth_is_perspective_correct_along_a_slanted_edge():
    """A wall from 1 m (left) to 3 m (right): halfway across the image, 1 / z is halfway, so z = 1.5 m."""
    points = torch.tensor([[[-1.0, -5, 1], [3.0, -15, 3], [-1.0, 5, 1], [3.0, 15, 3]]])
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    drawn = render.zbuffer(points, faces, torch.tensor([[10.0, 10.0, 10.0, 5.0]]), 11, 21)[0]
    np.testing.assert_allclose(drawn[5, [0, 10, 20]], [1, 1.5, 3], rtol=1e-4)


def test_the_nearest_wins_whatever_the_order():
    near, far = [[-1.0, -1, 1], [1, -1, 1], [0, 1, 1]], [[-9.0, -9, 2], [9, -9, 2], [0, 9, 2]]
    faces = torch.tensor([[0, 1, 2], [3, 4, 5]])
    intrinsics = torch.tensor([[10.0, 10, 10, 10]])
    one = render.zbuffer(torch.tensor([near + far]), faces, intrinsics, 21, 21)
    other = render.zbuffer(torch.tensor([far + near]), faces, intrinsics, 21, 21)
    assert torch.equal(one, other)
    assert one[0, 10, 10] == 1 and one[0, 10, 0] == 2


def test_triangles_behind_or_beside_the_camera_are_not_drawn():
    behind = torch.tensor([[[-1.0, -1, -1], [1, -1, -1], [0, 1, -1]]])
    beside = torch.tensor([[[50.0, -1, 1], [52, -1, 1], [51, 1, 1]]])
    for points in (behind, beside):
        drawn = render.zbuffer(points, torch.tensor([[0, 1, 2]]), torch.tensor([[10.0, 10, 10, 10]]), 21, 21)
        assert drawn.isinf().all()


def test_several_meshes_have_cameras_of_their_own():
    triangle = torch.tensor([[-1.0, -1, 2], [1, -1, 2], [0, 1, 2]])
    intrinsics = torch.tensor([[10.0, 10, 5, 5], [10.0, 10, 15, 5]])
    drawn = render.zbuffer(torch.stack([triangle, triangle]), torch.tensor([[0, 1, 2]]), intrinsics, 11, 21).isfinite()
    assert drawn[0].any() and torch.equal(drawn[0, :, :11], drawn[1, :, 10:])


# --- Culling -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_culling_does_not_change_closed_meshes(seed, subdivisions):
    """Balls, stretched and turned at random, whole before the camera, within the image or across its edge."""
    rng = np.random.default_rng(seed)
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    turn = trimesh.transformations.random_rotation_matrix(rng.random(3))[:3, :3]
    middle = rng.uniform((-1.5, -1.5, 1.2), (1.5, 1.5, 5))
    points = torch.tensor(ball.vertices * rng.uniform(0.2, 1, 3) @ turn.T + middle, dtype=torch.float32)[None]
    faces, intrinsics = torch.from_numpy(ball.faces), torch.tensor([[40.0, 45.0, 29.5, 24.0]])
    whole = render.zbuffer(points, faces, intrinsics, 50, 60)
    assert torch.equal(render.zbuffer(points, faces, intrinsics, 50, 60, cull=True), whole)
    inside_out = render.zbuffer(points, faces.flip(1), intrinsics, 50, 60, cull=True)  # of which the far side is left
    there = whole.isfinite()
    assert (inside_out[there] >= whole[there]).all()
    if there.sum() > 100:
        assert (inside_out[there] > whole[there] + 0.01).float().mean() > 0.5


def test_triangles_with_clockwise_corners_are_culled():
    """Right, then down, y being down: clockwise."""
    corners, intrinsics = torch.tensor([[[-1.0, -1, 2], [1, -1, 2], [1, 1, 2]]]), torch.tensor([[10.0, 10, 10, 10]])
    away, facing = torch.tensor([[0, 1, 2]]), torch.tensor([[0, 2, 1]])
    whole = render.zbuffer(corners, away, intrinsics, 21, 21)
    assert whole[0, 7, 12] == 2 and whole[0, 13, 8].isinf()
    assert torch.equal(render.zbuffer(corners, facing, intrinsics, 21, 21), whole)
    assert render.zbuffer(corners, away, intrinsics, 21, 21, cull=True).isinf().all()
    assert torch.equal(render.zbuffer(corners, facing, intrinsics, 21, 21, cull=True), whole)
    for start in range(3):  # wherever one begins to count the corners
        turned = facing.roll(start, 1), away.roll(start, 1)
        assert torch.equal(render.zbuffer(corners, torch.cat(turned), intrinsics, 21, 21, cull=True), whole)
        assert render.zbuffer(corners, turned[1], intrinsics, 21, 21, cull=True).isinf().all()


def test_a_culled_triangle_hides_nothing():
    near, far = [[-1.0, -1, 1], [1, -1, 1], [0, 1, 1]], [[-9.0, -9, 2], [9, -9, 2], [0, 9, 2]]
    faces, intrinsics = torch.tensor([[0, 1, 2], [3, 5, 4]]), torch.tensor([[10.0, 10, 10, 10]])
    points = torch.tensor([near + far])
    assert render.zbuffer(points, faces, intrinsics, 21, 21)[0, 10, 10] == 1
    assert render.zbuffer(points, faces, intrinsics, 21, 21, cull=True)[0, 10, 10] == 2
