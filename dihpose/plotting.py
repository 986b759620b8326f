"""Pictures: depth with people on it, maps, and the diagrams of Figures 3 to 5 drawn from the models themselves."""

import base64
import io
import itertools
import re
from collections.abc import Sequence

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from PIL import Image

from . import models, skeleton
from .association import Peaks, Pose, _possible
from .depth import colourise
from .models import summary

# --- People and maps --------------------------------------------------------------------------------------------------


def overlay(depth: np.ndarray, people: Sequence[Pose]) -> np.ndarray:
    """Depth (H, W) in metres and people in its pixels -> RGB picture uint8 (H, W, 3): left blue, right orange."""
    picture = np.ascontiguousarray(colourise(depth))
    thick = max(2, round(min(depth.shape) / 160))
    for person in people:
        for (a, b), colour in zip(skeleton.LIMBS, skeleton.LIMB_COLORS, strict=True):
            if person.found[a] and person.found[b]:
                ends = [_fixed_point(person.landmarks[i, :2]) for i in (a, b)]
                cv2.line(picture, *ends, (255, 255, 255), thick + 2, cv2.LINE_AA, _FRACTION_BITS)
                cv2.line(picture, *ends, _rgb255(colour), thick, cv2.LINE_AA, _FRACTION_BITS)
        for i in np.flatnonzero(person.found):
            centre = _fixed_point(person.landmarks[i, :2])
            radius = round(1.2 * thick * 2**_FRACTION_BITS)
            cv2.circle(picture, centre, radius, (255, 255, 255), cv2.FILLED, cv2.LINE_AA, _FRACTION_BITS)
            cv2.circle(
                picture, centre, radius * 3 // 4, _rgb255(skeleton.COLORS[i]), cv2.FILLED, cv2.LINE_AA, _FRACTION_BITS
            )
    return picture


_FRACTION_BITS = 4


def _fixed_point(xy: np.ndarray) -> tuple[int, int]:
    return tuple(round(float(v) * 2**_FRACTION_BITS) for v in xy)


def _rgb255(colour: str) -> tuple[int, ...]:
    return tuple(round(255 * v) for v in to_rgb(colour))


def show_depth(ax: Axes, depth: np.ndarray, colorbar: bool = True) -> None:
    """Depth in metres with its scale; no reading is black."""
    image = ax.imshow(np.where(depth > 0, depth, np.nan), cmap="viridis_r", interpolation="nearest")
    ax.set_facecolor("black")
    ax.set_xticks([])
    ax.set_yticks([])
    if colorbar:
        ax.figure.colorbar(image, ax=ax, label="depth (m)", shrink=0.8)


def draw_people(ax: Axes, people: Sequence[Pose], width: float = 2.0) -> None:
    """People in the axes' pixels: the person's left blue, right orange, middle green."""
    for person in people:
        for (a, b), colour in zip(skeleton.LIMBS, skeleton.LIMB_COLORS, strict=True):
            if person.found[a] and person.found[b]:
                x, y = person.landmarks[[a, b], :2].T
                ax.plot(x, y, color="white", linewidth=width + 1.5, solid_capstyle="round")
                ax.plot(x, y, color=colour, linewidth=width, solid_capstyle="round")
        found = np.flatnonzero(person.found)
        ax.scatter(
            *person.landmarks[found, :2].T, s=6 * width, c=[skeleton.COLORS[i] for i in found], edgecolors="white",
            linewidths=0.7, zorder=3,
        )  # fmt: skip


def blank_frame(ax: Axes, width: int, height: int) -> None:
    """Axes with the geometry of an image and nothing in it."""
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal", xticks=[], yticks=[])
    ax.set_facecolor("#f4f4f4")


