"""A recorded set looked at: what is there, which frames can be used, why others cannot, and what looks like a mistake."""

import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..augment import inside
from ..errors import InputError
from ..files import replacing
from ..sample import Sample
from ..skeleton import COLORS, INDEX, LANDMARKS
from .recorded import Part, Recorded, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXAMPLES, REASONS = 3, 30  # of broken frames, for each kind of reason; kinds that are told apart
_STEP, _STEPS = 0.01, 10_000  # metres: the histogram of depth


@dataclass(frozen=True)
class Broken:
    """A kind of reason for which frames cannot be used: how many, the names of the first, and the first one's full text."""

    count: int
    frames: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Report:
    """What :func:`check` saw: ``listed`` frames, of which it ``looked`` at so many, ``usable`` but for those ``broken``; of
    these how many have each size (width, height), how many are ``unlabelled`` (no landmark is marked), how many others have
    so many ``people``; of how many people each landmark is known, labelled, visible (``landmarks``); ``depth`` in metres:
    least, 1st, 50th and 99th percentile, greatest, None without any reading; the share of pixels without one (``zeros``),
    the frames that hold nothing else (``empty``); ``notes``: what looks like a mistake, though it may be none."""

    kind: str
    folder: Path
    parts: tuple[Part, ...]
    listed: int
    looked: int
    usable: int
    broken: tuple[Broken, ...]
    sizes: dict[tuple[int, int], int]
    unlabelled: int
    people: dict[int, int]
    landmarks: dict[str, tuple[int, int, int]]
    depth: tuple[float, float, float, float, float] | None
    zeros: float
    empty: int
    notes: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether there are frames to use, none that was looked at is broken, and every part will do."""
        return self.usable > 0 and not self.broken and all(part.good for part in self.parts)


def check(recorded: Recorded, limit: int | None = None, progress: bool = False) -> Report:
    """Look at a set's frames, all or ``limit`` of them, evenly spread, one at a time; ``progress`` shows a bar."""
    from tqdm import tqdm

    which = spread(len(recorded), limit)
    seen, broken = _Seen(), {}
    for index in tqdm(which, unit="frame", disable=not (progress and sys.stderr.isatty())):
        try:
            sample = recorded[index]
        except InputError as error:
            kind = _kind(str(error))
            kind = kind if kind in broken or len(broken) < REASONS else ""
            before = broken.get(kind, Broken(0, (), str(error)))
            names = before.frames if before.count >= EXAMPLES else (*before.frames, recorded.name(index))
            broken[kind] = Broken(before.count + 1, names, before.text)
        else:
            seen.add(sample)
    return Report(
        kind=recorded.kind,
        folder=recorded.folder,
        parts=tuple(recorded.parts()),
        listed=len(recorded),
        looked=len(which),
        usable=sum(seen.sizes.values()),
        broken=tuple(sorted(broken.values(), key=lambda reason: -reason.count)),
        sizes=dict(seen.sizes.most_common()),
        unlabelled=seen.unlabelled,
        people=dict(sorted(seen.people.items())),
        landmarks={
            name: tuple(seen.landmarks[i].tolist()) for i, name in enumerate(LANDMARKS) if name in recorded.landmarks
        },
        depth=seen.range(),
        zeros=seen.zeros / max(1, seen.pixels),
        empty=seen.empty,
        notes=tuple(seen.notes()),
    )


