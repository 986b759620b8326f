"""The paper's diagrams, drawn from the models themselves: the skeleton and Figures 3 to 7."""

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


def _tint(text: str) -> str:
    kind = re.sub(r"^(\d × |Res )*", "", text)
    return next((tint for start, tint in _TINTS.items() if kind.startswith(start)), "#ffffff")


def _box(ax: Axes, x: float, y: float, text: str, width: float, height: float = 0.8, tint: str | None = None, size=8):
    patch = FancyBboxPatch(
        (x - width / 2, y - height / 2), width, height, boxstyle="round,pad=0,rounding_size=0.12",
        facecolor=tint or _tint(text), edgecolor="#555555", linewidth=0.8,
    )  # fmt: skip
    ax.add_patch(patch)
    ax.text(x, y, text, ha="center", va="center", fontsize=size)


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


def _column(
    ax: Axes, x: float, top: float, texts: Sequence[str], width: float, notes: Sequence[str] = (), step=1.1
) -> float:
    """Boxes below each other with arrows between them; returns the y below the last."""
    for i, text in enumerate(texts):
        y = top - i * step
        _box(ax, x, y, text, width)
        if i:
            _arrow(ax, (x, y + step - 0.4), (x, y + 0.4))
        if i < len(notes):
            ax.text(x + width / 2 + 0.1, y, notes[i], ha="left", va="center", fontsize=6.5, color="#555555")
    return top - (len(texts) - 1) * step - 0.4


def _canvas(width: float, height: float, scale: float = 0.42) -> tuple[Figure, Axes]:
    fig, ax = plt.subplots(figsize=(width * scale, height * scale))
    fig.subplots_adjust(0, 0, 1, 1)
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.axis("off")
    return fig, ax


def _ends(model: models.PoseMachine, height: int, width: int) -> dict[str, summary.Block]:
    """The last block of the features and of each branch, by their paths: ``features``, ``stages.0.parts``, ..."""
    return {block.path.rsplit(".", 1)[0]: block for block in summary.blocks(model, height, width)}


def _shape(block: summary.Block) -> str:
    return _times(block.output)


def _times(numbers: Iterable[int]) -> str:
    return "×".join(str(n) for n in numbers)


def figure_1b() -> Figure:
    """The skeleton: every landmark with its channel and name, every limb."""
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
    """The pose machine: features once, then stages of two branches, shapes and parameters read off ``name``."""
    model = models.create(name)
    last = _ends(model, height, width)
    fig, ax = _canvas(30.2, 11.6, 0.33)
    wide, tall, parts_y, limbs_y = 4.1, 1.9, 8.8, 4.4
    middle = (parts_y + limbs_y) / 2

    def part(x, y, title, module, path, tint):
        text = f"{title}\n{models.count_parameters(module):,} parameters\n→ {_shape(last[path])}"
        _box(ax, x, y, text, wide, tall, tint)

    ax.text(1.9, middle, f"depth\n1×{height}×{width}", ha="center", va="center", fontsize=8)
    part(6.2, middle, "features $G(I)$", model.features, "features", _TINTS["Conv"])
    _arrow(ax, (3.3, middle), (6.2 - wide / 2, middle))
    shown = sorted({s for s in (0, 1, len(model.stages) - 1) if s < len(model.stages)})
    previous = None
    for column, s in enumerate(shown):
        x = 13 + column * 7.0
        stage = model.stages[s]
        ax.add_patch(Rectangle((x - 2.35, 3.0), 4.7, 7.3, fill=False, linestyle="--", edgecolor="#888888"))
        ax.text(x, 10.7, f"stage {s + 1}", ha="center", fontsize=9)
        part(x, parts_y, rf"parts $\rho_{s + 1}$", stage.parts, f"stages.{s}.parts", _TINTS["Depth/point"])
        part(x, limbs_y, rf"limbs $\phi_{s + 1}$", stage.limbs, f"stages.{s}.limbs", _TINTS["Fire"])
        gate = (x - 3.3, middle)
        if previous is None:
            gate = (6.2 + wide / 2, middle)
        else:
            if s > shown[column - 1] + 1:
                ax.text(gate[0] - 0.95, middle, "⋯", ha="center", va="center", fontsize=14)
            ax.add_patch(plt.Circle(gate, 0.35, facecolor="white", edgecolor="#333333"))
            ax.text(*gate, "C", ha="center", va="center", fontsize=7)
            for y in (parts_y, limbs_y):
                _arrow(
                    ax,
                    (previous + wide / 2, y),
                    (gate[0], gate[1] + (0.35 if y > middle else -0.35)),
                    "angle,angleA=0,angleB=90,rad=2",
                )
            _arrow(ax, (6.2, 1.6), (gate[0] + 0.12, gate[1] - 0.35), "angle,angleA=0,angleB=90,rad=2", linestyle=":")
        for y in (parts_y, limbs_y):
            _arrow(ax, (gate[0] + (0.35 if previous else 0), middle), (x - wide / 2, y), "arc3")
        previous = x
    ax.plot([6.2, 6.2], [middle - tall / 2, 1.6], color="#333333", linewidth=0.9, linestyle=":")
    ax.text(
        6.5,
        1.2,
        f"features F, {_shape(last['features'])}, shown to every stage (C: concatenation)",
        fontsize=8,
        va="top",
    )
    return fig


