"""What the networks are taught: equations (1) and (2), from landmarks to maps.

Cell c of a stride-s map stands for the input position s (c + 0.5) - 0.5, in x and in y; whole numbers are pixel centres.
"""

import math

import torch

from .skeleton import LIMBS

SIGMA = 7 * math.sqrt(2)  # input pixels; fitted to the outputs of the authors' networks, as is the next
LIMB_RADIUS = 8.0  # input pixels from the segment's line within which a cell lies on the limb


def cell_centres(height: int, width: int, stride: int) -> torch.Tensor:
    """Input positions (height, width, 2), x then y, of the cells of a (height, width) map."""
    y, x = (stride * (torch.arange(n, dtype=torch.float32) + 0.5) - 0.5 for n in (height, width))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def part_maps(landmarks: torch.Tensor, height: int, width: int, stride: int = 8, sigma: float = SIGMA) -> torch.Tensor:
    """Equation (1): landmarks (..., P, 17, 2) of P people -> part maps (..., 18, height, width).

    H(p) = exp(-|p - x|^2 / sigma^2) around each landmark x, in input pixels; the maximum over people (our choice: the
    paper does not say how people combine). The last channel is the background, 1 - max over landmarks. A landmark that
    is NaN is missing and leaves no trace.
    """
    cells = cell_centres(height, width, stride).to(landmarks)
    distance2 = (cells - landmarks[..., None, None, :]).square().sum(-1)
    gaussians = torch.exp(-distance2 / sigma**2).nan_to_num(0.0)
    # Nobody stands beside the people, so that an empty scene has a maximum too.
    nobody = gaussians.new_zeros(*gaussians.shape[:-4], 1, *gaussians.shape[-3:])
    parts = torch.cat([gaussians, nobody], dim=-4).amax(-4)
    return torch.cat([parts, 1 - parts.amax(-3, keepdim=True)], dim=-3)


def limb_maps(
    landmarks: torch.Tensor, height: int, width: int, stride: int = 8, radius: float = LIMB_RADIUS
) -> torch.Tensor:
    """Equation (2): landmarks (..., P, 17, 2) -> limb fields (..., 32, height, width), x and y of limb k at 2k, 2k + 1.

    On a limb, that is within ``radius`` input pixels of the segment between its two landmarks, the field is the unit
    vector from the first to the second; elsewhere 0. Where limbs of several people cross it is their mean (our choice).
    A limb with a missing (NaN) landmark, or of no length, leaves no trace.
    """
    start, end = (landmarks[..., [limb[i] for limb in LIMBS], :] for i in (0, 1))
    along = end - start
    length = along.norm(dim=-1, keepdim=True)
    unit = along / length  # NaN where the limb has no length
    offset = cell_centres(height, width, stride).to(landmarks) - start[..., None, None, :]  # (..., P, 16, h, w, 2)
    t = (offset * unit[..., None, None, :]).sum(-1).clamp(min=0).minimum(length[..., None])
    from_segment = offset - t[..., None] * unit[..., None, None, :]
    on_limb = from_segment.square().sum(-1) <= radius**2  # false for NaN
    field = torch.where(on_limb[..., None], unit[..., None, None, :], 0.0).sum(-5)
    mean = field / on_limb.sum(-4).clamp(min=1)[..., None]
    return mean.movedim(-1, -3).flatten(-4, -3)


def make(
    landmarks: torch.Tensor, height: int, width: int, stride: int = 8, sigma: float = SIGMA, radius: float = LIMB_RADIUS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both targets in the order of a stage's output: limbs (..., 32, height, width), parts (..., 18, height, width)."""
    return (
        limb_maps(landmarks, height, width, stride, radius),
        part_maps(landmarks, height, width, stride, sigma),
    )
