"""Random fields and image operations that the sensor models share.

Depth ``z`` is (B, H, W) in metres. Numbers per image are (B, 1, 1). A *strength* is focal length x baseline: divided by
a depth it gives the disparity in pixels.
"""

from functools import reduce
from math import inf

import torch
from torch.nn.functional import pad

from .. import random

REFERENCE = 222  # lengths in pixels are for an image of this width
FAR = 20.0  # metres; stands for "nothing there", and no sensor reads that far


class Draws:
    """Random numbers for a batch: per image, per pixel, and as smooth fields with three sizes of blobs.

    Drawing a field is slow, so the sensors use mirrored copies of a field as further fields.
    """

    def __init__(self, shape: tuple[int, int, int], generator: torch.Generator):
        self.shape, self.generator = tuple(shape), generator
        self.scale = shape[2] / REFERENCE
        self.coarse, self.medium, self.fine = (self.smooth(pixels) for pixels in (32, 10, 3))

    def per_image(self, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        """Draw a uniform number for each image (B, 1, 1)."""
        return random.uniform(self.generator, (self.shape[0], 1, 1), low, high)

    def flag(self, probability: float) -> torch.Tensor:
        """Draw true or false for each image (B, 1, 1)."""
        return random.chance(self.generator, (self.shape[0], 1, 1), probability)

    def smooth(self, pixels: float) -> torch.Tensor:
        """Draw a field (B, H, W) of blobs of about this size, variance 1."""
        # Bilinear interpolation leaves 4/9 of the variance.
        return random.smooth(self.generator, self.shape, max(2, round(pixels * self.scale))).mul_(1.5)

    def per_pixel(self) -> torch.Tensor:
        """Draw a uniform number for each pixel (B, H, W), above 0 and up to 1, so a probability of 0 never happens."""
        return random.uniform(self.generator, self.shape).neg_().add_(1)

    def normal(self) -> torch.Tensor:
        """Draw a standard normal number for each pixel (B, H, W)."""
        return random.normal(self.generator, self.shape)


def upper_quantile(share: torch.Tensor) -> torch.Tensor:
    """Return the value that this share of standard normal numbers exceeds."""
    return 2**0.5 * torch.erfinv(1 - 2 * share)


def columns(z: torch.Tensor) -> torch.Tensor:
    """Return the columns' numbers (W,)."""
    return torch.arange(z.shape[2], device=z.device, dtype=z.dtype)


def from_centre(z: torch.Tensor) -> torch.Tensor:
    """Return the squared distance from the image's centre (H, W): 1 at the middles of the sides, 2 in the corners."""
    y, x = (torch.linspace(-1, 1, n, device=z.device) for n in z.shape[1:])
    return y[:, None].square() + x.square()


# --- Surfaces and edges ------------------------------------------------------------------------------------------------


def edge_step(z: torch.Tensor) -> torch.Tensor:
    """Return the depth step, metres, beyond which a pixel and its neighbour lie on two sides of a depth edge."""
    return 0.05 + 0.03 * z


def local_minimum(z: torch.Tensor, reach: int) -> torch.Tensor:
    """Return the minimum over a square of pixels, ``reach`` to each side."""
    for dim in (1, 2):
        before, z, n = z, z.clone(), z.shape[dim]
        for k in range(1, reach + 1):
            for start, other in ((k, 0), (0, k)):
                z.narrow(dim, start, n - k).clamp_(max=before.narrow(dim, other, n - k))
    return z


def slant(z: torch.Tensor, focal: torch.Tensor) -> torch.Tensor:
    """Return the tangent of the surface's slant against the ray (B, H, W); 0 on the image's border.

    Of the two neighbours in a direction the one with the smaller step counts, because a depth edge is no slope.
    """
    across, down = z.diff(dim=2).abs_()[:, 1:-1], z.diff(dim=1).abs_()[..., 1:-1]
    across = torch.minimum(across[..., 1:], across[..., :-1])
    down = torch.minimum(down[:, 1:], down[:, :-1])
    return pad(torch.maximum(across, down).div_(z[:, 1:-1, 1:-1]).mul_(focal), (1, 1, 1, 1))


def cosine(z: torch.Tensor, focal: torch.Tensor) -> torch.Tensor:
    """Return the cosine of the angle between the ray and the surface's normal (B, H, W).

    It is computed from inverse depth, which is linear on planes.
    """
    q = 1 / z
    ahead = [q.diff(dim=dim, append=q.narrow(dim, -1, 1)) for dim in (2, 1)]
    behind = [q.diff(dim=dim, prepend=q.narrow(dim, 0, 1)) for dim in (2, 1)]
    qx, qy = (torch.where(a.abs() < b.abs(), a, b) * focal for a, b in zip(ahead, behind, strict=True))
    y, x = ((torch.arange(n, device=z.device) - (n - 1) / 2) for n in z.shape[1:])
    x, y = x / focal, y[:, None] / focal
    normal = (qx.square() + qy.square() + (q - qx * x - qy * y).square()).sqrt()
    return q / (normal * (1 + x.square() + y.square()).sqrt())


def multipath(z: torch.Tensor, edge: torch.Tensor, most: torch.Tensor, reach: int, gain: float = 3.0) -> torch.Tensor:
    """Return how much too far concave corners are measured, because light is reflected between their sides.

    Inverse depth is linear on planes. A pixel that lies deeper than the line between its neighbours, ``reach`` pixels
    away, is in a corner. Nothing is added within ``reach`` of a depth edge or of the border.

    Args:
        z: Depth (B, H, W), metres.
        edge: True on depth edges (B, H, W).
        most: Maximum to add (B, 1, 1), metres.
        reach: Distance to the neighbours, pixels.
        gain: How strongly a corner's depth is exaggerated.

    Returns:
        Metres to add (B, H, W).
    """
    inverse, hollow = 1 / z, torch.zeros_like(z)
    for dim in (1, 2):
        n = z.shape[dim] - 2 * reach
        before, here, after = (inverse.narrow(dim, k * reach, n) for k in range(3))
        hollow.narrow(dim, reach, n).add_((before + after).sub_(here, alpha=2).sub_(1e-6).clamp_(min=0))
    hollow.mul_(z).mul_(z).mul_(gain / 2)
    smooth = local_minimum((~edge).to(torch.uint8), reach)
    return torch.minimum(hollow, most).mul_(smooth)


def jagged(z: torch.Tensor, reach: torch.Tensor, across: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """Read the depth at displaced pixels, which makes edges ragged.

    The displacement is ``reach`` (B, 1, 1), pixels, times the noise ``across`` and ``down`` (B, H, W).
    """
    height, width = z.shape[1:]
    x = (columns(z) + reach * across).round().clamp(0, width - 1)
    y = (torch.arange(height, device=z.device)[:, None] + reach * down).round().clamp(0, height - 1)
    return z.flatten(1).gather(1, (y * width + x).long().flatten(1)).view_as(z)


# --- Two views ---------------------------------------------------------------------------------------------------------


def shadowed(z: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """Return where a nearer pixel of the same row is shifted over a pixel, if each is shifted by its disparity.

    The disparity is ``strength`` (B, 1, 1) / z, pixels; a negative strength shifts to the left.
    """
    right = strength >= 0
    ahead = (strength.abs() / torch.where(right, z, z.flip(2))).add_(columns(z))
    lost = ahead.cummax(2).values > ahead.add_(0.5)
    return torch.where(right, lost, lost.flip(2))


def occluded(z: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """Return where a nearer surface blocks the view from a second camera at the right (disparity ``strength`` / z)."""
    margin = z.shape[2] // 4
    column = columns(z) - strength / z
    left = column.floor()
    # Every pixel is warped two columns wide, so that surfaces that are wider in the second view have no gaps.
    cells = torch.minimum(warped(z, left, margin), warped(z, left + 1, margin))
    return z > cells.gather(2, _cell(column, cells, margin)) + edge_step(z)


def warped(z: torch.Tensor, column: torch.Tensor, margin: int) -> torch.Tensor:
    """Move each depth to another column -> (B, H, W + 2 margin): the nearest wins, infinity where none arrives."""
    cells = z.new_full((*z.shape[:2], z.shape[2] + 2 * margin), inf)
    return cells.scatter_reduce(2, _cell(column, cells, margin), z, "amin")


def _cell(column: torch.Tensor, cells: torch.Tensor, margin: int) -> torch.Tensor:
    return (column + (margin + 0.5)).floor().clamp(0, cells.shape[2] - 1).long()


def quantised(z: torch.Tensor, noise: torch.Tensor, strength: torch.Tensor, levels: int) -> torch.Tensor:
    """Add axial noise (metres) and round the disparity ``strength`` / z to ``levels`` steps per pixel (0: no steps)."""
    if not levels:
        return z + noise
    disparity = strength / z * (1 - noise / z)
    return strength / ((levels * disparity).round() / levels)


# --- People and borders ------------------------------------------------------------------------------------------------


def from_heads(heads: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Return the squared distance to the nearest head (B, H, W), in radii of that head; very large without heads.

    ``heads`` (B, P, 3) are x, y and radius in pixels, NaN for nobody; ``shape`` is (B, H, W).
    """
    y, x = (torch.arange(n, device=heads.device) for n in shape[1:])
    cx, cy, radius = heads.nan_to_num(1e6)[..., None].unbind(2)
    radius = torch.where(heads[..., 2:] > 0, radius, 1e-6)
    down, across = (((at - centre) / radius).square() for at, centre in ((y, cy), (x, cx)))
    return reduce(torch.minimum, [down[:, p, :, None] + across[:, p, None] for p in range(heads.shape[1])])


def hair(heads: torch.Tensor, draw: Draws, probability: float) -> torch.Tensor:
    """Draw ragged blobs (B, H, W) around heads (B, P, 3); each head has one with this probability."""
    shape = heads.shape[:2]
    reach = random.uniform(draw.generator, shape, 0.3, 1.0) * random.chance(draw.generator, shape, probability)
    blobs = torch.cat([heads[..., :2], (heads[..., 2] * reach)[..., None]], -1)
    return from_heads(blobs, draw.shape) < (0.5 * draw.fine).add_(1).clamp_(0, 4)


def background(people: torch.Tensor, draw: Draws, probability: float) -> torch.Tensor:
    """Return all pixels except people with slightly ragged edges, in images drawn with this probability."""
    inner = local_minimum(people.to(torch.uint8), max(1, round(draw.scale))).bool()
    return draw.flag(probability) & ~(inner | (people & (draw.fine > -0.5)))


def margins(z: torch.Tensor, draw: Draws, widest: float) -> torch.Tensor:
    """Draw empty margins for half of the images, each side its own, up to ``widest``, a share of the width."""
    y, x = (torch.arange(n, device=z.device) for n in z.shape[1:])
    sides = (x, x.flip(0), y[:, None], y.flip(0)[:, None])
    present = draw.flag(0.5) * widest * z.shape[2]
    return reduce(torch.logical_or, [side < (draw.per_image() * present).floor() for side in sides])
