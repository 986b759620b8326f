"""What a Kinect 2 makes of a scene: a first model, coarse but with every kind of error that its frames show.

Works on a batch of exact depth images at any size; lengths in pixels are for an image ``REFERENCE`` pixels wide and
scale with it. Every image gets strengths of its own.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from . import random
from .random import chance, smooth, uniform

REFERENCE = 222  # pixels


@dataclass(frozen=True)
class Kinect2:
    """Upper ends of the strengths that images are given; 0 switches an effect off."""

    noise: float = 0.004  # standard deviation, metres at 1 m; grows with the square of the range
    edge_loss: float = 0.9  # share of the far side's pixels lost at a depth edge (mixed returns)
    flying: float = 0.15  # share of edge pixels that measure something in between
    shadow: float = 0.08  # metres between the depth camera and the one it is registered to: a one-sided band
    grazing: float = 1.0  # loss where a surface is seen at a slant
    range_limit: tuple[float, float] = (4.0, 11.0)  # metres, from - to
    dark: float = 0.10  # share of surface that returns too little light, in patches
    background_loss: float = 0.5  # chance that much of what is beyond the people is lost
    hair: float = 0.35  # chance that a head of hair returns nothing
    cracks: float = 0.4  # chance of thin lines without readings, which registration leaves on near surfaces
    speckle: float = 0.03  # share of single pixels lost


def kinect2(
    depth: torch.Tensor,
    focal: torch.Tensor,
    generator: torch.Generator,
    config: Kinect2 = Kinect2(),
    heads: torch.Tensor | None = None,
    people: torch.Tensor | None = None,
) -> torch.Tensor:
    """Exact depth (B, H, W), infinity where nothing is -> what the sensor reports, 0 where it has no reading.

    ``focal`` (B,), pixels, sets the width of shadow bands. ``heads`` (B, P, 3), NaN for nobody, are x, y and radius in
    pixels of what may be hair. ``people`` (B, H, W), true on people, keeps the loss of the background off them.
    """
    count, height, width = depth.shape
    shape, scale = (count, height, width), width / REFERENCE

    def per_image(low=0.0, high=1.0):
        return uniform(generator, (count, 1, 1), low, high)

    def cell(pixels: float) -> int:
        return max(2, round(pixels * scale))

    z = torch.where(depth.isfinite(), depth, 20.0)
    lost = ~depth.isfinite()

    near = -torch.nn.functional.max_pool2d(pad(-z[:, None], (1, 1, 1, 1), mode="replicate"), 3, stride=1)[:, 0]
    jump = z - near  # how far the nearest neighbour stands before this pixel
    edge = jump > 0.05 + 0.03 * z
    lost |= edge & (uniform(generator, shape) < per_image(min(0.1, config.edge_loss), config.edge_loss))
    between = edge & (uniform(generator, shape) < per_image(0, config.flying))
    measured = torch.where(between, near + jump * uniform(generator, shape), z)

    # Registered to a camera beside it, the sensor cannot see what a nearer surface hides from it: a band on one side.
    baseline = per_image(-config.shadow, config.shadow) * chance(generator, (count, 1, 1), 0.6)
    disparity = (baseline.abs() * focal[:, None, None]) / z
    reach = int(config.shadow * float(focal.max()) / 0.8) + 1
    for k in range(1, min(reach, cell(12)) + 1):
        before = torch.where(baseline > 0, pad(disparity, (k, 0))[..., :width], pad(disparity, (0, k))[..., k:])
        lost |= before - disparity > k - 0.5

    across, down = pad(z.diff(dim=2).abs(), (1, 0)), pad(z.diff(dim=1).abs(), (0, 0, 1, 0))
    slant = torch.maximum(across, down) * focal[:, None, None] / z  # tangent of the angle to the ray
    lost |= (slant > per_image(4, 14) / max(config.grazing, 1e-6)) & chance(generator, shape, 0.7)

    limit = per_image(*config.range_limit)
    limit = limit * (1 + 0.12 * smooth(generator, shape, cell(24)))
    yy, xx = (torch.linspace(-1, 1, n, device=z.device) for n in (height, width))
    vignette = per_image(0, 0.5) * (yy[:, None] ** 2 + xx**2)  # light falls off towards the corners
    faint = z * (1 + vignette) / limit
    lost |= uniform(generator, shape) < torch.sigmoid((faint - 1) * 25)

    patches = smooth(generator, shape, cell(14)) + 0.5 * smooth(generator, shape, cell(5))
    lost |= (patches > 2.6 - per_image(0, config.dark) * 12) & (config.dark > 0)
    behind = smooth(generator, shape, cell(40)) + 0.6 * smooth(generator, shape, cell(8))
    beyond = chance(generator, (count, 1, 1), config.background_loss) & (behind > per_image(-3.5, 1.5))
    lost |= beyond if people is None else beyond & ~people
    if heads is not None:
        lost |= _hair(heads, shape, generator, config.hair)

    lines = smooth(generator, shape, cell(30)).abs() < 0.012
    lost |= lines & chance(generator, (count, 1, 1), config.cracks)
    lost |= uniform(generator, shape) < per_image(0, config.speckle)

    sigma = per_image(0.1, 1) * config.noise * z.square()
    measured = measured + sigma * random.normal(generator, shape)
    return torch.where(lost, 0.0, measured).clamp(min=0)


def _hair(
    heads: torch.Tensor, shape: tuple[int, int, int], generator: torch.Generator, probability: float
) -> torch.Tensor:
    """Ragged blobs (B, H, W) about heads (B, P, 3) given as x, y, radius."""
    count, height, width = shape
    y, x = torch.meshgrid(*(torch.arange(n, device=heads.device) for n in (height, width)), indexing="ij")
    ragged = 1 + 0.5 * smooth(generator, shape, 4)
    out = torch.zeros(shape, dtype=torch.bool, device=heads.device)
    for p in range(heads.shape[1]):
        cx, cy, radius = (heads[:, p, i, None, None] for i in range(3))
        size = radius * uniform(generator, (count, 1, 1), 0.3, 1.0) * ragged
        near = (x - cx).square() + (y - cy).square() < size.clamp(min=0).square()
        out |= near & chance(generator, (count, 1, 1), probability)
    return out