def show_parts(ax: Axes, parts: np.ndarray) -> None:
    """The highest of the 17 part maps (18 or 17, h, w) in each cell, from 0 to 1."""
    image = ax.imshow(parts[: skeleton.N_LANDMARKS].max(0), cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.figure.colorbar(image, ax=ax, label="highest part map", shrink=0.8)


def show_limbs(ax: Axes, limbs: np.ndarray, only: int | None = None) -> None:
    """The limb fields (32, h, w) in :func:`direction_colours`. ``only`` shows one limb, with arrows."""
    field = limbs.reshape(skeleton.N_LIMBS, 2, *limbs.shape[1:])
    if only is not None:
        x, y = field[only]
    else:
        strongest = np.hypot(field[:, 0], field[:, 1]).argmax(0)
        x, y = (np.take_along_axis(field[:, i], strongest[None], 0)[0] for i in (0, 1))
    ax.imshow(direction_colours(x, y), interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    if only is not None:
        rows, columns = np.nonzero(np.hypot(x, y) > 0.3)
        arrows = x[rows, columns], y[rows, columns]
        ax.quiver(columns, rows, *arrows, angles="xy", scale_units="xy", scale=1.3, width=0.004, color="black")


_COMPASS = np.array([to_rgb(c) for c in ("#009E73", "#0072B2", "#CC79A7", "#E69F00", "#009E73")])


def direction_colours(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A field (h, w) each -> RGB (h, w, 3): right green, down blue, left pink, up orange; the weaker, the whiter."""
    quarter = np.arctan2(y, x) / (np.pi / 2) % 4
    hue = np.stack([np.interp(quarter, range(5), channel) for channel in _COMPASS.T], axis=-1)
    strength = np.clip(np.hypot(x, y), 0, 1)[..., None]
    return 1 - strength * (1 - hue)


_PEOPLE_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#777777")


def association_steps(
    parts: np.ndarray, peaks: Peaks, pairs: np.ndarray, people: Sequence[Pose], stride: int = 8
) -> Figure:
    """The three steps of section IV-D on part maps (18, h, w): peaks, limbs that hold among all pairs that were scored,
    people (as ``associate`` gives them, in input pixels), each in a colour."""
    height, width = parts.shape[1:]
    scored = _possible(peaks.kind)
    fig, axes = plt.subplots(1, 3, figsize=(13, 13 / 3.1 * height / width + 0.3), layout="constrained")
    titles = (
        f"1 · {len(peaks.kind)} peaks",
        f"2 · {len(pairs):,} limbs of {scored.shape[1]:,} pairs",
        f"3 · {len(people)} people",
    )
    for ax, title in zip(axes, titles, strict=True):
        blank_frame(ax, stride * width, stride * height)
        ax.imshow(
            parts[: skeleton.N_LANDMARKS].max(0), cmap="Greys", vmin=0, vmax=2.5,
            extent=(-0.5, stride * width - 0.5, stride * height - 0.5, -0.5),
        )  # fmt: skip
        ax.set_title(title)
    xy = stride * (peaks.xy + 0.5) - 0.5
    axes[0].scatter(*xy.T, s=14, c=[skeleton.COLORS[k] for k in peaks.kind])
    limb, first, second = pairs[:, :3].astype(int).T
    faint = {"colors": "#777777", "alpha": min(0.5, 60 / (scored.shape[1] + 1) ** 0.75), "rasterized": True}
    strong = {"colors": [skeleton.LIMB_COLORS[k] for k in limb], "linewidths": 1.4}
    for ends, style in ((scored[1:], {"linewidths": 0.5} | faint), ((first, second), strong)):
        axes[1].add_collection(LineCollection(np.stack([xy[i] for i in ends], axis=1), **style))
    # From left to right, so that neighbours differ.
    for i, person in enumerate(sorted(people, key=lambda person: np.nanmean(person.landmarks[:, 0]))):
        lines = [person.landmarks[list(ends), :2] for ends in skeleton.LIMBS if person.found[list(ends)].all()]
        axes[2].add_collection(LineCollection(lines, colors=_PEOPLE_COLOURS[i % len(_PEOPLE_COLOURS)], linewidths=2.2))
    return fig


# --- Synthesis --------------------------------------------------------------------------------------------------------


def as_people(landmarks: np.ndarray, shown: np.ndarray | None = None) -> list[Pose]:
    """Given landmarks (P, 17, 2) -> people to draw; of each those ``shown`` (P, 17), default all. NaN is missing."""
    shown = ~np.isnan(landmarks[..., 0]) & (True if shown is None else shown)
    rows = np.concatenate([np.where(shown[..., None], landmarks, np.nan), shown[..., None]], -1)
    return [Pose(row, 1.0) for row, any_ in zip(rows, shown.any(-1), strict=True) if any_]


def portraits(
    vertices: torch.Tensor,
    landmarks: torch.Tensor,
    height: int = 150,
    width: int = 74,
    metres: float = 2.0,
    faces: torch.Tensor | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Bodies (N, V, 3) with landmarks (N, 17, 3), each seen from the front by a camera of its own, far away, that has
    ``metres`` in its height -> depth (N, height, width), NaN where nothing is, and landmarks (N, 17, 2) in pixels.
    ``faces`` (F, 3) are their triangles, by default those of a body without clothes."""
    from .synthesis import bodies, render
    from .synthesis.camera import Camera, level

    count, far = len(vertices), 6.0
    zero, focal = torch.zeros(count), height * far / metres
    camera = Camera(
        level(zero, zero, zero),
        torch.tensor([[0.0, -far, metres / 2 - 0.03]]).expand(count, 3),
        torch.tensor([[focal, focal, (width - 1) / 2, (height - 1) / 2]]).expand(count, 4),
    )
    faces = bodies.load().faces if faces is None else faces
    drawn = render.zbuffer(camera.view(vertices), faces, camera.intrinsics, height, width, cull=True)
    return torch.where(drawn.isfinite(), drawn, torch.nan).numpy(), camera.project(camera.view(landmarks)).numpy()


def tiled(images: np.ndarray, columns: int) -> np.ndarray:
    """Images (N, H, W, ...) side by side in rows of ``columns``."""
    rows = images.reshape(-1, columns, *images.shape[1:])
    return np.concatenate([np.concatenate(list(row), 1) for row in rows], 0)


def slider(images: Sequence[np.ndarray], labels: Sequence[str], name: str, width: int = 444) -> HTML:
    """Pictures (H, W, 3), uint8, one of which is shown, chosen by a slider: plain HTML, which needs no kernel."""
    shown = []
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = io.BytesIO()
        Image.fromarray(image).quantize(32).save(file, "png", optimize=True)
        source = base64.b64encode(file.getvalue()).decode()
        picture = f'<img width="{width}" alt="{label}" src="data:image/png;base64,{source}">'
        shown.append(f"<div {'hidden' * bool(i)}><p><b>{name}: {label}</b></p>{picture}</div>")
    move = "[...this.parentNode.querySelectorAll('div')].forEach((d, i) => d.hidden = i != this.value)"
    bar = f'<input type="range" min="0" max="{len(shown) - 1}" value="0" style="width:{width}px" oninput="{move}">'
    return HTML(f"<section>{bar}{''.join(shown)}</section>")


def show_people_mask(ax: Axes, people: np.ndarray) -> None:
    """Silhouettes (H, W), 0 or 1 + the index of a person, in colours of their own."""
    palette = np.array([to_rgb(c) for c in ("#ffffff", *_PEOPLE_COLOURS)])
    ax.imshow(palette[people], interpolation="nearest")
    ax.set(xticks=[], yticks=[])


# --- Diagrams ---------------------------------------------------------------------------------------------------------

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


def _shape(block: summary.Block) -> str:
    return "×".join(str(n) for n in block.output)


# Centimetres right of the middle (as seen) and above the floor, of a person facing us; the right side mirrors the left.
STANDING = {
    "neck": (0, 150), "head": (0, 163), "head_top": (0, 182), "left_eye": (4, 170), "left_shoulder": (19, 148),
    "left_elbow": (38, 122), "left_wrist": (57, 103), "left_hip": (11, 96), "left_knee": (13, 52), "left_ankle": (14, 9),
}  # fmt: skip


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
    traced = summary.blocks(model, height, width)
    last = {block.path.rsplit(".", 1)[0]: block for block in traced}  # of the features and of each branch
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
    from .models.features import residual_block, residual_depthwise

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
