"""Adversarial domain adaptation: gradient reversal, the domain classifier, the lambda schedule; equations (6) to (8)."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

GRID = 4  # cells to each side that the classifier's second pooling leaves, whatever the size of the image


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: torch.Tensor, strength: float) -> torch.Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.strength * gradient, None


def reverse(features: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """The gradient reversal layer: the identity, whose gradient is turned round and multiplied by ``strength``, the lambda
    of equation (8)."""
    return _Reversal.apply(features, strength)


class DomainClassifier(nn.Module):
    """G_d of Figure 6: features (B, width, h, w) -> the logit (B,) of being real.

    Average pooling, a 1 x 1 convolution, average pooling, two fully connected layers, as section V has it; the paper gives
    no widths, so 32 channels, 4 x 4 cells and 64 units are our choice. The sigmoid stands in the loss.
    """

    def __init__(self, width: int = 64, channels: int = 32, hidden: int = 64):
        super().__init__()
        self.convolution = nn.Conv2d(width, channels, 1)
        self.hidden = nn.Linear(channels * GRID**2, hidden)
        self.output = nn.Linear(hidden, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.convolution(F.avg_pool2d(features, 2, ceil_mode=True)))
        x = F.adaptive_avg_pool2d(x, GRID).flatten(1)
        return self.output(F.relu(self.hidden(x)))[:, 0]


def domain_loss(synthetic: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """-L_d of equation (6): the cross-entropy of logits (N,), (M,) of synthetic (0) and real (1) images, mean over both."""
    logits = torch.cat([synthetic, real])
    wanted = torch.cat([torch.zeros_like(synthetic), torch.ones_like(real)])
    return F.binary_cross_entropy_with_logits(logits, wanted)


def confusion(synthetic: torch.Tensor, real: torch.Tensor) -> float:
    """Table IV's confusion rate: how many of all images are taken for the other domain, from their logits.

    0 is perfect telling apart, 0.5 a coin's. The paper adds up "false positives and false negatives"; that their sum is
    divided by the number of images, as many of either domain, is our choice.
    """
    wrong = (synthetic > 0).sum() + (real <= 0).sum()
    return float(wrong) / (len(synthetic) + len(real))


def strength(progress: float, ceiling: float) -> float:
    """Lambda after the share ``progress`` of adaptation, 0 to 1: 2 L / (1 + exp(-10 p)) - L (section VII-F)."""
    return 2 * ceiling / (1 + math.exp(-10 * progress)) - ceiling


def ceiling(pose_loss: float) -> float:
    """The schedule's L for another loss than the paper's: the pose loss where adaptation begins, over ln 2.

    The paper sets L = 100 "so that the two losses are in the same range" for its own sums over cells. A classifier that
    knows nothing has the cross-entropy ln 2, so this L brings the two terms of equation (8) to one size at the start.
    """
    return pose_loss / math.log(2)


def selected(validations: Sequence[dict], criterion: str) -> dict:
    """Which of an adaptation's validations (rows with ``step``, ``loss``, ``confusion``) is kept, section VII-F1: that of
    least pose loss (``"min-loss"``) or of most confusion (``"max-confusion"``); the first of equals. The row of step 0,
    before any adaptation, does not take part."""
    rows = [row for row in validations if row["step"] > 0]
    return min(rows, key={"min-loss": lambda r: r["loss"], "max-confusion": lambda r: -r["confusion"]}[criterion])
