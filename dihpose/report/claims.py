"""How a conclusion of the paper is decided, from stored results, stored timings and the models themselves.

A claim is one or more comparisons, each of which says that a number lies between two bounds. Counts of the models are
exact; differences of scores (:mod:`dihpose.report.scores`) have an error; speeds are those of our machine. The verdicts are
listed in :mod:`dihpose.report.verdicts`. Every comparison is also made with the numbers that the paper prints, because its
text and its tables do not always agree.
"""

import math
from dataclasses import dataclass
from functools import cache

import torch

from .. import models
from ..experiments import paper
from ..models import summary
from .scores import Evidence, Scores
from .verdicts import EXACT, FAILS, HARDWARE, HOLDS, NOT_COMPARABLE, NOT_TESTED, UNDECIDED, Found, inside

# --- Exact: counts of the models --------------------------------------------------------------------------------------


def prints(text: str) -> tuple[float, float]:
    """The range of numbers that print as ``text``, rounded or with further digits cut off; the paper does both.

    Example:
        >>> prints("6")
        (5.5, 7.0)
    """
    last = 10.0 ** -len(text.partition(".")[2])
    return float(text) - last / 2, float(text) + last


@dataclass(frozen=True)
class Count:
    """Says that network ``many`` has more parameters (or FLOPs) than ``few``, or ``printed`` times as many."""

    many: str
    few: str
    printed: str = ""
    measure: str = "parameters"
    kind = EXACT

    def __str__(self) -> str:
        bound = f"printed as {self.printed}" if self.printed else "> 1"
        return f"{self.measure}({self.many}) / {self.measure}({self.few}) {bound}"

    @property
    def least(self) -> float:
        return prints(self.printed)[0] if self.printed else 1.0

    @property
    def most(self) -> float:
        return prints(self.printed)[1] if self.printed else math.inf

    def papers(self, from_ap_and_ar: bool) -> float | None:
        """The ratio of the counts that Table I prints, or None for FLOPs, which it does not print."""
        if self.measure != "parameters":
            return None
        many, few = (paper.parameters(table_1(name)["parameters"])[0] for name in (self.many, self.few))
        return many / few

    def ours(self, evidence: Evidence) -> Found:
        """The ratio of our models' counts. A printed ratio also holds if it follows from the counts that Table I prints."""
        exact = _counted(self.many, self.measure) / _counted(self.few, self.measure)
        if not self.printed:
            return Found(HOLDS if exact > 1 else FAILS, exact, exact, exact)
        cut_off = self.papers(False)
        holds = [inside(ratio, ratio, self.least, self.most) == HOLDS for ratio in (exact, cut_off)]
        why = f"{self.show(exact)} exactly, {self.show(cut_off)} by the counts as Table I prints them"
        low, high = sorted((exact, cut_off))
        return Found(HOLDS if any(holds) else FAILS, exact, low, high, "" if holds[0] else why)

    def show(self, value: float) -> str:
        return f"{value:.3f}"


@cache
def _counted(name: str, measure: str) -> int:
    """Parameters or FLOPs of a network; the hourglass without limb heads, as Table I counts it."""
    with torch.device("meta"):
        model = models.create(name, **({"limbs": False} if name == "HG" else {}))
    return models.count_parameters(model) if measure == "parameters" else summary.flops(model)


def table_1(name: str) -> dict[str, str]:
    """The row of a network in Table I as printed."""
    return next(row for row in paper.table("table1_dih") if row["architecture"] == name)


# --- Hardware: timings ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """Says that network ``fast`` is faster than ``slow``, or at least ``printed`` times as fast. Without ``slow``: that it
    processes at least ``printed`` frames a second."""

    fast: str
    slow: str = ""
    printed: str = ""
    kind = HARDWARE
    most = math.inf

    def __str__(self) -> str:
        what = f"FPS({self.fast})" + (f" / FPS({self.slow})" if self.slow else "")
        return f"{what} at least {self.printed}, as printed" if self.printed else f"{what} > 1"

    @property
    def least(self) -> float:
        return prints(self.printed)[0] if self.printed else 1.0

    def papers(self, from_ap_and_ar: bool) -> float:
        """The ratio of the speeds that Table I prints."""
        fast, slow = (float(table_1(name)["fps_gtx1050"]) if name else 1.0 for name in (self.fast, self.slow))
        return fast / slow

    def ours(self, evidence: Evidence) -> Found:
        """The ratio of our median times, each network on its fastest backend. The interval is no confidence interval: it
        compares the lower quartile of one network's times with the upper quartile of the other's. Other hardware neither
        confirms a ratio nor refutes it, so ``why`` says what ours gives, and nothing is decided."""
        speed = evidence.timings
        best = {row["model"]: row for row in sorted(speed["models"], key=lambda row: row["fps"])}
        if lacking := [name for name in (self.fast, self.slow) if name and name not in best]:
            return Found(NOT_TESTED, why=f"not timed: {', '.join(lacking)}; `dihpose benchmark models` does it")
        fast = best[self.fast]
        slow = best[self.slow] if self.slow else dict.fromkeys(("q1_ms", "median_ms", "q3_ms"), 1000.0)
        low, high = slow["q1_ms"] / fast["q3_ms"], slow["q3_ms"] / fast["q1_ms"]
        word = {HOLDS: "yes", FAILS: "no", UNDECIDED: "undecided"}[inside(low, high, self.least, self.most)]
        why = f"on {speed['device']['threads']} threads of {speed['device_name']}: {word}; the paper: GTX 1050"
        return Found(NOT_COMPARABLE, slow["median_ms"] / fast["median_ms"], low, high, why)

    def show(self, value: float) -> str:
        return f"{value:.2f}"


# --- Claims -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A conclusion of the paper.

    Attributes:
        text: The conclusion in our words.
        section: Where the paper states it.
        comparisons: The comparisons that must all hold, all of one kind.
        said: The number that the text of the paper gives, if the comparisons do not contain it.
        controls: Comparisons that must hold as well, or something else explains what was found: what that is -> comparison.

    Example:
        >>> claim = Claim("CPM-2S is larger than RPM-2S", "VII-D1", (Count("CPM-2S", "RPM-2S"),))
        >>> claim.kind, str(claim.comparisons[0])
        ('exact', 'parameters(CPM-2S) / parameters(RPM-2S) > 1')
    """

    text: str
    section: str
    comparisons: tuple[Scores | Count | Speed, ...]
    said: str = ""
    controls: tuple[tuple[str, Scores], ...] = ()

    @property
    def kind(self) -> str:
        """``exact`` (counts), ``statistical`` (scores) or ``hardware`` (timings)."""
        return self.comparisons[0].kind

    @property
    def table(self) -> str:
        """The table that a statistical claim asks."""
        return self.comparisons[0].numbers[0].table
