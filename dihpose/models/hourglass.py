"""The stacked hourglass of Table I, with added limb heads, so that people can be separated."""

import torch
from torch import nn
from torch.nn import functional as F

from ..skeleton import N_FIELDS, N_PARTS
from .blocks import ConvBlock, Residual

LEVELS = 4


def bottleneck(a: int, b: int) -> Residual:
    """Residual module of three convolutions, 1 x 1, 3 x 3, 1 x 1, with half of the channels between."""
    mid = a // 2
    main = nn.Sequential(*ConvBlock(a, mid, 1), *ConvBlock(mid, mid, 3), *ConvBlock(mid, b, 1, relu=False))
    return Residual(main, a, b)


def _three(a: int, b: int) -> nn.Sequential:
    return nn.Sequential(bottleneck(a, b), bottleneck(b, b), bottleneck(b, b))


class Hourglass(nn.Module):
    """One hourglass: LEVELS poolings down and up again, with a skip at each level; (B, 128, h, w) -> (B, 256, h, w)."""

    def __init__(self):
        super().__init__()
        self.down = nn.ModuleList(_three(128 if level == 0 else 256, 256) for level in range(LEVELS))
        self.skip = nn.ModuleList(_three(256, 256) for _ in range(LEVELS))
        self.bottom = _three(256, 256)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips = []
        for down, skip in zip(self.down, self.skip, strict=True):
            x = down(x)
            skips.append(skip(x))
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for skip in reversed(skips):
            x = skip + F.interpolate(x, size=skip.shape[-2:], mode="nearest")
        return x


class StackedHourglass(nn.Module):
    """``stacks`` hourglasses; each gets features and maps of the one before; stride 4.

    ``limbs=False`` leaves out the limb heads. This is the network whose parameters Table I counts (12.93 M); its limb
    maps have no channels.
    """

    stride = 4

    def __init__(self, stacks: int = 2, limbs: bool = True):
        super().__init__()
        outputs = {"limbs": N_FIELDS, "parts": N_PARTS} if limbs else {"parts": N_PARTS}
        self.front = nn.Sequential(
            ConvBlock(1, 64, 7, stride=2),
            nn.MaxPool2d(2),
            *(bottleneck(64, 64), bottleneck(64, 64), bottleneck(64, 128)),
        )
        self.stacks = nn.ModuleList(
            nn.ModuleDict(
                {
                    "hourglass": Hourglass(),
                    "neck": nn.Sequential(_three(256, 256), ConvBlock(256, 256, 1)),
                    "heads": nn.ModuleDict({name: nn.Conv2d(256, n, 1) for name, n in outputs.items()}),
                    # Back into the features. The last stack's are not used, but Table I counts them.
                    "from_neck": nn.Conv2d(256, 128, 1),
                    "from_maps": nn.ModuleDict({name: nn.Conv2d(n, 128, 1) for name, n in outputs.items()}),
                }
            )
            for _ in range(stacks)
        )

    def forward(self, depth: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Normalised depth (B, 1, H, W) -> for each stack, limbs (B, 32 or 0, h, w) and parts (B, 18, h, w)."""
        x = self.front(depth)
        outputs = []
        for stack in self.stacks:
            y = stack["neck"](stack["hourglass"](x))
            maps = {name: head(y) for name, head in stack["heads"].items()}
            outputs.append((maps.get("limbs", y[:, :0]), maps["parts"]))
            x = x + stack["from_neck"](y) + sum(stack["from_maps"][name](m) for name, m in maps.items())
        return outputs
