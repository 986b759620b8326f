"""Kinect 2, time of flight, by its looks: for training."""

from dataclasses import dataclass
from math import inf

import torch

from . import fields
from .fields import Draws


@dataclass(frozen=True)
class Kinect2:
    """Time of flight, by its looks, for training: upper ends of the strengths that images are given; 0 is off."""

    noise: float = 0.002  # standard deviation at 1 m, metres; grows with the square of the range
    vignette: float = 0.5  # light lost at the middles of the sides, share; twice that in the corners
    edge_loss: float = 0.9  # share of the far side's pixels lost at a depth edge (mixed returns)
    flying: float = 0.15  # share of edge pixels that measure something in between
    shadow: float = 0.15  # between the depth camera and the one it is registered to, metres: a one-sided band
    grazing: float = 1.0  # loss where a surface is seen at a slant: twice is twice as soon
    multipath: float = 0.04  # the most that a concave corner is measured too far, metres
    range_limit: tuple[float, float] = (4.0, 11.0)  # where an image's range ends, from - to, metres
    nearest: float = 0.5  # nearer than this is not read, metres
    dark: float = 0.10  # share of surface that returns too little light, in patches
    holes: float = 0.03  # share of surface lost in blobs from pinholes to a palm's size, people included
    background_loss: float = 0.5  # chance that much of what is beyond the people is lost
    cutout: float = 0.08  # chance that everything but the people is removed, as background subtraction does
    hair: float = 0.35  # chance that a head of hair returns nothing
    cracks: float = 0.4  # chance of lines without readings, one pixel wide, which registration leaves
    speckle: float = 0.02  # share of single pixels lost


def measured(z, focal, draw: Draws, config: Kinect2, heads, people):
    """Phenomenological, with wide ranges: what Sarbolandi et al. and Wasenmueller and Stricker show, and frames do.

    Noise grows with the range (Fankhauser et al.) and where little light returns. One uniform number per pixel decides
    on all losses: the chances of several causes are not added, the greatest counts. Fields are used again mirrored.
    """
    u, coarse, medium, fine = draw.pixels(), draw.coarse, draw.medium, draw.fine
    texture = (medium + 0.5 * fine).div_(1.12)

    jump = z - fields.nearest_in(z, max(1, round(draw.scale)))
    edge = jump > fields.edge_step(z)
    lost = edge & (u < draw.image(min(0.1, config.edge_loss), config.edge_loss))
    if config.grazing:
        lost |= (fields.slant(z, focal) > draw.image(4, 14) / config.grazing) & (u < 0.7)
    if config.shadow:
        lost |= fields.overtaken(z, draw.image(-config.shadow, config.shadow) * draw.often(0.6) * focal)
    if config.holes:
        mix = draw.image()
        blobs = (mix * fine).add_((1 - mix) * medium.flip(1))
        lost |= blobs > fields.level(config.holes * draw.image().square()) * torch.hypot(mix, 1 - mix)
    if config.cracks:
        phase = (draw.image(0.3, 1.2) * 0.05 * focal / z).add_(coarse.flip(1), alpha=0.6).floor_()
        crack = (phase[..., 1:] != phase[..., :-1]) & (texture.flip(2)[..., 1:] > draw.image(-0.5, 1.5))
        lost[..., 1:] |= crack & draw.often(config.cracks)  # a column that registration skips
    if heads is not None and config.hair:
        lost |= fields.hair(heads, draw, config.hair)

    light = 1 + fields.from_centre(z) * draw.image(0, config.vignette)
    weak = (1 + 0.12 * coarse).mul_(z * light).mul_(25 / draw.image(*config.range_limit)).sub_(25)  # a logit
    if config.dark:
        weak = torch.maximum(weak, (texture.flip(1) - fields.level(config.dark * draw.image().square())).mul_(8))
    if config.background_loss:
        start = torch.where(draw.often(config.background_loss), draw.image(-1.5, 1.5), inf)
        gone = (coarse.flip(2) + 0.6 * texture).sub_(start).mul_(draw.image(2, 12))
        weak = torch.maximum(weak, gone if people is None else gone.masked_fill_(people, -inf))
    weak = weak.sigmoid_()
    lost |= u < torch.maximum(weak, draw.image(0, config.speckle))

    flies = edge & (u > 1 - draw.image(0, config.flying))
    measured = z - jump.mul_(flies).mul_(u.flip(2))
    if config.multipath:
        measured += fields.multipath(z, edge, draw.image(0, config.multipath), round(5 * draw.scale))
    sigma = (
        weak.square_()
        .mul_(15)
        .add_(1)
        .mul_(light)
        .mul_(z)
        .mul_(z)
        .mul_((0.05 + 0.95 * draw.image().square()) * config.noise)
    )
    return measured.addcmul_(sigma, draw.normal()), lost
