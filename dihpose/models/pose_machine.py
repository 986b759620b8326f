"""The pose machine of Figure 3: a feature extractor and a cascade of stages (section IV-A)."""

from collections.abc import Callable

import torch
from torch import nn

from ..skeleton import N_FIELDS, N_PARTS


class Stage(nn.Module):
    """Two branches with the same input (B, inputs, h, w): limb fields (B, 32, h, w) and part maps (B, 18, h, w)."""

    def __init__(self, branch: Callable[..., nn.Module], first: bool, inputs: int, width: int):
        super().__init__()
        self.limbs = branch(first, inputs, width, N_FIELDS)
        self.parts = branch(first, inputs, width, N_PARTS)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.limbs(x), self.parts(x)


class PoseMachine(nn.Module):
    """Feature extractor and cascade of stages, stride 8 (section IV-A). The input of a stage: the features, and the maps
    of the stage before.

    ``features(width)`` builds the extractor; ``branch(first, inputs, width, outputs)`` builds a branch of a stage.
    """

    stride = 8

    def __init__(self, features: Callable[[int], nn.Module], branch: Callable[..., nn.Module], stages: int, width: int):
        super().__init__()
        self.features = features(width)
        self.stages = nn.ModuleList(
            Stage(branch, s == 0, width if s == 0 else width + N_FIELDS + N_PARTS, width) for s in range(stages)
        )

    def forward(self, depth: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Normalised depth (B, 1, H, W) -> for each stage, limbs (B, 32, h, w) and parts (B, 18, h, w); the last is best.

        h and w are about H / 8 and W / 8; cell c is at the input position 8 (c + 0.5) - 0.5.
        """
        return self.cascade(self.features(depth))

    def cascade(self, features: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Features (B, width, h, w) -> what :meth:`forward` returns."""
        outputs, x = [], features
        for stage in self.stages:
            limbs, parts = stage(x)
            outputs.append((limbs, parts))
            x = torch.cat([limbs, parts, features], dim=1)
        return outputs
