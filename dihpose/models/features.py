"""Feature extractors G(I) of Figure 4: depth (B, 1, H, W) -> features F (B, width, H / 8, W / 8)."""

from torch import nn

from .blocks import ConvBlock, DepthwiseSeparable, Fire, Residual


def residual_block(a: int, b: int) -> Residual:
    """RPM's residual module: two 3 x 3 convolutions."""
    return Residual(nn.Sequential(*ConvBlock(a, b, 3), *ConvBlock(b, b, 3, relu=False)), a, b)


def residual_fire(a: int, squeeze: int, expand: int) -> Residual:
    return Residual(Fire(a, squeeze, expand), a, 2 * expand)


def residual_depthwise(a: int) -> Residual:
    return Residual(DepthwiseSeparable(a, a), a, a)


def rpm_features(width: int) -> nn.Sequential:
    """Residual pose machine, section IV-B1: one wide 7 x 7, three residual modules, three average poolings."""
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


def spm_flat_features(width: int) -> nn.Sequential:
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


def spm_wide_features(width: int) -> nn.Sequential:
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


def mpm_features(width: int) -> nn.Sequential:
    """MobileNet pose machine, section IV-B3: strided convolutions in place of pooling (Figure 4's asterisks)."""
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


class RepeatChannels(nn.Module):
    """Shows a one-channel depth image to a network made for colour (section VII-D1)."""

    def forward(self, depth):
        return depth.expand(-1, 3, -1, -1)


def vgg_features(width: int) -> nn.Sequential:
    """The CPM baseline's extractor: VGG-19's first ten convolutions and two more that bring 512 channels to ``width``.

    :func:`dihpose.models.imagenet.start` gives the ten their weights from ImageNet, as in the paper.
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
