"""Kinect 2 registered to its colour camera, by its physics: for test sets."""

from dataclasses import dataclass

import torch
from torch.nn.functional import pad

from . import fields
from .fields import Draws


@dataclass(frozen=True)
class RegisteredKinect2:
    """Time of flight, by its physics: every image the same sensor, before surfaces of random infrared albedo."""

    baseline: float = 0.052  # from the depth camera to the colour camera at its right, whose view is given, metres
    reach: float = 14.0  # where a white surface that faces the camera returns just enough light, metres
    noise: float = 0.00015  # standard deviation on that surface at 1 m, metres; one over the amplitude elsewhere
    vignette: float = 0.7  # light lost in the corners, share
    mixing: float = 0.04  # spread within a pixel's footprint beyond which it is dropped, share of the range
    flicker: float = 0.25  # standard deviation of the amplitude's noise, share of the least that is enough
    clothes: tuple[float, float] = (0.15, 0.9)  # albedo, from - to; two kinds per image
    hair: tuple[float, float] = (0.02, 0.4)  # albedo, from - to
    room: tuple[float, float] = (0.06, 0.9)  # albedo, from - to; three kinds per image
    nearest: float = 0.5  # nearer than this is not read, metres
    cutout: float = 0.0  # chance that everything but the people is removed


def measured(z, focal, draw: Draws, config: RegisteredKinect2, heads, people):
    """Amplitude, noise, mixed pixels and registration computed, not drawn (Sarbolandi et al.; Fankhauser et al.).

    Amplitude: albedo x cosine of incidence / range squared x vignette. What two by two pixels see is averaged by
    amplitude; where it differs too much it is dropped. Registration throws the depth camera's pixels into the given
    view, so that shadows and cracks come of the geometry, and landmarks stay where they are (to half a pixel).
    """
    patches = [draw.smooth(pixels) for pixels in (40, 18)]

    def albedo(kinds: tuple[float, float]) -> torch.Tensor:
        return torch.exp(draw.image(*torch.tensor(kinds).log().tolist()))

    surface = torch.where(patches[0] > 0.5, albedo(config.room), albedo(config.room))
    surface = torch.where(patches[1] > 1.5, albedo(config.room), surface)
    if people is not None:
        worn = torch.where(patches[1] > 0, albedo(config.clothes), albedo(config.clothes))
        surface = torch.where(people, worn, surface)
    if heads is not None:
        surface = torch.where(fields.discs(heads, z.shape) < 1, albedo(config.hair), surface)
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

    margin = width // 4  # of columns beside the image
    view = fields.thrown(z, fields.columns(z) + config.baseline * focal / z, margin)
    back = fields.thrown(view, fields.columns(view) - config.baseline * focal / view, 0)[..., margin:-margin]
    return measured, lost | ~((back - z).abs() < fields.edge_step(z))
