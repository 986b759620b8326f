"""Random fields and image operations that the sensor models share."""

from functools import reduce
from math import inf

import torch
from torch.nn.functional import pad

from .. import random

REFERENCE = 222  # pixels
FAR = 20.0  # metres: stands for nothing there, and no sensor reads that far


class Draws:
    """Random strengths of a batch's images and fields over their pixels; mirrored fields serve for other purposes."""

    def __init__(self, shape: tuple[int, int, int], generator: torch.Generator):
        self.shape, self.generator = tuple(shape), generator
        self.scale = shape[2] / REFERENCE
        self.coarse, self.medium, self.fine = (self.smooth(pixels) for pixels in (32, 10, 3))

    def image(self, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        return random.uniform(self.generator, (self.shape[0], 1, 1), low, high)

    def often(self, probability: float) -> torch.Tensor:
        return random.chance(self.generator, (self.shape[0], 1, 1), probability)

    def smooth(self, pixels: float) -> torch.Tensor:
        """Blobs about so large; bilinear interpolation leaves 4/9 of the variance, which is made 1 again."""
        return random.smooth(self.generator, self.shape, max(2, round(pixels * self.scale))).mul_(1.5)

    def pixels(self) -> torch.Tensor:
        """More than 0, and up to 1: nothing happens with a chance of 0."""
        return random.uniform(self.generator, self.shape).neg_().add_(1)

    def normal(self) -> torch.Tensor:
        return random.normal(self.generator, self.shape)


def edge_step(z: torch.Tensor) -> torch.Tensor:
    """How much farther than its neighbour a pixel must be to lie behind an edge, metres."""
    return 0.05 + 0.03 * z


def level(share: torch.Tensor) -> torch.Tensor:
    """What this share of standard normal numbers exceeds."""
    return 2**0.5 * torch.erfinv(1 - 2 * share)


def from_centre(z: torch.Tensor) -> torch.Tensor:
    """Squared distance from the image's centre (H, W), 1 at the middles of its sides, 2 in its corners."""
    y, x = (torch.linspace(-1, 1, n, device=z.device) for n in z.shape[1:])
    return y[:, None].square() + x.square()


def nearest_in(z: torch.Tensor, reach: int) -> torch.Tensor:
    """Least value among the pixels up to ``reach`` away along rows and columns."""
    for dim in (1, 2):
        before, z, n = z, z.clone(), z.shape[dim]
        for k in range(1, reach + 1):
            for start, other in ((k, 0), (0, k)):
                z.narrow(dim, start, n - k).clamp_(max=before.narrow(dim, other, n - k))
    return z


def slant(z: torch.Tensor, focal: torch.Tensor) -> torch.Tensor:
    """Tangent of the angle to the ray, of the smoother side's slope, as depth edges are no slopes; 0 on the border."""
    across, down = z.diff(dim=2).abs_()[:, 1:-1], z.diff(dim=1).abs_()[..., 1:-1]
    across = torch.minimum(across[..., 1:], across[..., :-1])
    down = torch.minimum(down[:, 1:], down[:, :-1])
    return pad(torch.maximum(across, down).div_(z[:, 1:-1, 1:-1]).mul_(focal), (1, 1, 1, 1))


def cosine(z: torch.Tensor, focal: torch.Tensor) -> torch.Tensor:
    """Cosine of the angle between the ray and the surface's normal; inverse depth is linear on planes."""
    q = 1 / z
    ahead = [q.diff(dim=dim, append=q.narrow(dim, -1, 1)) for dim in (2, 1)]
    behind = [q.diff(dim=dim, prepend=q.narrow(dim, 0, 1)) for dim in (2, 1)]
    qx, qy = (torch.where(a.abs() < b.abs(), a, b) * focal for a, b in zip(ahead, behind, strict=True))
    y, x = ((torch.arange(n, device=z.device) - (n - 1) / 2) for n in z.shape[1:])
    x, y = x / focal, y[:, None] / focal
    normal = (qx.square() + qy.square() + (q - qx * x - qy * y).square()).sqrt()
    return q / (normal * (1 + x.square() + y.square()).sqrt())


def multipath(z: torch.Tensor, edge: torch.Tensor, most: torch.Tensor, reach: int, gain: float = 3.0) -> torch.Tensor:
    """Metres that light reflected between the sides of a concave corner adds, up to ``most`` (B, 1, 1).

    Inverse depth is linear on planes: what lies deeper than the chord between both neighbours ``reach`` pixels away is
    a hollow. None within ``reach`` of a depth ``edge`` (B, H, W), nor of the border.
    """
    inverse, hollow = 1 / z, torch.zeros_like(z)
    for dim in (1, 2):
        n = z.shape[dim] - 2 * reach
        before, here, after = (inverse.narrow(dim, k * reach, n) for k in range(3))
        hollow.narrow(dim, reach, n).add_((before + after).sub_(here, alpha=2).sub_(1e-6).clamp_(min=0))
    hollow.mul_(z).mul_(z).mul_(gain / 2)
    smooth = nearest_in((~edge).to(torch.uint8), reach)
    return torch.minimum(hollow, most).mul_(smooth)


def overtaken(z: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """True where disparity (``strength`` (B, 1, 1) / z, pixels) pushes something nearer over a pixel along its row."""
    right = strength >= 0
    ahead = (strength.abs() / torch.where(right, z, z.flip(2))).add_(columns(z))
    lost = ahead.cummax(2).values > ahead.add_(0.5)
    return torch.where(right, lost, lost.flip(2))


def discs(heads: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    """Squared distance from the nearest head's centre (B, H, W) in that head's radii; infinity where nobody is."""
    y, x = (torch.arange(n, device=heads.device) for n in shape[1:])
    cx, cy, radius = heads.nan_to_num(1e6)[..., None].unbind(2)
    radius = torch.where(heads[..., 2:] > 0, radius, 1e-6)
    down, across = (((at - centre) / radius).square() for at, centre in ((y, cy), (x, cx)))
    return reduce(torch.minimum, [down[:, p, :, None] + across[:, p, None] for p in range(heads.shape[1])])


def hair(heads: torch.Tensor, draw: Draws, probability: float) -> torch.Tensor:
    """Ragged blobs (B, H, W) about heads (B, P, 3)."""
    shape = heads.shape[:2]
    reach = random.uniform(draw.generator, shape, 0.3, 1.0) * random.chance(draw.generator, shape, probability)
    blobs = torch.cat([heads[..., :2], (heads[..., 2] * reach)[..., None]], -1)
    return discs(blobs, draw.shape) < (0.5 * draw.fine).add_(1).clamp_(0, 4)


def outside(people: torch.Tensor, draw: Draws, probability: float) -> torch.Tensor:
    """All but slightly ragged people, in images where the background is subtracted."""
    inner = nearest_in(people.to(torch.uint8), max(1, round(draw.scale))).bool()
    return draw.often(probability) & ~(inner | (people & (draw.fine > -0.5)))


def margins(z: torch.Tensor, draw: Draws, widest: float) -> torch.Tensor:
    """Empty borders in half of the images, each side its own, up to this share of the width."""
    y, x = (torch.arange(n, device=z.device) for n in z.shape[1:])
    sides = (x, x.flip(0), y[:, None], y.flip(0)[:, None])
    present = draw.often(0.5) * widest * z.shape[2]
    return reduce(torch.logical_or, [side < (draw.image() * present).floor() for side in sides])


def columns(z: torch.Tensor) -> torch.Tensor:
    return torch.arange(z.shape[2], device=z.device, dtype=z.dtype)


def thrown(z: torch.Tensor, column: torch.Tensor, margin: int) -> torch.Tensor:
    """Z-buffer (B, H, W + 2 margin): the least depth thrown into each column, infinity where none is."""
    cells = z.new_full((*z.shape[:2], z.shape[2] + 2 * margin), inf)
    return cells.scatter_reduce(2, _cell(column, cells, margin), z, "amin")


def _cell(column: torch.Tensor, cells: torch.Tensor, margin: int) -> torch.Tensor:
    return (column + (margin + 0.5)).floor().clamp(0, cells.shape[2] - 1).long()


def hidden(z: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
    """True where, seen from a place at the right (disparity ``strength`` / z), a nearer surface stands before a pixel.

    Pixels are thrown as wide as two, so that a surface that spreads in that view has no gaps.
    """
    margin = z.shape[2] // 4
    column = columns(z) - strength / z
    left = column.floor()
    cells = torch.minimum(thrown(z, left, margin), thrown(z, left + 1, margin))
    return z > cells.gather(2, _cell(column, cells, margin)) + edge_step(z)


def jagged(z: torch.Tensor, reach: torch.Tensor, across: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """Depth looked up ``reach`` (B, 1, 1) pixels aside, times smooth noise."""
    height, width = z.shape[1:]
    x = (columns(z) + reach * across).round().clamp(0, width - 1)
    y = (torch.arange(height, device=z.device)[:, None] + reach * down).round().clamp(0, height - 1)
    return z.flatten(1).gather(1, (y * width + x).long().flatten(1)).view_as(z)


def by_disparity(z: torch.Tensor, noise: torch.Tensor, strength: torch.Tensor, levels: int) -> torch.Tensor:
    """Depth out of a disparity ``strength`` / z pixels in ``levels`` steps each, with axial noise in metres."""
    if not levels:
        return z + noise
    disparity = strength / z * (1 - noise / z)
    return strength / ((levels * disparity).round() / levels)