FIGURE_4 = {
    "(a) residual pose machine": "RPM-2S",
    "(b) SqueezeNet pose machine": "SPM-2S",
    "(c) MobileNet pose machine": "MPM-2S",
}


def figure_4(names: dict[str, str] = FIGURE_4, height: int = 368, width: int = 444) -> Figure:
    """The three instances, block by block: features, the first stage's branch, the branch of the stages after it."""
    fig, ax = _canvas(36.4, 17.6, 0.29)
    box = 4.4
    for i, (title, name) in enumerate(names.items()):
        traced = summary.blocks(models.create(name), height, width)
        left = 2.4 + i * 12.4
        ax.text(left - box / 2, 17.1, title, fontsize=9.5, fontweight="bold", va="center")

        def part(x, top, heading, prefix, traced=traced):
            column = [block for block in traced if block.path.startswith(prefix)]
            ax.text(x, top + 1.0, heading, ha="center", va="center", fontsize=8.5, style="italic")
            boxes = _collapse(column)
            bottom = _column(ax, x, top, [label for label, _ in boxes], box, [size for _, size in boxes])
            total = sum(block.parameters for block in column)
            ax.text(x, bottom - 0.45, f"{total:,} parameters", ha="center", va="center", fontsize=7.5, color="#333333")
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
    """Runs of equal blocks as one box: its label, and the map size where it changes."""
    boxes: list[tuple[str, str]] = []
    before: tuple[int, ...] = ()
    for (label, size), run in itertools.groupby(column, key=lambda block: (block.label, block.output[1:])):
        count = len(list(run))
        boxes.append((f"{count} × {label}" if count > 1 else label, f"{size[0]}\n×{size[1]}" if size != before else ""))
        before = size
    return boxes


