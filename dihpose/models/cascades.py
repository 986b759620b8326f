"""The branches of the prediction cascade, Figure 4: (B, inputs, h, w) -> (B, outputs, h, w).

A stage has two of them, one for limbs and one for parts. ``first`` tells the first stage, which sees the features alone;
later stages see the previous maps as well.
"""

from torch import nn

from .blocks import ConvBlock, DepthwiseSeparable, Fire


def _plain(inputs: int, width: int, outputs: int, kernel: int, count: int, hidden: int) -> nn.Sequential:
    convs = [ConvBlock(inputs if i == 0 else width, width, kernel, norm=False) for i in range(count)]
    return nn.Sequential(*convs, *_head(width, hidden, outputs))


def _head(width: int, hidden: int, outputs: int) -> tuple[ConvBlock, ConvBlock]:
    return ConvBlock(width, hidden, 1, norm=False), ConvBlock(hidden, outputs, 1, norm=False, relu=False)


def rpm_branch(first: bool, inputs: int, width: int, outputs: int) -> nn.Sequential:
    return _plain(inputs, width, outputs, kernel=3 if first else 7, count=3 if first else 5, hidden=width)


def cpm_branch(first: bool, inputs: int, width: int, outputs: int) -> nn.Sequential:
    return _plain(
        inputs, width, outputs, kernel=3 if first else 7, count=3 if first else 5, hidden=512 if first else width
    )


def spm_branch(first: bool, inputs: int, width: int, outputs: int) -> nn.Sequential:
    fires = [Fire(inputs if i == 0 else width, 3 * width // 4, width // 2) for i in range(5)]
    return nn.Sequential(*fires, *_head(width, width, outputs))


def mpm_branch(first: bool, inputs: int, width: int, outputs: int) -> nn.Sequential:
    separable = [DepthwiseSeparable(inputs if i == 0 else width, width) for i in range(5)]
    return nn.Sequential(*separable, *_head(width, width, outputs))
