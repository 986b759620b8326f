"""Cameras: projection by hand, and rays that invert it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dihpose.synthesis import scenes
from dihpose.synthesis.camera import Camera
from dihpose.synthesis.random import seeded
from dihpose.synthesis.scenes import SceneConfig

from .conftest import camera_at


@pytest.mark.parametrize(
    ("camera", "point", "pixel"),
    [
        (camera_at(), (0, 2, 1), (50, 40)),  # straight ahead
        (camera_at(), (1, 2, 1), (100, 40)),  # a metre to the right at 2 m: 100 x 1 / 2
        (camera_at(), (0, 2, 2), (50, -20)),  # a metre up: 120 x 1 / 2, upwards
        (camera_at(yaw=90), (-2, 0, 1), (50, 40)),  # turned left it looks along -x
        (camera_at(pitch=45), (0, 1, 2), (50, 40)),  # turned up it looks at what is as high as far
        (camera_at(roll=90), (0, 2, 2), (0, 40)),  # rolled clockwise, what was up is to the left
    ],
)
def test_projection_by_hand(camera, point, pixel):
    seen = camera.project(camera.view(torch.tensor([[point]], dtype=torch.float32)))
    np.testing.assert_allclose(seen[0, 0], pixel, atol=1e-3)


def test_points_behind_have_no_pixel_and_rays_invert_the_projection():
    camera = camera_at(20, 10, 5)
    assert camera.project(camera.view(torch.tensor([[[0.0, -5.0, 1.0]]]))).isnan().all()
    rays = camera.rays(80, 100)
    points = camera.position[:, None, None] + 3.0 * rays
    local = camera.view(points)
    torch.testing.assert_close(local[..., 2], torch.full_like(local[..., 2], 3.0))
    y, x = torch.meshgrid(torch.arange(80.0), torch.arange(100.0), indexing="ij")
    torch.testing.assert_close(camera.project(local)[0], torch.stack([x, y], -1), atol=2e-3, rtol=0)


def cameras(seed: int, count: int) -> Camera:
    generator = seeded(seed)
    camera, *_ = scenes.arrange(count, 1, generator, SceneConfig(height=20, width=30, roll=40.0))
    return Camera(camera.rotation, camera.position + torch.rand(count, 3, generator=generator), camera.intrinsics)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_rays_are_linear_in_the_pixel(seed):
    camera = cameras(seed, 3)
    rays, (first, right, down) = camera.rays(20, 30), camera.fan()
    assert rays.shape == (3, 20, 30, 3) and first.shape == right.shape == down.shape == (3, 3)
    torch.testing.assert_close(rays[:, 0, 0], first)
    torch.testing.assert_close(rays[:, 0, 1] - rays[:, 0, 0], right, atol=1e-5, rtol=0)
    torch.testing.assert_close(rays[:, 1, 0] - rays[:, 0, 0], down, atol=1e-5, rtol=0)
    for b in range(3):
        fx, fy, cx, cy = camera.intrinsics[b].double().numpy()
        for y, x in ((0, 0), (19, 29), (7, 22)):
            wanted = camera.rotation[b].double().numpy().T @ ((x - cx) / fx, (y - cy) / fy, 1)
            np.testing.assert_allclose(rays[b, y, x], wanted, atol=1e-5)
            np.testing.assert_allclose(first[b] + x * right[b] + y * down[b], wanted, atol=1e-5)


def test_cameras_are_selected_by_index():
    camera, points = cameras(0, 4), torch.rand(4, 5, 3, generator=seeded(1)) + 2
    picked = camera.rows(torch.tensor([2, 0, 2]))
    for i, b in enumerate((2, 0, 2)):
        own = Camera(camera.rotation[b : b + 1], camera.position[b : b + 1], camera.intrinsics[b : b + 1])
        local = own.view(points[i : i + 1])
        torch.testing.assert_close(picked.view(points[:3])[i], local[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(picked.project(picked.view(points[:3]))[i], own.project(local)[0], equal_nan=True)
    assert camera.rows(torch.tensor([], dtype=torch.long)).rays(2, 3).shape == (0, 2, 3, 3)
