"""Figures 8, 9 and 11 of the paper, drawn from stored results."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from .. import models
from ..experiments import tables
from ..experiments.plan import Results, Row
from ..experiments.results import stored
from ..skeleton import LANDMARKS, UPPER_BODY
from . import comparison
from .comparison import NOT_RUN


def draw_curves(
    ax: Axes, curves: Mapping[str, Results], profile: str, upper: bool = False, networks: bool = False
) -> list[str]:
    """Draw precision against recall over thresholds, with a dot at the highest F (Figures 8 and 11).

    Args:
        ax: Where to draw.
        curves: Results by the name in the legend.
        profile: Name of the profile.
        upper: Show the upper body.
        networks: The names are networks: their family sets the colour and their stages the dashes.

    Returns:
        The names whose results are not stored.
    """
    missing = []
    suffix = "_upper" if upper else ""
    for i, (name, results) in enumerate(curves.items()):
        found = stored(results, profile)
        if not found:
            missing.append(name)
            continue
        rows = [row for row in found["curve"] if row[f"ap{suffix}"] is not None]
        best = found["upper_body" if upper else "whole_body"]
        colour, dashes = _look(name) if networks else (PALETTE[i % len(PALETTE)], "-")
        ax.plot([r[f"ar{suffix}"] for r in rows], [r[f"ap{suffix}"] for r in rows], dashes, color=colour,
                label=f"{name}: F {best['f']:.2f}")  # fmt: skip
        if best["ap"] is not None:
            ax.plot(best["ar"], best["ap"], "o", color=colour, markersize=5)
    ax.set(xlabel="average recall", ylabel="average precision", xlim=(0, 1), ylim=(0, 1))
    ax.grid(alpha=0.3)
    if len(missing) == len(curves):
        _say(ax, 0.5, NOT_RUN)
        return missing
    ax.legend(fontsize=8, loc="best")
    if not any(np.any(line.get_xdata()) for line in ax.lines):
        _say(ax, 0.5, "no landmark was found")
    return missing


def _say(ax: Axes, y: float, words: str) -> None:
    ax.text(0.5, y, words, ha="center", va="center", color="#777777")


# Safe for colour-blind readers (Okabe and Ito).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
FAMILIES = {"HG": "#000000", "CPM": "#D55E00", "RPM": "#009E73", "SPM": "#CC79A7", "MPM": "#0072B2"}


def _look(network: str) -> tuple[str, str]:
    """The colour of a network's family; dots, dashes or a line for one, two or more stages."""
    stages = 2 if network == "HG" else models.parse(network)[1]
    return FAMILIES[network.split("-")[0]], {1: ":", 2: "--"}.get(stages, "-")


def draw_landmarks(ax: Axes, score: str, bars: Mapping[str, Results], profile: str) -> None:
    """Draw the ``precision`` or ``recall`` (``score``) of each landmark, a bar for each stored result (Figure 9)."""
    place = np.arange(len(LANDMARKS))
    found = {name: one for name, results in bars.items() if (one := stored(results, profile))}
    width = 0.8 / max(len(found), 1)
    for i, (name, one) in enumerate(found.items()):
        values_ = [np.nan if row[score] is None else row[score] for row in one["per_landmark"]]
        ax.barh(place + (i - (len(found) - 1) / 2) * width, values_, width, color=PALETTE[i], label=name)
    ax.set_yticks(place, [name.replace("_", " ") for name in LANDMARKS], fontsize=8)
    for i, label in enumerate(ax.get_yticklabels()):  # no labels if the axis is shared
        label.set_fontweight("bold" if i in UPPER_BODY else "normal")
    ax.set(xlim=(0, 1), ylim=(len(LANDMARKS) - 0.5, -0.5), xlabel=f"{score}, mean over $\\kappa$")
    if found:
        ax.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(found), frameon=False)
    else:
        _say(ax, len(LANDMARKS) / 2, NOT_RUN)


def figure_8(profile: str) -> tuple[plt.Figure, list[str]]:
    """Precision and recall of networks: (a) CPM and RPM by stages, (b) the deepest of each family. Returns the figure and the
    networks that were not run."""
    panels = {
        "(a) CPM and RPM by stages": ("CPM-1S", "CPM-2S", "RPM-1S", "RPM-2S", "RPM-3S"),
        "(b) the deepest of each family": ("HG", "CPM-2S", "RPM-3S", "MPM-4S", "SPM-4S"),
    }
    fig, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    missing: list[str] = []
    for ax, (title, names) in zip(axes, panels.items(), strict=True):
        curves = {name: comparison.results_of("table1_dih", profile, architecture=name)[""] for name in names}
        missing += draw_curves(ax, curves, profile, networks=True)
        ax.set_title(title)
    return fig, list(dict.fromkeys(missing))


def figure_9(profile: str) -> plt.Figure:
    """Precision (left) and recall (right) of each landmark, RPM-3S and CPM-2S. Landmarks of the upper body are bold."""
    bars = {name: comparison.results_of("table1_dih", profile, architecture=name)[""] for name in ("CPM-2S", "RPM-3S")}
    fig, axes = plt.subplots(1, 2, figsize=(11, 5.2), layout="constrained", sharey=True)
    for ax, score in zip(axes, ("precision", "recall"), strict=True):
        draw_landmarks(ax, score, bars, profile)
    return fig


def figure_11(profile: str) -> tuple[plt.Figure, list[str]]:
    """Precision and recall of RPM-2S: (a) by the amount of synthetic data, finetuned, and on real data alone; (b) before
    finetuning; (c) domain adaptation. Returns the figure and the curves that were not run.

    The paper's caption places (a) left and (c) right; its text cites only these two.
    """
    rows = tables.all_tables(profile)
    amounts: Sequence[Row] = [row for row in rows["table2_synthetic_amount"] if not row.beyond]
    finetuned = {row.words["synthetic_data"]: row.results["finetuned_"] for row in amounts}
    finetuned["real only"] = rows["real_only"][0].results[""]
    before = {row.words["synthetic_data"]: row.results["synthetic_only_"] for row in amounts}
    ways = {row.words["method"]: row.results[""] for row in rows["table4_domain_adaptation"] if not row.beyond}
    fig, axes = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    missing: list[str] = []
    for ax, title, curves in zip(
        axes,
        ("(a) synthetic data, after finetuning", "(b) the same, before finetuning", "(c) domain adaptation"),
        (finetuned, before, ways),
        strict=True,
    ):
        missing += [f"{title[:3]} {name}" for name in draw_curves(ax, curves, profile)]
        ax.set_title(title)
    return fig, missing
