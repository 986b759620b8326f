"""The association once more, as slow and as plain as it can be: what :mod:`dihpose.association` is tested against and timed
beside. Every rule of section IV-D stands here as one would say it, cell by cell, pair by pair, in double precision."""

import itertools
import math

import numpy as np

from ..association import Association, Pose
from ..skeleton import LIMBS, N_LANDMARKS

APART = 0.75  # cells between two peaks of one landmark
STEPS = 16  # per cell, of the enlarged map


def associate(limbs: np.ndarray, parts: np.ndarray, stride: int = 8, config: Association | None = None) -> list[Pose]:
    """Limb fields (32, h, w) and part maps (18, h, w) -> people in input pixels, best first, as ``dihpose.associate``."""
    config = config or Association()
    limbs, parts = limbs.astype(float), parts.astype(float)
    peaks = [find_peaks(parts[kind], config) for kind in range(N_LANDMARKS)]  # by landmark: (x, y, score)
    people: list[dict[int, int]] = []  # by landmark: which of its peaks
    totals: list[float] = []
    for limb, (a, b) in enumerate(LIMBS):
        for score, i, j in choose(
            [score_pair(limbs, limb, p, q, config) for p in peaks[a] for q in peaks[b]], len(peaks[b])
        ):
            owner = next((n for n, person in enumerate(people) if person.get(a) == i), None)
            if owner is None:
                owner = len(people)
                people.append({a: i})
                totals.append(peaks[a][i][2])
            # Nobody has this peak yet: no earlier limb ends in b. A merge could never happen.
            assert all(person.get(b) != j for person in people)
            people[owner][b] = j
            totals[owner] += peaks[b][j][2] + score
    found = []
    for person, total in zip(people, totals, strict=True):
        if len(person) < config.min_landmarks or total / len(person) < config.min_strength:
            continue
        landmarks = np.full((N_LANDMARKS, 3), (np.nan, np.nan, 0.0))
        for kind, i in person.items():
            x, y, score = peaks[kind][i]
            scale_x = stride if config.stretch is None else config.stretch / parts.shape[2]
            landmarks[kind] = (x + 0.5) * scale_x - 0.5, (y + 0.5) * stride - 0.5, score
        found.append(Pose(landmarks, float(np.mean([peaks[kind][i][2] for kind, i in person.items()]))))
    return sorted(found, key=lambda pose: -pose.score * pose.found.sum())


def find_peaks(part: np.ndarray, config: Association) -> list[tuple[float, float, float]]:
    """One map (h, w) -> its peaks as x, y in cells and score, the highest first (``scan_order``: in reading order)."""
    height, width = part.shape
    found = []
    for y, x in itertools.product(range(height), range(width)):
        around = [
            (part[v, u], (v, u))
            for v, u in itertools.product(range(y - 1, y + 2), range(x - 1, x + 2))
            if (v, u) != (y, x) and 0 <= v < height and 0 <= u < width
        ]
        if part[y, x] > 0.7 * config.threshold and all(
            value < part[y, x] or (value == part[y, x] and cell > (y, x)) for value, cell in around
        ):
            top, offset_x, offset_y = highest(part, x, y)
            if (
                max(abs(offset_x), abs(offset_y)) > 0.7
            ):  # a ridge, whose top lies elsewhere; a mirror stands at the border
                position = [
                    (size - 1) - abs((size - 1) - abs(v)) for v, size in ((x + offset_x, width), (y + offset_y, height))
                ]
            else:
                position = [vertex(part[y], x), vertex(part[:, x], y)]
            if top > config.threshold:
                found.append((*position, top))
    found = sorted(found, key=lambda peak: -peak[2])[: config.most]
    if config.scan_order:
        found.sort(key=lambda peak: (peak[1], peak[0]))
    kept: list[tuple[float, float, float]] = []
    for x, y, score in found:
        if all(max(abs(x - u), abs(y - v)) > APART for u, v, _ in kept):
            kept.append((x, y, score))
    return kept


def cubic(distance: float, a: float = -0.75) -> float:
    """The cubic convolution kernel with OpenCV's constant."""
    d = abs(distance)
    if d <= 1:
        return ((a + 2) * d - (a + 3)) * d**2 + 1
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a if d < 2 else 0.0


def highest(part: np.ndarray, x: int, y: int) -> tuple[float, float, float]:
    """The top of the map, enlarged bicubically and mirrored at its border, up to one cell around (x, y): value, offsets."""
    patch = np.pad(part, 2, mode="reflect")[y : y + 5, x : x + 5]
    offsets = [i / STEPS for i in range(-STEPS, STEPS + 1)]
    weights = {offset: [cubic(offset - cell) for cell in range(-2, 3)] for offset in offsets}
    rows, columns = (offsets if size > 1 else [0.0] for size in part.shape)
    values = [(float(weights[v] @ patch @ weights[u]), u, v) for v in rows for u in columns]
    return max(values, key=lambda value: value[0])


def vertex(line: np.ndarray, index: int) -> float:
    """Where on a line of cells the parabola through three logarithms near ``index`` peaks, at most half a cell away."""
    if len(line) < 3:
        return float(index)
    middle = min(max(index, 1), len(line) - 2)
    left, centre, right = (math.log(max(line[middle + d], 1e-5)) for d in (-1, 0, 1))
    curvature = 2 * centre - left - right
    position = middle + (right - left) / (2 * curvature) if curvature > 0 else index
    return min(max(position, index - 0.5), index + 0.5)


def score_pair(limbs: np.ndarray, limb: int, p: tuple, q: tuple, config: Association) -> float | None:
    """How well a limb's field supports the segment from peak ``p`` to peak ``q``; None where it does not."""
    length = max(math.dist(p[:2], q[:2]), 1e-9)
    direction = ((q[0] - p[0]) / length, (q[1] - p[1]) / length)
    passing = []
    for share in np.linspace(0, 1, config.samples):
        x, y = (p[axis] + share * (q[axis] - p[axis]) for axis in (0, 1))
        agreement = sum(sample(limbs[2 * limb + axis], x, y) * direction[axis] for axis in (0, 1))
        if agreement > config.field:
            passing.append(agreement)
    if len(passing) <= config.passing * config.samples:
        return None
    score = sum(passing) / len(passing) + min(config.reach * limbs.shape[1] / length - 1, 0)
    return score if score > 0 else None


def sample(field: np.ndarray, x: float, y: float) -> float:
    """A map (h, w) at (x, y) in cells, bicubic, its border repeated."""
    height, width = field.shape
    left, top = math.floor(x) - 1, math.floor(y) - 1
    return sum(
        field[min(max(v, 0), height - 1), min(max(u, 0), width - 1)] * cubic(x - u) * cubic(y - v)
        for v in range(top, top + 4)
        for u in range(left, left + 4)
    )


def choose(scores: list[float | None], columns: int) -> list[tuple[float, int, int]]:
    """Scores of all pairs, row by row, -> (score, i, j) of those chosen: the best first, each end once."""
    pairs = [(score, *divmod(n, columns)) for n, score in enumerate(scores) if score is not None]
    chosen: list[tuple[float, int, int]] = []
    for pair in sorted(pairs, key=lambda pair: -pair[0]):
        if all(pair[1] != i and pair[2] != j for _, i, j in chosen):
            chosen.append(pair)
    return chosen