def figure_5() -> Figure:
    """The unit modules, layer by layer, read off the modules themselves."""
    from ..models.mpm import residual_depthwise
    from ..models.rpm import residual_block

    fig, ax = _canvas(34, 13.2, 0.3)
    ax.text(4.5, 12.6, "(a) residual module", ha="center", fontsize=9.5, fontweight="bold")
    residual = residual_block(128, 64)
    words = summary.layers(residual.main)
    ax.text(4.0, 11.8, "128 channels", ha="center", fontsize=8)
    _arrow(ax, (4.0, 11.6), (4.0, 11.1))
    _column(ax, 4.0, 10.7, words, 3.6)
    shortcut = summary.layers(residual.shortcut)[0].replace("Pointwise", "Conv")
    _box(ax, 8.2, 8.5, f"shortcut\n{shortcut}", 3.4, 1.5)
    _arrow(ax, (4.0, 11.35), (8.2, 9.25), "angle,angleA=0,angleB=90,rad=2")
    ax.text(8.4, 7.5, "identity where\nthe widths agree", ha="left", va="top", fontsize=7, color="#555555")
    _sum(ax, 4.0, 5.2)
    _arrow(ax, (4.0, 5.9), (4.0, 5.55))
    _arrow(ax, (8.2, 7.75), (4.35, 5.2), "angle,angleA=90,angleB=0,rad=2")
    _arrow(ax, (4.0, 4.85), (4.0, 4.3))
    _column(ax, 4.0, 3.9, ["BN", "ReLU"], 3.6)
    ax.text(4.0, 1.9, "64 channels", ha="center", fontsize=8)

    fire = models.create("SPM-2S").features[2]
    x = 16.0
    ax.text(x, 12.6, "(b) fire module", ha="center", fontsize=9.5, fontweight="bold")
    ax.text(x, 11.8, "64 channels", ha="center", fontsize=8)
    _arrow(ax, (x, 11.6), (x, 11.1))
    squeeze = [w.replace("Pointwise", "Conv") for w in summary.layers(fire.squeeze)]
    _column(ax, x, 10.7, squeeze, 3.4)
    ax.text(x + 1.9, 10.7, "squeeze", fontsize=7.5, va="center", color="#555555")
    for side, module in ((-2.1, fire.expand1), (2.1, fire.expand3)):
        _arrow(ax, (x, 8.1), (x + side, 7.0))
        _column(ax, x + side, 6.6, [w.replace("Pointwise", "Conv") for w in summary.layers(module)], 3.4)
        _arrow(ax, (x + side, 4.0), (x + side * 0.15, 3.0))
    ax.text(x + 4.0, 6.6, "expand", fontsize=7.5, va="center", color="#555555")
    _box(ax, x, 2.6, "concatenate", 3.4, 0.8, "#ffffff")
    ax.text(x, 1.6, f"{2 * fire.expand1[0].out_channels} channels", ha="center", fontsize=8)

    separable = residual_depthwise(64).main
    x = 27.0
    ax.text(x, 12.6, "(c) depthwise / pointwise", ha="center", fontsize=9.5, fontweight="bold")
    ax.text(x, 11.8, "64 channels", ha="center", fontsize=8)
    _arrow(ax, (x, 11.6), (x, 11.1))
    bottom = _column(ax, x, 10.7, summary.layers(separable), 4.2)
    ax.text(x, bottom - 0.6, "64 channels", ha="center", fontsize=8)
    ax.text(x + 2.3, 10.7, "one 3×3 filter\nper channel", fontsize=7.5, va="center", color="#555555")
    ax.text(x + 2.3, 7.4, "mixes the\nchannels", fontsize=7.5, va="center", color="#555555")
    plain = torch.nn.Conv2d(64, 64, 3, bias=False)
    ax.text(
        x, bottom - 1.7,
        f"{sum(p.numel() for p in separable.parameters() if p.dim() > 1):,} weights; "
        f"a plain 3×3 has {plain.weight.numel():,}",
        ha="center", fontsize=8,
    )  # fmt: skip
    return fig


def _sum(ax: Axes, x: float, y: float) -> None:
    ax.add_patch(plt.Circle((x, y), 0.35, facecolor="white", edgecolor="#333333", linewidth=0.9))
    ax.text(x, y, "+", ha="center", va="center", fontsize=9)


# Whence gradients and losses come: the truth, a domain or a teacher, hints; safe for colour-blind readers (Okabe and Ito).
_TRUTH, _OTHER, _HINTS = "#0072B2", "#D55E00", "#009E73"


def _counted(module: torch.nn.Module) -> str:
    return f"{models.count_parameters(module):,} parameters"


def _features(ax: Axes, model: models.PoseMachine, last: dict, title: str, x: float, y: float, wide: float) -> None:
    text = f"{title}\n{_counted(model.features)}\n→ {_shape(last['features'])}"
    _box(ax, x, y, text, wide, 2.2, _TINTS["Conv"])


def _stages(ax: Axes, model: models.PoseMachine, last: dict, xs: Sequence[float], y: float, wide: float) -> None:
    """A cascade in a row, at each of ``xs`` one of its stages."""
    for s, (stage, x) in enumerate(zip(model.stages, xs, strict=True)):
        shapes = " and ".join(_shape(last[f"stages.{s}.{branch}"]) for branch in ("limbs", "parts"))
        _box(ax, x, y, f"stage {s + 1}\n{_counted(stage)}\n→ {shapes}", wide, 2.2, _TINTS["Depth/point"])
        if s:
            _arrow(ax, (xs[s - 1] + wide / 2, y), (x - wide / 2, y))


