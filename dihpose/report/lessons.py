"""The pictures with which notebooks 03 and 04 explain adaptation and distillation."""

from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .. import adaptation, skeleton
from ..depth import as_people, colourise
from . import inspection, plotting
from .comparison import NOT_RUN
from .curves import PALETTE

BLUE, ORANGE, GREEN, _, YELLOW = PALETTE[:5]
GREY = "#777777"
Points = tuple[torch.Tensor, torch.Tensor]  # places (N, 2) and classes (N,), 0 or 1


def picture(fig: Figure) -> np.ndarray:
    """A figure as an image (H, W, 3), uint8."""
    fig.canvas.draw()
    image = np.asarray(fig.canvas.buffer_rgba())[..., :3].copy()
    plt.close(fig)
    return image


# --- Two moons --------------------------------------------------------------------------------------------------------


def _show_points(ax: Axes, points: Points, size: float = 9.0, colour: str = "") -> None:
    colours = colour or np.array([BLUE, YELLOW])[points[1].int().numpy()]
    ax.scatter(*points[0].T, c=colours, s=size, linewidths=0)
    ax.set(aspect="equal", xlim=(-2, 2), ylim=(-1.6, 1.6), xticks=[], yticks=[])


def moons(panels: Mapping[str, Points]) -> Figure:
    """Points coloured by class, a panel for each title."""
    fig, axes = plt.subplots(1, len(panels), figsize=(3.2 * len(panels), 2.6), layout="constrained")
    for ax, (title, points) in zip(axes, panels.items(), strict=True):
        _show_points(ax, points)
        ax.set_title(title, fontsize=10)
    return fig


def show_boundary(
    ax: Axes, logit: Callable[[torch.Tensor], torch.Tensor], source: Points, target: Points, size: float = 9.0
) -> None:
    """Colour the plane by the class that a network assigns; ``logit`` takes points (N, 2). Source points are grey, target
    points coloured by class."""
    x, y = torch.meshgrid(torch.linspace(-2, 2, 161), torch.linspace(-1.6, 1.6, 129), indexing="xy")
    says = logit(torch.stack([x, y], -1).flatten(0, 1)).view(x.shape)
    ax.contourf(x, y, says > 0, [-0.5, 0.5, 1.5], colors=["#cfe3f3", "#fbecc9"])
    ax.contour(x, y, says, [0], colors="black", linewidths=1)
    _show_points(ax, source, size / 3, "#999999")
    _show_points(ax, target, size)


def boundary(logit: Callable[[torch.Tensor], torch.Tensor], source: Points, target: Points) -> np.ndarray:
    """The picture of :func:`show_boundary` without axes, for a slider -> (H, W, 3) uint8."""
    fig, ax = plt.subplots(figsize=(4.4, 3.5), dpi=72)
    fig.subplots_adjust(0, 0, 1, 1)
    show_boundary(ax, logit, source, target, 16)
    return picture(fig)


def show_domains(ax: Axes, groups: Mapping[str, np.ndarray], colours: Sequence[str] = (GREY, ORANGE)) -> None:
    """Draw the points (N, 2) of two domains along two principal directions."""
    for (name, points), colour, marker in zip(groups.items(), colours, "o^", strict=True):
        ax.scatter(*np.asarray(points).T, s=18, c=colour, marker=marker, alpha=0.6, linewidths=0, label=name)
    ax.set(xlabel="first principal direction", ylabel="second")
    ax.legend(fontsize=8)


def ceilings(pictures: Mapping[float, np.ndarray], scores: Mapping[str, Mapping[float, Sequence[float]]]) -> Figure:
    """A row of pictures by ceiling; below it each score by ceiling, a dot for each seed and a line for their mean."""
    places, names = range(len(pictures)), [f"{ceiling:g}" for ceiling in pictures]
    fig = plt.figure(figsize=(9, 4.2), layout="constrained")
    above, below = fig.subfigures(2, 1, height_ratios=(1, 1.5))
    for ax, name, image in zip(above.subplots(1, len(pictures)), names, pictures.values(), strict=True):
        ax.imshow(image)
        ax.set_title(f"$\\Lambda$ = {name}", fontsize=9)
        ax.set(xticks=[], yticks=[])
    for ax, (label, by_ceiling) in zip(below.subplots(1, len(scores), squeeze=False)[0], scores.items(), strict=True):
        values = np.array([by_ceiling[ceiling] for ceiling in pictures])
        ax.plot(places, values, "o", color=BLUE, markersize=4)
        ax.plot(places, values.mean(1), color=BLUE)
        ax.set_xticks(places, names)
        ax.set(xlabel="ceiling $\\Lambda$", ylabel=label, ylim=(0, 1))
        ax.grid(alpha=0.3)
    return fig


