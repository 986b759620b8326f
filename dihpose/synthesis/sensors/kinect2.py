"""Kinect 2, time of flight: its errors by their appearance, with wide ranges. For training.

Sources: Sarbolandi, Lefloch and Kolb, Kinect range sensing, CVIU 2015; Fankhauser et al., Kinect v2 for mobile robot
navigation, ICAR 2015; Wasenmueller and Stricker, Comparison of Kinect v1 and v2 depth images, ACCV workshops 2016; and
recorded frames.
"""

from dataclasses import dataclass
from math import inf

import torch

from . import fields
from .fields import Draws


@dataclass(frozen=True)
class Kinect2:
    """Kinect 2 for training. Each strength is a maximum; every image draws its own value below it. 0 turns an effect off.

    Attributes:
        noise: Standard deviation at 1 m, metres; it grows with the square of the depth.
        vignette: Share of the light that is lost at the middles of the sides; twice as much in the corners.
        edge_loss: Share of the far side's pixels that is lost at depth edges (mixed returns).
        flying: Share of the edge pixels that measure something between both surfaces.
        shadow: Distance from the depth camera to the camera it is registered to, metres: gives a one-sided shadow.
        grazing: Loss on slanted surfaces; at 2 it begins at half the slant.
        multipath: How much too far concave corners are measured, metres.
        range_limit: The range of an image ends between these depths, metres.
        nearest: Least depth, metres.
        dark: Share of the surface that returns too little light, in patches.
        holes: Share of the surface that is lost in blobs, from single pixels to a palm's size; also on people.
        background_loss: Probability that much of the background is lost.
        cutout: Probability that all pixels except the people's are removed, as background subtraction does.
        hair: Probability that the hair of a head returns no light.
        cracks: Probability of lines without readings, one pixel wide, as registration leaves them.
        speckle: Share of single pixels that is lost.

    Example:
        >>> Kinect2(cutout=0.0, hair=0.0).range_limit  # two effects off
        (4.0, 11.0)
    """

    noise: float = 0.002
    vignette: float = 0.5
    edge_loss: float = 0.9
    flying: float = 0.15
    shadow: float = 0.15
    grazing: float = 1.0
    multipath: float = 0.04
    range_limit: tuple[float, float] = (4.0, 11.0)
    nearest: float = 0.5
    dark: float = 0.10
    holes: float = 0.03
    background_loss: float = 0.5
    cutout: float = 0.08
    hair: float = 0.35
    cracks: float = 0.4
    speckle: float = 0.02


def measured(z, focal, draw: Draws, config: Kinect2, heads, people):
    """Measured depth and lost pixels, (B, H, W) each. The errors, in this order:

    1. Lost: depth edges, slanted surfaces, the shadow, holes, cracks, hair.
    2. Lost for want of light: far or dark surfaces, parts of the background, single pixels (speckle).
    3. Flying pixels at edges and multipath in corners.
    4. Noise, which grows with the square of the depth and where little light returns (Fankhauser et al.).

    One uniform number per pixel decides on several losses, so their probabilities are not added: the greatest counts.
    """
    u, coarse, medium, fine = draw.per_pixel(), draw.coarse, draw.medium, draw.fine
    texture = (medium + 0.5 * fine).div_(1.12)

    jump = z - fields.local_minimum(z, max(1, round(draw.scale)))
    edge = jump > fields.edge_step(z)
    lost = edge & (u < draw.per_image(min(0.1, config.edge_loss), config.edge_loss))
    if config.grazing:
        lost |= (fields.slant(z, focal) > draw.per_image(4, 14) / config.grazing) & (u < 0.7)
    if config.shadow:
        lost |= fields.shadowed(z, draw.per_image(-config.shadow, config.shadow) * draw.flag(0.6) * focal)
    if config.holes:
        mix = draw.per_image()
        blobs = (mix * fine).add_((1 - mix) * medium.flip(1))
        threshold = fields.upper_quantile(config.holes * draw.per_image().square())
        lost |= blobs > threshold * torch.hypot(mix, 1 - mix)
    if config.cracks:
        # The phase counts registration's shifts; where it steps, registration may skip a column.
        phase = (draw.per_image(0.3, 1.2) * 0.05 * focal / z).add_(coarse.flip(1), alpha=0.6).floor_()
        crack = (phase[..., 1:] != phase[..., :-1]) & (texture.flip(2)[..., 1:] > draw.per_image(-0.5, 1.5))
        lost[..., 1:] |= crack & draw.flag(config.cracks)
    if heads is not None and config.hair:
        lost |= fields.hair(heads, draw, config.hair)

    light = 1 + fields.from_centre(z) * draw.per_image(0, config.vignette)
    weak = (1 + 0.12 * coarse).mul_(z * light).mul_(25 / draw.per_image(*config.range_limit)).sub_(25)  # a logit
    if config.dark:
        threshold = fields.upper_quantile(config.dark * draw.per_image().square())
        weak = torch.maximum(weak, (texture.flip(1) - threshold).mul_(8))
    if config.background_loss:
        start = torch.where(draw.flag(config.background_loss), draw.per_image(-1.5, 1.5), inf)
        gone = (coarse.flip(2) + 0.6 * texture).sub_(start).mul_(draw.per_image(2, 12))
        weak = torch.maximum(weak, gone if people is None else gone.masked_fill_(people, -inf))
    weak = weak.sigmoid_()
    lost |= u < torch.maximum(weak, draw.per_image(0, config.speckle))

    flies = edge & (u > 1 - draw.per_image(0, config.flying))
    measured = z - jump.mul_(flies).mul_(u.flip(2))
    if config.multipath:
        measured += fields.multipath(z, edge, draw.per_image(0, config.multipath), round(5 * draw.scale))
    sigma = weak.square_().mul_(15).add_(1).mul_(light).mul_(z).mul_(z)
    sigma.mul_((0.05 + 0.95 * draw.per_image().square()) * config.noise)
    return measured.addcmul_(sigma, draw.normal()), lost