def figure_6(name: str = "RPM-2S", height: int = 368, width: int = 444) -> Figure:
    """Domain adaptation: features G_f, pose cascade G_y, domain classifier G_d behind the reversal of gradients; shapes and
    parameters read off ``name`` and its :class:`dihpose.adaptation.DomainClassifier`. Dashed: the gradients' way back."""
    model = models.create(name)
    last = _ends(model, height, width)
    classifier = adaptation.DomainClassifier(last["features"].output[0])
    fig, ax = _canvas(19.7 + 6.8 * max(len(model.stages), 3), 12.6, 0.3)
    x, pose_y, middle, domain_y, half = 9.2, 10.6, 6.6, 3.4, 1.1
    up, aside = "angle,angleA=90,angleB=0,rad=2", "angle,angleA=0,angleB=90,rad=2"

    def back(colour: str, start: tuple[float, float], end: tuple[float, float], down: float = 0.0) -> None:
        style = {"color": colour, "linestyle": (0, (4, 2)), "linewidth": 1.5}
        corner = (start[0], start[1] - down)
        if down:
            _arrow(ax, start, corner, arrowstyle="-", **style)
        _arrow(ax, corner, end, aside, **style)

    for y, words in ((middle + 1.5, "synthetic, with landmarks"), (middle - 1.5, "real, without")):
        _box(ax, 2.9, y, f"{words}\n1×{height}×{width}", 5.2, 1.8, "#f7f7f7")
        _arrow(ax, (5.5, y), (x - 2.6, middle + (y - middle) / 4))
    _features(ax, model, last, f"features $G_f$, {name}", x, middle, 5.2)

    _arrow(ax, (x, middle + half), (12.5, pose_y), up)
    ax.text(x + 0.1, pose_y + 0.2, "synthetic alone", fontsize=7.5)
    ax.text(12.5, pose_y + 1.5, "pose cascade $G_y$", fontsize=9)
    stages_x = [15.5 + 6.8 * s for s in range(len(model.stages))]
    _stages(ax, model, last, stages_x, pose_y, 6.0)
    end = stages_x[-1] + 5.4
    _arrow(ax, (end - 2.4, pose_y), (end - 1.6, pose_y))
    _box(ax, end, pose_y, "pose loss\n$L_{PM}$, eq. (5)", 3.2, 2 * half, "#ffffff")
    back(_TRUTH, (end, pose_y - half), (10.6, middle + half), half)
    ax.text(12.5, pose_y - 2.7, "its gradient: find people", fontsize=8, color=_TRUTH, va="center")

    _arrow(ax, (x, middle - half), (12.5, domain_y), up)
    ax.text(x + 0.1, domain_y + 0.2, "both", fontsize=7.5)
    _box(ax, 13.9, domain_y, "reversal\nforward × 1\nback × $-\\lambda$", 2.8, 2 * half, _TINTS["Fire"])
    ax.text(16.0, domain_y + 1.5, f"domain classifier $G_d$, {_counted(classifier)}", fontsize=9)
    end = 15.3
    for text, wide in _domain_layers(classifier, last["features"].output):
        _arrow(ax, (end, domain_y), (end + 0.6, domain_y))
        _box(ax, end + 0.6 + wide / 2, domain_y, text, wide, 2 * half, _TINTS["Residual"])
        end += wide + 0.6
    _arrow(ax, (end, domain_y), (end + 0.6, domain_y))
    _box(ax, end + 2.1, domain_y, "real?\n$-L_d$, eq. (6)", 3.0, 2 * half, "#ffffff")
    back(_HINTS, (end + 2.1, domain_y - half), (13.9, domain_y - half), half)
    back(_OTHER, (12.5, domain_y - 0.7), (8.0, middle - half))
    for x, side, words, colour in (
        (16.0, "left", "its gradient: tell the domains apart", _HINTS),
        (12.3, "right", "reversed: make them alike", _OTHER),
    ):
        ax.text(x, domain_y - 2.7, words, fontsize=8, color=colour, va="center", ha=side)
    return fig


