"""Kinect 1 and Xtion: structured light, one infrared camera that matches the dots of a projector beside it.

Sources: Khoshelham and Elberink, Accuracy and resolution of Kinect depth data, Sensors 2012; Nguyen, Izadi and Lovell,
Modeling Kinect sensor noise, 3DIMPVT 2012; Barron and Malik, Intrinsic scene properties from a single RGB-D image, CVPR
2013; Handa et al., A benchmark for RGB-D visual odometry, ICRA 2014.
"""

from dataclasses import dataclass

import torch

from . import fields
from .fields import Draws


@dataclass(frozen=True)
class StructuredLight:
    """Kinect 1 and Xtion. Each strength is a maximum; every image draws its own value below it. 0 turns an effect off.

    Attributes:
        baseline: From the camera to the projector at its right, metres.
        noise: Axial noise, as a multiple of Nguyen et al.'s.
        levels: Steps of disparity per pixel of an image 640 pixels wide; 0: no steps.
        jag: Standard deviation of the ragged edges, pixels.
        shadow: No reading where the projector's light is blocked.
        grazing: Loss on slanted surfaces; at 2 it begins at half the slant.
        dark: Share of the surface, dark or shiny, that is lost in patches.
        edge_loss: Share of the far side's pixels that is lost at depth edges.
        hair: Probability that the hair of a head returns no light.
        nearest: Least depth, metres (an Xtion's is 0.8).
        range_limit: The range of an image ends between these depths, metres.
        band: Width of the empty band at the right edge, pixels (8 of 640).
        border: Width of the empty margins in half of the images, share of the image width.
        cutout: Probability that all pixels except the people's are removed.

    Example:
        >>> StructuredLight(nearest=0.8).levels  # an Xtion
        8
    """

    baseline: float = 0.075
    noise: float = 1.0
    levels: int = 8
    jag: float = 0.8
    shadow: bool = True
    grazing: float = 1.0
    dark: float = 0.12
    edge_loss: float = 0.8
    hair: float = 0.35
    nearest: float = 0.5
    range_limit: tuple[float, float] = (6.0, 12.0)
    band: float = 2.8
    border: float = 0.07
    cutout: float = 0.0


def measured(z, focal, draw: Draws, config: StructuredLight, heads, people):
    """Measured depth and lost pixels, (B, H, W) each. The errors, in this order:

    1. Edges are ragged, because matching windows cross them (Barron and Malik; Handa et al.).
    2. Lost: slanted, far and dark surfaces (no match), the far side of edges, the projector's shadow left of near
       surfaces, hair, and the band and the margins of raw Kinect 1 frames.
    3. Axial noise (Nguyen et al.) in blobs as broad as the matching windows.
    4. Disparity in steps of 1/8 pixel of 640 (Khoshelham and Elberink).
    """
    coarse, medium, fine = draw.coarse, draw.medium, draw.fine
    texture = (medium + fine) / 2**0.5
    z = fields.jagged(z, draw.per_image(0.3, 1) * config.jag * draw.scale, fine.flip(1), fine.flip(2))

    weak = 4 * z / draw.per_image(*config.range_limit) - 3
    if config.grazing:
        weak = torch.maximum(weak, fields.slant(z, focal) * (config.grazing / draw.per_image(3, 9)))
    lost = texture > 4.5 * (1 - weak)
    edge = z - fields.local_minimum(z, max(1, round(draw.scale))) > fields.edge_step(z)
    lost |= edge & (texture.flip(2) > fields.upper_quantile(draw.per_image(0, config.edge_loss)))
    if config.dark:
        patches = (coarse + texture.flip(1)) / 2**0.5
        lost |= patches > fields.upper_quantile(config.dark * draw.per_image().square())
    if config.shadow:
        lost |= fields.occluded(z, config.baseline * focal)
    if heads is not None and config.hair:
        lost |= fields.hair(heads, draw, config.hair)
    from_right = z.shape[2] - 1 - fields.columns(z)
    lost |= from_right < round(config.band * draw.scale)
    if config.border:
        lost |= fields.margins(z, draw, config.border)

    sigma = draw.per_image(0.3, 1) * config.noise * (0.0012 + 0.0019 * (z - 0.4).square())
    scale = config.baseline * focal * 640 / z.shape[2]
    return fields.quantised(z, sigma * draw.smooth(3), scale, config.levels), lost
