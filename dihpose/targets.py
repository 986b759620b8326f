"""Training targets: part maps and limb fields from landmarks, equations (1) and (2) (section IV-C).

Cell c of a map with stride s is at the input position s (c + 0.5) - 0.5, in x and in y. Whole numbers are pixel centres.
"""

import math

import torch

from .skeleton import LIMBS

SIGMA = 7 * math.sqrt(2)  # input pixels; fitted to the outputs of the authors' networks, as LIMB_RADIUS is
LIMB_RADIUS = 8.0  # input pixels; a cell within this distance of the segment is on the limb


def cell_centres(height: int, width: int, stride: int) -> torch.Tensor:
    """Return the input positions (height, width, 2), x then y, of the cells of a map."""
    y, x = (stride * (torch.arange(n, dtype=torch.float32) + 0.5) - 0.5 for n in (height, width))
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)


def part_maps(landmarks: torch.Tensor, height: int, width: int, stride: int = 8, sigma: float = SIGMA) -> torch.Tensor:
    """Draw part maps: a Gaussian around each landmark, equation (1) (section IV-C).

    H(p) = exp(-|p - x|^2 / sigma^2) for each landmark x. Where people overlap, the map is their maximum; the paper leaves
    this open. The last channel is the background, 1 - the maximum over all landmarks.

    Args:
        landmarks: (..., P, 17, 2), input pixels, for P people; NaN for a missing landmark, which is not drawn.
        height: Rows of the map.
        width: Columns of the map.
        stride: Input pixels per cell.
        sigma: Input pixels.

    Returns:
        (..., 18, height, width), values 0 to 1.

    Example:
        >>> landmarks = torch.full((1, 17, 2), torch.nan)
        >>> landmarks[0, 0] = torch.tensor([11.5, 3.5])  # the neck, in the middle of cell (0, 1)
        >>> [round(value, 2) for value in part_maps(landmarks, height=1, width=3)[0, 0].tolist()]
        [0.52, 1.0, 0.52]
    """
    cells = cell_centres(height, width, stride).to(landmarks)
    distance2 = (cells - landmarks[..., None, None, :]).square().sum(-1)  # (..., P, 17, h, w)
    gaussians = torch.exp(-distance2 / sigma**2).nan_to_num(0.0)
    # One empty map more, so that an image without people has a maximum too.
    nobody = gaussians.new_zeros(*gaussians.shape[:-4], 1, *gaussians.shape[-3:])
    parts = torch.cat([gaussians, nobody], dim=-4).amax(-4)  # (..., 17, h, w)
    return torch.cat([parts, 1 - parts.amax(-3, keepdim=True)], dim=-3)


def limb_maps(
    landmarks: torch.Tensor, height: int, width: int, stride: int = 8, radius: float = LIMB_RADIUS
) -> torch.Tensor:
    """Draw limb fields: unit vectors along each limb, equation (2) (section IV-C).

    A cell is on a limb if it lies within ``radius`` of the segment between the limb's two landmarks. There the field is
    the unit vector from the first landmark to the second; elsewhere it is 0. Where limbs of several people cross, it is
    their mean; the paper leaves this open.

    Args:
        landmarks: (..., P, 17, 2), input pixels. A limb with a NaN landmark or without length is not drawn.
        height: Rows of the map.
        width: Columns of the map.
        stride: Input pixels per cell.
        radius: Input pixels.

    Returns:
        (..., 32, height, width); x and y of limb k in channels 2k and 2k + 1.

    Example:
        >>> landmarks = torch.full((1, 17, 2), torch.nan)
        >>> landmarks[0, :2] = torch.tensor([[3.5, 3.5], [27.5, 3.5]])  # limb 0, neck to head, points right
        >>> limb_maps(landmarks, height=1, width=6)[:2].tolist()
        [[[1.0, 1.0, 1.0, 1.0, 1.0, 0.0]], [[0.0, 0.0, 0.0, 0.0, 0.0, 0.0]]]
    """
    start, end = (landmarks[..., [limb[i] for limb in LIMBS], :] for i in (0, 1))  # (..., P, 16, 2)
    along = end - start
    length = along.norm(dim=-1, keepdim=True)
    unit = along / length  # NaN where the limb has no length
    offset = cell_centres(height, width, stride).to(landmarks) - start[..., None, None, :]  # (..., P, 16, h, w, 2)
    t = (offset * unit[..., None, None, :]).sum(-1).clamp(min=0).minimum(length[..., None])
    from_segment = offset - t[..., None] * unit[..., None, None, :]
    on_limb = from_segment.square().sum(-1) <= radius**2  # (..., P, 16, h, w); false for NaN
    field = torch.where(on_limb[..., None], unit[..., None, None, :], 0.0).sum(-5)  # (..., 16, h, w, 2)
    mean = field / on_limb.sum(-4).clamp(min=1)[..., None]
    return mean.movedim(-1, -3).flatten(-4, -3)


def make(
    landmarks: torch.Tensor, height: int, width: int, stride: int = 8, sigma: float = SIGMA, radius: float = LIMB_RADIUS
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw both training targets, in the order of a stage's output: equations (1) and (2) (section IV-C).

    Args:
        landmarks: (..., P, 17, 2), input pixels; NaN for a missing landmark.
        height: Rows of the map.
        width: Columns of the map.
        stride: Input pixels per cell.
        sigma: Of :func:`part_maps`.
        radius: Of :func:`limb_maps`.

    Returns:
        Limb fields (..., 32, height, width) and part maps (..., 18, height, width).

    Example:
        >>> limbs, parts = make(torch.rand(2, 3, 17, 2) * 80, height=10, width=12)  # 2 images, 3 people in each
        >>> tuple(limbs.shape), tuple(parts.shape)
        ((2, 32, 10, 12), (2, 18, 10, 12))
    """
    return (
        limb_maps(landmarks, height, width, stride, radius),
        part_maps(landmarks, height, width, stride, sigma),
    )
