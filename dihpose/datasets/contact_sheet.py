"""Contact sheets: one picture with some frames of a data set, or of sequences, and their annotations."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..common.errors import InputError
from ..common.files import replacing
from ..depth import as_people, overlay
from ..sample import Sample
from ..skeleton import COLORS, INDEX
from ..synthesis import sequences, sets
from .formats.reader import Recorded, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TILE = 480  # pixels: the longer side of one frame's picture
COLUMNS, MOST = 4, 200  # maximum number of frames in a row, on a sheet


def draw(recorded: Recorded, path: Path, count: int = 20) -> None:
    """Draw some frames of a set with their annotations into a PNG file.

    A labelled landmark is a filled circle, one that is not labelled a ring. The set's masks of people are outlined.

    Args:
        recorded: An opened set.
        path: The PNG to write; its folder is made.
        count: Number of frames, evenly spread, 1 to :data:`MOST`. Broken frames are left out.

    Raises:
        InputError: ``count`` is out of range, or none of these frames can be read.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from dihpose.datasets import generators
        >>> from dihpose.datasets.formats import registry
        >>> with TemporaryDirectory() as folder:
        ...     generators.make("folder", Path(folder), count=1, seed=0)
        ...     draw(registry.opened(folder), Path(folder) / "sheet.png", count=1)
        ...     (Path(folder) / "sheet.png").stat().st_size > 10_000
        True
    """
    if not 1 <= count <= MOST:
        raise InputError(f"{count} frames on a sheet: give 1 to {MOST}")
    tiles = []
    for index in spread(len(recorded), count):
        try:
            tiles.append((*_tile(recorded[index]), _short(recorded.name(index))))
        except InputError:  # `check` reports it
            continue
    if not tiles:
        raise InputError(f"{recorded.folder}: has no frame that could be shown")
    sheet = _sheet(tiles, f"{recorded.folder} ({recorded.kind}): {len(tiles)} of {len(recorded):,} frames")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, warnings.catch_warnings(action="ignore"):  # of characters that the font has not
        sheet.savefig(partial, format="png", dpi=100)


def of_sequences(name: str, rows: Sequence[int] = (0, 1, 2, 3), frames: int = 6, width: float = 11.0) -> "Figure":
    """Draw sequences of a synthetic set, one a row: some frames in order of time, and the people over them.

    Args:
        name: A set in sequences, such as ``"dih-sim-seq-test"``.
        rows: Numbers of the sequences.
        frames: How many frames of each: its first images, put in order of time.
        width: Of the figure, inches.

    Returns:
        The figure. Each frame's time in its sequence stands above it.

    Raises:
        InputError: The set is unknown, or its frames are no sequences.

    Example:
        >>> of_sequences("dih-sim-test")
        Traceback (most recent call last):
        dihpose.common.errors.InputError: set dih-sim-test: its frames are drawn one by one; sets in sequences: ...
    """
    from matplotlib.figure import Figure

    one = sets.named(name)
    if not one.sequences:
        others = ", ".join(other.name for other in sets.SETS.values() if other.sequences)
        raise InputError(f"set {name}: its frames are drawn one by one; sets in sequences: {others}")
    scene, sensor = one.config.scene, one.config.sensors[0]
    high = width / frames * scene.height / scene.width + 0.2
    figure = Figure(figsize=(width, high * len(rows)), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.02, w_pad=0.02, hspace=0, wspace=0)
    for line, row in zip(figure.subplots(len(rows), frames, squeeze=False), rows, strict=True):
        script = sequences.script(one.seed, scene, sensor, one.sequences, row)
        numbers = [row + one.sequences.number * frame for frame in range(frames)]
        times = {i: sequences.moment(one.seed, scene, one.sequences, script, i) for i in numbers}
        numbers.sort(key=times.get)
        drawn = sequences.draw(one.seed, one.config, one.sequences, numbers)
        for k, (axes, i) in enumerate(zip(line, numbers, strict=True)):
            axes.imshow(_tile(drawn[k : k + 1])[0])
            axes.set(xticks=[], yticks=[])
            axes.set_title(f"{times[i]:.0f} s", fontsize=7, pad=1)
        line[0].set_ylabel(f"sequence {row}", fontsize=7)
    return figure


def _sheet(tiles: Sequence[tuple[np.ndarray, str, str]], title: str) -> "Figure":
    """Return the figure with all pictures, two lines of text below each, a title and a legend."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    columns, tallest = min(COLUMNS, len(tiles)), max(len(picture) for picture, *_ in tiles)
    rows = -(-len(tiles) // columns)
    ncols = {4: 6, 3: 3}.get(columns, 2)  # of the legend, which has six entries
    height = rows * (tallest / 100 + 0.48) + 0.7 + 0.22 * 6 / ncols
    figure = Figure(figsize=(max(2, columns) * TILE / 100, height), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.03, w_pad=0.03, hspace=0, wspace=0)
    grid = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in grid:
        axes.set_axis_off()
    for axes, (picture, facts, name) in zip(grid, tiles, strict=False):
        axes.set_axis_on()
        axes.imshow(picture, interpolation="nearest")
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel(f"{name}\n{facts}", parse_math=False, fontsize=10)
    dot = {"marker": "o", "linestyle": "none", "markersize": 8}
    sides = {
        "left_hip": "the person's left: on the right of whoever faces the camera",
        "right_hip": "right",
        "neck": "middle",
    }
    handles = [
        *(Line2D([], [], color=COLORS[INDEX[landmark]], label=text, **dot) for landmark, text in sides.items()),
        Line2D([], [], color="black", markerfacecolor="white", label="known, but not labelled", **dot),
        Line2D([], [], color=OUTLINE, label="where the set says that people are"),
        Line2D([], [], color="black", marker="s", linestyle="none", label="no reading; near is bright, far is dark"),
    ]
    legend = {"ncols": ncols, "fontsize": 10, "title_fontsize": 13, "frameon": False}
    figure.legend(handles=handles, loc="outside upper center", title=title, **legend).get_title().set_parse_math(False)
    return figure


OUTLINE = "#CC79A7"


def _tile(sample: Sample) -> tuple[np.ndarray, str]:
    """Return a frame's picture (height, width, 3), and a line about its people and its depth."""
    import cv2
    from matplotlib.colors import to_rgb

    depth, people, landmarks, labelled = (
        tensor[0].numpy() for tensor in (sample.depth, sample.people, sample.landmarks, sample.labelled)
    )
    scale = TILE / max(depth.shape)
    size = [max(1, round(scale * n)) for n in depth.shape[::-1]]
    at = scale * (landmarks.astype(np.float64) + 0.5) - 0.5
    at[~(np.abs(at) < 10 * TILE).all(-1)] = np.nan  # too far away to be drawn
    picture = overlay(cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST), as_people(at, labelled))
    for person in range(1, int(people.max()) + 1):
        mask = cv2.resize((people == person).astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        outline, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outline, -1, [round(255 * value) for value in to_rgb(OUTLINE)], 1)
    for person, k in np.argwhere(~np.isnan(at[..., 0])):
        centre = tuple(at[person, k].round().astype(int).tolist())
        colour = [round(255 * value) for value in to_rgb(COLORS[k])]
        cv2.circle(picture, centre, 5, (255, 255, 255), cv2.FILLED, cv2.LINE_AA)
        cv2.circle(picture, centre, 4, colour, cv2.FILLED if labelled[person, k] else 2, cv2.LINE_AA)
    readings = depth[depth > 0]
    there = int((~np.isnan(landmarks).any(-1)).any(-1).sum())
    facts = [
        "unlabelled" if not sample.annotated.any() else ("nobody", "1 person", f"{there} people")[min(there, 2)],
        f"{readings.min():.1f} to {readings.max():.1f} m" if readings.size else "no reading",
        f"{1 - readings.size / depth.size:.0%} without a reading",
    ]
    return picture, ", ".join(facts)


def _short(name: str, longest: int = 58) -> str:
    """Return the end of a name that is too long."""
    return name if len(name) <= longest else f"…{name[1 - longest :]}"
