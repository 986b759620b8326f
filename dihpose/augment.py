"""Augmentation as in section VII-A: rotation, crop, pixels set to zero, people fused with another background."""

from dataclasses import replace

import torch

from .sample import Sample
from .synthesis.random import chance, uniform


def inside(landmarks: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Which landmarks (..., 2) lie on an image of this size: nearest to one of its pixels. False for NaN."""
    x, y = landmarks.unbind(-1)
    return (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)


def drop_pixels(depth: torch.Tensor, people: torch.Tensor, generator: torch.Generator, share: float) -> torch.Tensor:
    """Set ``share`` of the pixels of people (B, H, W), bool, to zero."""
    return torch.where(people & chance(generator, depth.shape, share), 0.0, depth)


def fuse(bodies: torch.Tensor, people: torch.Tensor, background: torch.Tensor, margin: float) -> torch.Tensor:
    """Put the bodies' pixels before a background, all (B, H, W), metres, with at least ``margin`` between them.

    Where the background comes closer than that to the people anywhere, one constant is added to all of it, as in section
    VII-A1. Its pixels without a reading stay so.
    """
    gap = torch.where(people & (background > 0), background - bodies, torch.inf).flatten(1).amin(1)
    constant = (margin - gap).clamp(min=0)[:, None, None]
    moved = torch.where(background > 0, background + constant, 0.0)
    return torch.where(people, bodies, moved)


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


def median3(depth: torch.Tensor) -> torch.Tensor:
    """The median of the 3 x 3 pixels about each, (B, H, W): what the authors do before inference.

    Columns of three are sorted once for all windows they are in; the median of nine is that of the largest of the least, the
    median of the medians and the least of the largest.
    """
    padded = torch.nn.functional.pad(depth[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    low, middle, high = _sorted(padded[:, :-2], padded[:, 1:-1], padded[:, 2:])

    def across(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return _sorted(rows[..., :-2], rows[..., 1:-1], rows[..., 2:])

    return _sorted(across(low)[2], across(middle)[1], across(high)[0])[1]


def _sorted(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The least, the median and the largest of three, at each place."""
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    return torch.minimum(low, c), torch.maximum(low, torch.minimum(high, c)), torch.maximum(high, c)
