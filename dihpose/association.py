"""Maps -> people: the greedy association of section IV-D, on the network's own small maps.

1. Peaks: cells of a part map above their eight neighbours, refined to a fraction of a cell, above a threshold.
2. Limbs: every pair of peaks that a limb type could join is scored by the limb field along the segment between them.
3. People: per limb type the best pairs are taken one to one; a pair passes its person on from parent to child. The
   skeleton is a tree and its limbs are listed parents first, so this one walk finds exactly the connected people: no
   two of them can meet later, and nothing is left to merge.
"""

import math
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from numbers import Integral, Real

import numpy as np
import torch
from torch.nn import functional as F

from .peaks import Peaks, find_peaks
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
    limb, first, second = possible_pairs(peaks.kind)
    start, end = peaks.xy[first], peaks.xy[second]
    field = _sample(limbs, limb, start, end, config.samples)
    along = end - start
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)
    unit = (along / length[:, None]).astype(np.float32)
    agreement = field[0] * unit[:, :1] + field[1] * unit[:, 1:]
    passes = agreement > config.field
    count = passes.sum(1)
    mean = (agreement * passes).sum(1) / np.maximum(count, 1)
    score = mean + np.minimum(config.reach * limbs.shape[1] / length - 1, 0)
    keep = (count > config.passing * config.samples) & (score > 0)
    return np.stack([limb, first, second, score], axis=1)[keep]


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


def _sample(limbs: np.ndarray, limb: np.ndarray, start: np.ndarray, end: np.ndarray, samples: int) -> np.ndarray:
    """The fields of limbs ``limb`` (N,), ascending, at ``samples`` points from ``start`` to ``end``, (N, 2) in cells: their x
    and y, float32 (2, N, samples). Bicubic, the border repeated, as the authors enlarge them.
    """
    _, height, width = limbs.shape
    fields = torch.from_numpy(limbs).reshape(-1, 2, height, width)
    # From -1 to 1 across the map, border to border.
    start, end = (torch.from_numpy((2 * xy + 1) / (width, height) - 1).float()[:, None] for xy in (start, end))
    points = torch.lerp(start, end, torch.linspace(0, 1, samples)[:, None])
    sampled = np.empty((2, len(limb), samples), np.float32)
    for k, (a, b) in enumerate(pairwise(np.searchsorted(limb, np.arange(len(fields) + 1)).tolist())):
        if a < b:
            sampled[:, a:b] = F.grid_sample(
                fields[k : k + 1], points[None, a:b], "bicubic", "border", align_corners=False
            )[0]
    return sampled


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
    maps = maps.detach().cpu().numpy() if isinstance(maps, torch.Tensor) else maps
    return np.require(maps, np.float32, ["C", "W"])