def _kind(text: str) -> str:
    """An error's text without what differs from frame to frame: the file it begins with, numbers, what is quoted."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d[\d.,]*", "#", text.partition(": ")[2] or text)


# --- What adds up over the frames -------------------------------------------------------------------------------------


@dataclass
class _Seen:
    """Counts over frames."""

    sizes: Counter = field(default_factory=Counter)
    people: Counter = field(default_factory=Counter)
    unlabelled: int = 0
    empty: int = 0
    pixels: int = 0
    zeros: int = 0
    least: float = np.inf
    greatest: float = 0.0
    depths: np.ndarray = field(default_factory=lambda: np.zeros(_STEPS, np.int64))
    landmarks: np.ndarray = field(default_factory=lambda: np.zeros((len(LANDMARKS), 3), np.int64))
    signs: Counter = field(default_factory=Counter)

    def add(self, sample: Sample) -> None:
        depth = sample.depth[0].numpy()
        there, labelled, visible = ~sample.landmarks[0].isnan().any(-1), sample.labelled[0], sample.visible[0]
        self.sizes[depth.shape[::-1]] += 1
        if sample.annotated.any():
            self.people[int(there.any(-1).sum())] += 1
        else:
            self.unlabelled += 1
        self.landmarks += np.stack([marks.sum(0).numpy() for marks in (there, labelled, visible)], -1)
        readings = depth[depth > 0]
        self.pixels, self.zeros = self.pixels + depth.size, self.zeros + depth.size - readings.size
        self.empty += not readings.size
        if readings.size:
            self.least, self.greatest = min(self.least, readings.min()), max(self.greatest, readings.max())
            self.depths += np.bincount(np.minimum(readings / _STEP, _STEPS - 1).astype(np.int64), minlength=_STEPS)
        self.signs.update(_signs(sample))

    def range(self) -> tuple[float, float, float, float, float] | None:
        if not self.depths.any():
            return None
        reached = self.depths.cumsum() / self.depths.sum()
        middle = ((np.searchsorted(reached, share) + 0.5) * _STEP for share in (0.01, 0.5, 0.99))
        return tuple(float(np.clip(value, self.least, self.greatest)) for value in (self.least, *middle, self.greatest))

    def notes(self) -> list[str]:
        notes = []
        for sign, (share, text) in SIGNS.items():
            wrong, total = self.signs[sign, False], self.signs[sign, False] + self.signs[sign, True]
            if total >= ENOUGH and wrong > share * total:
                notes.append(text.format(share=f"{wrong / total:.0%}"))
        return notes


# What may be a mistake: the share from which on it is told of, and how.
ENOUGH = 8
ORDINARY = 0.8  # focal length over the image's width
SIGNS: dict[str, tuple[float, str]] = {
    "size": (0.5, "seen through an ordinary lens, {share} of the people would be below 0.15 m or above 7.5 m tall: is that "
    "the depth's unit?"),
    "inside": (0.5, "{share} of the labelled landmarks lie outside their image: were images of another size annotated?"),
    "upright": (0.7, "{share} of the people have the neck below the hips in the image: is it upside down?"),
    "facing": (0.7, "{share} of the people have their left shoulder on the left in the image: they turn their backs, or left "
    "and right are swapped, or depth and landmarks are mirrored"),
    "mirrored": (0.6, "in {share} of the frames the landmarks, mirrored left to right, would lie on nearer surfaces: is the "
    "depth mirrored, or are they?"),
    "turned over": (0.6, "in {share} of the frames the landmarks, upside down, would lie on nearer surfaces: is the depth "
    "upside down, or are they?"),
    "on people": (0.5, "{share} of the visible landmarks lie on no pixel that is marked as a person's: do masks and landmarks "
    "belong together?"),
}  # fmt: skip


def _signs(sample: Sample) -> Iterator[tuple[str, bool]]:
    """What speaks for (True) and against (False) each of SIGNS' being as it should be in a frame."""
    depth, people, taught = (tensor[0].numpy() for tensor in (sample.depth, sample.people, sample.taught))
    height, width = depth.shape
    on_image = inside(sample.taught[0], height, width).numpy()
    yield from (("inside", bool(here)) for here in on_image[~np.isnan(taught[..., 0])])
    x, y = (dict(zip(LANDMARKS, taught[..., axis].T, strict=True)) for axis in (0, 1))
    yield from _greater("upright", y["left_hip"] + y["right_hip"], 2 * y["neck"])
    yield from _greater("facing", x["left_shoulder"], x["right_shoulder"])
    seen = on_image & sample.visible[0].numpy()
    for person, here in zip(taught, seen, strict=True):
        at = person[here]
        z = _values(depth, at)
        if np.count_nonzero(z) >= 4:
            tall = np.hypot(*np.ptp(at, axis=0)) / (ORDINARY * width) * np.median(z[z > 0])
            yield "size", bool(0.15 < tall < 7.5)
    at = taught[seen]
    surfaces = {
        "as it is": at,
        "mirrored": (width - 1, 0) + (-1, 1) * at,
        "turned over": (0, height - 1) + (1, -1) * at,
    }
    near = {sign: _nearness(depth, pixels) for sign, pixels in surfaces.items()} if len(at) else {}
    for sign in near.keys() - {"as it is"}:
        if near["as it is"] < near[sign] - 0.1 or near["as it is"] > near[sign] + 0.1:
            yield sign, bool(near["as it is"] < near[sign])
    if people.any():
        yield from (("on people", bool(marked)) for marked in _values(people, at))


