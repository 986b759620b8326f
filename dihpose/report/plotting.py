"""Draw depth images, people, maps and the steps of association."""

import base64
import io
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox
from PIL import Image

from .. import skeleton
from ..association import Pose, possible_pairs
from ..depth import colourise
from ..peaks import Peaks


def show_depth(ax: Axes, depth: np.ndarray, colorbar: bool = True) -> None:
    """Draw depth in metres with its scale; pixels without a reading are black."""
    image = ax.imshow(np.where(depth > 0, depth, np.nan), cmap="viridis_r", interpolation="nearest")
    ax.set_facecolor("black")
    ax.set_xticks([])
    ax.set_yticks([])
    if colorbar:
        ax.figure.colorbar(image, ax=ax, label="depth (m)", shrink=0.8)


def depths(
    images: Sequence[np.ndarray],
    titles: Sequence[str] = (),
    far: float = 6.0,
    people: Sequence[Sequence[Pose]] = (),
    rows: int | Sequence[str] = 1,
    width: float = 10.0,
) -> Figure:
    """Draw depth images in rows with one common scale; pixels without a reading are black.

    Args:
        images: Depth (H, W) in metres.
        titles: Titles of the first images.
        far: End of the scale in metres; it begins at 0.
        people: People to draw on each image, in its pixels.
        rows: The number of rows, or a label for each.
        width: Width of the figure in inches.
    """
    labels = [""] * rows if isinstance(rows, int) else rows
    columns = len(images) // len(labels)
    high = max(image.shape[0] / image.shape[1] for image in images) + 0.12 * bool(titles)
    size = (width, high * len(labels) * width / (columns + 0.4))
    fig, axes = plt.subplots(len(labels), columns, figsize=size, layout="constrained", squeeze=False)
    for i, (ax, image) in enumerate(zip(axes.flat, images, strict=True)):
        height, across = image.shape
        step = max(1, across // 300)  # more pixels would not be visible
        ax.imshow(colourise(image[::step, ::step], far=far), extent=(-0.5, across - 0.5, height - 0.5, -0.5))
        draw_people(ax, people[i] if people else (), width=1.2)
        ax.set(xticks=[], yticks=[], xlim=(-0.5, across - 0.5), ylim=(height - 0.5, -0.5))
        if i < len(titles):
            ax.set_title(titles[i], fontsize=9)
    for ax, label in zip(axes[:, 0], labels, strict=True):
        ax.set_ylabel(label)
    scale = ScalarMappable(Normalize(0, far), "viridis_r")
    fig.colorbar(scale, ax=axes, label="depth (m)", shrink=0.8, pad=0.01, aspect=20 * len(labels) ** 0.5)
    return fig


def draw_people(ax: Axes, people: Sequence[Pose], width: float = 2.0) -> None:
    """Draw people in the pixels of the axes: left limbs blue, right limbs orange, middle ones green."""
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
    """Set up axes with the size of an image and nothing in them."""
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), aspect="equal", xticks=[], yticks=[])
    ax.set_facecolor("#f4f4f4")


