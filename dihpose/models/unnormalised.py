"""A start for networks without batch norm, which from torch's own start learn nothing in a small budget."""

import torch
from torch import nn

from .blocks import ConvBlock

LEAST = 1e-5  # of a variance, as batch norm's


@torch.no_grad()
def start(model: nn.Module, depth: torch.Tensor) -> None:
    """Scale and shift, in place, every convolution that a ReLU follows, so that for this batch (B, 1, H, W) each of its
    channels has mean 0 and variance 1: what batch norm would do in the first step, and after it nothing any more.

    Data-dependent initialisation of Krähenbühl et al. (ICLR 2016, section 3.1). It is for networks that have no batch norm
    anywhere (a CPM).
    """

    def scaled(conv: nn.Conv2d, _, out: torch.Tensor) -> torch.Tensor:
        variance, mean = torch.var_mean(out, (0, 2, 3), correction=0)
        scale = (variance + LEAST).rsqrt()
        conv.weight *= scale[:, None, None, None]
        conv.bias.sub_(mean).mul_(scale)
        return (out - mean[:, None, None]) * scale[:, None, None]  # so that one pass is enough

    blocks = (m for m in model.modules() if isinstance(m, ConvBlock) and isinstance(m[-1], nn.ReLU))
    hooks = [block[0].register_forward_hook(scaled) for block in blocks]
    try:
        model(depth)
    finally:
        for hook in hooks:
            hook.remove()


def needs(model: nn.Module) -> bool:
    """Whether a network has no batch norm anywhere."""
    return not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
