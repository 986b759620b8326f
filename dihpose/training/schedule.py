"""Schedules of a run: learning rate, weight of the domain loss (equation (8)), early stopping."""

import math
from collections.abc import Sequence

from .. import adaptation
from ..common.errors import InputError
from .run import Run


def strength(run: Run, step: int, validations: Sequence[dict]) -> float:
    """Lambda of equation (8) at a step; 0 for a run without adversarial training."""
    if not run.domains or not run.domains.adversarial:
        return 0.0
    ceiling = run.domains.ceiling
    if ceiling is None:
        ceiling = adaptation.ceiling(needed(run, validations)[0]["loss"])
    return adaptation.strength(step / run.steps, ceiling)


def rate(run: Run, step: int, validations: Sequence[dict] = ()) -> float:
    """The learning rate of a step.

    Schedules ``"cosine"`` and ``"linear"`` fall from ``run.highest_rate`` to the share ``run.last_rate`` of it, after a short
    warm-up. ``"plateau"`` has no warm-up: the rate is divided by ten each time that the validation loss has settled.

    Args:
        run: The run.
        step: The number of the step, from 0.
        validations: The validations so far, each with its ``"loss"``; only ``"plateau"`` needs them.

    Returns:
        The learning rate, above 0.

    Raises:
        InputError: The schedule is unknown, or ``"plateau"`` has no validations.

    Example:
        >>> run = Run("r", images=1000, batch=10, rate=1e-3, last_rate=0.0, schedule="linear")
        >>> f"{rate(run, 50):.2e} {rate(run, 75):.2e}"
        '5.00e-04 2.50e-04'
    """
    warm = min(1.0, (step + 1) / max(1, min(100, run.steps // 20)))
    if run.schedule == "plateau":
        return run.highest_rate * 0.1 ** settled([row["loss"] for row in needed(run, validations)])
    if run.schedule not in ("cosine", "linear"):
        raise InputError(f"unknown schedule {run.schedule!r}; there are cosine, linear, plateau")
    left = 1 - step / run.steps if run.schedule == "linear" else 0.5 + 0.5 * math.cos(math.pi * step / run.steps)
    return run.highest_rate * warm * (run.last_rate + (1 - run.last_rate) * left)


def needed(run: Run, validations: Sequence[dict]) -> Sequence[dict]:
    """The validations, for schedules that depend on them. InputError if there are none."""
    if not validations:
        raise InputError(
            f"{run.name}: schedule plateau, patience and the ceiling of lambda need validations; set validation above 0"
        )
    return validations


def settled(losses: Sequence[float], least: float = 0.01) -> int:
    """Count how often a series of validation losses has settled.

    A loss settles when it is not at least the share ``least`` below the lowest loss so far. The lowest loss is then
    forgotten, and the count goes on. This is our choice: the paper only says "settled".

    Args:
        losses: Validation losses, oldest first.
        least: The smallest fall that counts as progress, as a share.

    Returns:
        How often it has settled.

    Example:
        >>> settled([10.0, 8.0, 7.99, 7.0, 6.99])
        2
    """
    times, lowest = 0, math.inf
    for loss in losses:
        if loss > lowest * (1 - least):
            times, lowest = times + 1, math.inf
        lowest = min(lowest, loss)
    return times


def stalled(losses: Sequence[float], patience: int) -> bool:
    """Whether none of the last ``patience`` validation losses is below the lowest loss before them.

    Args:
        losses: Validation losses, oldest first; NaN counts as infinite.
        patience: The number of validations to wait for progress, at least 1.

    Returns:
        True if the run should stop.

    Example:
        >>> stalled([5.0, 3.0, 3.1, 3.2], patience=2), stalled([5.0, 3.0, 3.1, 2.9], patience=2)
        (True, False)
    """
    finite = [math.inf if math.isnan(loss) else loss for loss in losses]
    return len(finite) > patience and min(finite[-patience:]) >= min(finite[:-patience])
