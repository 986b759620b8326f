"""Kinect 2 registered to its colour camera, time of flight: computed from its physics. For test sets.

Sources: Sarbolandi, Lefloch and Kolb, Kinect range sensing, CVIU 2015; Fankhauser et al., Kinect v2 for mobile robot
navigation, ICAR 2015.
"""

from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from . import fields
from .fields import Draws


@dataclass(frozen=True)
class RegisteredKinect2:
    """Kinect 2 for test sets: every image has the same sensor, and surfaces of random infrared albedo (0 to 1).

    Attributes:
        baseline: From the depth camera to the colour camera at its right, which gives the view, metres.
        reach: A white surface that faces the camera returns just enough light at this depth, metres.
        noise: Standard deviation on a white surface at 1 m, metres; it is divided by the amplitude elsewhere.
        vignette: Share of the light that is lost in the corners.
        mixing: A pixel is dropped if depths in its footprint spread by more than this share of the depth.
        flicker: Standard deviation of the amplitude, share of the least amplitude with a reading.
        clothes: Range of the albedo; two kinds per image.
        hair: Range of the albedo.
        room: Range of the albedo; three kinds per image.
        nearest: Least depth, metres.
        cutout: Probability that all pixels except the people's are removed.

    Example:
        >>> RegisteredKinect2(baseline=0.0).reach  # not registered
        14.0
    """

    baseline: float = 0.052
    reach: float = 14.0
    noise: float = 0.00015
    vignette: float = 0.7
    mixing: float = 0.04
    flicker: float = 0.25
    clothes: tuple[float, float] = (0.15, 0.9)
    hair: tuple[float, float] = (0.02, 0.4)
    room: tuple[float, float] = (0.06, 0.9)
    nearest: float = 0.5
    cutout: float = 0.0


def measured(z, focal, draw: Draws, config: RegisteredKinect2, heads, people):
    """Measured depth and lost pixels, (B, H, W) each. The steps (Sarbolandi et al.; Fankhauser et al.):

    1. Amplitude = albedo x cosine of incidence / depth squared x vignette.
    2. Mixed pixels: the average over 2 x 2 pixels, weighted by amplitude; lost if their depths differ too much.
    3. Lost: too little amplitude. Noise: inversely proportional to the amplitude.
    4. Registration: the depth camera's pixels are warped into the given view, and back. Pixels that do not return are
       lost, which gives shadows and cracks. Landmarks stay where they are, to half a pixel.
    """
    patches = [draw.smooth(pixels) for pixels in (40, 18)]

    def albedo(kinds: tuple[float, float]) -> torch.Tensor:
        """Draw an albedo per image, uniform in its logarithm."""
        return torch.exp(draw.per_image(*torch.tensor(kinds).log().tolist()))

    surface = torch.where(patches[0] > 0.5, albedo(config.room), albedo(config.room))
    surface = torch.where(patches[1] > 1.5, albedo(config.room), surface)
    if people is not None:
        worn = torch.where(patches[1] > 0, albedo(config.clothes), albedo(config.clothes))
        surface = torch.where(people, worn, surface)
    if heads is not None:
        surface = torch.where(fields.from_heads(heads, z.shape) < 1, albedo(config.hair), surface)
    amplitude = surface * fields.cosine(z, focal) / z.square() * (1 - config.vignette / 2 * fields.from_centre(z))

    step = max(1, round(z.shape[2] / 444))  # a footprint is about a pixel of the real sensor's 512
    corner = pad(torch.stack([amplitude, amplitude * z, amplitude * z * z]), (0, step, 0, step), mode="replicate")
    height, width = z.shape[1:]
    total = sum(corner[..., i : i + height, j : j + width] for i in (0, step) for j in (0, step)) / 4
    mean = total[1] / total[0]
    spread = (total[2] / total[0] - mean.square()).clamp(min=0).sqrt()
    noise = draw.normal()
    lost = total[0] * config.reach**2 < 1 + config.flicker * noise.flip(2)
    lost |= spread > config.mixing * mean
    measured = mean + config.noise / total[0] * noise

    margin = width // 4  # columns beside the image
    view = fields.warped(z, fields.columns(z) + config.baseline * focal / z, margin)
    back = fields.warped(view, fields.columns(view) - config.baseline * focal / view, 0)[..., margin:-margin]
    return measured, lost | ~((back - z).abs() < fields.edge_step(z))
