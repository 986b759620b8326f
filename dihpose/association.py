"""Maps -> people: the greedy association of section IV-D, on the network's own small maps.

1. Peaks: cells of a part map above their eight neighbours, refined to a fraction of a cell, above a threshold.
2. Limbs: every pair of peaks that a limb type could join is scored by the limb field along the segment between them.
3. People: per limb type the best pairs are taken one to one; a pair passes its person on from parent to child. The
   skeleton is a tree and its limbs are listed parents first, so this one walk finds exactly the connected people: no
   two of them can meet later, and nothing is left to merge.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

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
    stretch: float | None = None  # the authors' quirk: spread the columns over this many input pixels (444 for theirs)


def configure(config: Association | None = None, **constants) -> Association:
    """``config`` (default: the authors') with some constants changed; ValueError for one that it does not have."""
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
    peaks = find_peaks(parts[:N_LANDMARKS], config.threshold)
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


@dataclass(frozen=True, eq=False)
class Peaks:
    """All peaks of all landmarks, ordered by landmark: ``kind`` (N,), ``xy`` (N, 2) in cells, ``score`` (N,)."""

    kind: np.ndarray
    xy: np.ndarray
    score: np.ndarray


def find_peaks(maps: np.ndarray, threshold: float = 0.1, apart: float = 0.75) -> Peaks:
    """Maps (K, h, w) -> peaks above ``threshold``, at sub-cell positions, at least ``apart`` cells from each other.

    A candidate is a cell above its eight neighbours (of equal ones, the first in reading order). Around it the map is
    interpolated bicubically, as the authors enlarge theirs: the top of that surface is the peak's score, and candidates
    on one broad ridge, which share a top, count once.
    """
    _, height, width = maps.shape
    padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    is_candidate = maps > _LEAST_CELL * threshold
    for dy in (0, 1, 2):
        for dx in (0, 1, 2):
            neighbour = padded[:, dy : dy + height, dx : dx + width]
            if (dy, dx) < (1, 1):
                is_candidate &= maps > neighbour
            elif (dy, dx) > (1, 1):
                is_candidate &= maps >= neighbour
    kind, y, x = np.nonzero(is_candidate)
    xy, score = _refine(maps, kind, y, x)
    kept: list[int] = []
    for i in np.lexsort((-score, kind)):
        near = (j for j in kept if kind[j] == kind[i] and np.abs(xy[j] - xy[i]).max() < apart)
        if score[i] > threshold and next(near, None) is None:
            kept.append(i)
    return Peaks(kind[kept], xy[kept], score[kept])


_LEAST_CELL = 0.7  # a Gaussian's top between four cells stands exp(-0.5 / 1.24^2) = 0.72 high in each of them
_STEPS = 16  # of the interpolated surface, per cell
_OWN = 0.7  # a top farther than this from the candidate's cell belongs to a ridge: the surface errs by 0.2 at most


def _cubic(distance: np.ndarray, a: float = -0.75) -> np.ndarray:
    """The cubic convolution kernel, with OpenCV's a, at distances in cells."""
    distance = np.abs(distance)
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0)).astype(np.float32)


# From cells -2..2 around a candidate to positions -1..1 in 1 / _STEPS.
_WEIGHTS = _cubic(np.linspace(-1, 1, 2 * _STEPS + 1)[:, None] - np.arange(-2, 3))