def _domain_layers(classifier: torch.nn.Module, features: tuple[int, int, int]) -> list[tuple[str, float]]:
    """The layers of a domain classifier in words with the widths of their boxes, for features of this shape."""
    met: dict[torch.nn.Module, tuple] = {}  # what goes into each layer, and what comes out
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
    tau: int = 2,
    last_only: bool = False,
    hints: bool = True,
    teacher: str = "CPM-2S",
    student: str = "MPM-2S",
    size: int = 368,
) -> Figure:
    """Distillation: the teacher above, the student below, and which of its stages learns from which, as
    :func:`dihpose.losses.pairs` has it, on crops of ``size`` pixels; the last stages stand above each other. Shapes and
    parameters are read off the networks. InputError where either has fewer than ``tau`` stages."""
    networks = {"teacher": models.create(teacher), "student": models.create(student)}
    how = Distillation(Run("teacher", model=teacher), tau, last_only, gamma=float(hints))
    learner = Learner(Run("student", model=student, size=size, distillation=how), networks["teacher"])
    count = {which: len(network.stages) for which, network in networks.items()}
    most = max(count.values())
    x, first_x, step, wide, half = 7.6, 15.0, 7.2, 5.8, 1.1
    rows, middle = {"teacher": 11.6, "student": 6.0}, 8.8
    last_x = first_x + step * (most - 1)
    stages_x = {which: [last_x - step * s for s in reversed(range(n))] for which, n in count.items()}
    words = {"va": "center", "fontsize": 8.5}
    fig, ax = _canvas(last_x + 7.8, 14.0, 0.3)

    ax.text(2.2, middle, f"depth\n1×{size}×{size}", ha="center", va="center", fontsize=8)
    for which, network in networks.items():
        y, last = rows[which], _ends(network, size, size)
        _arrow(ax, (2.2, middle + (y - middle) / 4), (x - wide / 2, y), "angle,angleA=90,angleB=0,rad=2")
        _features(ax, network, last, "features", x, y, wide)
        _arrow(ax, (x + wide / 2, y), (stages_x[which][0] - wide / 2, y))
        _stages(ax, network, last, stages_x[which], y, wide)
    for y, title, network in (
        (rows["teacher"] + 1.7, f"teacher {teacher}, fixed", networks["teacher"]),
        (rows["student"] - 1.7, f"student {student}", networks["student"]),
    ):
        ax.text(x - wide / 2, y, f"{title}, {_counted(network)}", fontsize=9, va="center")

    top, bottom = rows["teacher"] - half, rows["student"] + half
    for i, j in losses.pairs(count["student"], count["teacher"], tau, last_only):
        _arrow(ax, (stages_x["teacher"][j], top), (stages_x["student"][i], bottom), color=_OTHER, linewidth=1.6)
    ax.text(last_x + 0.4, middle, r"$(1 - \alpha)\,L_{teacher}$, eq. (11)", color=_OTHER, **words)
    if hints:
        tie = learner.adapter
        text = f"adapter, in training only\n1×1, {tie.in_channels} → {tie.out_channels}, {_counted(tie)}"
        _box(ax, x, middle - 0.3, text, wide, 1.3, "#ffffff", size=7)
        _arrow(ax, (x, bottom), (x, middle - 0.95), color=_HINTS, linewidth=1.6)
        _arrow(ax, (x, middle + 0.35), (x, top), color=_HINTS, linewidth=1.6, arrowstyle="<|-|>")
        ax.text(x + 0.4, middle + 0.95, r"$\gamma\,L_{hints}$, eq. (14)", color=_HINTS, **words)
    truth_x = (stages_x["student"][0] + last_x) / 2
    truth = "ground truth: limbs $V^*$ and parts $H^*$"
    _box(ax, truth_x, 1.6, truth, max(7.6, 2 * (last_x - truth_x) + wide), 1.2, "#f7f7f7")
    for stage_x in stages_x["student"]:
        _arrow(ax, (stage_x, 2.2), (stage_x, rows["student"] - half), color=_TRUTH, linewidth=1.6)
    ax.text(last_x + 0.4, 3.6, r"$\alpha\,L_{PM}$, eq. (5)", color=_TRUTH, **words)
    return fig
