"""Kinect 1 and Xtion: structured light."""

from dataclasses import dataclass

import torch

from . import fields
from .fields import Draws


@dataclass(frozen=True)
class StructuredLight:
    """Kinect 1 and Xtion: upper ends of the strengths that images are given; 0 is off."""

    baseline: float = 0.075  # from the camera to the projector at its right, metres
    noise: float = 1.0  # times Nguyen et al.'s
    levels: int = 8  # steps of disparity in a pixel of 640; 0: any
    jag: float = 0.8  # standard deviation of the ragged course of edges, pixels
    shadow: bool = True  # no reading where the projector's light does not reach
    grazing: float = 1.0  # loss where a surface is seen at a slant: twice is twice as soon
    dark: float = 0.12  # share of surface, dark or shining, that is lost in patches
    edge_loss: float = 0.8  # share of the far side's pixels lost at a depth edge
    hair: float = 0.35  # chance that a head of hair returns nothing
    nearest: float = 0.5  # nearer than this is not read, metres; an Xtion's: 0.8
    range_limit: tuple[float, float] = (6.0, 12.0)  # where an image's range ends, from - to, metres
    band: float = 2.8  # width of the empty band at the right, pixels: 8 of 640
    border: float = 0.07  # empty margins that registration leaves in half of the images, share of the width
    cutout: float = 0.0  # chance that everything but the people is removed


def measured(z, focal, draw: Draws, config: StructuredLight, heads, people):
    """Disparity between a camera and a projector beside it, in steps of 1/8 pixel of 640 (Khoshelham and Elberink).

    Edges follow the matching windows (Barron and Malik; Handa et al.), axial noise is Nguyen et al.'s and as broad as
    those windows, and holes are windows that found no match: slanted, dark, far. The shadow lies at the left of nearer
    things, always, and the right edge of the image is empty, as in raw Kinect 1 frames.
    """
    coarse, medium, fine = draw.coarse, draw.medium, draw.fine
    texture = (medium + fine) / 2**0.5
    z = fields.jagged(z, draw.image(0.3, 1) * config.jag * draw.scale, fine.flip(1), fine.flip(2))

    weak = 4 * z / draw.image(*config.range_limit) - 3
    if config.grazing:
        weak = torch.maximum(weak, fields.slant(z, focal) * (config.grazing / draw.image(3, 9)))
    lost = texture > 4.5 * (1 - weak)
    edge = z - fields.nearest_in(z, max(1, round(draw.scale))) > fields.edge_step(z)
    lost |= edge & (texture.flip(2) > fields.level(draw.image(0, config.edge_loss)))
    if config.dark:
        lost |= (coarse + texture.flip(1)) / 2**0.5 > fields.level(config.dark * draw.image().square())
    if config.shadow:
        lost |= fields.hidden(z, config.baseline * focal)
    if heads is not None and config.hair:
        lost |= fields.hair(heads, draw, config.hair)
    from_right = z.shape[2] - 1 - fields.columns(z)
    lost |= from_right < round(config.band * draw.scale)
    if config.border:
        lost |= fields.margins(z, draw, config.border)

    sigma = draw.image(0.3, 1) * config.noise * (0.0012 + 0.0019 * (z - 0.4).square())
    return fields.by_disparity(
        z, sigma * draw.smooth(3), config.baseline * focal * 640 / z.shape[2], config.levels
    ), lost
