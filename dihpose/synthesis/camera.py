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

    def rays(self, height: int, width: int) -> torch.Tensor:
        """World directions (B, height, width, 3) through the pixels, scaled so that one step is one metre of depth."""
        fx, fy, cx, cy = (value.view(-1, 1, 1) for value in self.intrinsics.unbind(1))
        y, x = torch.meshgrid(
            *(torch.arange(n, device=self.position.device, dtype=torch.float32) for n in (height, width)), indexing="ij"
        )
        across, down = ((x - cx) / fx).expand(-1, height, width), ((y - cy) / fy).expand(-1, height, width)
        local = torch.stack([across, down, torch.ones_like(across)], -1)
        return (local.flatten(1, 2) @ self.rotation).view(local.shape)


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