# --- Adaptation on depth ----------------------------------------------------------------------------------------------


def balance(pose_loss: float, ceilings_: Mapping[str, float]) -> Figure:
    """The domain term of equation (8) divided by the pose loss, during training, for a classifier that only guesses."""
    progress = np.linspace(0, 1, 201)
    fig, ax = plt.subplots(figsize=(6, 2.8), layout="constrained")
    for (name, ceiling), style, colour in zip(ceilings_.items(), ("-", "--"), (BLUE, ORANGE), strict=True):
        terms = [adaptation.strength(p, ceiling) * np.log(2) for p in progress]
        ax.plot(progress, np.array(terms) / pose_loss, style, color=colour, label=f"{name} $\\Lambda$ = {ceiling:,.0f}")
    ax.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
    ax.set(xlabel="progress p", ylabel="domain term / pose term", ylim=(0, None))
    ax.legend(fontsize=8)
    ax.grid(alpha=0.3)
    return fig


def along_adaptation(
    validations: Sequence[Mapping[str, float]],
    kept: Mapping[str, Mapping[str, float]],
    control: Sequence[Mapping[str, float]] = (),
) -> Figure:
    """Pose loss, confusion rate and F at each validation of an adaptation, and the validation that each criterion selects.

    Rows with ``probe`` and ``probe_sd`` show the rate of fresh classifiers with its deviation over seeds, beside that of the
    classifier that is trained along. ``control`` has the rows of the same training without the domain loss (dotted).
    """
    curves = {"loss": "pose loss, synthetic images", "confusion": "confusion rate", "target_f": "F, target images"}
    fig, axes = plt.subplots(1, 3, figsize=(10, 2.9), layout="constrained")
    for ax, (key, label) in zip(axes, curves.items(), strict=True):
        ax.plot([row["images"] for row in validations], [row[key] for row in validations], ".-", color=GREY)
        for (criterion, row), colour, marker in zip(kept.items(), (BLUE, ORANGE), "o^", strict=True):
            style = {"color": colour, "markersize": 9, "fillstyle": "none", "label": criterion}
            ax.plot(row["images"], row.get("probe", row[key]) if key == "confusion" else row[key], marker, **style)
        if key != "confusion" and control:
            ax.plot([row["images"] for row in control], [row[key] for row in control], ":", color=GREY, label="λ = 0")
        top = 1.15 * max(row["loss"] for row in (*validations, *control)) if key == "loss" else 1
        ax.set(xlabel="images of each domain", ylabel=label, ylim=(0, top))
        ax.grid(alpha=0.3)
    axes[1].lines[0].set_label("classifier trained along")
    for rows, name, style in ((validations, "fresh classifiers", "k.-"), (control, "fresh, λ = 0", "k.:")):
        probed = [row for row in rows if "probe" in row]
        if probed:
            images, rates, deviations = ([row[k] or 0 for row in probed] for k in ("images", "probe", "probe_sd"))
            axes[1].errorbar(images, rates, deviations, fmt=style, capsize=2, label=name)
    axes[0].legend(fontsize=8, loc="lower right")
    axes[1].axhline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    axes[1].legend(fontsize=7, loc="upper right")
    return fig


def outline_test(found: Mapping[str, Mapping]) -> Figure:
    """The outline test of some networks, by name; each has what ``probes.json`` holds (:mod:`dihpose.experiments.probes`).

    Left, how much more of the probes' saliency lies in an area than its size explains. Right, the confusion rate of fresh
    classifiers on images that were made alike, with its deviation over seeds.
    """
    fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.4), layout="constrained", width_ratios=(1, 1.3))
    height = 0.8 / len(found)
    for i, (name, (colour, probes)) in enumerate(zip(found, zip(PALETTE, found.values(), strict=False), strict=True)):
        saliency, equalised = probes["outlines"]["saliency"]["both"], probes["outlines"]["equalised"]
        rates = {"as they are": probes["checkpoints"][-1]} | equalised
        for ax, names, values, errors in (
            (left, [row["area"] for row in saliency], [row["ratio"] or 0 for row in saliency], None),
            (right, list(rates), [one["mean"] for one in rates.values()], [one["sd"] or 0 for one in rates.values()]),
        ):
            rows = np.arange(len(names))
            ax.barh(rows + (i + 0.5) * height - 0.4, values, height, xerr=errors, color=colour, label=name)
            ax.set_yticks(rows, names, fontsize=8)
    left.set(xlabel="share of the saliency / share of the pixels")
    right.set(xlabel="confusion rate of fresh classifiers", xlim=(0, 0.6))
    for ax, level in ((left, 1), (right, 0.5)):
        ax.axvline(level, color=GREY, linewidth=0.8, linestyle=":")
        ax.invert_yaxis()
    fig.legend(*right.get_legend_handles_labels(), loc="outside upper center", ncols=len(found), fontsize=8)
    return fig


