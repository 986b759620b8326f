"""MPM: the pose machine with MobileNet's depthwise separable modules (section IV-B3)."""

from torch import nn

from . import blocks
from .blocks import ConvBlock, DepthwiseSeparable, Residual


def branch(first: bool, inputs: int, width: int, outputs: int) -> nn.Sequential:
    separable = [DepthwiseSeparable(inputs if i == 0 else width, width) for i in range(5)]
    return nn.Sequential(*separable, *blocks.head(width, width, outputs))


def residual_depthwise(a: int) -> Residual:
    return Residual(DepthwiseSeparable(a, a), a, a)


def features(width: int) -> nn.Sequential:
    """MPM's extractor (Figure 4(c)): convolutions with stride 2 instead of pooling."""
    return nn.Sequential(
        ConvBlock(1, 32, 7, stride=2, bias=False),
        DepthwiseSeparable(32, 64),
        residual_depthwise(64),
        DepthwiseSeparable(64, 64, stride=2),
        residual_depthwise(64),
        DepthwiseSeparable(64, 64),
        residual_depthwise(64),
        DepthwiseSeparable(64, 64, stride=2),
        DepthwiseSeparable(64, width),
    )
