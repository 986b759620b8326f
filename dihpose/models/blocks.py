"""Modules of the networks: convolution blocks, depthwise separable, fire and residual modules, heads (Figure 5)."""

import torch
from torch import nn


class ConvBlock(nn.Sequential):
    """Convolution from ``a`` to ``b`` channels with kernel ``k`` and padding ``k // 2``; batch norm and ReLU if asked for.

    MobileNet's convolutions before a batch norm have no bias (``bias=False``); the others keep it.
    """

    def __init__(self, a: int, b: int, k: int, stride=1, groups=1, bias=True, norm=True, relu=True):
        super().__init__(nn.Conv2d(a, b, k, stride, k // 2, groups=groups, bias=bias))
        if norm:
            self.append(nn.BatchNorm2d(b))
        if relu:
            self.append(nn.ReLU())


class DepthwiseSeparable(nn.Sequential):
    """MobileNet's module, Figure 5(c): a 3 x 3 convolution within each channel, then a 1 x 1 convolution."""

    def __init__(self, a: int, b: int, stride: int = 1):
        depthwise = ConvBlock(a, a, 3, stride, groups=a, bias=False)
        pointwise = ConvBlock(a, b, 1, bias=False)
        super().__init__(*depthwise, *pointwise)


class Fire(nn.Module):
    """SqueezeNet's module, Figure 5(b): 1 x 1 to ``squeeze`` channels, then 1 x 1 and 3 x 3 in parallel.

    The two outputs, of ``expand`` channels each, are concatenated.
    """

    def __init__(self, a: int, squeeze: int, expand: int):
        super().__init__()
        self.squeeze = ConvBlock(a, squeeze, 1)
        self.expand1 = ConvBlock(squeeze, expand, 1)
        self.expand3 = ConvBlock(squeeze, expand, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.squeeze(x)
        return torch.cat([self.expand1(x), self.expand3(x)], dim=1)


class Residual(nn.Module):
    """ReLU(BN(main(x) + shortcut(x))), Figure 5(a); ``main`` takes ``a`` channels to ``b``.

    The shortcut is the identity, or a 1 x 1 convolution if ``a`` and ``b`` differ.
    """

    def __init__(self, main: nn.Module, a: int, b: int):
        super().__init__()
        self.main = main
        self.shortcut = nn.Identity() if a == b else nn.Conv2d(a, b, 1)
        self.norm = nn.BatchNorm2d(b)
        self.relu = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.relu(self.norm(self.main(x) + self.shortcut(x)))


def plain(inputs: int, width: int, outputs: int, kernel: int, count: int, hidden: int) -> nn.Sequential:
    """A branch of ``count`` convolutions and a head (RPM, CPM)."""
    convs = [ConvBlock(inputs if i == 0 else width, width, kernel, norm=False) for i in range(count)]
    return nn.Sequential(*convs, *head(width, hidden, outputs))


def head(width: int, hidden: int, outputs: int) -> tuple[ConvBlock, ConvBlock]:
    """The two 1 x 1 convolutions at the end of every branch."""
    return ConvBlock(width, hidden, 1, norm=False), ConvBlock(hidden, outputs, 1, norm=False, relu=False)
