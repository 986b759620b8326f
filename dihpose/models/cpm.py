"""CPM: the baseline with VGG-19 features (Cao et al., CVPR 2017; section VII-D1)."""

from torch import nn

from . import blocks
from .blocks import ConvBlock


def branch(first: bool, inputs: int, width: int, outputs: int) -> nn.Sequential:
    return blocks.plain(
        inputs, width, outputs, kernel=3 if first else 7, count=3 if first else 5, hidden=512 if first else width
    )


class RepeatChannels(nn.Module):
    """Repeat a one-channel depth image for a network that expects three colours (section VII-D1)."""

    def forward(self, depth):
        return depth.expand(-1, 3, -1, -1)


def features(width: int) -> nn.Sequential:
    """CPM's extractor: the first ten convolutions of VGG-19, and two that reduce 512 channels to ``width``.

    :func:`dihpose.training.start.from_imagenet` gives the ten their ImageNet weights, as in the paper.
    """

    def conv(a, b):
        return ConvBlock(a, b, 3, norm=False)

    return nn.Sequential(
        RepeatChannels(),
        *(conv(3, 64), conv(64, 64), nn.MaxPool2d(2)),
        *(conv(64, 128), conv(128, 128), nn.MaxPool2d(2)),
        *(conv(128, 256), conv(256, 256), conv(256, 256), conv(256, 256), nn.MaxPool2d(2)),
        *(conv(256, 512), conv(512, 512)),
        *(conv(512, 256), conv(256, width)),
    )
