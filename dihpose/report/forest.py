"""The forest plot of the paper's statistical conclusions: each with its estimate, interval, bounds and verdict."""

import math
from collections.abc import Sequence
from textwrap import shorten

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .conclusions import Answer
from .verdicts import CONFOUNDED, FAILS, HOLDS, MORE, NOT_TESTED, OPPOSITE, STATISTICAL, UNDECIDED

# Colour and marker of a verdict. The colours stay apart for colour-blind readers, and no marker appears twice.
LOOKS = {
    HOLDS: ("#0072B2", "o"),
    MORE: ("#009E73", "^"),
    OPPOSITE: ("#D55E00", "v"),
    FAILS: ("#CC79A7", "X"),
    CONFOUNDED: ("#E69F00", "D"),
    UNDECIDED: ("#777777", "s"),
}
LONGEST = 74  # characters of a claim beside the plot


def forest(answers: Sequence[Answer], reach: float = 0.3) -> Figure:
    """Draw the statistical conclusions, one row each, in the order of the paper.

    Args:
        answers: Answers to claims (:func:`dihpose.report.conclusions.answers`). Those about counts and speeds are left out.
        reach: End of the axis on both sides. An interval that goes further ends in an arrow.

    Returns:
        The figure: claims on the left, the interval of 95 % of the comparison that decides, and number of seeds and verdict on
        the right. The grey band is what the claim says. Claims without any result have an empty row.
    """
    asked = [answer for answer in answers if answer.claim.kind == STATISTICAL]
    height = 0.235 * len(asked) + 1.4
    fig, ax = plt.subplots(figsize=(11, height), layout="constrained")
    for y, answer in enumerate(asked):
        _row(ax, y, answer, reach)
    ax.axvline(0, color="black", linewidth=0.8, zorder=1)
    ax.set(xlim=(-reach, reach), ylim=(len(asked) - 0.4, -0.6))
    ax.set_xlabel("difference of the deciding comparison (F, AP, AR or confusion rate, from 0 to 1), 95 % interval")
    ax.set_yticks(range(len(asked)), [shorten(a.claim.text, LONGEST, placeholder=" …") for a in asked], fontsize=8)
    right = ax.secondary_yaxis("right")
    right.tick_params(axis="y", pad=8)
    right.set_yticks(range(len(asked)), [_right(answer) for answer in asked], fontsize=8)
    for side in (ax, right):
        side.tick_params(axis="y", length=0)
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    right.spines["right"].set_visible(False)
    there = [verdict for verdict in LOOKS if any(answer.verdict == verdict for answer in asked)]
    handles = [Line2D([], [], color=LOOKS[v][0], marker=LOOKS[v][1], linestyle="-", label=v) for v in there]
    handles.append(Patch(color=_BAND, label="what the claim says"))
    fig.legend(handles=handles, loc="outside upper center", ncols=len(handles), fontsize=8, frameon=False)
    return fig


_BAND = "#dfe8ef"


def _row(ax, y: int, answer: Answer, reach: float) -> None:
    comparison, found = answer.comparison, answer.found
    low, high = max(comparison.least, -reach), min(comparison.most, reach)
    ax.barh(y, high - low, 0.78, left=low, color=_BAND, zorder=0)
    if answer.verdict == NOT_TESTED or not found.effect:
        ax.text(0.005, y, "no result", va="center", fontsize=7, color="#555555", style="italic")
        return
    colour, marker = LOOKS[answer.verdict]
    ends = max(found.low, -reach), min(found.high, reach)
    ax.plot(ends, (y, y), color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2)
    for end, beyond, arrow in ((-reach, found.low < -reach, "<"), (reach, found.high > reach, ">")):
        if beyond:
            ax.plot(end, y, marker=arrow, color=colour, markersize=6, clip_on=False, zorder=3)
    if math.fabs(found.value) <= reach:
        ax.plot(found.value, y, marker=marker, color=colour, markersize=5.5, zorder=3)


def _right(answer: Answer) -> str:
    found = answer.found
    value = "" if found.value is None else f"{answer.comparison.show(found.value)}, "
    return f"{value}{found.seeds} seeds: {answer.verdict}" if found.seeds else answer.verdict
