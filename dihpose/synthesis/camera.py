"""Pinhole cameras, one for each scene."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, eq=False)
class Camera:
    """B pinhole cameras without lens distortion.

    World coordinates: z up, metres. Camera coordinates: x right, y down, z forward, metres. Pixel centres have whole
    coordinates.

    Attributes:
        rotation: World to camera (B, 3, 3).
        position: Of the camera in the world (B, 3), metres.
        intrinsics: fx, fy, cx, cy (B, 4), pixels.

    Example:
        >>> zero = torch.zeros(1)
        >>> camera = Camera(level(zero, zero, zero), torch.tensor([[0.0, 0, 1]]), torch.tensor([[100.0, 100, 50, 40]]))
        >>> camera.project(camera.view(torch.tensor([[[1.0, 2, 1]]])))  # 1 m to the right, 2 m away
        tensor([[[100.,  40.]]])
    """

    rotation: torch.Tensor
    position: torch.Tensor
    intrinsics: torch.Tensor

    def rows(self, which: torch.Tensor) -> "Camera":
        """Select the cameras with the indices ``which`` (K,)."""
        return Camera(self.rotation[which], self.position[which], self.intrinsics[which])

    def view(self, points: torch.Tensor) -> torch.Tensor:
        """Transform world points (B, ..., 3) into camera coordinates (B, ..., 3)."""
        flat = points.flatten(1, -2) - self.position[:, None]
        return (flat @ self.rotation.mT).view(points.shape)

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Project camera coordinates (B, ..., 3) to pixels x, y (B, ..., 2); NaN behind the camera."""
        shape = (-1,) + (1,) * (points.dim() - 2)
        fx, fy, cx, cy = (value.view(shape) for value in self.intrinsics.unbind(1))
        z = torch.where(points[..., 2] > 0, points[..., 2], torch.nan)
        return torch.stack([fx * points[..., 0] / z + cx, fy * points[..., 1] / z + cy], -1)

    def fan(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the rays as a linear function of the pixel: ray(x, y) = first + x * right + y * down.

        All three are world directions (B, 3); a ray's depth along the optical axis is one metre.
        """
        fx, fy, cx, cy = (value[:, None] for value in self.intrinsics.unbind(1))
        x, y, z = self.rotation.unbind(1)
        return z - cx / fx * x - cy / fy * y, x / fx, y / fy

    def rays(self, height: int, width: int) -> torch.Tensor:
        """Return the world directions (B, height, width, 3) through all pixels, each with a depth of one metre."""
        first, right, down = (direction[:, None, None] for direction in self.fan())
        x, y = (torch.arange(n, device=first.device, dtype=first.dtype)[:, None] for n in (width, height))
        return first + right * x + down * y[:, None]


def level(yaw: torch.Tensor, pitch: torch.Tensor, roll: torch.Tensor) -> torch.Tensor:
    """Return rotations (B, 3, 3), world to camera, of cameras that look along +y before they are turned.

    A camera is turned left by ``yaw``, up by ``pitch`` and clockwise by ``roll``, radians (B,).
    """
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def matrix(*entries):
        return torch.stack(entries, -1).unflatten(-1, (3, 3))

    about_z = matrix(yaw.cos(), yaw.sin(), zero, -yaw.sin(), yaw.cos(), zero, zero, zero, one)
    axes = matrix(one, zero, zero, zero, zero, -one, zero, one, zero)  # x right, y down = -z, z forward = +y
    up = matrix(one, zero, zero, zero, pitch.cos(), pitch.sin(), zero, -pitch.sin(), pitch.cos())
    tilt = matrix(roll.cos(), roll.sin(), zero, -roll.sin(), roll.cos(), zero, zero, zero, one)
    return tilt @ up @ axes @ about_z
