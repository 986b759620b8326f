"""What the networks are taught by: equations (3) to (5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Weighting:
    """How much more the few cells that hold something count than the many that do not. All zero: the paper's losses.

    A cell of a landmark's map has the weight 1 + ``landmark`` x its target, a cell on a limb 1 + ``limb`` in that limb's
    two channels. The background's map is never weighted.
    """

    landmark: float = 0.0
    limb: float = 0.0


def part_loss(found: torch.Tensor, wanted: torch.Tensor, weighting: Weighting = Weighting()) -> torch.Tensor:
    """Equation (3): the sum over the cells of (B, 18, h, w) of |H - H*|^2, mean over the batch."""
    weight = 1 + weighting.landmark * wanted
    weight = torch.cat([weight[:, :-1], torch.ones_like(wanted[:, -1:])], 1) if weighting.landmark else weight
    return (weight * (found - wanted).square()).sum() / len(found)


def limb_loss(found: torch.Tensor, wanted: torch.Tensor, weighting: Weighting = Weighting()) -> torch.Tensor:
    """Equation (4): the sum over the cells of (B, 32, h, w) of |V - V*|^2, mean over the batch."""
    on_limb = wanted.unflatten(1, (-1, 2)).abs().amax(2, keepdim=True).expand(-1, -1, 2, -1, -1).flatten(1, 2) > 0
    return ((1 + weighting.limb * on_limb) * (found - wanted).square()).sum() / len(found)


def pose_loss(
    stages: Sequence[tuple[torch.Tensor, torch.Tensor]],
    limbs: torch.Tensor,
    parts: torch.Tensor,
    weighting: Weighting = Weighting(),
) -> dict[str, torch.Tensor]:
    """Equation (5): both losses of every stage, against the same targets -> named terms, and their sum as ``"total"``.

    ``stages`` are a model's outputs, (limbs (B, 32, h, w), parts (B, 18, h, w)) each.
    """
    terms = {}
    for number, (found_limbs, found_parts) in enumerate(stages, 1):
        terms[f"limbs_{number}"] = limb_loss(found_limbs, limbs, weighting)
        terms[f"parts_{number}"] = part_loss(found_parts, parts, weighting)
    return terms | {"total": sum(terms.values())}
