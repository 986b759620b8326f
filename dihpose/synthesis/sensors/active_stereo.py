"""RealSense D435: active stereo."""

from dataclasses import dataclass

import torch

from . import fields
from .fields import Draws


@dataclass(frozen=True)
class ActiveStereo:
    """RealSense D435: upper ends of the strengths that images are given; 0 is off."""

    baseline: float = 0.05  # from the left camera, whose view is given, to the right one, metres
    subpixel: float = 0.08  # standard deviation of disparity, pixels of 848
    levels: int = 32  # steps of disparity in a pixel of 848; 0: any
    fattening: float = 1.5  # how far nearer surfaces grow, pixels
    smoothing: float = 0.5  # chance that the spatial filter has left broad blobs of noise only
    shadow: bool = True  # no reading where the right camera does not see behind nearer things
    band: bool = True  # nor at the left edge, as far as the disparity
    holes: float = 0.12  # share of surface without texture, lost in blobs
    nearest: float = 0.28  # nearer than this is not read, metres
    range_limit: tuple[float, float] = (5.0, 10.0)  # where an image's range ends, from - to, metres
    cutout: float = 0.0  # chance that everything but the people is removed


def measured(z, focal, draw: Draws, config: ActiveStereo, heads, people):
    """Disparity between two cameras, in steps of 1/32 pixel of 848 (Keselman et al.).

    Axial noise z^2 x subpixel / (f b), in blobs (Ahn et al.; Grunnet-Jepsen et al.); nearer surfaces grow by the half of
    a matching window; nothing is matched where there is no texture, behind nearer things at their left, and at the left
    edge, which the right camera does not see, as far as the disparity (Grunnet-Jepsen et al.).
    """
    coarse, medium, fine = draw.coarse, draw.medium, draw.fine
    grown = fields.nearest_in(z, max(1, round(config.fattening * draw.scale))) if config.fattening else z
    z = torch.where(fine.flip(1) > draw.image(-2, 1), grown, z)

    faint = z / draw.image(*config.range_limit)
    field = (coarse + medium.flip(1)) / 2**0.5
    lost = (field > fields.level(draw.image(0, config.holes))) | (medium.flip(2) > 8 * (1 - faint))
    if config.band:
        lost |= fields.columns(z) < config.baseline * focal / z
    if config.shadow:
        lost |= fields.hidden(z, config.baseline * focal)

    scale = config.baseline * focal * 848 / z.shape[2]
    share = draw.image() * ~draw.often(config.smoothing)  # of the noise that is as fine as the windows
    blobs = (share * fine.flip(2) + (1 - share) * medium) / torch.hypot(share, 1 - share)
    sigma = draw.image(0.3, 1) * config.subpixel * z.square() / scale
    return fields.by_disparity(z, sigma * blobs, scale, config.levels), lost
