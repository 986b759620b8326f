"""Schedules: learning rate, strength of adaptation (equation (8)), early stopping."""

import math
from collections.abc import Sequence

from .. import adaptation
from ..common.errors import InputError
from .run import Run


def strength(run: Run, step: int, validations: Sequence[dict]) -> float:
    """Lambda of equation (8) at a step."""
    if not run.domains or not run.domains.adversarial:
        return 0.0
    ceiling = run.domains.ceiling
    if ceiling is None:
        ceiling = adaptation.ceiling(needed(run, validations)[0]["loss"])
    return adaptation.strength(step / run.steps, ceiling)


def rate(run: Run, step: int, validations: Sequence[dict] = ()) -> float:
    """The learning rate of a step: after a short warm-up, along a cosine or a line from ``rate`` to ``last_rate`` of it, or
    a tenth of it each time that the validation loss has settled."""
    warm = min(1.0, (step + 1) / max(1, min(100, run.steps // 20)))
    if run.schedule == "plateau":
        return run.rate * 0.1 ** settled([row["loss"] for row in needed(run, validations)])
    if run.schedule not in ("cosine", "linear"):
        raise InputError(f"unknown schedule {run.schedule!r}; there are cosine, linear, plateau")
    left = 1 - step / run.steps if run.schedule == "linear" else 0.5 + 0.5 * math.cos(math.pi * step / run.steps)
    return run.rate * warm * (run.last_rate + (1 - run.last_rate) * left)


def needed(run: Run, validations: Sequence[dict]) -> Sequence[dict]:
    if not validations:
        raise InputError(
            f"{run.name}: a plateau, patience, or lambda's ceiling, follows from validations; give validation images"
        )
    return validations


def settled(losses: Sequence[float], least: float = 0.01) -> int:
    """How often a series of validation losses has settled: fallen by less than the share ``least`` of its lowest so far, after
    which that begins anew (our choice: the paper says "settled")."""
    times, lowest = 0, math.inf
    for loss in losses:
        if loss > lowest * (1 - least):
            times, lowest = times + 1, math.inf
        lowest = min(lowest, loss)
    return times


def stalled(losses: Sequence[float], patience: int) -> bool:
    """Whether the last ``patience`` of a series of validation losses were all no lower than the lowest before them; one that is
    no number counts as high."""
    finite = [math.inf if math.isnan(loss) else loss for loss in losses]
    return len(finite) > patience and min(finite[-patience:]) >= min(finite[:-patience])
