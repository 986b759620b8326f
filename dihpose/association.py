"""Maps -> people: the greedy association of section IV-D, on the network's own small maps.

1. Peaks: cells of a part map above their eight neighbours, refined to a fraction of a cell, above a threshold.
2. Limbs: every pair of peaks that a limb type could join is scored by the limb field along the segment between them.
3. People: per limb type the best pairs are taken one to one; a pair passes its person on from parent to child. The
   skeleton is a tree and its limbs are listed parents first, so this one walk finds exactly the connected people: no
   two of them can meet later, and nothing is left to merge.
"""

import math
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real

import numpy as np

from .peaks import Peaks, cubic_weights, find_peaks
from .skeleton import LIMBS, N_FIELDS, N_LANDMARKS, N_PARTS


@dataclass(frozen=True, eq=False)
class Pose:
    """One person: ``landmarks`` (17, 3) as x, y in pixels and score, (NaN, NaN, 0) where missing;
    ``score``, the mean score of the landmarks found; ``xyz`` (17, 3), where it was asked for, the landmarks in metres in
    the camera's system (right, down, forward), NaN where there is none."""

    landmarks: np.ndarray
    score: float
    xyz: np.ndarray | None = None

    @property
    def found(self) -> np.ndarray:
        """Which landmarks were found, bool (17,)."""
        return ~np.isnan(self.landmarks[:, 0])


@dataclass(frozen=True)
class Association:
    """The constants of the decoder; the defaults are the authors'."""

    threshold: float = 0.1  # eta of section VII-B: a landmark's least score
    samples: int = 10  # points per candidate limb
    field: float = 0.05  # a point passes where field . direction is above this
    passing: float = 0.8  # more than this share of the points must pass
    reach: float = 0.5  # limbs longer than this share of the map's height are marked down
    min_landmarks: int = 3  # smaller people are dropped
    min_strength: float = 0.2  # weaker people are dropped: scores of landmarks and limbs, summed, by landmarks
    most: int = 128  # candidates of one landmark; of more, the highest: time and memory stay bounded on maps of noise
    # What the authors' code does besides. Not that it never merges people: on this tree there is nothing to merge.
    scan_order: bool = False  # of two near peaks of a landmark, keep the first in reading order, not the higher
    stretch: float | None = None  # spread the columns of a map over so many input pixels (theirs: 444)

    def __post_init__(self):
        for name, value in asdict(self).items():
            kind = Integral if name in ("samples", "min_landmarks", "most") else Real
            if not (isinstance(value, kind) and math.isfinite(value)) and not (name == "stretch" and value is None):
                raise ValueError(f"association constant {name}: {value!r} is no number that it can have")
        if not (1 <= self.samples <= 1000 and 1 <= self.most <= 10_000):
            raise ValueError(f"association constants: samples {self.samples}, most {self.most}")


def configure(config: Association | None = None, **constants) -> Association:
    """``config`` (default: the authors') with some constants changed; ValueError for one that it does not have, or
    cannot have so."""
    if unknown := constants.keys() - {f.name for f in fields(Association)}:
        raise ValueError(f"unknown association constant {', '.join(sorted(unknown))}")
    return replace(config or Association(), **constants)


def associate(limbs, parts, stride: int = 8, config: Association | None = None, **constants) -> list[Pose]:
    """Limb fields (32, h, w) and part maps (18, h, w), arrays or tensors -> people in input pixels, best first.

    Cell c stands for the input position stride (c + 0.5) - 0.5. The constants of :class:`Association` are given all at
    once as ``config``, or by name (``threshold=0.3``; a name wins over ``config``). Raises ValueError for maps of other
    shapes and for unknown constants.
    """
    config = configure(config, **constants)
    limbs, parts = (_as_array(maps) for maps in (limbs, parts))
    if limbs.ndim != 3 or limbs.shape[0] != N_FIELDS or parts.shape != (N_PARTS, *limbs.shape[1:]):
        raise ValueError(
            f"limbs {limbs.shape} and parts {parts.shape} must be ({N_FIELDS}, h, w) and ({N_PARTS}, h, w) of one image"
        )
    peaks = find_peaks(parts[:N_LANDMARKS], config.threshold, scan_order=config.scan_order, most=config.most)
    pairs = choose_pairs(score_pairs(limbs, peaks, config))
    people = [
        person
        for person, strength in assemble(peaks, pairs)
        if person.found.sum() >= config.min_landmarks and strength >= config.min_strength
    ]
    scale_x = stride if config.stretch is None else config.stretch / parts.shape[2]
    for person in people:
        person.landmarks[:, :2] = (person.landmarks[:, :2] + 0.5) * (scale_x, stride) - 0.5
    return sorted(people, key=lambda person: -person.score * person.found.sum())


