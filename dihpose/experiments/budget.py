"""What runs cost: images, FLOPs and hours."""

from dataclasses import dataclass
from functools import cache

import torch

from .. import models
from ..models import summary
from ..training.run import Run
from . import scales, tables

# --- Budgets ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Budget:
    """What a run costs: images seen, and the FLOPs of its networks for them, a backward pass counted as two forward."""

    images: int
    flops: float

    def __add__(self, other: "Budget") -> "Budget":
        return Budget(self.images + other.images, self.flops + other.flops)


def budget(run: Run) -> Budget:
    """A run without its ancestors. A teacher answers only; of a second domain's images the features learn (or answer)."""
    forward = _flops(run.model, run.size)
    each = 3 * forward
    if run.domains:
        features = _flops(run.model, run.size, features=True)
        each = each + 3 * features if run.domains.adversarial else 2 * features
    if run.distillation:
        each += _flops(run.distillation.teacher.model, run.size)
    return Budget(run.images, float(each) * run.images)


@cache
def _flops(model: str, size: int, features: bool = False) -> int:
    with torch.device("meta"):  # shapes are enough
        network = models.create(model)
    return summary.flops(network.features if features else network, size, size)


def total(profile: str, decisive: bool = False) -> Budget:
    """All runs of a profile, or those that decide its tables."""
    return sum((budget(run) for run in tables.wanted(profile, decisive).values()), Budget(0, 0.0))


def hours(profile: str) -> float:
    """How long all runs of a profile take, roughly, on the machine that its scale names."""
    scale, cost = scales.scale_of(profile), total(profile)
    return (cost.flops / scale.flops_a_second + cost.images / scale.images_a_second) / 3600
