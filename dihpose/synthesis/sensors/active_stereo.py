"""RealSense D435: active stereo, two infrared cameras that match a projected texture.

Sources: Keselman et al., Intel RealSense stereoscopic depth cameras, CVPR workshops 2017; Ahn et al., Analysis and noise
modeling of the Intel RealSense D435, UR 2019; Grunnet-Jepsen et al., Best known methods for tuning Intel RealSense D400
depth cameras, Intel.
"""

from dataclasses import dataclass

import torch

from . import fields
from .fields import Draws


@dataclass(frozen=True)
class ActiveStereo:
    """RealSense D435. Each strength is a maximum; every image draws its own value below it. 0 turns an effect off.

    Attributes:
        baseline: From the left camera, which gives the image, to the right camera, metres.
        subpixel: Standard deviation of the disparity, pixels of an image 848 pixels wide.
        levels: Steps of disparity per pixel of 848; 0: no steps.
        fattening: How far near surfaces grow over far ones, pixels.
        smoothing: Probability that the spatial filter leaves only broad blobs of the noise.
        shadow: No reading where the right camera's view is blocked by a nearer surface.
        band: No reading at the left edge, which the right camera does not see.
        holes: Share of the surface that has no texture, lost in blobs.
        nearest: Least depth, metres.
        range_limit: The range of an image ends between these depths, metres.
        cutout: Probability that all pixels except the people's are removed.

    Example:
        >>> ActiveStereo(holes=0.0).baseline  # a room full of texture
        0.05
    """

    baseline: float = 0.05
    subpixel: float = 0.08
    levels: int = 32
    fattening: float = 1.5
    smoothing: float = 0.5
    shadow: bool = True
    band: bool = True
    holes: float = 0.12
    nearest: float = 0.28
    range_limit: tuple[float, float] = (5.0, 10.0)
    cutout: float = 0.0


def measured(z, focal, draw: Draws, config: ActiveStereo, heads, people):
    """Measured depth and lost pixels, (B, H, W) each. The errors, in this order:

    1. Near surfaces grow by half a matching window (Grunnet-Jepsen et al.).
    2. Lost: no texture, the end of the range, the left edge, and the shadow left of near surfaces (Grunnet-Jepsen et al.).
    3. Noise of the disparity, so sigma = z^2 subpixel / (f b), in blobs (Ahn et al.; Grunnet-Jepsen et al.).
    4. Disparity in steps of 1/32 pixel of 848 (Keselman et al.).
    """
    coarse, medium, fine = draw.coarse, draw.medium, draw.fine
    grown = fields.local_minimum(z, max(1, round(config.fattening * draw.scale))) if config.fattening else z
    z = torch.where(fine.flip(1) > draw.per_image(-2, 1), grown, z)

    faint = z / draw.per_image(*config.range_limit)
    field = (coarse + medium.flip(1)) / 2**0.5
    lost = (field > fields.upper_quantile(draw.per_image(0, config.holes))) | (medium.flip(2) > 8 * (1 - faint))
    if config.band:
        lost |= fields.columns(z) < config.baseline * focal / z
    if config.shadow:
        lost |= fields.occluded(z, config.baseline * focal)

    scale = config.baseline * focal * 848 / z.shape[2]
    share = draw.per_image() * ~draw.flag(config.smoothing)  # of the noise that is as fine as the matching windows
    blobs = (share * fine.flip(2) + (1 - share) * medium) / torch.hypot(share, 1 - share)
    sigma = draw.per_image(0.3, 1) * config.subpixel * z.square() / scale
    return fields.quantised(z, sigma * blobs, scale, config.levels), lost