def score_pairs(limbs: np.ndarray, peaks: Peaks, config: Association = Association()) -> np.ndarray:
    """All candidate limbs that hold, as rows (limb, first peak, second peak, score), in the order of the limbs.

    The score is the mean of field . direction over the points that pass, less a penalty for limbs longer than
    ``config.reach`` of the map's height; a candidate needs more than ``config.passing`` of its points and a score above 0.
    """
    pairs = possible_pairs(peaks.kind)
    shares = np.linspace(0, 1, config.samples)
    # Nearly all pairs of two different people fail at these two points: only the rest is read at every point.
    few = shares[[config.samples // 3, 2 * config.samples // 3]]
    failed = (~(_along(limbs, pairs, peaks.xy, few) > config.field)).sum(0)
    pairs = pairs[:, config.samples - failed > config.passing * config.samples]

    agreement = _along(limbs, pairs, peaks.xy, shares)
    passes = agreement > config.field
    count = passes.sum(0)
    mean = (agreement * passes).sum(0) / np.maximum(count, 1)
    length = _length((peaks.xy[pairs[2]] - peaks.xy[pairs[1]]).T)
    score = mean + np.minimum(config.reach * limbs.shape[1] / length - 1, 0)
    keep = (count > config.passing * config.samples) & (score > 0)
    return np.vstack([pairs, score]).T[keep]


def possible_pairs(kind: np.ndarray) -> np.ndarray:
    """Every pair of peaks that a limb type could join: rows limb, first, second of (3, N), in the order of the limbs."""
    of_kind = [np.flatnonzero(kind == k) for k in range(N_LANDMARKS)]
    ends = [(of_kind[i], of_kind[j]) for i, j in LIMBS]
    return np.stack(
        [
            np.repeat(np.arange(len(LIMBS)), [a.size * b.size for a, b in ends]),
            np.concatenate([np.repeat(a, b.size) for a, b in ends]),
            np.concatenate([np.tile(b, a.size) for a, b in ends]),
        ]
    )


def _along(limbs: np.ndarray, pairs: np.ndarray, xy: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """field . direction at ``shares`` (S,) of the way from the first to the second peak of each pair, (S, N)."""
    limb, first, second = pairs
    start, along = xy[first].T, (xy[second] - xy[first]).T
    unit = (along / _length(along)).astype(np.float32)
    x, y = start[:, None] + shares[:, None] * along[:, None]  # (S, N) each
    field = interpolate(limbs, np.tile(limb, len(shares)), x.ravel(), y.ravel()).reshape(2, *x.shape)
    return field[0] * unit[0] + field[1] * unit[1]


def _length(along: np.ndarray) -> np.ndarray:
    return np.maximum(np.hypot(*along), 1e-9)


def interpolate(limbs: np.ndarray, limb: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The x and y of the fields of limbs ``limb`` (N,) at positions ``x``, ``y`` (N,) in cells, float32 (2, N).

    Bicubic over 4 x 4 cells, the border repeated, as the authors enlarge their maps.
    """
    field = np.empty((2, len(limb)), np.float32)
    for i in range(0, len(limb), _BLOCK):
        block = slice(i, i + _BLOCK)
        field[:, block] = _interpolate(limbs, limb[block], x[block], y[block])
    return field


_BLOCK = 8192  # points at once: what they need fits the processor's cache


def _interpolate(limbs: np.ndarray, limb: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    _, height, width = limbs.shape
    left, top = np.floor(x), np.floor(y)
    across = cubic_weights((x - left).astype(np.float32))  # (4, N)
    down = cubic_weights((y - top).astype(np.float32))
    around = np.arange(-1, 3)[:, None]
    columns = (left.astype(int) + around).clip(0, width - 1)
    rows = (top.astype(int) + around).clip(0, height - 1)
    first = ((2 * limb * height + rows) * width)[:, None] + columns  # (4, 4, N): cells of the x map
    values = (limbs.ravel().take(first + axis * height * width) for axis in (0, 1))
    return [np.einsum("yxn,yn,xn->n", value, down, across) for value in values]


def choose_pairs(pairs: np.ndarray) -> np.ndarray:
    """Greedy, one to one per limb type: the best first, then the best of what neither end of which is taken."""
    order = np.lexsort((pairs[:, 2], pairs[:, 1], -pairs[:, 3], pairs[:, 0]))
    taken, chosen = set(), []
    for i, limb, first, second in zip(order.tolist(), *pairs[order, :3].T.tolist(), strict=True):
        ends = {(limb, first), (limb, second)}
        if taken.isdisjoint(ends):
            taken |= ends
            chosen.append(i)
    return pairs[chosen]


def assemble(peaks: Peaks, pairs: np.ndarray) -> list[tuple[Pose, float]]:
    """One-to-one pairs, in the order of the limbs -> people, landmarks in cells, and each one's strength."""
    person_of: dict[int, int] = {}  # by peak, in the order in which people grow
    count = 0
    limb_person = []
    for first, second in pairs[:, 1:3].astype(int).tolist():
        if first not in person_of:
            person_of[first] = count
            count += 1
        person_of[second] = person_of[first]
        limb_person.append(person_of[first])
    of = np.array(list(person_of.values()), dtype=int)
    members = np.array(list(person_of), dtype=int)
    found = np.bincount(of, minlength=count)
    total = np.bincount(of, peaks.score[members], count)
    strength = (total + np.bincount(np.array(limb_person, dtype=int), pairs[:, 3], count)) / found
    landmarks = np.full((count, N_LANDMARKS, 3), (np.nan, np.nan, 0.0))
    landmarks[of, peaks.kind[members], :2] = peaks.xy[members]
    landmarks[of, peaks.kind[members], 2] = peaks.score[members]
    return [
        (Pose(*person), of_it)
        for *person, of_it in zip(landmarks, (total / found).tolist(), strength.tolist(), strict=True)
    ]


def _as_array(maps) -> np.ndarray:
    maps = maps.detach().cpu().numpy() if hasattr(maps, "detach") else maps  # a torch tensor
    return np.require(maps, np.float32, ["C", "W"])
