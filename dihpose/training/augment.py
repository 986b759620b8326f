"""Augmentation (section VII-A): random rotation and random crop of an image and its landmarks.

The other two augmentations, pixels set to zero and another background, are part of :mod:`dihpose.synthesis.recipes`.
"""

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
    """Rotate and crop every image at random (section VII-A).

    An image that is not cropped is resized to the size of the crop. This is our choice: the paper does not say what
    happens to the images (one of ten) that are not cropped.

    Args:
        sample: B images, (B, H, W).
        generator: Source of the random numbers, on the device of the sample.
        size: Height and width of the result, pixels.
        degrees: Largest rotation to either side.
        rotate: Probability that an image is rotated, 0 to 1.
        crop: Probability that an image is cropped, 0 to 1.

    Returns:
        The images, (B, size, size), with their landmarks in the new pixels.

    Example:
        >>> depth, landmarks = torch.ones(2, 60, 80), torch.full((2, 1, 17, 2), 30.0)
        >>> there = torch.ones(2, 1, 17, dtype=torch.bool)
        >>> sample = Sample(depth, landmarks, there, there, torch.zeros(2, 60, 80, dtype=torch.uint8))
        >>> random_view(sample, torch.Generator().manual_seed(0), 48).depth.shape
        torch.Size([2, 48, 48])
    """
    count, height, width = sample.depth.shape
    angle = torch.deg2rad(uniform(generator, (count,), -degrees, degrees)) * chance(generator, (count,), rotate)
    cropped = chance(generator, (count,), crop)[:, None]  # (B, 1)
    frame = torch.tensor([width, height], device=sample.depth.device)
    scale = torch.where(cropped, 1.0, frame / size)  # (B, 2), input pixels per output pixel
    slack = ((frame - size) / 2).clamp(min=0)
    centre = (frame - 1) / 2 + torch.where(cropped, uniform(generator, (count, 2), -1, 1) * slack, 0.0)  # (B, 2)
    return view(sample, angle, scale, centre, size)


def view(sample: Sample, angle: torch.Tensor, scale: torch.Tensor, centre: torch.Tensor, size: int) -> Sample:
    """Show every image through a rotated square window.

    Depth is taken from the nearest pixel, because a mean of two surfaces would be a surface that is not there. Pixels
    outside the image get depth 0.

    Args:
        sample: B images, (B, H, W).
        angle: Rotation of the window, (B,), radians.
        scale: Input pixels per output pixel along x and y, (B, 2).
        centre: Middle of the window in input pixels, x and y, (B, 2).
        size: Height and width of the window, output pixels.
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

    flat = sample.landmarks.flatten(1, 2) - centre[:, None]  # (B, P * 17, 2)
    landmarks = ((flat @ turn) / scale[:, None] + middle).view(sample.landmarks.shape)
    return replace(sample, depth=read(sample.depth), people=read(sample.people), landmarks=landmarks)
