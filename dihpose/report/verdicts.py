"""Verdicts on the conclusions of the paper: the words, and what a comparison finds.

A claim is one or more comparisons. Each says that a number lies between two bounds. What we find of a claim is one of:

- *holds*: every number lies between its bounds;
- *holds and more*: the claim names a size, and ours is larger;
- *opposite*: the difference goes the other way;
- *fails*: a number lies outside its bounds, but the difference does not go the other way;
- *undecided*: the runs cannot tell;
- *confounded*: something other than what the claim names can explain the difference, such as more training images;
- *not tested*: runs are missing, or too few or too small to say anything;
- *not comparable*: the claim is about the speed of other hardware.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from .effects import Effect

EXACT, STATISTICAL, HARDWARE = "exact", "statistical", "hardware"
HOLDS, MORE, OPPOSITE, FAILS, UNDECIDED, CONFOUNDED, NOT_TESTED, NOT_COMPARABLE = VERDICTS = (
    "holds", "holds and more", "opposite", "fails", "undecided", "confounded", "not tested", "not comparable",
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """The outcome of a comparison.

    Attributes:
        verdict: The verdict where it is certain or where there is none; "" for a difference of scores, which is decided
            together with the other questions to its table.
        value: The number; None if something is missing.
        low, high: Its interval.
        why: The reason, where the interval does not say it.
        seeds: Seeds behind it; 0 if it does not depend on training.
        effect: The difference of scores.
        unfair: Which verdicts unequal numbers of training images could bring about: "holds", "against".
        budget: Those numbers in words; "" if they are equal.
    """

    verdict: str
    value: float | None = None
    low: float = math.nan
    high: float = math.nan
    why: str = ""
    seeds: int = 0
    effect: Effect | None = None
    unfair: frozenset[str] = frozenset()
    budget: str = ""


def inside(low: float, high: float, least: float, most: float) -> str:
    """Decide from a number's interval whether the number lies between two bounds.

    Args:
        low, high: Ends of the interval of the number.
        least, most: The bounds, both exclusive; infinite if there is none.

    Returns:
        ``"holds"`` if the whole interval lies between the bounds, ``"fails"`` if all of it lies below or above them, and
        otherwise ``"undecided"``.

    Example:
        >>> inside(0.01, 0.05, 0, math.inf), inside(-0.05, -0.01, 0, math.inf), inside(-0.01, 0.03, 0, math.inf)
        ('holds', 'fails', 'undecided')
    """
    if least < low and high < most:
        return HOLDS
    return FAILS if high < least or low > most else UNDECIDED


def together(verdicts: Iterable[str]) -> str:
    """The verdict on several certain comparisons: they hold together if all hold, and fail together if any fails."""
    found = set(verdicts)
    return next((word for word in (FAILS, NOT_TESTED, NOT_COMPARABLE, UNDECIDED) if word in found), HOLDS)
