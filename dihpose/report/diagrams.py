"""The skeleton and the diagrams of the paper, Figures 3 to 7. Every number in them is read from the models."""

import itertools
import re
from collections.abc import Iterable, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from .. import adaptation, losses, models, skeleton
from ..association import Pose
from ..models import summary
from ..skeleton import STANDING
from ..training.objectives import Learner
from ..training.run import Distillation, Run
from .plotting import draw_people

_TINTS = {
    "Conv": "#cfe3f3", "Residual": "#d9f0e6", "Fire": "#fbe3cf", "Depth/point": "#f3dbe9",
    "Average pool": "#e6e6e6", "Max pool": "#e6e6e6", "BN": "#f7f7f7", "ReLU": "#f7f7f7", "Depthwise": "#f3dbe9",
    "Pointwise": "#f3dbe9",
}  # fmt: skip
_WHITE, _PALE, _GREY = "#ffffff", "#f7f7f7", "#555555"
# Colours of gradients and losses: ground truth; domain classifier or teacher; hints. Safe for colour-blind readers.
_TRUTH, _OTHER, _HINTS = "#0072B2", "#D55E00", "#009E73"
# Arrows that turn once: first up or down, or first to the side.
_UP, _ASIDE = "angle,angleA=90,angleB=0,rad=2", "angle,angleA=0,angleB=90,rad=2"


# --- Shapes -----------------------------------------------------------------------------------------------------------


def _canvas(width: float, height: float, scale: float) -> tuple[Figure, Axes]:
    """Empty axes from (0, 0) to (width, height); ``scale`` is in inches a unit."""
    fig, ax = plt.subplots(figsize=(width * scale, height * scale))
    fig.subplots_adjust(0, 0, 1, 1)
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return fig, ax


def _box(ax: Axes, x: float, y: float, text: str, width: float, height: float = 0.8, tint: str | None = None, size=8):
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.12",
        facecolor=tint or _tint(text), edgecolor=_GREY, linewidth=0.8,
    )  # fmt: skip
    ax.add_patch(patch)
    _words(ax, x, y, text, size)


def _tint(text: str) -> str:
    """The colour of a layer's box, by the kind of layer that its text begins with."""
    kind = re.sub(r"^(\d × |Res )*", "", text)
    return next((tint for start, tint in _TINTS.items() if kind.startswith(start)), _WHITE)


def _words(ax: Axes, x: float, y: float, text: str, size: float = 8, ha: str = "center", **style) -> None:
    ax.text(x, y, text, **{"fontsize": size, "ha": ha, "va": "center"} | style)


def _note(ax: Axes, x: float, y: float, text: str, **style) -> None:
    """Small grey words that begin at x."""
    _words(ax, x, y, text, ha="left", **{"size": 7.5, "color": _GREY} | style)


