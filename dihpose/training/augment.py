"""Augmentation as in section VII-A: rotation, crop, pixels set to zero, people fused with another background."""

from dataclasses import replace

import torch

from ..sample import Sample
from ..synthesis.random import chance, uniform


def random_view(
    sample: Sample,
    generator: torch.Generator,
    size: int,
    degrees: float = 20.0,
    rotate: float = 0.8,
    crop: float = 0.9,
) -> Sample:
    """Rotate by up to ``degrees`` with the chance ``rotate``; cut out size x size pixels with the chance ``crop``, else
    squeeze the whole image into them (our choice: the paper does not say what happens to the tenth that is not cropped).
    """
    count, height, width = sample.depth.shape
    angle = torch.deg2rad(uniform(generator, (count,), -degrees, degrees)) * chance(generator, (count,), rotate)
    cropped = chance(generator, (count,), crop)[:, None]
    frame = torch.tensor([width, height], device=sample.depth.device)
    scale = torch.where(cropped, 1.0, frame / size)  # input pixels per output pixel
    slack = ((frame - size) / 2).clamp(min=0)
    centre = (frame - 1) / 2 + torch.where(cropped, uniform(generator, (count, 2), -1, 1) * slack, 0.0)
    return view(sample, angle, scale, centre, size)


def view(sample: Sample, angle: torch.Tensor, scale: torch.Tensor, centre: torch.Tensor, size: int) -> Sample:
    """The images seen through a window: size x size pixels about ``centre`` (B, 2), turned by ``angle`` (B,), radians,
    ``scale`` (B, 2) input pixels to each of its own. Depth is read at the nearest pixel: a mean of two surfaces would be
    a third one. Beyond the image there is no reading.
    """
    count, height, width = sample.depth.shape
    c, s = angle.cos(), angle.sin()
    turn = torch.stack([c, -s, s, c], -1).unflatten(-1, (2, 2))  # (B, 2, 2)
    middle = (size - 1) / 2
    steps = torch.arange(size, device=angle.device) - middle
    window = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).view(1, -1, 2) * scale[:, None]
    source = (window @ turn.mT + centre[:, None]).round().long()  # (B, size * size, 2)
    x, y = source.unbind(-1)
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    at = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)

    def read(image: torch.Tensor) -> torch.Tensor:
        return torch.where(within, image.flatten(1).gather(1, at), 0).view(count, size, size)

    flat = sample.landmarks.flatten(1, 2) - centre[:, None]
    landmarks = ((flat @ turn) / scale[:, None] + middle).view(sample.landmarks.shape)
    return replace(sample, depth=read(sample.depth), people=read(sample.people), landmarks=landmarks)