def domains(places: Mapping[str, Mapping[str, Sequence]], rates: Mapping[str, float | None]) -> Figure:
    """The images of both domains as points, before and after adaptation, with the confusion rates."""
    fig, axes = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained", sharex=True, sharey=True)
    for ax, (when, groups) in zip(axes, places.items(), strict=True):
        show_domains(ax, groups, (BLUE, ORANGE))
        rate = "" if rates[when] is None else f": confusion rate {rates[when]:.2f}"
        ax.set_title(f"{when} adaptation{rate}", fontsize=10)
    axes[1].set_ylabel("")
    return fig


def filled(images: Mapping[str, np.ndarray], off: np.ndarray, far: float = 8.0) -> Figure:
    """Depth images (N, H, W) in metres, a column for each name; the last column is the filled-in depth minus the truth."""
    fig, axes = plt.subplots(len(off), 4, figsize=(12, 2 * len(off)), layout="constrained")
    for column, (title, depths) in zip(axes.T, images.items(), strict=False):
        for ax, image in zip(column, depths, strict=True):
            ax.imshow(colourise(image[::2, ::2], far=far))
        column[0].set_title(title, fontsize=10)
    for ax, error in zip(axes[:, 3], off, strict=True):
        shown = ax.imshow(error[::2, ::2], vmin=-1, vmax=1, cmap="PuOr", interpolation="nearest")
    axes[0, 3].set_title("filled-in depth minus the truth", fontsize=10)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    fig.colorbar(ScalarMappable(Normalize(0, far), "viridis_r"), ax=axes[:, 2], label="depth (m)", shrink=0.8)
    fig.colorbar(shown, ax=axes[:, 3], label="error (m)", shrink=0.8)
    return fig


# --- Teacher and students ---------------------------------------------------------------------------------------------


def maps_by_cue(panels: Mapping[str, torch.Tensor], cues: torch.Tensor) -> Figure:
    """Maps (n, cells) from 0 to 1, a panel for each title, a row for each image, sorted by the cue."""
    fig, axes = plt.subplots(1, len(panels), figsize=(1.7 * len(panels) + 0.8, 3.1), layout="constrained", sharey=True)
    for ax, (title, maps) in zip(axes, panels.items(), strict=True):
        shown = ax.imshow(maps, vmin=0, vmax=1, cmap="viridis", aspect="auto")
        ax.set_title(title, fontsize=9)
        ax.set(xlabel="cell", xticks=[2, 6])
    last = len(cues) - 1
    axes[0].set_ylabel("cue u of the image")
    axes[0].set_yticks([0, last], [f"{cues[i]:.1f}" for i in (0, last)])
    fig.colorbar(shown, ax=axes, label="map", shrink=0.9)
    return fig


def best_alphas(curves: Mapping[str, tuple[float, float]], trials: Mapping[str, Mapping[float, float]]) -> Figure:
    """The error of a student by alpha. ``curves`` has (b, v) by name: the squared error b of the teacher and the variance v of
    the labels. They give the formula's curve, with a ring at the best alpha. ``trials`` has measured errors (dots) by alpha."""
    alphas = np.linspace(0, 1, 101)
    looks = ((GREEN, "-"), (BLUE, "-"), (ORANGE, "-"), (BLUE, "--"))
    fig, ax = plt.subplots(figsize=(7.4, 3.4), layout="constrained")
    for (name, (b, v)), (colour, line) in zip(curves.items(), looks, strict=True):
        best = b / (b + v)
        ax.plot(alphas, (1 - alphas) ** 2 * b + alphas**2 * v, line, color=colour, label=name)
        ax.plot(trials[name].keys(), trials[name].values(), ".", color=colour)
        ax.plot(best, (1 - best) ** 2 * b + best**2 * v, "o", ms=9, mfc="none", color=colour)
    ax.set(
        xlabel="α (0: only the teacher, 1: only the labels)", ylabel="distance from what can be known", ylim=(0, 0.12)
    )
    ax.grid(alpha=0.3)
    ax.legend(fontsize=9)
    return fig


