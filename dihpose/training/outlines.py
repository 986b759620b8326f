"""The paper's explanation of adaptation, tested: are domains told apart by outlines, or by holes? (section VII-F1)

The paper says that synthetic and real images differ in "the lack of data around external edges", so that a network that
confuses a domain classifier loses what shows a limb. Two tests. Saliency: on which pixels does the classifier's answer
depend? Equalised images: how well does a new classifier tell the domains apart when their holes, or their outlines, are
made the same?
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch
from torch.nn import functional as F

from ..sample import Sample

BAND = 2  # pixels on each side of an outline, and around a hole
JUMP = 0.1  # a depth edge: the farther of two neighbours is deeper than the nearer by more than this share
Masks = dict[str, torch.Tensor]


def wider(mask: torch.Tensor, by: int) -> torch.Tensor:
    """Grow a mask (B, H, W), bool, by so many pixels in all eight directions.

    Example:
        >>> wider(torch.tensor([[[False, False, True]]]), 1).tolist()
        [[[False, True, True]]]
    """
    return F.max_pool2d(mask[:, None].float(), 2 * by + 1, 1, by)[:, 0] > 0


def outlines(depth: torch.Tensor, people: torch.Tensor, band: int = BAND) -> torch.Tensor:
    """Pixels within ``band`` of an outline: of a person, or of a jump in depth.

    Args:
        depth: (B, H, W), metres; 0 for no reading. Pixels without a reading make no jump.
        people: (B, H, W), 0 or 1 + the index of a person; 0 everywhere if unknown.
        band: Pixels on each side of the outline, at least 1.

    Returns:
        bool (B, H, W).

    Example:
        >>> depth = torch.tensor([[[2.0, 2.0, 2.0, 2.0, 4.0, 4.0, 4.0]]])
        >>> outlines(depth, torch.zeros_like(depth), band=1).tolist()
        [[[False, False, False, True, True, False, False]]]
    """
    read = depth > 0
    farthest = F.max_pool2d(depth[:, None], 3, 1, 1)[:, 0]
    nearest = -F.max_pool2d(-torch.where(read, depth, torch.inf)[:, None], 3, 1, 1)[:, 0]
    edges = read & (farthest > (1 + JUMP) * nearest)  # one pixel on each side of a jump
    numbers = people[:, None].float()
    rims = F.max_pool2d(numbers, 3, 1, 1) != -F.max_pool2d(-numbers, 3, 1, 1)  # where two numbers meet
    return wider(edges | rims[:, 0], band - 1)


def areas(depth: torch.Tensor, people: torch.Tensor, band: int = BAND) -> Masks:
    """Divide images into five areas. Each pixel belongs to the first area of the list whose description fits.

    Args:
        depth: (B, H, W), metres; 0 for no reading.
        people: (B, H, W), 0 or 1 + the index of a person; 0 everywhere if unknown.
        band: Pixels around holes and on each side of outlines.

    Returns:
        bool (B, H, W) by name: ``holes`` (no reading), ``rims of holes``, ``outlines`` (of people and of depth edges),
        ``people`` (inside of their outlines), ``background``.

    Example:
        >>> depth = torch.tensor([[[2.0, 2.0, 2.0, 4.0, 4.0, 0.0]]])
        >>> people = torch.tensor([[[1, 1, 1, 0, 0, 0]]])
        >>> [int(mask.sum()) for mask in areas(depth, people, band=1).values()]
        [1, 1, 2, 2, 0]
    """
    holes = depth == 0
    wanted = {
        "holes": holes,
        "rims of holes": wider(holes, band),
        "outlines": outlines(depth, people, band),
        "people": people > 0,
        "background": torch.ones_like(holes),
    }
    found, left = {}, torch.ones_like(holes)
    for name, mask in wanted.items():
        found[name], left = left & mask, left & ~mask
    return found


def saliency(logit: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, batch: int = 10) -> torch.Tensor:
    """How much a classifier's answer depends on each pixel: the absolute gradient of its logit.

    Args:
        logit: Takes images (b, 1, H, W), returns logits (b,). Images must not influence each other's logits.
        images: (B, 1, H, W), as the network takes them.
        batch: Images per pass.

    Returns:
        (B, H, W), at least 0.

    Example:
        >>> saliency(lambda x: 3 * x[..., 0].sum((1, 2)), torch.zeros(1, 1, 1, 2)).tolist()
        [[[3.0, 0.0]]]
    """
    found = []
    for part in images.split(batch):
        given = part.detach().clone().requires_grad_()
        found.append(torch.autograd.grad(logit(given).float().sum(), given)[0].abs()[:, 0])
    return torch.cat(found)


def shares(weights: torch.Tensor, masks: Mapping[str, torch.Tensor]) -> list[dict]:
    """How saliency is shared among areas. Every image counts the same.

    Args:
        weights: Saliency (B, H, W), at least 0. An image whose saliency is 0 everywhere is left out.
        masks: The areas (:func:`areas`), bool (B, H, W) each.

    Returns:
        A row for each area: its name ``area``; the mean share of the ``saliency`` that lies in it; the mean share of the
        ``pixels`` that it has; ``ratio``, the first over the second (above 1: looked at more than its size explains; NaN for
        an empty area).

    Example:
        >>> half = torch.tensor([[[True, False]]])
        >>> shares(torch.tensor([[[3.0, 1.0]]]), {"left": half, "right": ~half})[0]
        {'area': 'left', 'saliency': 0.75, 'pixels': 0.5, 'ratio': 1.5}
    """
    seen = weights.flatten(1).sum(1) > 0
    weights = weights[seen] / weights[seen].sum((1, 2), keepdim=True)
    rows = []
    for name, mask in masks.items():
        inside = (weights * mask[seen]).sum((1, 2)).mean().item()
        pixels = mask[seen].float().mean().item()
        rows.append({"area": name, "saliency": inside, "pixels": pixels,
                     "ratio": inside / pixels if pixels else float("nan")})  # fmt: skip
    return rows


# --- Images that are made alike ---------------------------------------------------------------------------------------


def equal_holes(source: Sample, target: Sample) -> tuple[Sample, Sample]:
    """Give image i of either domain the holes of both images i, one pixel wider, so that the domains' holes are the same.

    The pixel covers what resizing leaves at the rim of a hole.

    Example:
        >>> none = torch.zeros(1, 1, 17, dtype=torch.bool)
        >>> def image(*values):
        ...     depth = torch.tensor([[values]])
        ...     return Sample(depth, torch.zeros(1, 1, 17, 2), none, none, torch.zeros(1, 1, len(values)).byte())
        >>> holed = equal_holes(image(0.0, 2.0, 2.0, 2.0, 2.0), image(3.0, 3.0, 3.0, 3.0, 0.0))
        >>> [sample.depth.tolist() for sample in holed]
        [[[[0.0, 0.0, 2.0, 0.0, 0.0]]], [[[0.0, 0.0, 3.0, 0.0, 0.0]]]]
    """
    holes = wider((source.depth == 0) | (target.depth == 0), 1)
    return _without(source, holes), _without(target, holes)


def blank_outlines(source: Sample, target: Sample, band: int = BAND + 1) -> tuple[Sample, Sample]:
    """Take the readings within ``band`` pixels of outlines out of the images of both domains."""
    return tuple(_without(one, outlines(one.depth, one.people, band)) for one in (source, target))


def blank_elsewhere(source: Sample, target: Sample, band: int = BAND + 1) -> tuple[Sample, Sample]:
    """The control of :func:`blank_outlines`: take out as many readings, along the outlines of the next image of the same
    domain, which are not where this image has its own."""
    return tuple(_without(one, outlines(one.depth, one.people, band).roll(1, 0)) for one in (source, target))


def blank_outlines_and_holes(source: Sample, target: Sample) -> tuple[Sample, Sample]:
    """Blank outlines, then make holes the same, those at outlines included."""
    return equal_holes(*blank_outlines(source, target))


EQUALISED: dict[str, Callable[[Sample, Sample], tuple[Sample, Sample]]] = {
    "holes equalised": equal_holes,
    "outlines blanked": blank_outlines,
    "as much blanked elsewhere": blank_elsewhere,
    "outlines blanked, holes equalised": blank_outlines_and_holes,
}


def _without(sample: Sample, mask: torch.Tensor) -> Sample:
    """A sample without the readings under a mask (B, H, W)."""
    return replace(sample, depth=torch.where(mask, 0.0, sample.depth))