def _circle(ax: Axes, x: float, y: float, sign: str) -> None:
    ax.add_patch(plt.Circle((x, y), 0.35, facecolor="white", edgecolor="#333333", linewidth=0.9))
    _words(ax, x, y, sign)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], via: str = "arc3", **style):
    arrow = {
        "arrowstyle": "-|>",
        "color": "#333333",
        "linewidth": 0.9,
        "connectionstyle": via,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    ax.annotate("", xy=end, xytext=start, arrowprops=arrow | style)


def _column(ax: Axes, x: float, top: float, texts: Sequence[str], width: float, notes: Sequence[str] = ()) -> float:
    """Draw boxes below each other with arrows between them and notes beside them; returns the y below the last."""
    step = 1.1
    for i, text in enumerate(texts):
        y = top - i * step
        _box(ax, x, y, text, width)
        if i:
            _arrow(ax, (x, y + step - 0.4), (x, y + 0.4))
        if i < len(notes):
            _note(ax, x + width / 2 + 0.1, y, notes[i], size=6.5)
    return top - (len(texts) - 1) * step - 0.4


# --- Modules and their numbers ----------------------------------------------------------------------------------------


def _ends(model: models.PoseMachine, height: int, width: int) -> dict[str, summary.Block]:
    """The last block of the features and of each branch, by their paths: ``features``, ``stages.0.parts``, ..."""
    return {block.path.rsplit(".", 1)[0]: block for block in summary.blocks(model, height, width)}


def _shape(block: summary.Block) -> str:
    return _times(block.output)


def _times(numbers: Iterable[int]) -> str:
    return "×".join(str(n) for n in numbers)


def _counted(module: torch.nn.Module) -> str:
    return f"{models.count_parameters(module):,} parameters"


def _module(
    ax: Axes,
    x: float,
    y: float,
    title: str,
    module: torch.nn.Module,
    shape: str,
    width: float,
    height: float,
    tint: str,
) -> None:
    """A box with the title, the parameters and the output shape of a module."""
    _box(ax, x, y, f"{title}\n{_counted(module)}\n→ {shape}", width, height, _TINTS[tint])


def _features(ax: Axes, model: models.PoseMachine, last: dict, title: str, x: float, y: float, wide: float) -> None:
    _module(ax, x, y, title, model.features, _shape(last["features"]), wide, 2.2, "Conv")


def _stages(ax: Axes, model: models.PoseMachine, last: dict, xs: Sequence[float], y: float, wide: float) -> None:
    """The stages of a network in a row, centred at ``xs``."""
    for s, (stage, x) in enumerate(zip(model.stages, xs, strict=True)):
        shapes = " and ".join(_shape(last[f"stages.{s}.{branch}"]) for branch in ("limbs", "parts"))
        _module(ax, x, y, f"stage {s + 1}", stage, shapes, wide, 2.2, "Depth/point")
        if s:
            _arrow(ax, (xs[s - 1] + wide / 2, y), (x - wide / 2, y))


# --- Figures ----------------------------------------------------------------------------------------------------------


def figure_1b() -> Figure:
    """The skeleton: all limbs, and all landmarks with their channels and names."""
    landmarks = np.ones((skeleton.N_LANDMARKS, 3))
    for name, (x, y) in STANDING.items():
        i = skeleton.INDEX[name]
        landmarks[i, :2], landmarks[skeleton.FLIP[i], :2] = (x, -y), (-x, -y)
    fig, ax = plt.subplots(figsize=(6.4, 6), layout="constrained")
    draw_people(ax, [Pose(landmarks, 1.0)], width=4)
    for i, name in enumerate(skeleton.LANDMARKS):
        side = -1 if name.startswith("right") else 1
        crowded = name == "neck"  # the shoulders leave no room beside it
        ax.annotate(
            f"{i} {name}", landmarks[i, :2], xytext=(side * (34 if crowded else 12), 14 if crowded else 0),
            textcoords="offset points", ha="left" if side > 0 else "right", va="center", fontsize=8,
            arrowprops={"arrowstyle": "-", "color": "#999999"} if crowded else None,
        )  # fmt: skip
    ax.set(aspect="equal", xlim=(-80, 80), ylim=(0, -190))
    ax.axis("off")
    return fig


def figure_3(name: str = "MPM-4S", height: int = 368, width: int = 444) -> Figure:
    """The pose machine: the features, then the first, second and last stage with their two branches. Shapes and parameters
    are those of network ``name``."""
    model = models.create(name)
    last = _ends(model, height, width)
    fig, ax = _canvas(30.2, 11.6, 0.33)
    wide, tall, parts_y, limbs_y, features_x = 4.1, 1.9, 8.8, 4.4, 6.2
    middle = (parts_y + limbs_y) / 2

    _words(ax, 1.9, middle, f"depth\n1×{height}×{width}")
    _module(ax, features_x, middle, "features $G(I)$", model.features, _shape(last["features"]), wide, tall, "Conv")
    _arrow(ax, (3.3, middle), (features_x - wide / 2, middle))
    shown = sorted({0, min(1, len(model.stages) - 1), len(model.stages) - 1})
    previous = 0.0  # x of the stage before
    for column, s in enumerate(shown):
        x, stage = 13 + column * 7.0, model.stages[s]
        ax.add_patch(Rectangle((x - 2.35, 3.0), 4.7, 7.3, fill=False, linestyle="--", edgecolor="#888888"))
        ax.text(x, 10.7, f"stage {s + 1}", ha="center", fontsize=9)
        for y, branch, module, tint in (
            (parts_y, "parts", rf"parts $\rho_{s + 1}$", "Depth/point"),
            (limbs_y, "limbs", rf"limbs $\phi_{s + 1}$", "Fire"),
        ):
            shape = _shape(last[f"stages.{s}.{branch}"])
            _module(ax, x, y, module, getattr(stage, branch), shape, wide, tall, tint)
        gate, reach = (features_x + wide / 2, 0.0) if not column else (x - 3.3, 0.35)
        if column:
            if s > shown[column - 1] + 1:
                _words(ax, gate - 0.95, middle, "⋯", 14)
            _circle(ax, gate, middle, "C")
            for y, side in ((parts_y, reach), (limbs_y, -reach)):
                _arrow(ax, (previous + wide / 2, y), (gate, middle + side), _ASIDE)
            _arrow(ax, (features_x, 1.6), (gate + 0.12, middle - reach), _ASIDE, linestyle=":")
        for y in (parts_y, limbs_y):
            _arrow(ax, (gate + reach, middle), (x - wide / 2, y))
        previous = x
    ax.plot([features_x, features_x], [middle - tall / 2, 1.6], color="#333333", linewidth=0.9, linestyle=":")
    shared = f"features F, {_shape(last['features'])}, shown to every stage (C: concatenation)"
    ax.text(features_x + 0.3, 1.2, shared, fontsize=8, va="top")
    return fig


FIGURE_4 = {
    "(a) residual pose machine": "RPM-2S",
    "(b) SqueezeNet pose machine": "SPM-2S",
    "(c) MobileNet pose machine": "MPM-2S",
}


def figure_4(names: dict[str, str] = FIGURE_4, height: int = 368, width: int = 444) -> Figure:
    """The three designs, block by block: the features, a branch of the first stage, and a branch of a later stage."""
    fig, ax = _canvas(36.4, 17.6, 0.29)
    box = 4.4
    for i, (title, name) in enumerate(names.items()):
        traced = summary.blocks(models.create(name), height, width)
        left = 2.4 + i * 12.4
        ax.text(left - box / 2, 17.1, title, fontsize=9.5, fontweight="bold", va="center")

        def part(x, top, heading, prefix, traced=traced):
            column = [block for block in traced if block.path.startswith(prefix)]
            _words(ax, x, top + 1.0, heading, 8.5, style="italic")
            boxes = _collapse(column)
            bottom = _column(ax, x, top, [label for label, _ in boxes], box, [size for _, size in boxes])
            total = sum(block.parameters for block in column)
            _words(ax, x, bottom - 0.45, f"{total:,} parameters", 7.5, color="#333333")
            return bottom

        part(left, 15.2, "features G", "features.")
        bottom = part(left + 5.9, 15.2, "stage 1, a branch", "stages.0.parts.")
        part(left + 5.9, bottom - 2.6, "stage ≥ 2, a branch", "stages.1.parts.")
    ax.text(
        0.2, 0.3,
        "* stride 2.  Res: with a shortcut.  Grey: map size where it changes.  Batch norm and ReLU follow inside the blocks "
        "(Figure 5); RPM's branches have\nReLU alone, and the last convolution of RPM's features and of every branch nothing. "
        f"A stage has two such branches: parts (shown, 18 channels), limbs (32).\nInput 1×{height}×{width}; "
        f"drawn from {', '.join(names.values())}.",
        fontsize=7.5, va="bottom",
    )  # fmt: skip
    return fig


def _collapse(column: list[summary.Block]) -> list[tuple[str, str]]:
    """The label of a box for each run of equal blocks, and the map size where it changes."""
    boxes: list[tuple[str, str]] = []
    before: tuple[int, ...] = ()
    for (label, size), run in itertools.groupby(column, key=lambda block: (block.label, block.output[1:])):
        count = len(list(run))
        boxes.append((f"{count} × {label}" if count > 1 else label, f"{size[0]}\n×{size[1]}" if size != before else ""))
        before = size
    return boxes


def figure_5() -> Figure:
    """The unit modules, layer by layer, read from the modules themselves."""
    from ..models.mpm import residual_depthwise
    from ..models.rpm import residual_block

    fig, ax = _canvas(34, 13.2, 0.3)

    x, residual = 4.0, residual_block(128, 64)
    _unit(ax, x, "(a) residual module", 128, summary.layers(residual.main), 3.6)
    shortcut = summary.layers(residual.shortcut)[0].replace("Pointwise", "Conv")
    _box(ax, 8.2, 8.5, f"shortcut\n{shortcut}", 3.4, 1.5)
    _arrow(ax, (x, 11.35), (8.2, 9.25), _ASIDE)
    _note(ax, 8.4, 7.1, "identity where\nthe widths agree")
    _circle(ax, x, 5.2, "+")
    _arrow(ax, (x, 5.9), (x, 5.55))
    _arrow(ax, (8.2, 7.75), (x + 0.35, 5.2), _UP)
    _arrow(ax, (x, 4.85), (x, 4.3))
    _column(ax, x, 3.9, ["BN", "ReLU"], 3.6)
    _words(ax, x, 2.0, "64 channels")

    x, fire = 16.0, models.create("SPM-2S").features[2]
    _unit(ax, x, "(b) fire module", 64, [w.replace("Pointwise", "Conv") for w in summary.layers(fire.squeeze)], 3.4)
    _note(ax, x + 1.9, 10.7, "squeeze")
    for side, module in ((-2.1, fire.expand1), (2.1, fire.expand3)):
        _arrow(ax, (x, 8.1), (x + side, 7.0))
        _column(ax, x + side, 6.6, [w.replace("Pointwise", "Conv") for w in summary.layers(module)], 3.4)
        _arrow(ax, (x + side, 4.0), (x + side * 0.15, 3.0))
    _note(ax, x + 4.0, 6.6, "expand")
    _box(ax, x, 2.6, "concatenate", 3.4, 0.8, _WHITE)
    _words(ax, x, 1.7, f"{2 * fire.expand1[0].out_channels} channels")

    x, separable = 27.0, residual_depthwise(64).main
    bottom = _unit(ax, x, "(c) depthwise / pointwise", 64, summary.layers(separable), 4.2)
    _words(ax, x, bottom - 0.5, "64 channels")
    _note(ax, x + 2.3, 10.7, "one 3×3 filter\nper channel")
    _note(ax, x + 2.3, 7.4, "mixes the\nchannels")
    weights = sum(p.numel() for p in separable.parameters() if p.dim() > 1)
    plain = torch.nn.Conv2d(64, 64, 3, bias=False).weight.numel()
    _words(ax, x, bottom - 1.6, f"{weights:,} weights; a plain 3×3 has {plain:,}")
    return fig


def _unit(ax: Axes, x: float, title: str, channels: int, layers: Sequence[str], width: float) -> float:
    """The title of a unit module, its input and its layers below each other; returns the y below the last."""
    ax.text(x, 12.6, title, ha="center", fontsize=9.5, fontweight="bold")
    _words(ax, x, 11.9, f"{channels} channels")
    _arrow(ax, (x, 11.6), (x, 11.1))
    return _column(ax, x, 10.7, layers, width)


def figure_6(name: str = "RPM-2S", height: int = 368, width: int = 444) -> Figure:
    """Domain adaptation: features G_f, pose cascade G_y, and domain classifier G_d behind the gradient reversal. Dashed arrows
    are gradients. Shapes and parameters are those of network ``name`` and its
    :class:`dihpose.adaptation.DomainClassifier`."""
    model = models.create(name)
    last = _ends(model, height, width)
    classifier = adaptation.DomainClassifier(last["features"].output[0])
    fig, ax = _canvas(19.7 + 6.8 * max(len(model.stages), 3), 12.6, 0.3)
    x, pose_y, middle, domain_y, half = 9.2, 10.6, 6.6, 3.4, 1.1

    def back(colour: str, start: tuple[float, float], end: tuple[float, float], down: float = 0.0) -> None:
        """A dashed arrow that goes down first, then to the side."""
        style = {"color": colour, "linestyle": (0, (4, 2)), "linewidth": 1.5}
        corner = (start[0], start[1] - down)
        if down:
            _arrow(ax, start, corner, arrowstyle="-", **style)
        _arrow(ax, corner, end, _ASIDE, **style)

    for y, words in ((middle + 1.5, "synthetic, with landmarks"), (middle - 1.5, "real, without")):
        _box(ax, 2.9, y, f"{words}\n1×{height}×{width}", 5.2, 1.8, _PALE)
        _arrow(ax, (5.5, y), (x - 2.6, middle + (y - middle) / 4))
    _features(ax, model, last, f"features $G_f$, {name}", x, middle, 5.2)

    _arrow(ax, (x, middle + half), (12.5, pose_y), _UP)
    ax.text(x + 0.1, pose_y + 0.2, "synthetic alone", fontsize=7.5)
    ax.text(12.5, pose_y + 1.5, "pose cascade $G_y$", fontsize=9)
    stages_x = [15.5 + 6.8 * s for s in range(len(model.stages))]
    _stages(ax, model, last, stages_x, pose_y, 6.0)
    end = stages_x[-1] + 5.4
    _arrow(ax, (end - 2.4, pose_y), (end - 1.6, pose_y))
    _box(ax, end, pose_y, "pose loss\n$L_{PM}$, eq. (5)", 3.2, 2 * half, _WHITE)
    back(_TRUTH, (end, pose_y - half), (10.6, middle + half), half)
    _words(ax, 12.5, pose_y - 2.7, "its gradient: find people", ha="left", color=_TRUTH)

    _arrow(ax, (x, middle - half), (12.5, domain_y), _UP)
    ax.text(x + 0.1, domain_y + 0.2, "both", fontsize=7.5)
    _box(ax, 13.9, domain_y, "reversal\nforward × 1\nback × $-\\lambda$", 2.8, 2 * half, _TINTS["Fire"])
    ax.text(16.0, domain_y + 1.5, f"domain classifier $G_d$, {_counted(classifier)}", fontsize=9)
    end = 15.3
    for text, wide in _domain_layers(classifier, last["features"].output):
        _arrow(ax, (end, domain_y), (end + 0.6, domain_y))
        _box(ax, end + 0.6 + wide / 2, domain_y, text, wide, 2 * half, _TINTS["Residual"])
        end += wide + 0.6
    _arrow(ax, (end, domain_y), (end + 0.6, domain_y))
    _box(ax, end + 2.1, domain_y, "real?\n$-L_d$, eq. (6)", 3.0, 2 * half, _WHITE)
    back(_HINTS, (end + 2.1, domain_y - half), (13.9, domain_y - half), half)
    back(_OTHER, (12.5, domain_y - 0.7), (8.0, middle - half))
    for x, side, words, colour in (
        (16.0, "left", "its gradient: tell the domains apart", _HINTS),
        (12.3, "right", "reversed: make them alike", _OTHER),
    ):
        _words(ax, x, domain_y - 2.7, words, ha=side, color=colour)
    return fig


def _domain_layers(classifier: torch.nn.Module, features: tuple[int, int, int]) -> list[tuple[str, float]]:
    """The text and the box width of each layer of a domain classifier, for features of this shape."""
    met: dict[torch.nn.Module, tuple] = {}  # shapes of the input and the output of each layer
    layers = [classifier.convolution, classifier.hidden, classifier.output]
    for layer in layers:
        layer.register_forward_hook(lambda m, x, y: met.__setitem__(m, (x[0].shape[1:], y.shape[1:])))
    classifier(torch.zeros(1, *features))
    (pooled, convolved), (flat, hidden), (_, logit) = (met[layer] for layer in layers)
    grid = (convolved[0], adaptation.GRID, flat[0] // convolved[0] // adaptation.GRID)
    return [
        (f"average\npool\n→ {_times(pooled)}", 3.0),
        (f"conv 1×1, ReLU\n{_counted(layers[0])}\n→ {_times(convolved)}", 4.1),
        (f"average\npool\n→ {_times(grid)}", 2.8),
        (f"linear, ReLU\n{_counted(layers[1])}\n→ {_times(hidden)}", 4.3),
        (f"linear\n{_counted(layers[2])}\n→ {_times(logit)}", 3.4),
    ]


def figure_7(
    tau: int = 2, last_only: bool = False, hints: bool = True, teacher: str = "CPM-2S", student: str = "MPM-2S",
    size: int = 368,
) -> Figure:  # fmt: skip
    """Distillation: the teacher above, the student below, and arrows from each teacher stage to the student stages that learn
    from it (:func:`dihpose.losses.pairs`). Shapes and parameters are those of the networks, on crops of ``size`` pixels.
    Raises InputError if a network has fewer than ``tau`` stages."""
    networks = {"teacher": models.create(teacher), "student": models.create(student)}
    how = Distillation(Run("teacher", model=teacher), tau, last_only, gamma=float(hints))
    learner = Learner(Run("student", model=student, size=size, distillation=how), networks["teacher"])
    count = {which: len(network.stages) for which, network in networks.items()}
    most = max(count.values())
    x, first_x, step, wide, half = 7.6, 15.0, 7.2, 5.8, 1.1
    rows, middle = {"teacher": 11.6, "student": 6.0}, 8.8
    last_x = first_x + step * (most - 1)
    stages_x = {which: [last_x - step * s for s in reversed(range(n))] for which, n in count.items()}
    words = {"size": 8.5, "ha": "left"}
    fig, ax = _canvas(last_x + 7.8, 14.0, 0.3)

    _words(ax, 2.2, middle, f"depth\n1×{size}×{size}")
    for which, network in networks.items():
        y, last = rows[which], _ends(network, size, size)
        _arrow(ax, (2.2, middle + (y - middle) / 4), (x - wide / 2, y), _UP)
        _features(ax, network, last, "features", x, y, wide)
        _arrow(ax, (x + wide / 2, y), (stages_x[which][0] - wide / 2, y))
        _stages(ax, network, last, stages_x[which], y, wide)
    for y, title, network in (
        (rows["teacher"] + 1.7, f"teacher {teacher}, fixed", networks["teacher"]),
        (rows["student"] - 1.7, f"student {student}", networks["student"]),
    ):
        _words(ax, x - wide / 2, y, f"{title}, {_counted(network)}", 9, ha="left")

    top, bottom = rows["teacher"] - half, rows["student"] + half
    for i, j in losses.pairs(count["student"], count["teacher"], tau, last_only):
        _arrow(ax, (stages_x["teacher"][j], top), (stages_x["student"][i], bottom), color=_OTHER, linewidth=1.6)
    _words(ax, last_x + 0.4, middle, r"$(1 - \alpha)\,L_{teacher}$, eq. (11)", color=_OTHER, **words)
    if hints:
        tie = learner.adapter
        text = f"adapter, in training only\n1×1, {tie.in_channels} → {tie.out_channels}, {_counted(tie)}"
        _box(ax, x, middle - 0.3, text, wide, 1.3, _WHITE, size=7)
        _arrow(ax, (x, bottom), (x, middle - 0.95), color=_HINTS, linewidth=1.6)
        _arrow(ax, (x, middle + 0.35), (x, top), color=_HINTS, linewidth=1.6, arrowstyle="<|-|>")
        _words(ax, x + 0.4, middle + 0.95, r"$\gamma\,L_{hints}$, eq. (14)", color=_HINTS, **words)
    truth_x = (stages_x["student"][0] + last_x) / 2
    truth = "ground truth: limbs $V^*$ and parts $H^*$"
    _box(ax, truth_x, 1.6, truth, max(7.6, 2 * (last_x - truth_x) + wide), 1.2, _PALE)
    for stage_x in stages_x["student"]:
        _arrow(ax, (stage_x, 2.2), (stage_x, rows["student"] - half), color=_TRUTH, linewidth=1.6)
    _words(ax, last_x + 0.4, 3.6, r"$\alpha\,L_{PM}$, eq. (5)", color=_TRUTH, **words)
    return fig