def show_parts(ax: Axes, parts: np.ndarray) -> None:
    """Draw the highest of the 17 part maps (18 or 17, h, w) in each cell, from 0 to 1."""
    image = ax.imshow(parts[: skeleton.N_LANDMARKS].max(0), cmap="viridis", vmin=0, vmax=1, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.figure.colorbar(image, ax=ax, label="highest part map", shrink=0.8)


def show_limbs(ax: Axes, limbs: np.ndarray, only: int | None = None) -> None:
    """Draw the limb fields (32, h, w) in :func:`direction_colours`. ``only`` is the index of a single limb, drawn with
    arrows."""
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
    """The colours of a field with components x and y (h, w) -> RGB (h, w, 3), from 0 to 1.

    Right is green, down blue, left pink, up orange. Weak vectors are pale.
    """
    quarter = np.arctan2(y, x) / (np.pi / 2) % 4
    hue = np.stack([np.interp(quarter, range(5), channel) for channel in _COMPASS.T], axis=-1)
    strength = np.clip(np.hypot(x, y), 0, 1)[..., None]
    return 1 - strength * (1 - hue)


def draw_windows(ax: Axes, centre: Sequence[float], sides: dict[str, float], colours: dict[str, str]) -> None:
    """Draw named squares around a centre, in the pixels of the image; ``sides`` has the side of each."""
    height, width = ax.images[0].get_array().shape[:2]
    for name, side in sides.items():
        left, top = (at - side / 2 for at in centre)
        ax.add_patch(Rectangle((left, top), side, side, fill=False, lw=2.5, ec=colours[name]))
        corner = min(max(left, 0), width) + 5, min(top + side, height) - 5
        box = {"fc": colours[name], "ec": "none", "pad": 2}
        ax.text(*corner, name, va="bottom", color="white", fontsize=9, bbox=box)
    ax.plot(*centre, "o", color="white", mec="black")


_PEOPLE_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#777777")


def association_steps(
    parts: np.ndarray, peaks: Peaks, pairs: np.ndarray, people: Sequence[Pose], stride: int = 8
) -> Figure:
    """Draw the three steps of association (section IV-D) over part maps (18, h, w).

    Args:
        parts: The part maps.
        peaks: The peaks found in them.
        pairs: The limbs that were kept, as rows of limb, first peak, second peak and score.
        people: The people, in input pixels; each gets a colour.
        stride: Input pixels a cell.
    """
    height, width = parts.shape[1:]
    scored = possible_pairs(peaks.kind)
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
    # Colours go from left to right, so that neighbours differ.
    for i, person in enumerate(sorted(people, key=lambda person: np.nanmean(person.landmarks[:, 0]))):
        lines = [person.landmarks[list(ends), :2] for ends in skeleton.LIMBS if person.found[list(ends)].all()]
        axes[2].add_collection(LineCollection(lines, colors=_PEOPLE_COLOURS[i % len(_PEOPLE_COLOURS)], linewidths=2.2))
    return fig


def portraits(
    vertices: torch.Tensor,
    landmarks: torch.Tensor,
    height: int = 150,
    width: int = 74,
    metres: float = 2.0,
    faces: torch.Tensor | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Render each body alone, from the front and from far away.

    Args:
        vertices: Bodies (N, V, 3) in metres.
        landmarks: Their landmarks (N, 17, 3) in metres.
        height, width: Size of the images in pixels.
        metres: What the height of an image shows.
        faces: Triangles (F, 3); by default those of a body without clothes.

    Returns:
        Depth (N, height, width) in metres, NaN where there is no body, and landmarks (N, 17, 2) in pixels.
    """
    from ..synthesis import render
    from ..synthesis.camera import Camera, level
    from ..synthesis.people import bodies

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
    """Put images (N, H, W, ...) side by side in rows of ``columns`` -> one image."""
    rows = images.reshape(-1, columns, *images.shape[1:])
    return np.concatenate([np.concatenate(list(row), 1) for row in rows], 0)


def slider(images: Sequence[np.ndarray], labels: Sequence[str], name: str, width: int = 444) -> HTML:
    """Show one of several pictures (H, W, 3), uint8, chosen with a slider. It is plain HTML and needs no running kernel."""
    shown = []
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        file = io.BytesIO()
        Image.fromarray(image).quantize(48, Image.Quantize.MAXCOVERAGE, kmeans=2).save(file, "png", optimize=True)
        source = base64.b64encode(file.getvalue()).decode()
        picture = f'<img width="{width}" alt="{label}" src="data:image/png;base64,{source}">'
        shown.append(f"<div {'hidden' * bool(i)}><p><b>{name}: {label}</b></p>{picture}</div>")
    move = "[...this.parentNode.querySelectorAll('div')].forEach((d, i) => d.hidden = i != this.value)"
    bar = f'<input type="range" min="0" max="{len(shown) - 1}" value="0" style="width:{width}px" oninput="{move}">'
    return HTML(f"<section>{bar}{''.join(shown)}</section>")


def show_people_mask(ax: Axes, people: np.ndarray) -> None:
    """Draw silhouettes (H, W), a colour for each person; values are 0, or 1 + the index of a person."""
    palette = np.array([to_rgb(c) for c in ("#ffffff", *_PEOPLE_COLOURS)])
    ax.imshow(palette[people], interpolation="nearest")
    ax.set(xticks=[], yticks=[])


def label_points(ax: Axes, points: Mapping[str, tuple[float, float]], reach: float = 4.0) -> None:
    """Write names beside points (x, y), each on the side where it covers the fewest earlier names and markers. Call it last,
    when limits and titles are set. ``reach`` is half the size of a marker, in points."""
    ax.figure.draw_without_rendering()
    pixels = reach * ax.figure.dpi / 72
    taken = [Bbox([at - pixels, at + pixels]) for at in ax.transData.transform(list(points.values()))]
    for name, at in points.items():
        text = ax.annotate(name, at, (0, 0), textcoords="offset points", fontsize=7.5)
        text.set_in_layout(False)
        places = {way: _placed(text, way, reach + 1) for way in _WAYS}
        clashes = {
            way: sum(box.overlaps(other) for other in taken) + (not all(ax.bbox.contains(*xy) for xy in box.corners()))
            for way, box in places.items()
        }
        best = min(_WAYS, key=clashes.get)
        taken.append(_placed(text, best, reach + 1))


# Directions to try: right, then above or below, then left.
_WAYS = ((1, 1), (1, 0), (1, -1), (0, 1), (0, -1), (-1, 1), (-1, 0), (-1, -1))


def _placed(text: Annotation, way: tuple[int, int], far: float) -> Bbox:
    x, y = way
    text.set(position=(x * far, y * far), ha=("center", "left", "right")[x], va=("center", "bottom", "top")[y])
    return text.get_window_extent()
