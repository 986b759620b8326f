"""Pinhole cameras, one for each scene. World: z up, metres; camera: x right, y down, z forward; pixel centres whole."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Camera:
    """B cameras: ``rotation`` (B, 3, 3) world -> camera, ``position`` (B, 3) in the world, ``intrinsics`` (B, 4) as
    fx, fy, cx, cy in pixels."""

    rotation: torch.Tensor
    position: torch.Tensor
    intrinsics: torch.Tensor

    def rows(self, which: torch.Tensor) -> "Camera":
        """Cameras ``which`` (K,), by their numbers."""
        return Camera(self.rotation[which], self.position[which], self.intrinsics[which])

    def view(self, points: torch.Tensor) -> torch.Tensor:
        """World points (B, ..., 3) -> camera coordinates (B, ..., 3)."""
        flat = points.flatten(1, -2) - self.position[:, None]
        return (flat @ self.rotation.mT).view(points.shape)

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Camera coordinates (B, ..., 3) -> pixels x, y (B, ..., 2); NaN behind the camera."""
        shape = (-1,) + (1,) * (points.dim() - 2)
        fx, fy, cx, cy = (value.view(shape) for value in self.intrinsics.unbind(1))
        z = torch.where(points[..., 2] > 0, points[..., 2], torch.nan)
        return torch.stack([fx * points[..., 0] / z + cx, fy * points[..., 1] / z + cy], -1)

    def fan(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """World directions through pixels, of one metre of depth: that through pixel (0, 0), and what a pixel to the
        right and a pixel down add, (B, 3) each."""
        fx, fy, cx, cy = (value[:, None] for value in self.intrinsics.unbind(1))
        x, y, z = self.rotation.unbind(1)
        return z - cx / fx * x - cy / fy * y, x / fx, y / fy

    def rays(self, height: int, width: int) -> torch.Tensor:
        """World directions (B, height, width, 3) through the pixels, scaled so that one step is one metre of depth."""
        first, right, down = (direction[:, None, None] for direction in self.fan())
        x, y = (torch.arange(n, device=first.device, dtype=first.dtype)[:, None] for n in (width, height))
        return first + right * x + down * y[:, None]


def level(yaw: torch.Tensor, pitch: torch.Tensor, roll: torch.Tensor) -> torch.Tensor:
    """Rotations (B, 3, 3) world -> camera of a camera that looks along +y, turned left by ``yaw``, up by ``pitch`` and
    rolled clockwise by ``roll``, radians (B,)."""
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def matrix(*entries):
        return torch.stack(entries, -1).unflatten(-1, (3, 3))

    about_z = matrix(yaw.cos(), yaw.sin(), zero, -yaw.sin(), yaw.cos(), zero, zero, zero, one)
    axes = matrix(one, zero, zero, zero, zero, -one, zero, one, zero)  # x right, y down = -z, z forward = +y
    up = matrix(one, zero, zero, zero, pitch.cos(), pitch.sin(), zero, -pitch.sin(), pitch.cos())
    tilt = matrix(roll.cos(), roll.sin(), zero, -roll.sin(), roll.cos(), zero, zero, zero, one)
    return tilt @ up @ axes @ about_z