def _greater(sign: str, more: np.ndarray, less: np.ndarray) -> Iterator[tuple[str, bool]]:
    known = ~np.isnan(more - less)
    return ((sign, bool(is_more)) for is_more in (more > less)[known])


def _nearness(depth: np.ndarray, at: np.ndarray) -> float:
    """How far away surfaces are there, most often; no reading is farther than any."""
    z = _values(depth, at)
    return float(np.median(np.where(z > 0, z, np.inf)))


def _values(depth: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The depth (N,) at pixels on the image."""
    column, row = at.round().astype(int).T
    return depth[row.clip(0, depth.shape[0] - 1), column.clip(0, depth.shape[1] - 1)]


# --- Contact sheet ----------------------------------------------------------------------------------------------------

TILE, COLUMNS, MOST = 480, 4, 200  # pixels, the longer side; tiles in a row; tiles


def contact_sheet(recorded: Recorded, path: Path, count: int = 20) -> None:
    """Write a PNG of ``count`` frames, evenly spread, with their annotations: landmarks filled where they are labelled, rings
    where they are not, outlined where the set says that people are. InputError where none of these frames can be used, or
    ``count`` is not from 1 to MOST."""
    if not 1 <= count <= MOST:
        raise InputError(f"{count} frames on a sheet: give 1 to {MOST}")
    tiles = []
    for index in spread(len(recorded), count):
        try:
            tiles.append((*_tile(recorded[index]), _short(recorded.name(index))))
        except InputError:  # told of by check
            continue
    if not tiles:
        raise InputError(f"{recorded.folder}: has no frame that could be shown")
    sheet = _sheet(tiles, f"{recorded.folder} ({recorded.kind}): {len(tiles)} of {len(recorded):,} frames")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial, warnings.catch_warnings(action="ignore"):  # of characters that the font has not
        sheet.savefig(partial, format="png", dpi=100)


def _sheet(tiles: Sequence[tuple[np.ndarray, str, str]], title: str) -> "Figure":
    """Pictures with what stands below each, two lines."""
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
    """A frame's picture, and what there is to say of it."""
    import cv2
    from matplotlib.colors import to_rgb

    from .. import plotting

    depth, people, landmarks, labelled = (
        tensor[0].numpy() for tensor in (sample.depth, sample.people, sample.landmarks, sample.labelled)
    )
    scale = TILE / max(depth.shape)
    size = [max(1, round(scale * n)) for n in depth.shape[::-1]]
    at = scale * (landmarks.astype(np.float64) + 0.5) - 0.5
    at[~(np.abs(at) < 10 * TILE).all(-1)] = np.nan  # too far away to be drawn
    picture = plotting.overlay(
        cv2.resize(depth, size, interpolation=cv2.INTER_NEAREST), plotting.as_people(at, labelled)
    )
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
    return name if len(name) <= longest else f"…{name[1 - longest :]}"