def _refine(maps: np.ndarray, kind: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Candidates (kind, y, x) of (N,) each -> positions (N, 2) in cells and scores (N,).

    Where the top of the surface lies about the candidate's own cell, the position is the vertex of the parabola through
    the logarithms of three cells, per axis: exact for the Gaussians of equation (1). On a ridge it is the top itself.
    """
    _, height, width = maps.shape
    padded = np.pad(maps, ((0, 0), (2, 2), (2, 2)), mode="reflect")
    window = np.arange(5)
    patches = padded[kind[:, None, None], y[:, None, None] + window[:, None], x[:, None, None] + window]
    surface = (_WEIGHTS @ patches @ _WEIGHTS.T).reshape(len(kind), (2 * _STEPS + 1) ** 2)
    top = surface.argmax(1)
    offset = np.stack(np.divmod(top, 2 * _STEPS + 1)[::-1], axis=1) / _STEPS - 1
    vertex = np.stack(
        [_vertex(lambda i: maps[kind, y, i], x, width), _vertex(lambda i: maps[kind, i, x], y, height)], axis=1
    )
    on_ridge = (np.abs(offset) > _OWN).any(1, keepdims=True)
    return np.where(on_ridge, np.stack([x, y], axis=1) + offset, vertex), surface[np.arange(len(kind)), top]


def _vertex(value_at: Callable[[np.ndarray], np.ndarray], index: np.ndarray, size: int) -> np.ndarray:
    """Where along one axis of length ``size`` the log-parabola near ``index`` peaks, at most half a cell away.

    At the border the three cells next to it are used.
    """
    if size < 3:
        return index.astype(np.float64)
    middle = np.clip(index, 1, size - 2)
    left, centre, right = (np.log(np.maximum(value_at(middle + d), 1e-5)) for d in (-1, 0, 1))
    curvature = 2 * centre - left - right
    vertex = np.where(curvature > 0, middle + (right - left) / np.maximum(2 * curvature, 1e-9), index)
    return np.clip(vertex, index - 0.5, index + 0.5)


def score_pairs(limbs: np.ndarray, peaks: Peaks, config: Association = Association()) -> np.ndarray:
    """All candidate limbs that hold, as rows (limb, first peak, second peak, score), in the order of the limbs.

    The score is the mean of field . direction over the points that pass, less a penalty for limbs longer than
    ``config.reach`` of the map's height; a candidate needs more than ``config.passing`` of its points and a score above 0.
    """
    of_kind = [np.flatnonzero(peaks.kind == k) for k in range(N_LANDMARKS)]
    candidates = [
        np.stack([np.full(a.size * b.size, k), np.repeat(a, b.size), np.tile(b, a.size)])
        for k, (a, b) in enumerate((of_kind[i], of_kind[j]) for i, j in LIMBS)
    ]
    limb, first, second = np.concatenate(candidates, axis=1)
    start, along = peaks.xy[first], peaks.xy[second] - peaks.xy[first]
    length = np.hypot(*along.T)
    unit = along / np.maximum(length, 1e-9)[:, None]
    steps = np.linspace(0, 1, config.samples)
    points = start[:, None] + steps[None, :, None] * along[:, None]  # (N, samples, 2)
    field_x, field_y = _sample(limbs, limb, points)
    agreement = field_x * unit[:, :1] + field_y * unit[:, 1:]
    passes = agreement > config.field
    count = passes.sum(1)
    mean = (agreement * passes).sum(1) / np.maximum(count, 1)
    score = mean + np.minimum(config.reach * limbs.shape[1] / np.maximum(length, 1e-9) - 1, 0)
    keep = (count > config.passing * config.samples) & (score > 0)
    return np.stack([limb, first, second, score], axis=1)[keep]


def _sample(limbs: np.ndarray, limb: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The field of limb ``limb`` (N,) at ``points`` (N, S, 2) in cells, interpolated bicubically: x and y, (N, S) each."""
    _, height, width = limbs.shape
    first = np.floor(points).astype(np.int64) - 1
    cells = first[..., None] + np.arange(4)  # (N, S, 2, 4)
    weights = _cubic(points[..., None] - cells)
    columns, rows = np.clip(cells[..., 0, :], 0, width - 1), np.clip(cells[..., 1, :], 0, height - 1)
    at = (2 * limb[:, None, None, None] * height + rows[..., :, None]) * width + columns[..., None, :]
    flat = limbs.reshape(-1)

    def field(channel_start: int) -> np.ndarray:
        by_row = (flat[at + channel_start] * weights[..., 0, None, :]).sum(-1)
        return (by_row * weights[..., 1, :]).sum(-1)

    return field(0), field(height * width)


def choose_pairs(pairs: np.ndarray) -> np.ndarray:
    """Greedy, one to one per limb type: the best first, then the best of what neither end of which is taken."""
    order = np.lexsort((pairs[:, 2], pairs[:, 1], -pairs[:, 3], pairs[:, 0]))
    taken, chosen = set(), []
    for i in order:
        limb, first, second = (int(v) for v in pairs[i, :3])
        if (limb, first) not in taken and (limb, ~second) not in taken:
            taken |= {(limb, first), (limb, ~second)}
            chosen.append(i)
    return pairs[chosen]


def assemble(peaks: Peaks, pairs: np.ndarray) -> list[tuple[Pose, float]]:
    """One-to-one pairs, in the order of the limbs -> people, landmarks in cells, and each one's strength."""
    person_of = np.full(peaks.kind.size, -1)
    members: list[list[int]] = []
    totals: list[float] = []
    for _, first, second, score in pairs:
        first, second = int(first), int(second)
        if person_of[first] < 0:
            person_of[first] = len(members)
            members.append([first])
            totals.append(float(peaks.score[first]))
        person = person_of[second] = person_of[first]
        members[person].append(second)
        totals[person] += float(peaks.score[second] + score)
    people = []
    for indices, total in zip(members, totals, strict=True):
        landmarks = np.full((N_LANDMARKS, 3), (np.nan, np.nan, 0.0))
        landmarks[peaks.kind[indices], :2] = peaks.xy[indices]
        landmarks[peaks.kind[indices], 2] = peaks.score[indices]
        people.append((Pose(landmarks, float(peaks.score[indices].mean())), total / len(indices)))
    return people


def _as_array(maps) -> np.ndarray:
    return maps.detach().cpu().numpy() if hasattr(maps, "detach") else np.asarray(maps)
