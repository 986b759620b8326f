"""SPM: the pose machine with SqueezeNet's fire modules (section IV-B2)."""

from torch import nn

from . import blocks
from .blocks import ConvBlock, Fire, Residual


def branch(first: bool, inputs: int, width: int, outputs: int) -> nn.Sequential:
    fires = [Fire(inputs if i == 0 else width, 3 * width // 4, width // 2) for i in range(5)]
    return nn.Sequential(*fires, *blocks.head(width, width, outputs))


def residual_fire(a: int, squeeze: int, expand: int) -> Residual:
    return Residual(Fire(a, squeeze, expand), a, 2 * expand)


def flat_features(width: int) -> nn.Sequential:
    """SPM's extractor with 64 channels (Figure 4(b)): it fits the parameters of SPM-2S and SPM-3S in Table I."""
    return nn.Sequential(
        ConvBlock(1, 64, 7),
        nn.AvgPool2d(2),
        Fire(64, 16, 32),
        residual_fire(64, 16, 32),
        Fire(64, 16, 32),
        nn.AvgPool2d(2),
        residual_fire(64, 16, 32),
        Fire(64, 16, 32),
        residual_fire(64, 16, 32),
        Fire(64, 16, 32),
        nn.AvgPool2d(2),
        ConvBlock(64, width, 1),
    )


def wide_features(width: int) -> nn.Sequential:
    """SPM's extractor with up to 192 channels: it fits the parameters of SPM-1S and SPM-4S in Table I."""
    return nn.Sequential(
        ConvBlock(1, 64, 7),
        nn.AvgPool2d(2),
        Fire(64, 8, 32),
        residual_fire(64, 8, 32),
        Fire(64, 8, 32),
        nn.AvgPool2d(2),
        residual_fire(64, 16, 64),
        Fire(128, 16, 64),
        residual_fire(128, 16, 64),
        Fire(128, 16, 64),
        nn.AvgPool2d(2),
        ConvBlock(128, 192, 1),
        ConvBlock(192, width, 1),
    )