def spectrum(beyond: Sequence[float], width: int) -> Figure:
    """The share of a teacher's features that a student of 1, 2, ... channels cannot reproduce, marked at ``width`` channels."""
    percent = 100 * np.array(beyond)
    fig, ax = plt.subplots(figsize=(6.6, 2.9), layout="constrained")
    ax.plot(
        range(1, len(percent) + 1), np.where(percent > 1e-6, percent, np.nan), color=BLUE
    )  # smaller values are rounding errors
    ax.axvline(width, color=ORANGE, ls="--")
    ax.text(width + 2, 10, f"{width} channels: {percent[width - 1]:.1g} %", color=ORANGE)
    ax.set(xlabel="channels of a student", ylabel="out of reach (%)")
    ax.set(yscale="log", xlim=(0, len(percent)), ylim=(None, 100))
    ax.grid(alpha=0.3)
    return fig


def along_distillation(
    logged: Mapping[str, Sequence[Mapping]], validated: Mapping[str, Sequence[Mapping]], begins: float
) -> Figure:
    """The terms of the loss and F of students during training, by name. Training on real frames begins after ``begins``
    images."""
    panels = {"pose": "pose, eq. (5)", "teacher": "teacher, eq. (11)", "hints": "hints, eq. (14)", "f": "F, validation"}
    fig, axes = plt.subplots(1, 4, figsize=(12.5, 3.4), layout="constrained")
    for ax, (term, title) in zip(axes, panels.items(), strict=True):
        for name, colour, line in zip(logged, (GREY, "black", BLUE, ORANGE), (":", "-.", "-", "--"), strict=True):
            rows = [row for row in (validated if term == "f" else logged)[name] if term in row]
            style = {"marker": ".", "color": colour, "label": name}
            ax.plot([row["images"] for row in rows], [row[term] for row in rows], line, **style)
        empty = not np.isfinite(ax.dataLim.y1)
        ax.set(xlabel="images seen", xlim=(0, None), ylim=(0, 1 if empty or term == "f" else 1.1 * ax.dataLim.y1))
        ax.axvline(begins, color="#bbbbbb", lw=1)
        ax.set_title(title, fontsize=10)
        ax.ticklabel_format(axis="x", style="sci", scilimits=(0, 3))
        ax.grid(alpha=0.3)
        if empty:
            ax.text(0.5, 0.5, NOT_RUN, ha="center", transform=ax.transAxes, color=GREY)
            ax.set(xticks=[], yticks=[])
    axes[0].set_ylabel("sum over cells and channels")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=9)
    return fig


def missed(lost: Mapping[str, Sequence[int]], labelled: Sequence[int]) -> Figure:
    """The share of each landmark that the teacher finds and the student does not, for each student."""
    fig, ax = plt.subplots(figsize=(7.6, 4.2), layout="constrained")
    rows = np.arange(len(labelled))
    for i, (role, colour) in enumerate(zip(lost, (GREY, BLUE), strict=True)):
        share = 100 * np.array(lost[role]) / np.maximum(labelled, 1)
        ax.barh(rows + 0.4 * i - 0.2, share, 0.4, color=colour, label=role)
    ax.set_yticks(rows, [name.replace("_", " ") for name in skeleton.LANDMARKS], fontsize=8)
    ax.set(xlabel="found by the teacher, not by the student (% of all labelled)", xlim=(0, max(5, ax.get_xlim()[1])))
    ax.invert_yaxis()
    ax.legend(fontsize=9)
    if not any(map(any, lost.values())):
        ax.text(
            0.5,
            0.5,
            "none: the students find all that the teacher finds",
            ha="center",
            transform=ax.transAxes,
            color=GREY,
        )
    return fig


def missed_frame(frame: Mapping) -> Figure:
    """The ``frame`` of :func:`dihpose.report.inspection.missed`: the truth, then the highest part map of each network with
    rings at lost landmarks."""
    depth, roles = inspection.unpacked(frame["depth"]), frame["roles"]
    height, width = depth.shape
    whole = (-0.5, width - 0.5, height - 0.5, -0.5)
    fig, axes = plt.subplots(1, 1 + len(roles), figsize=(13, 2.7), layout="constrained")
    axes[0].imshow(colourise(depth, far=6), extent=whole)
    plotting.draw_people(axes[0], as_people(np.array(frame["given"], float)), width=1.2)
    for ax, (role, seen) in zip(axes[1:], roles.items(), strict=True):
        shown = ax.imshow(np.array(seen["highest"]), vmin=0, vmax=1, extent=whole, interpolation="nearest")
        ax.scatter(*np.reshape(seen["lost"], (-1, 2)).T, s=60, facecolors="none", edgecolors="white", linewidths=1.4)
        ax.set_title(role, fontsize=10)
    axes[0].set_title("truth", fontsize=10)
    for ax in axes:
        ax.set(xticks=[], yticks=[], xlim=whole[:2], ylim=whole[2:])
    fig.colorbar(shown, ax=axes[1:], label="highest part map", shrink=0.8)
    return fig
