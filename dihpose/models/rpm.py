"""RPM: the pose machine with residual modules (section IV-B1)."""

from torch import nn

from . import blocks
from .blocks import ConvBlock, Residual


def branch(first: bool, inputs: int, width: int, outputs: int) -> nn.Sequential:
    return blocks.plain(inputs, width, outputs, kernel=3 if first else 7, count=3 if first else 5, hidden=width)


def residual_block(a: int, b: int) -> Residual:
    """Residual module of two 3 x 3 convolutions."""
    return Residual(nn.Sequential(*ConvBlock(a, b, 3), *ConvBlock(b, b, 3, relu=False)), a, b)


def features(width: int) -> nn.Sequential:
    """RPM's extractor (Figure 4(a)): a 7 x 7 convolution, three residual modules, three average poolings."""
    return nn.Sequential(
        ConvBlock(1, 128, 7),
        nn.AvgPool2d(2),
        residual_block(128, width),
        residual_block(width, width),
        nn.AvgPool2d(2),
        residual_block(width, width),
        nn.AvgPool2d(2),
        ConvBlock(width, width, 1, norm=False, relu=False),
    )
