"""A second implementation of the association, slow and plain, to test and time :mod:`dihpose.association`.

It follows the rules of section IV-D literally, cell by cell and pair by pair, in double precision.
"""

import itertools
import math

import numpy as np

from ..association import Association, Pose
from ..skeleton import LIMBS, N_LANDMARKS

APART = 0.75  # minimum distance between two peaks of a landmark, cells
STEPS = 16  # samples per cell in the enlarged map


def associate(limbs: np.ndarray, parts: np.ndarray, stride: int = 8, config: Association | None = None) -> list[Pose]:
    """Return the people, best first, in input pixels, as :func:`dihpose.associate` does.

    Args:
        limbs: Limb fields (32, h, w).
        parts: Part maps (18, h, w).
        stride: Input pixels per cell.
        config: Constants of the association.
    """
    config = config or Association()
    limbs, parts = limbs.astype(float), parts.astype(float)
    peaks = [find_peaks(parts[kind], config) for kind in range(N_LANDMARKS)]  # of each landmark: (x, y, score)
    people: list[dict[int, int]] = []  # landmark -> index of its peak
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
            # No person has this peak yet, because no earlier limb ends in b. Two people never have to be merged.
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
    """Return the peaks (x, y, score) of one map (h, w), in cells, the highest first (``scan_order``: row by row)."""
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
    """Return the weight of the cubic convolution kernel at a distance in cells, with OpenCV's constant ``a``."""
    d = abs(distance)
    if d <= 1:
        return ((a + 2) * d - (a + 3)) * d**2 + 1
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a if d < 2 else 0.0


def highest(part: np.ndarray, x: int, y: int) -> tuple[float, float, float]:
    """Return the maximum of the enlarged map within one cell of (x, y): its value, and its offsets in x and y.

    The map is enlarged bicubically, and mirrored at its border.
    """
    patch = np.pad(part, 2, mode="reflect")[y : y + 5, x : x + 5]
    offsets = [i / STEPS for i in range(-STEPS, STEPS + 1)]
    weights = {offset: [cubic(offset - cell) for cell in range(-2, 3)] for offset in offsets}
    rows, columns = (offsets if size > 1 else [0.0] for size in part.shape)
    values = [(float(weights[v] @ patch @ weights[u]), u, v) for v in rows for u in columns]
    return max(values, key=lambda value: value[0])


def vertex(line: np.ndarray, index: int) -> float:
    """Return the top of the parabola through three logarithms of a line of cells near ``index``, at most 0.5 cells away."""
    if len(line) < 3:
        return float(index)
    middle = min(max(index, 1), len(line) - 2)
    left, centre, right = (math.log(max(line[middle + d], 1e-5)) for d in (-1, 0, 1))
    curvature = 2 * centre - left - right
    position = middle + (right - left) / (2 * curvature) if curvature > 0 else index
    return min(max(position, index - 0.5), index + 0.5)


def score_pair(limbs: np.ndarray, limb: int, p: tuple, q: tuple, config: Association) -> float | None:
    """Return how well a limb's field agrees with the line from peak ``p`` to peak ``q``; None if it does not."""
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
    """Return a map's value at (x, y) in cells, with bicubic interpolation; its border is repeated."""
    height, width = field.shape
    left, top = math.floor(x) - 1, math.floor(y) - 1
    return sum(
        field[min(max(v, 0), height - 1), min(max(u, 0), width - 1)] * cubic(x - u) * cubic(y - v)
        for v in range(top, top + 4)
        for u in range(left, left + 4)
    )


def choose(scores: list[float | None], columns: int) -> list[tuple[float, int, int]]:
    """Choose pairs, the best first, each end once: the scores of all pairs, row by row -> (score, i, j)."""
    pairs = [(score, *divmod(n, columns)) for n, score in enumerate(scores) if score is not None]
    chosen: list[tuple[float, int, int]] = []
    for pair in sorted(pairs, key=lambda pair: -pair[0]):
        if all(pair[1] != i and pair[2] != j for _, i, j in chosen):
            chosen.append(pair)
    return chosen
