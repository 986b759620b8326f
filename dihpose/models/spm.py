"""SPM: the pose machine of SqueezeNet's fire modules (section IV-B)."""

from torch import nn

from . import blocks
from .blocks import ConvBlock, Fire, Residual


def branch(first: bool, inputs: int, width: int, outputs: int) -> nn.Sequential:
    fires = [Fire(inputs if i == 0 else width, 3 * width // 4, width // 2) for i in range(5)]
    return nn.Sequential(*fires, *blocks.head(width, width, outputs))


def residual_fire(a: int, squeeze: int, expand: int) -> Residual:
    return Residual(Fire(a, squeeze, expand), a, 2 * expand)


def flat_features(width: int) -> nn.Sequential:
    """SqueezeNet pose machine, section IV-B2, as counted for Table I's SPM-2S and SPM-3S: 64 channels throughout."""
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
    """The other SqueezeNet extractor, as counted for Table I's SPM-1S and SPM-4S: it widens to 128 and 192 channels."""
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
