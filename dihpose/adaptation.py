"""Adversarial domain adaptation: gradient reversal, domain classifier, schedule of lambda; equations (6) to (8)."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

GRID = 4  # the classifier's second pooling leaves 4 x 4 cells, for an image of any size


class _Reversal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features: torch.Tensor, strength: float) -> torch.Tensor:
        ctx.strength = strength
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        return -ctx.strength * gradient, None


def reverse(features: torch.Tensor, strength: float = 1.0) -> torch.Tensor:
    """Gradient reversal layer: return the features; in the backward pass, multiply their gradient by -``strength``.

    So one optimiser step minimises the domain loss for the classifier, equation (7), and maximises it for the extractor,
    equation (8) (section V).

    Args:
        features: Any shape.
        strength: lambda of equation (8).

    Returns:
        The same values.

    Example:
        >>> features = torch.ones(3, requires_grad=True)
        >>> reverse(features, strength=0.5).sum().backward()
        >>> features.grad.tolist()
        [-0.5, -0.5, -0.5]
    """
    return _Reversal.apply(features, strength)


class DomainClassifier(nn.Module):
    """Domain classifier G_d of Figure 6 (section V): features (B, width, h, w) -> logits (B,), positive for real.

    Average pooling, a 1 x 1 convolution, average pooling, two fully connected layers. The paper gives no widths: 32
    channels, 4 x 4 cells and 64 units are our choice. The sigmoid is in the loss.
    """

    def __init__(self, width: int = 64, channels: int = 32, hidden: int = 64):
        super().__init__()
        self.convolution = nn.Conv2d(width, channels, 1)
        self.hidden = nn.Linear(channels * GRID**2, hidden)
        self.output = nn.Linear(hidden, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.classify(self.pooled(features))

    @staticmethod
    def pooled(features: torch.Tensor) -> torch.Tensor:
        """The first pooling, which has no weights: (B, width, h, w) -> (B, width, h / 2, w / 2)."""
        return F.avg_pool2d(features, 2, ceil_mode=True)

    def classify(self, pooled: torch.Tensor) -> torch.Tensor:
        """The layers after the first pooling -> logits (B,)."""
        x = F.adaptive_avg_pool2d(F.relu(self.convolution(pooled)), GRID).flatten(1)
        return self.output(F.relu(self.hidden(x)))[:, 0]


def domain_loss(synthetic: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Domain loss: cross-entropy of the domain classifier, -L_d of equation (6).

    Args:
        synthetic: Logits of synthetic images (label 0), (N,).
        real: Logits of real images (label 1), (M,).

    Returns:
        A scalar, the mean over all N + M images.

    Example:
        >>> round(domain_loss(torch.zeros(3), torch.zeros(2)).item(), 4)  # ln 2: the classifier knows nothing
        0.6931
    """
    logits = torch.cat([synthetic, real])
    wanted = torch.cat([torch.zeros_like(synthetic), torch.ones_like(real)])
    return F.binary_cross_entropy_with_logits(logits, wanted)


def confusion(synthetic: torch.Tensor, real: torch.Tensor) -> float:
    """Confusion rate of Table IV: the share of all images that the classifier assigns to the wrong domain.

    0: all are right; 0.5: as good as chance. ``synthetic`` (N,) and ``real`` (M,) are logits. The paper adds up "false
    positives and false negatives"; dividing by the number of images is our choice.
    """
    wrong = (synthetic > 0).sum() + (real <= 0).sum()
    return float(wrong) / (len(synthetic) + len(real))


def strength(progress: float, ceiling: float) -> float:
    """Schedule of lambda: 2 L / (1 + exp(-10 p)) - L (section VII-F).

    Args:
        progress: p, the share of the adaptation that is done, 0 to 1.
        ceiling: L, the value that lambda approaches.

    Returns:
        lambda of equation (8), 0 at the start.

    Example:
        >>> strength(0.0, ceiling=100), round(strength(1.0, ceiling=100), 2)
        (0.0, 99.99)
    """
    return 2 * ceiling / (1 + math.exp(-10 * progress)) - ceiling


def ceiling(pose_loss: float) -> float:
    """Return L of the schedule for any pose loss: the loss at the start of adaptation divided by ln 2 (section VII-F).

    The paper sets L = 100 for its own loss, "so that the two losses are in the same range". A classifier that knows
    nothing has the loss ln 2; with this L, both terms of equation (8) start with the same size.

    Args:
        pose_loss: Pose loss where adaptation starts.

    Returns:
        L.

    Example:
        >>> round(ceiling(69.3))
        100
    """
    return pose_loss / math.log(2)


def selected(validations: Sequence[dict], criterion: str) -> dict:
    """Return the validation of an adaptation that is kept (section VII-F1).

    Args:
        validations: Rows with ``step``, ``loss`` (of the pose), ``confusion`` (rate of the classifier that is trained along)
            and, where fresh classifiers were trained on the frozen features, their mean rate ``probe``. The row of step 0,
            before adaptation, is left out.
        criterion: ``"min-loss"``: the lowest pose loss. ``"max-confusion"``: the probe's rate that is closest to 0.5. Without
            probes in all rows it is the highest rate of the classifier that is trained along.

    Returns:
        The row; the first of equal ones.

    Example:
        >>> rows = [{"step": step, "loss": 1.0, "confusion": rate, "probe": probe}
        ...         for step, rate, probe in ((0, 0.5, 0.5), (10, 0.62, 0.05), (20, 0.48, 0.3))]
        >>> selected(rows, "max-confusion")["step"]  # 0.62 is a classifier out of step: a fresh one errs in 5 %
        20
    """
    rows = [row for row in validations if row["step"] > 0]
    if criterion == "min-loss":
        return min(rows, key=lambda row: row["loss"])
    if criterion != "max-confusion":
        raise KeyError(criterion)
    if all("probe" in row for row in rows):
        return min(rows, key=lambda row: abs(0.5 - row["probe"]))
    return max(rows, key=lambda row: row["confusion"])
