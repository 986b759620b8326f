"""Check a recorded set: which parts and frames are usable, why others are not, and what looks like a mistake."""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..common.errors import InputError
from ..sample import Sample, inside
from ..skeleton import LANDMARKS
from .formats.reader import Part, Recorded, spread

EXAMPLES = 3  # names of broken frames that are listed for one reason
REASONS = 30  # reasons that are counted separately; all others are counted together
_STEP, _STEPS = 0.01, 10_000  # histogram of depth: width of a bin in metres, number of bins


@dataclass(frozen=True)
class Broken:
    """Frames that cannot be used for the same reason: how many, the first names, and the first frame's full error."""

    count: int
    frames: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Report:
    """The result of :func:`check`.

    Attributes:
        kind: The format.
        folder: The set's folder.
        parts: What the format expects in the folder, and what is there.
        listed: Frames of the set.
        looked: Frames that were checked.
        usable: Checked frames that can be read.
        broken: The other checked frames, by reason, the most frequent first.
        sizes: (width, height) -> usable frames.
        unlabelled: Usable frames in which no landmark is marked.
        people: Number of people -> usable frames, without the unlabelled ones.
        landmarks: Name -> the number of people whose landmark is known, labelled, visible.
        depth: Minimum, 1st, 50th and 99th percentile and maximum, metres; None if there is no reading.
        zeros: Share of pixels without a reading, 0 to 1.
        empty: Usable frames without any reading.
        notes: What may be a mistake in the set, one sentence each.
    """

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
        """Whether some frames are usable, no checked frame is broken, and every part is good."""
        return self.usable > 0 and not self.broken and all(part.good for part in self.parts)


def check(recorded: Recorded, limit: int | None = None, progress: bool = False) -> Report:
    """Read the frames of a set one by one, and report what is usable and what looks wrong.

    Args:
        recorded: An opened set.
        limit: Check only this many frames, evenly spread (default: all).
        progress: Show a progress bar.

    Returns:
        The report. A frame that cannot be read is counted there; it raises nothing.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from dihpose.datasets import generators
        >>> from dihpose.datasets.formats import registry
        >>> with TemporaryDirectory() as folder:
        ...     generators.make("folder", Path(folder), count=2, seed=0)
        ...     report = check(registry.opened(folder))
        >>> report.kind, report.usable, report.good
        ('folder', 2, True)
    """
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
    """Return an error's text without what differs between frames: the file name at its start, numbers, quoted text."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|\d[\d.,]*", "#", text.partition(": ")[2] or text)


# --- Counts over frames -----------------------------------------------------------------------------------------------


@dataclass
class _Seen:
    """Counts over the usable frames; their names are those of :class:`Report`."""

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


# Signs of a mistake -> the share of wrong cases above which it is reported, and the text.
ENOUGH = 8  # cases that a report needs
ORDINARY = 0.8  # focal length of a usual camera over the image's width
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
    """Yield pairs (key of SIGNS, whether this case is right) for one frame."""
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
    """Yield one case for each person: right if ``more`` is greater than ``less``; none where either is unknown."""
    known = ~np.isnan(more - less)
    return ((sign, bool(is_more)) for is_more in (more > less)[known])


def _nearness(depth: np.ndarray, at: np.ndarray) -> float:
    """Return the median depth at these pixels; a pixel without a reading counts as infinitely far."""
    z = _values(depth, at)
    return float(np.median(np.where(z > 0, z, np.inf)))


def _values(depth: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the image's values (N,) at the pixels nearest to ``at`` (N, 2); positions off the image are clipped."""
    column, row = at.round().astype(int).T
    return depth[row.clip(0, depth.shape[0] - 1), column.clip(0, depth.shape[1] - 1)]
