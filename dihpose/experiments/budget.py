"""The cost of runs: images, FLOPs and hours."""

from dataclasses import dataclass
from functools import cache

import torch

from .. import models
from ..models import summary
from ..synthesis.recipes import SyntheticConfig
from ..training.run import Run
from . import scales, tables


@dataclass(frozen=True)
class Budget:
    """The cost of training.

    Attributes:
        images: Images seen; one that is seen twice counts twice.
        flops: FLOPs of the networks for these images. A backward pass counts as two forward passes.
    """

    images: int
    flops: float

    def __add__(self, other: "Budget") -> "Budget":
        return Budget(self.images + other.images, self.flops + other.flops)


def budget(run: Run) -> Budget:
    """Compute the cost of a run, without the runs that it starts from or learns from.

    Args:
        run: The run. A teacher costs one forward pass an image. Images of a second domain pass through the features alone,
            and train them in adversarial adaptation.

    Returns:
        Images and FLOPs.

    Example:
        >>> from dihpose.training.run import Run
        >>> cost = budget(Run("r", model="MPM-1S", images=10, size=64))
        >>> cost.images, round(cost.flops / 1e9, 1)
        (10, 1.1)
    """
    forward = _flops(run.model, run.size)
    each = 3 * forward
    if run.domains:
        features = _flops(run.model, run.size, features=True)
        each = each + 3 * features if run.domains.adversarial else 2 * features
    if run.distillation:
        each += _flops(run.distillation.teacher.model, run.size)
    return Budget(run.images, float(each) * run.images)


@dataclass(frozen=True)
class Seen:
    """Training images that a network saw: synthetic ones, and labelled frames. An image that is seen twice counts twice."""

    synthetic: int
    labelled: int


def seen(run: Run) -> Seen:
    """Count the images that a network saw, those of the networks that it starts from included. A teacher's images do not
    count, nor do frames without labels.

    Example:
        >>> plan = tables.wanted("reference")
        >>> seen(plan["mpm-4s-dih"])
        Seen(synthetic=64000, labelled=7000)
    """
    synthetic = labelled = 0
    one: Run | None = run
    while isinstance(one, Run):
        if isinstance(one.data, SyntheticConfig):
            synthetic += one.images
        else:
            labelled += one.images
        one = one.start
    return Seen(synthetic, labelled)


@cache
def _flops(model: str, size: int, features: bool = False) -> int:
    """FLOPs of one forward pass on a square image, of the whole network or of its features."""
    with torch.device("meta"):  # only shapes are needed
        network = models.create(model)
    return summary.flops(network.features if features else network, size, size)


def total(profile: str, decisive: bool = False) -> Budget:
    """The cost of all runs of a profile, or of those behind decisive rows."""
    return sum((budget(run) for run in tables.wanted(profile, decisive).values()), Budget(0, 0.0))


def hours(profile: str) -> float:
    """Estimate how long all runs of a profile take on the machine that the profile names."""
    sizes, cost = scales.resolve_profile(profile), total(profile)
    return (cost.flops / sizes.flops_a_second + cost.images / sizes.images_a_second) / 3600
